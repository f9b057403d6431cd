"""Next hops that do not answer ARP or ND, on every platform: told, and never a reason to take a change back."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s_ecmp.model import Prefix
from k8s_ecmp.platforms.drivers import DRIVERS
from k8s_ecmp.routers.connection import connect
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.port import Port
from k8s_ecmp.routers.transaction import Transaction
from k8s_ecmp.settings import Settings
from tests.routers.vendors.device import AGGREGATE, NODES, Device
from tests.site import Outcome, new_site
from tests.world.emulators import NAMES, emulator

pytestmark = [pytest.mark.slow, pytest.mark.long]

SHOWING = [name for name in NAMES if DRIVERS[name].capabilities().neighbours]
COMMITTED_WITH_A_CONFLICT = 3
V4, V6 = "10.192.0.2", "fd10:192::3"
XR = "GigabitEthernet0/0/0/0"
INTERFACES = {  # IOS does not say it of an address that nobody answered for
    "ios": ("", "Gi0/1"),
    "iosxr": (XR, XR),
    "iosxr_netconf": (XR, XR),
    "nxos": ("Vlan10", "Vlan10"),
    "nxos_ssh": ("Vlan10", "Vlan10"),
    "junos": ("et-0/0/0.0", "et-0/0/0.0"),
}
QUESTIONS = {
    "ios": ["show ip arp", "show ipv6 neighbors"],
    "iosxr": ["show arp vrf default", "show ipv6 neighbors vrf default"],
    "nxos": ["show ip arp vrf default", "show ipv6 neighbor vrf default"],
    "nxos_ssh": ["show ip arp vrf default", "show ipv6 neighbor vrf default"],
}


@pytest.fixture(params=SHOWING)
def router(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
    (tmp_path / "device").mkdir()
    with emulator(request.param)(tmp_path / "device") as device:
        yield Device(new_site(tmp_path / "site"), device)


def told(done: Outcome) -> list[tuple[str, str, str]]:
    """Next hop, protocol and interface of each warning, in their order."""
    return re.findall(r"warning: next hop (\S+) does not answer (ARP|ND)(?: on (\S+))?,", " ".join(done.out.split()))


def test_a_silent_next_hop_is_told_with_its_interface_and_takes_nothing_back(router: Device) -> None:
    router.device.faults.silent = {V4, V6}
    applied = router.apply()
    assert applied.code == COMMITTED_WITH_A_CONFLICT, applied.out + applied.err
    assert router.ours()[AGGREGATE] == NODES
    arp, nd = INTERFACES[router.device.driver]
    assert told(applied) == [(V4, "ARP", arp), (V6, "ND", nd)], applied.out
    assert "is the node up, with this address, on this network?" in " ".join(applied.out.split())
    verified = router.run("verify")
    assert verified.code == COMMITTED_WITH_A_CONFLICT, verified.out  # no drift: the conflict alone
    assert told(verified) == told(applied)

    router.device.faults.silent = {V4}
    assert [hop for hop, _, _ in told(router.run("verify"))] == [V4]
    router.device.faults.silent = {"10.192.0.77"}  # no next hop of ours
    assert "warning" not in router.run("verify").out


def test_one_question_for_each_family(router: Device) -> None:
    router.apply()
    router.device.transcript.clear()
    verified = router.run("verify")
    assert verified.code == COMMITTED_WITH_A_CONFLICT, verified.out
    asked = [line for line in router.device.transcript if " arp" in line or "neighbor" in line]
    assert asked == QUESTIONS.get(router.device.driver, [])


def test_those_of_another_vrf_are_not_ours(router: Device) -> None:
    red = {Prefix.parse(prefix): hops for (vrf, prefix), hops in router.device.routes().items() if vrf == "red"}
    router.device.faults.silent = set().union(*red.values())
    settings = Settings(owner="demo", tag=4201, inventory=str(router.site.folder / "inventories/demo"))
    nornir = init_nornir(settings, router.site.folder)
    host = nornir.inventory.hosts["r1"]
    session = Transaction(connect(host, nornir.config), Port.of(host))
    assert red
    found = session.shown.neighbours("red", red)
    assert {neighbour.address for neighbour in found if not neighbour.resolved} == router.device.faults.silent
    everywhere = {Prefix.parse("10.0.0.0/8"): frozenset(router.device.faults.silent)}
    assert all(neighbour.resolved for neighbour in session.shown.neighbours("default", everywhere))
    nornir.close_connections()


@pytest.mark.parametrize("router", ["ios", "iosxr", "nxos_ssh"], indirect=True)
def test_a_router_that_refuses_to_say_is_told_by_verify_alone(router: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(router, monkeypatch)
    applied = router.apply()
    assert applied.code == COMMITTED_WITH_A_CONFLICT, applied.out + applied.err
    assert "warning" not in applied.out
    verified = router.run("verify")
    assert verified.code == COMMITTED_WITH_A_CONFLICT
    assert "warning: whether next hops answer ARP and ND could not be seen" in " ".join(verified.out.split())


def refuse(router: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account may not see neighbours."""
    words = {
        "ios": ("_show_neighbours", "% Authorization failed.\n"),
        "nxos_ssh": ("_show_neighbours", "% Permission denied for the role\n"),
    }
    name, text = words.get(router.device.driver, ("neighbours", ""))
    if text:
        monkeypatch.setattr(router.device, name, lambda *_: text)
    else:
        monkeypatch.setattr("tests.world.emulators.neighbours.iosxr", lambda *_: "% This command is not authorized\n")
