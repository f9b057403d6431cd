"""The daemon on an emulated router: next hops that do not answer ARP or ND stand among its warnings, and hold nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.running import Running, in_sync
from tests.site import new_site
from tests.world.emulators import emulator
from tests.world.emulators.base import Emulator

pytestmark = pytest.mark.slow

SILENT = "10.192.0.2"


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Emulator]:
    (tmp_path / "device").mkdir()
    with emulator("nxos")(tmp_path / "device") as made:
        yield made


@pytest.fixture
def running(device: Emulator, tmp_path: Path) -> Iterator[Running]:
    made = Running(new_site(tmp_path / "site"))
    made.site.hosts(r1=device.host())
    made.site.settings(nodes={"hold_down_s": 0, "hold_up_s": 0}, daemon={"resync_s": 1})
    yield made
    made.kill()


def warnings(document: dict[str, Any]) -> list[str]:
    return [warning for router in document["routers"] for warning in router["warnings"]]


def told(document: dict[str, Any]) -> bool:
    return any(f"next hop {SILENT} does not answer ARP on Vlan10" in warning for warning in warnings(document))


def test_who_does_not_answer_is_told_until_it_does(running: Running, device: Emulator) -> None:
    device.faults.silent = {SILENT}
    running.start()
    running.until(lambda document: told(document) and in_sync(document), "the daemon tells of it, and nothing is held")
    assert SILENT in device.routes()["default", "10.96.0.0/12"]
    device.faults.silent = set()
    running.until(lambda document: not told(document), "it tells of it no more")
    said = [line for line in running.lines() if line["event"] == "router warns" and SILENT in line["warning"]]
    assert len(said) == 1
