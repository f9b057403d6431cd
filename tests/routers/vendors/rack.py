"""Emulated devices of several drivers in one folder: every command goes to all of them at once.

NAPALM's drivers sleep most of their time; beside one another they sleep together.
"""

from collections.abc import Mapping

from tests.routers.vendors.device import TAG
from tests.site import Outcome, Site
from tests.world.emulators.base import PASSWORD, Emulator


class Rack:
    """The folder and its devices by name, which is that of the driver, and what they were like at the beginning."""

    def __init__(self, site: Site, devices: Mapping[str, Emulator]) -> None:
        self.site = site
        self.devices = devices
        self.before = {name: device.running() for name, device in devices.items()}
        self._others = {name: device.others(TAG) for name, device in devices.items()}
        self._foreign = {name: device.routes() for name, device in devices.items()}
        site.hosts(**{name: device.host() for name, device in devices.items()})
        # A login costs NAPALM up to three seconds; the second one of a change is not the subject here.
        rollout = {"confirm_within_s": 60, "verify_timeout_s": 3, "new_connection": "never"}
        site.settings(rollout={"canary": 0, "parallel": len(devices), **rollout})

    def run(self, *arguments: str) -> Outcome:
        done = self.site.run_here(*arguments)
        assert PASSWORD not in done.out + done.err
        assert "Traceback" not in done.err, done.err
        return done

    def said(self, done: Outcome) -> dict[str, str]:
        """What a report says of each device, in one line."""
        found = dict.fromkeys(self.devices, "")
        name = None
        for line in done.out.splitlines():
            if not line.startswith(" "):
                name = next((name for name in self.devices if line.split(maxsplit=1)[:1] == [name]), None)
            if name is not None:
                found[name] += " ".join(["", *line.split()])
        return found

    def ours(self, name: str) -> dict[tuple[str, str], frozenset[str]]:
        """What a device's forwarding table has beside the foreign routes."""
        foreign = self._foreign[name]
        return {key: hops for key, hops in self.devices[name].routes().items() if foreign.get(key) != hops}

    def touched(self) -> list[str]:
        """The devices on which what is not ours is no longer byte for byte as it was."""
        return [name for name, device in self.devices.items() if device.others(TAG) != self._others[name]]
