"""What a router shows after a change, where it shows nothing, something else, or somebody was faster."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s_ecmp.model import Prefix
from k8s_ecmp.routers.connection import connect
from k8s_ecmp.routers.drivers.vendor import long_tables
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.port import Port
from k8s_ecmp.routers.transaction import Transaction
from k8s_ecmp.settings import Settings
from tests.routers.vendors.device import AGGREGATE, NODES, Device
from tests.site import new_site
from tests.world.emulators import emulator
from tests.world.emulators.eos import Eos
from tests.world.emulators.nxos import NxosApi

pytestmark = [pytest.mark.slow, pytest.mark.long]

HOST = "10.97.10.1/32"
DONE = (0, 3)
HALF_BLIND = "the routing table alone was verified, not the forwarding table"
BLIND = "the configuration alone was verified, the router's tables cannot be read"


@pytest.fixture
def router(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
    (tmp_path / "device").mkdir()
    with emulator(request.param)(tmp_path / "device") as device:
        yield Device(new_site(tmp_path / "site"), device)


def once(router: Device, when: Callable[[], bool], then: Callable[[], None]) -> None:
    """Does something on the device directly behind the first command after which `when` holds."""

    def look() -> None:
        if when():
            router.device.watchers.remove(look)
            then()

    router.device.watchers.append(look)


def moved(text: str) -> str:
    """A configuration whose interfaces have other addresses, in subnets that no next hop is in."""
    text = re.sub(r"address 10\.192\.0\.(25\d)", r"address 10.193.0.\1", text)
    return re.sub(r"address fd10:192::(f[de])", r"address fd10:193::\1", text, flags=re.IGNORECASE)


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("router", ["junos", "iosxr_netconf"], indirect=True)
def test_tables_that_come_back_blank_are_no_reason_to_take_a_change_back(router: Device) -> None:
    router.device.faults.blind = True
    applied = router.apply()
    assert applied.code in DONE, applied.out
    assert f"warning: {BLIND}" in words(applied.out)
    assert router.ours()[AGGREGATE] == NODES
    verified = router.run("verify")
    assert verified.code in DONE, verified.out
    assert f"warning: {BLIND}" in words(verified.out)
    router.device.faults.blind = False
    router.device.faults.hide = {HOST}
    verified = router.run("verify")
    assert verified.code == 2
    assert f"{HOST} is not in the routing table" in words(verified.out)
    assert BLIND not in words(verified.out)


@pytest.mark.parametrize("router", ["ios", "iosxr", "iosxr_netconf", "nxos", "nxos_ssh"], indirect=True)
def test_a_next_hop_that_is_routed_and_not_forwarded_is_noticed(router: Device) -> None:
    router.device.faults.not_forwarded = {"10.192.0.2"}
    applied = router.apply()
    assert applied.code == 1, applied.out
    assert f"{HOST} in the forwarding table lacks 10.192.0.2" in words(applied.out)
    assert router.ours() == {}
    router.device.faults.not_forwarded = set()
    assert router.apply().code in DONE
    router.device.faults.not_forwarded = {"10.192.0.2"}
    verified = router.run("verify")
    assert verified.code == 2, verified.out
    assert f"{HOST} in the forwarding table lacks 10.192.0.2" in words(verified.out)


@pytest.mark.parametrize("router", ["ios", "nxos", "nxos_ssh"], indirect=True)
def test_a_forwarding_table_that_is_too_long_is_not_read(router: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    assert router.apply().code in DONE
    router.device.faults.not_forwarded = {"10.192.0.2"}
    monkeypatch.setattr(long_tables, "_LONGEST", 1)
    router.device.transcript.clear()
    verified = router.run("verify")
    assert verified.code in DONE, verified.out
    assert "warning: the routing table alone was verified, not the forwarding table" in words(verified.out)
    asked = [line for line in router.device.transcript if " cef " in line or "forwarding" in line]
    assert asked
    assert all("summary" in line for line in asked)


@pytest.mark.parametrize("router", ["junos", "iosxr_netconf"], indirect=True)
def test_a_forwarding_table_that_the_login_may_not_see_is_told(router: Device) -> None:
    router.device.faults.fib_hidden = True
    applied = router.apply()
    assert applied.code in DONE, applied.out
    assert "warning: the routing table alone was verified, not the forwarding table" in words(applied.out)
    assert "warning: the routing table alone was verified" in words(router.run("verify").out)
    router.device.faults.fib_hidden = False
    assert "routing table alone" not in words(router.run("verify").out)


@pytest.mark.parametrize("router", ["ios", "iosxr", "nxos", "nxos_ssh", "junos"], indirect=True)
def test_a_forwarding_table_that_is_refused_leaves_the_routing_table_to_be_verified(router: Device) -> None:
    router.device.faults.fib_refused = True
    router.device.faults.hide = {HOST}
    applied = router.apply()
    assert applied.code == 1, applied.out
    assert f"after the commit {HOST} is not in the routing table; the change was taken back" in words(applied.out)
    assert router.ours() == {}
    router.device.faults.hide = set()
    applied = router.apply()
    assert applied.code in DONE, applied.out
    assert f"warning: {HALF_BLIND}" in words(applied.out)
    assert BLIND not in words(applied.out)
    router.device.faults.hide = {HOST}
    verified = router.run("verify")
    assert verified.code == 2, verified.out
    assert f"{HOST} is not in the routing table" in words(verified.out)
    assert f"warning: {HALF_BLIND}" in words(verified.out)


@pytest.mark.parametrize(
    ("router", "new_connection"),
    [("ios", "apply"), ("ios", "never"), ("nxos", "apply"), ("nxos_ssh", "never")],
    indirect=["router"],
)
def test_a_forwarding_table_that_comes_too_late_is_no_reason_to_take_a_change_back(
    router: Device, new_connection: str
) -> None:
    router.site.settings(rollout={"confirm_within_s": 120, "verify_timeout_s": 3, "new_connection": new_connection})
    hosts = router.site.folder / "inventories/demo/hosts.yaml"
    content = yaml.safe_load(hosts.read_text())
    extras = content["r1"]["connection_options"]["napalm"]["extras"]
    extras["timeout"] = 5
    if router.device.driver != "nxos":
        extras["optional_args"]["read_timeout_override"] = 5
    hosts.write_text(yaml.safe_dump(content))
    router.device.faults.slow_fib_s = 8
    applied = router.apply()
    assert applied.code in DONE, applied.out
    assert router.ours()[AGGREGATE] == NODES
    assert f"warning: {HALF_BLIND}: it came too late" in words(applied.out)
    assert not router.device.pending()


@pytest.mark.parametrize("router", ["nxos", "eos", "junos", "ios"], indirect=True)
def test_next_hops_of_which_none_can_be_resolved_are_held_back(router: Device) -> None:
    """Where the router knows a way to what is its own, it is believed that it knows none to ours."""
    device = router.device
    device.load(moved(device.running()))
    before = device.running()
    planned = router.run("plan")
    assert "next hop 10.192.0.1 cannot be resolved there; held back at 4 prefixes" in words(planned.out)
    assert "next hop fd10:192::1 cannot be resolved there; held back" in words(planned.out)
    applied = router.apply()
    assert applied.code == 3, applied.out
    assert "rolled-back" not in applied.out
    assert device.running() == before


@pytest.mark.parametrize("router", ["nxos"], indirect=True)
def test_next_hops_of_which_none_can_be_resolved_are_planned_where_nothing_can(router: Device) -> None:
    """A router that does not even know a way to its own addresses rather does not show its ways."""
    device = router.device
    device.load("".join(line for line in device.running().splitlines(True) if " address " not in line))
    planned = router.run("plan")
    assert "cannot be resolved" not in planned.out
    assert "6 to create" in planned.out


@pytest.mark.parametrize("router", ["nxos"], indirect=True)
def test_a_next_hop_that_is_the_only_one_is_planned_where_nothing_can_be_resolved(router: Device) -> None:
    device = router.device
    device.load("".join(line for line in device.running().splitlines(True) if " address " not in line))
    router.site.not_ready("node2", "node3")
    only = [{"type": "InternalIP", "address": "10.192.0.1"}]
    router.site.node("node1", lambda node: node["status"].update(addresses=only))
    planned = router.run("plan")
    assert "cannot be resolved" not in planned.out
    assert "4 to create" in planned.out


@pytest.mark.parametrize("router", ["nxos"], indirect=True)
def test_next_hops_with_another_distance_than_planned_are_noticed(router: Device) -> None:
    device = router.device
    assert isinstance(device, NxosApi)

    def other_distance() -> None:
        for hop in ("10.192.0.1", "10.192.0.2"):
            device.type(f"ip route {HOST} {hop} name demo tag 4201 200")

    device.meanwhile.append(("startup-config", other_distance))
    done = router.apply()
    assert done.code == 1, done.out
    assert f"{HOST} is configured as 10.192.0.1 distance 200 tag 4201 name demo, 10.192.0.2 distance 200" in words(
        done.out
    )
    assert f"{HOST} was changed by somebody else meanwhile and left alone" in words(done.out)


@pytest.mark.parametrize("router", ["nxos", "nxos_ssh"], indirect=True)
def test_a_way_back_that_cannot_be_saved_is_a_way_back(router: Device) -> None:
    device = router.device

    def fill() -> None:
        device.faults.full_disk = True

    device.meanwhile.append(("startup-config", lambda: device.meanwhile.append(("no ip route", fill))))  # type: ignore[attr-defined]
    device.faults.hide = {HOST}
    done = router.apply()
    assert done.code == 1, done.out
    assert router.ours() == {}
    assert router.untouched()
    assert not device.saved()
    assert "the change was taken back" in words(done.out)
    assert "the way back is not in the startup configuration, which a reboot would load" in words(done.out)
    assert "copy running-config startup-config" in words(done.out)
    assert "could not be taken back" not in words(done.out)
    assert "rolled-back" in done.out


def staged(router: Device) -> Callable[[], bool]:
    """Whether the session's diff has just been asked for the first time."""
    return lambda: router.device.transcript[-1:] != [] and router.device.transcript[-1].endswith(" diffs")


@pytest.mark.parametrize("router", ["eos"], indirect=True)
@pytest.mark.parametrize(
    ("typed", "what"),
    [
        ("interface Ethernet2\n   description changed", "other lines"),
        ("ip route 10.8.0.0/16 10.192.0.9", "other lines"),
        (f"ip route {HOST} 10.192.0.9", "the routes"),
        ("ip route 10.55.0.0/16 10.192.0.9 tag 4201 name demo", "the routes"),
    ],
)
def test_what_somebody_types_beside_a_session_is_not_lost(router: Device, typed: str, what: str) -> None:
    once(router, staged(router), lambda: router.device.type(typed))
    done = router.apply()
    assert done.code == 3, done.out
    assert f"{what} on r1 were changed while the plan was being staged; nothing was written" in words(done.out)
    assert typed.splitlines()[-1] in router.device.running().splitlines()
    assert AGGREGATE not in router.ours()
    assert isinstance(router.device, Eos)
    assert "pending" not in router.device.sessions().values()
    assert router.apply().code in DONE
    assert typed.splitlines()[-1] in router.device.running().splitlines() or "demo" in typed
    assert router.ours()[AGGREGATE] == NODES


@pytest.mark.parametrize("router", ["junos"], indirect=True)
def test_a_lock_that_is_not_exclusive_is_not_relied_on(router: Device) -> None:
    hosts = router.site.folder / "inventories/demo/hosts.yaml"
    content = yaml.safe_load(hosts.read_text())
    content["r1"]["connection_options"]["napalm"]["extras"]["optional_args"]["config_private"] = True
    hosts.write_text(yaml.safe_dump(content))
    typed = f"set routing-options static route {HOST} next-hop 10.192.0.9"
    loaded = "load-configuration action=set"
    once(
        router,
        lambda: (
            any(line.startswith(loaded) for line in router.device.transcript)
            and "compare" in router.device.transcript[-1]
        ),
        lambda: router.device.type(typed),
    )
    done = router.apply()
    assert done.code == 3, done.out
    assert "the routes on r1 were changed while the plan was being staged; nothing was written" in words(done.out)
    assert router.ours() == {("default", HOST): {"10.192.0.9"}}


@pytest.mark.parametrize("router", ["nxos"], indirect=True)
@pytest.mark.parametrize(
    ("removed", "cut_off"),
    [((), False), (("10.250.0.2",), False), (("10.192.0.1",), True), (("10.192.0.1 Vlan10",), True)],
)
def test_a_prefix_that_lost_its_last_way_is_a_problem(router: Device, removed: tuple[str, ...], cut_off: bool) -> None:
    prefix = Prefix.parse("10.55.0.0/16")
    router.device.type(f"ip route {prefix} 10.250.0.1 name demo tag 4201")
    settings = Settings(owner="demo", tag=4201, inventory=str(router.site.folder / "inventories/demo"))
    nornir = init_nornir(settings, router.site.folder)
    host = nornir.inventory.hosts["r1"]
    session = Transaction(connect(host, nornir.config), Port.of(host))
    session.read()
    expected = {prefix: frozenset({"10.250.0.1"})}
    problems, warnings = session.verify("default", expected, 0, removed={prefix: removed})
    assert problems == ((f"{prefix} is not in the routing table",) if cut_off else ())
    assert warnings == ("next hop 10.250.0.1 is configured but cannot be resolved",)
    nornir.close_connections()


@pytest.mark.parametrize("router", ["nxos"], indirect=True)
def test_a_last_next_hop_whose_way_is_lost_in_the_commit_is_taken_back(router: Device) -> None:
    """The plan found a way to the new next hop; when the table is looked at there is none any more."""
    device = router.device
    assert isinstance(device, NxosApi)
    device.type("ip route 10.250.0.0/24 10.192.0.7")
    router.apply()
    host = ("default", HOST)
    assert router.ours()[host] == {"10.192.0.1", "10.192.0.2"}
    router.site.not_ready("node2")

    def move(node: Any) -> None:
        (old,) = (address for address in node["status"]["addresses"] if address["address"] == "10.192.0.1")
        old["address"] = "10.250.0.1"

    router.site.node("node1", move)
    device.meanwhile.append(("startup-config", lambda: device.type("no ip route 10.250.0.0/24 10.192.0.7")))
    done = router.run("apply", "--yes", "--override", "mass-withdrawal")
    assert done.code == 1, done.out
    assert f"{HOST} is not in the routing table" in words(done.out)
    assert router.ours()[host] == {"10.192.0.1", "10.192.0.2"}


@pytest.mark.parametrize("router", ["eos"], indirect=True)
def test_a_foreign_line_that_is_allowed_stays_the_only_one(router: Device) -> None:
    """Who overrides the guard for what is there already does not override it for what comes after."""
    once(router, staged(router), lambda: router.device.type("ip route 10.8.0.0/16 10.192.0.9"))
    done = router.run("apply", "--yes", "--override", "foreign-lines")
    assert done.code == 3, done.out
    assert "other lines on r1 were changed" in words(done.out)
    assert ("default", "10.8.0.0/16") in router.device.routes()
