"""A user's folder whose only router is an emulated device, spoken to by NAPALM's unmodified driver."""

from typing import Generic, TypeVar

from tests.site import Outcome, Site
from tests.world.emulators.base import PASSWORD, Emulator

TAG = 4201
NODES = frozenset({"10.192.0.1", "10.192.0.2", "10.192.0.3"})
AGGREGATE = ("default", "10.96.0.0/12")
E = TypeVar("E", bound=Emulator)


class DeviceOf(Generic[E]):
    """The folder and its router, and what that was like at the beginning."""

    def __init__(self, site: Site, device: E) -> None:
        self.site = site
        self.device = device
        self.before = device.running()
        self.others = device.others(TAG)
        self.foreign = device.routes()
        site.hosts(r1=device.host())
        site.settings(rollout={"confirm_within_s": 60, "verify_timeout_s": 3})

    def run(self, *arguments: str) -> Outcome:
        done = self.site.run_here(*arguments)
        assert PASSWORD not in done.out + done.err
        assert "Traceback" not in done.err, done.err
        return done

    def apply(self) -> Outcome:
        return self.run("apply", "--yes")

    def ours(self) -> dict[tuple[str, str], frozenset[str]]:
        """What the forwarding table has beside the foreign routes."""
        return {key: hops for key, hops in self.device.routes().items() if self.foreign.get(key) != hops}

    def untouched(self) -> bool:
        """Whether everything that is not ours is byte for byte as it was."""
        return self.device.others(TAG) == self.others

    def is_old(self) -> bool:
        return self.device.running() == self.before


Device = DeviceOf[Emulator]
