"""The inventory changes while ExaBGP runs: what is to stay does not notice, and a mistake changes nothing."""

import fcntl
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bgp.edge import WANTED, require
from tests.site import REPO
from tests.world import bgp
from tests.world.bgp import SPEAKERS, BgpWorld, await_services, frr_config
from tests.world.fib import FibHistory
from tests.world.frr import FrrRouter
from tests.world.netns import wait_for

pytestmark = [pytest.mark.world, pytest.mark.long]

NEW_KEY = "the-second-key"


class Two(BgpWorld):
    """Two receivers: one that no change concerns, and one for them."""

    stays: FrrRouter
    changes: FrrRouter


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    require()
    with Two(tmp_path_factory.mktemp("world")) as world:
        world.stays = world.add_frr("stays", 2, frr_config())
        world.changes = world.add_frr("changes", 3, frr_config())
        world.start()
        world.program()
        yield world


@pytest.fixture
def stays(world: Two) -> Iterator[Two]:
    """Whatever else happens: one process, one session and the routes of the peer that no test touches."""
    world.await_up()
    with FibHistory(world.stays.netns) as kernel:
        await_services(kernel, WANTED)
        since, pids, established = time.monotonic(), world.pids(), up_since(world.stays)
        yield world
        for prefix, hops in WANTED.items():
            assert {sample.hops for sample in kernel.samples(prefix, since)} == {hops}
        assert world.pids() == pids
        assert up_since(world.stays) == established


def up_since(router: FrrRouter) -> tuple[int, int]:
    """How often the session came up and was lost, as FRR counts."""
    said = negotiated(router)
    assert said["bgpState"] == "Established"
    return said["connectionsEstablished"], said["connectionsDropped"]


def negotiated(router: FrrRouter) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(router.vtysh(f"show bgp neighbors {SPEAKERS[0]} json"))
    neighbor: dict[str, Any] = found[SPEAKERS[0]]
    return neighbor


def change(world: Two, name: str, **keys: Any) -> None:
    world.hosts[name]["data"]["k8s_ecmp"]["bgp"] |= keys
    world.write_inventory()


def test_nothing_has_changed(stays: Two) -> None:
    assert stays.cli("bgp", "reload").stdout == "nothing has changed\n"


def test_a_peer_is_added_and_removed(stays: Two) -> None:
    router = stays.add_frr("added", 4, frr_config())
    assert stays.cli("bgp", "reload").stdout == "new or changed: added\n"
    stays.await_up()
    stays.cli("apply", "--yes")
    stays.cli("verify")
    with FibHistory(router.netns) as kernel:
        await_services(kernel, WANTED)
        del stays.hosts["added"]
        stays.write_inventory()
        assert stays.cli("bgp", "reload").stdout == "removed: added\n"
        await_services(kernel, {})
        assert set(stays.states()) == {"stays", "changes"}
        # It is back, and nothing of what it was told in the time before is said.
        stays.add_peer("added", 4, {})
        stays.cli("bgp", "reload")
        stays.await_up()
        assert stays.announced("added") == {}
        stays.cli("apply", "--yes")
        await_services(kernel, WANTED)
    del stays.hosts["added"]
    stays.write_inventory()
    stays.cli("bgp", "reload")
    router.stop()


def test_a_peer_gets_another_name(stays: Two) -> None:
    """What was announced under the first is withdrawn, though the session is the same."""
    for before, after in (("changes", "renamed"), ("renamed", "changes")):
        stays.hosts[after] = stays.hosts.pop(before)
        stays.write_inventory()
        assert stays.cli("bgp", "reload").stdout == f"new or changed: {after}\nremoved: {before}\n"
        stays.await_up()
        assert stays.announced(after) == {}
        with FibHistory(stays.changes.netns) as kernel:
            await_services(kernel, {})
            stays.cli("apply", "--yes")
            await_services(kernel, WANTED)


def test_the_hold_time_changes(stays: Two) -> None:
    change(stays, "changes", hold_time_s=30)
    assert stays.cli("bgp", "reload").stdout == "new or changed: changes\n"
    wait_for(lambda: negotiated(stays.changes).get("bgpTimerHoldTimeMsecs") == 30000, "the session has it", 180)
    stays.await_up()
    with FibHistory(stays.changes.netns) as kernel:
        await_services(kernel, WANTED)
    stays.plan(code=0)


def test_the_key_changes_on_both_sides(stays: Two, tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text(NEW_KEY)
    secret.chmod(0o600)
    change(stays, "changes", password_file=str(secret))
    stays.cli("bgp", "reload")
    stays.changes.configure(f"router bgp {bgp.ROUTER_AS}\nneighbor {SPEAKERS[0]} password {NEW_KEY}")
    wait_for(lambda: negotiated(stays.changes).get("authenticationEnabled"), "it is used", 180)
    stays.await_up()
    with FibHistory(stays.changes.netns) as kernel:
        await_services(kernel, WANTED)
    assert NEW_KEY not in (stays.folder / "exabgp.log").read_text()
    del stays.hosts["changes"]["data"]["k8s_ecmp"]["bgp"]["password_file"]
    stays.write_inventory()
    stays.cli("bgp", "reload")
    stays.changes.configure(f"router bgp {bgp.ROUTER_AS}\nno neighbor {SPEAKERS[0]} password {NEW_KEY}")
    stays.await_up()


def test_communities_and_med_change_without_a_new_session(stays: Two) -> None:
    before = up_since(stays.changes)
    with FibHistory(stays.changes.netns) as kernel:
        await_services(kernel, WANTED)
        since = time.monotonic()
        change(stays, "changes", med=77, communities=["65010:5"])
        stays.cli("bgp", "reload")

        def attributes() -> set[tuple[int, str]]:
            said = json.loads(stays.changes.vtysh("show bgp ipv4 unicast 10.96.0.0/12 json"))
            return {(path["metric"], path.get("community", {}).get("string")) for path in said["paths"]}

        wait_for(lambda: attributes() == {(77, "65010:5")}, "all paths have them", 120)
        assert up_since(stays.changes) == before
        for prefix, hops in WANTED.items():
            assert all(sample.hops and sample.hops <= hops for sample in kernel.samples(prefix, since))


def test_another_way_to_carry_paths(stays: Two) -> None:
    """From add-path to three sessions and back."""
    extra = "\n".join(
        f"neighbor {speaker} remote-as {bgp.SPEAKER_AS}\nneighbor {speaker} timers connect 1\n"
        f"address-family ipv6 unicast\nneighbor {speaker} activate\nexit-address-family"
        for speaker in SPEAKERS[1:3]
    )
    stays.changes.configure(f"router bgp {bgp.ROUTER_AS}\n{extra}")
    change(stays, "changes", local_addresses=list(SPEAKERS[:3]))
    stays.cli("bgp", "reload")
    stays.await_up()
    with FibHistory(stays.changes.netns) as kernel:
        await_services(kernel, WANTED)
        stays.plan(code=0)
        change(stays, "changes", local_addresses=[SPEAKERS[0]])
        stays.cli("bgp", "reload")
        stays.await_up()
        await_services(kernel, WANTED)
    stays.plan(code=0)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"hold_time_s": 2}, "hold_time_s"),
        ({"local_as": None}, "local_as"),
        ({"password_file": "/nowhere/key"}, "/nowhere/key"),
        ({"peer_address": "10.9.0.2"}, "same session"),
    ],
)
def test_a_mistake_changes_nothing(stays: Two, keys: dict[str, Any], says: str) -> None:
    files = {
        file.name: file.read_bytes() for file in stays.exabgp_folder.glob("*.*") if file.suffix in (".conf", ".json")
    }
    before = up_since(stays.changes)
    was = dict(stays.hosts["changes"]["data"]["k8s_ecmp"]["bgp"])
    change(stays, "changes", **keys)
    try:
        assert says in " ".join(stays.cli("bgp", "reload", code=1).stderr.split())
    finally:
        stays.hosts["changes"]["data"]["k8s_ecmp"]["bgp"] = was
        stays.write_inventory()
    assert {name: (stays.exabgp_folder / name).read_bytes() for name in files} == files
    assert up_since(stays.changes) == before


def test_a_configuration_that_exabgp_refuses_changes_nothing(stays: Two) -> None:
    templates = stays.folder / "templates"
    templates.mkdir()
    (templates / "exabgp.conf.j2").write_text("neighbor of nobody {\n")
    stays.write_settings(templates="templates")
    before = up_since(stays.changes)
    try:
        said = " ".join(stays.cli("bgp", "reload", code=1).stderr.split())
        assert "ExaBGP refuses the configuration, nothing was changed" in said
    finally:
        stays.write_settings()
    assert up_since(stays.changes) == before


def test_one_reload_at_a_time(stays: Two) -> None:
    before = up_since(stays.changes)
    was = dict(stays.hosts["changes"]["data"]["k8s_ecmp"]["bgp"])
    with (stays.exabgp_folder / "reload.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        change(stays, "changes", hold_time_s=33)
        try:
            said = " ".join(stays.cli("bgp", "reload", code=1).stderr.split())
        finally:
            stays.hosts["changes"]["data"]["k8s_ecmp"]["bgp"] = was
            stays.write_inventory()
        assert "is under way, nothing was changed" in said
    assert stays.cli("bgp", "reload").stdout == "nothing has changed\n"
    assert up_since(stays.changes) == before


def test_what_exabgp_does_not_take_over_is_taken_back(stays: Two) -> None:
    """A template whose sessions are not those of the inventory: it is in order for ExaBGP, and not what is wanted."""
    templates = stays.folder / "templates"
    templates.mkdir(exist_ok=True)
    shipped = (REPO / "templates/exabgp.conf.j2").read_text()
    (templates / "exabgp.conf.j2").write_text(
        shipped.replace("in sessions", "in sessions | selectattr('peer', 'eq', 'stays')")
    )
    stays.write_settings(templates="templates")
    try:
        said = " ".join(stays.cli("bgp", "reload", code=1).stderr.split())
        assert "the configuration before is in force again" in said
        assert "try again" in said
    finally:
        stays.write_settings()
    stays.await_up()
    with FibHistory(stays.changes.netns) as kernel:
        await_services(kernel, WANTED)


def test_a_router_that_is_down(stays: Two) -> None:
    """ExaBGP reads no file while it has something to say to a session that is not up: until it tries in vain."""

    def goes_down() -> None:
        stays.lan.ip("link set dies down")
        wait_for(lambda: not stays.in_order(), "the hold timer has ended", 180)

    def await_hold_time(seconds: int) -> None:
        wait_for(lambda: negotiated(stays.changes).get("bgpTimerHoldTimeMsecs") == seconds * 1000, "it is used", 180)

    def taken_over() -> str:
        """What it says, tried again as it says: a slow ExaBGP may try to reach that router too late."""

        def done() -> str:
            tried = stays.cli("bgp", "reload", code=None)
            assert tried.returncode == 0 or "try again" in " ".join(tried.stderr.split()), tried
            return tried.stdout

        return wait_for(done, "ExaBGP has read it", 300)

    router = stays.add_frr("dies", 5, frr_config())
    stays.cli("bgp", "reload")
    stays.await_up()
    stays.cli("apply", "--yes")
    goes_down()
    change(stays, "changes", hold_time_s=33)
    assert taken_over() == "new or changed: changes\n"
    await_hold_time(33)

    stays.announce("dies", {"10.97.1.0/24": ["10.9.0.101"]})
    change(stays, "changes", hold_time_s=36)
    assert taken_over() == "new or changed: changes\n"
    await_hold_time(36)
    stays.lan.ip("link set dies up")
    stays.await_up()
    with FibHistory(router.netns) as kernel:
        await_services(kernel, {**WANTED, "10.97.1.0/24": ["10.9.0.101"]})

    goes_down()
    stays.announce("dies", {"10.97.2.0/24": ["10.9.0.101"]})
    del stays.hosts["dies"]
    stays.write_inventory()
    assert taken_over() == "removed: dies\n"
    assert set(stays.states()) == {"stays", "changes"}
    router.stop()
    stays.await_up()


def test_a_killed_exabgp_starts_with_what_was_loaded_last(world: Two) -> None:
    change(world, "changes", hold_time_s=24)
    world.cli("bgp", "reload")
    world.await_up()
    world.kill_exabgp()
    world.await_up()
    assert negotiated(world.changes)["bgpTimerHoldTimeMsecs"] == 24000
    with FibHistory(world.changes.netns) as kernel:
        await_services(kernel, WANTED)


def test_without_exabgp_it_says_so(tmp_path: Path) -> None:
    with BgpWorld(tmp_path) as world:
        world.add_peer("edge", 2, {})
        assert "k8s-ecmp bgp start" in world.cli("bgp", "reload", code=1).stderr
