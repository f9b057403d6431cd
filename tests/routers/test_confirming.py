"""A change that keeps newcomers out is not confirmed: each of NAPALM's drivers, unmodified, against its emulator.

The way to the device is open while the device is as it was; while anything of ours is in force, what is connected stays
connected and nobody else gets in.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from k8s_ecmp.platforms.drivers import DRIVERS
from tests.routers.vendors.device import AGGREGATE, NODES, Device
from tests.site import Outcome, new_site
from tests.world.emulators import NAMES, emulator
from tests.world.gate import Gate
from tests.world.netns import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.long]

ONE_REQUEST_A_CONNECTION = {"eos", "nxos"}
TIMED = {name for name in NAMES if DRIVERS[name].confirm}
UNTIMED = {name for name in NAMES if not DRIVERS[name].confirm}
TRIES = 12
"""More than the search for a new connection takes: the tool is past it, and tries to take the change back."""


@dataclass
class Gated:
    router: Device
    gate: Gate

    def apply(self, **rollout: object) -> Outcome:
        self.router.site.settings(rollout={"confirm_within_s": 60, "verify_timeout_s": 1, **rollout})
        return self.router.apply()


@pytest.fixture(params=NAMES)
def gated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gated]:
    folder = tmp_path / "device"
    folder.mkdir()
    with emulator(request.param)(folder) as device:
        router = Device(new_site(tmp_path / "site"), device)
        entry = device.host()
        with Gate(entry["port"], lambda: not router.ours()) as gate:
            known = folder / "known_hosts"
            if known.exists():
                known.write_text(known.read_text() + known.read_text().replace(f":{entry['port']} ", f":{gate.port} "))
            hosts = router.site.folder / "inventories/demo/hosts.yaml"
            hosts.write_text(yaml.safe_dump({"r1": entry | {"port": gate.port}}))
            yield Gated(router, gate)


def refused(gated: Gated, done: Outcome) -> None:
    assert done.code == 1, done.out + done.err
    assert "after the commit no new connection could be opened" in done.out
    assert gated.gate.turned_away
    assert gated.router.ours() == {}
    assert gated.router.untouched()
    assert not gated.router.device.pending()


@pytest.mark.parametrize("gated", sorted(TIMED - ONE_REQUEST_A_CONNECTION), indirect=True)
def test_with_a_timer_the_router_goes_back_at_once(gated: Gated) -> None:
    done = gated.apply()
    refused(gated, done)
    assert "taken back, by the router, its whole configuration is as before the commit" in done.out


@pytest.mark.parametrize("gated", sorted(UNTIMED - ONE_REQUEST_A_CONNECTION), indirect=True)
def test_without_a_timer_the_inverse_patch_goes_over_the_connection_that_lives(gated: Gated) -> None:
    done = gated.apply()
    refused(gated, done)
    assert "taken back, by the inverse patch, our routes are as before the commit" in done.out


@pytest.mark.parametrize("gated", ["eos"], indirect=True)
def test_where_each_request_is_a_connection_the_timer_does_it(gated: Gated) -> None:
    done = locked_out(gated, gated.router.device.expire)
    refused(gated, done)
    assert "taken back, by the router, its whole configuration is as before the commit" in done.out


@pytest.mark.parametrize("gated", ["nxos"], indirect=True)
def test_where_each_request_is_a_connection_and_there_is_no_timer_the_next_connection_does_it(gated: Gated) -> None:
    """The commit itself breaks off: NAPALM saves the configuration in a request of its own."""
    done = locked_out(gated, gated.gate.admit)
    assert done.code == 1, done.out + done.err
    assert gated.router.ours() == {}
    assert gated.router.untouched()
    assert "taken back, by the inverse patch, our routes are as before the commit" in done.out


def locked_out(gated: Gated, in_the_end: Callable[[], None]) -> Outcome:
    """An apply that nobody lets in again, until something happens on the device."""

    def time_passes() -> None:
        wait_for(lambda: gated.gate.turned_away >= TRIES, "the tool tries to get in", timeout=120)
        in_the_end()

    clock = threading.Thread(target=time_passes)
    clock.start()
    done = gated.apply()
    clock.join()
    return done


def test_who_does_without_a_new_connection_says_so(gated: Gated) -> None:
    if gated.router.device.driver in ONE_REQUEST_A_CONNECTION:
        gated.gate.admit()
    done = gated.apply(new_connection="never")
    assert done.code == 3, done.out + done.err  # the one conflict; the rest is done
    assert gated.router.ours()[AGGREGATE] == NODES


def test_with_a_new_connection_it_is_confirmed_over_the_one_that_committed(gated: Gated) -> None:
    gated.gate.admit()
    done = gated.apply()
    assert done.code == 3, done.out + done.err
    assert gated.router.ours()[AGGREGATE] == NODES
    assert not gated.router.device.pending()
    assert gated.router.device.saved()
