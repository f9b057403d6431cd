"""Routers of every platform in one run: ports by host, options by group, and nobody reaches another's device."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.site import Site, new_site
from tests.world.emulators import NAMES, emulator
from tests.world.emulators.base import Emulator

pytestmark = pytest.mark.slow

OURS = ("default", "10.97.10.1/32")
EACH = 2


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[dict[str, Emulator]]:
    """Two of every platform, and routers in files beside them."""
    with ExitStack() as stack:
        found = {}
        for name in NAMES:
            folder = tmp_path / name
            folder.mkdir()
            for number in range(EACH):
                found[f"{name}-{number}"] = stack.enter_context(emulator(name)(folder))
        yield found


@pytest.fixture
def site(tmp_path: Path, devices: dict[str, Emulator]) -> Site:
    """Options and login in groups, as people write them; a host has its port alone, and the node that it prefers."""
    site = new_site(tmp_path / "site")
    groups: dict[str, Any] = {}
    hosts: dict[str, Any] = {}
    for place, (name, device) in enumerate(devices.items()):
        entry = device.host()
        connection = entry.pop("connection_options")["napalm"]
        port = connection.get("port", entry.pop("port", None)) or connection["extras"]["optional_args"].pop("port")
        group = {key: entry[key] for key in ("username", "password", "platform")}
        group["connection_options"] = {"napalm": {"extras": connection["extras"]}}
        assert groups.setdefault(device.driver, group) == group, "the group's options do not serve both"
        hosts[name] = {
            "hostname": entry["hostname"],
            "port": port,
            "groups": [device.driver],
            "data": {"k8s_ecmp": {"next_hops": {"subnets": [f"10.192.0.{place % 2 + 1}/32", "fd10:192::/64"]}}},
        }
    folder = site.folder / "inventories/demo"
    (folder / "hosts.yaml").write_text(yaml.safe_dump(hosts))
    (folder / "groups.yaml").write_text(yaml.safe_dump(groups))
    site.settings(rollout={"parallel": len(hosts), "canary": 0, "confirm_within_s": 60})
    return site


def test_every_host_gets_its_own_routes_and_no_other(site: Site, devices: dict[str, Emulator]) -> None:
    done = site.run("apply", "--yes")
    assert done.code == 3, done.out + done.err  # the conflict that each has
    for place, (name, device) in enumerate(devices.items()):
        assert device.routes()[OURS] == {f"10.192.0.{place % 2 + 1}"}, name
    assert site.run("verify").code == 3
    assert "committed" in done.out
    assert done.out.count("committed") == len(devices) + 1  # and once in the sum


def test_one_that_is_away_and_one_that_is_locked_stop_nobody_else(site: Site, devices: dict[str, Emulator]) -> None:
    devices["junos-0"].faults.holder = "alice"
    devices["ios-1"].stop()
    done = site.run("apply", "--yes")
    assert done.code == 1
    for name, device in devices.items():
        if name not in ("junos-0", "ios-1"):
            assert OURS in device.routes(), f"{name}: {done.out}"
    assert OURS not in devices["junos-0"].routes()
