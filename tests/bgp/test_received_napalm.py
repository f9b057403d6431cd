"""A receiver that NAPALM reads with `get_route_to`: EOS, as an emulator; and one whose driver cannot."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s_ecmp.model import Prefix
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.receiver import Receiver
from k8s_ecmp.settings import load_settings
from tests.world.emulators.base import Emulator, Learned
from tests.world.emulators.eos import Eos
from tests.world.emulators.ios import Ios
from tests.world.emulators.nxos import NxosApi

pytestmark = pytest.mark.slow

NODES = ("10.192.0.1", "10.192.0.2", "10.192.0.3")
AGGREGATE, HOST, SIX = (Prefix.parse(text) for text in ("10.96.0.0/12", "10.96.0.10/32", "fd00:96::/112"))


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[Eos]:
    (tmp_path / "device").mkdir()
    with Eos(tmp_path / "device") as device:
        yield device


def receiver(folder: Path, device: Emulator) -> Receiver:
    """The device as a BGP peer of an inventory, which may be read."""
    session = {"local_as": 65010, "peer_as": 65001, "local_addresses": ["10.192.0.250"], "read_receiver": True}
    host: dict[str, Any] = {**device.host(), "data": {"k8s_ecmp": {"mode": "bgp", "bgp": session}}}
    (folder / "inventory").mkdir()
    (folder / "inventory/hosts.yaml").write_text(yaml.safe_dump({"leaf": host}))
    settings = folder / "k8s-ecmp.yaml"
    settings.write_text(yaml.safe_dump({"owner": "prod", "tag": 4201, "inventory": "inventory"}))
    nornir = init_nornir(load_settings(settings), folder)
    return Receiver(nornir.inventory.hosts["leaf"], nornir.config)


def test_what_a_switch_has_is_compared(switch: Eos, tmp_path: Path) -> None:
    looking = receiver(tmp_path, switch)
    wanted = {AGGREGATE: frozenset(NODES), HOST: frozenset(NODES[:1])}
    all_used = {str(AGGREGATE): [(hop, True) for hop in NODES], str(HOST): [(NODES[0], True)]}
    try:
        switch.received = all_used
        assert looking.compare(wanted, whole=True) == ((), ())

        switch.received = {str(AGGREGATE): [(hop, hop == NODES[0]) for hop in NODES]}
        first, second = looking.compare(wanted, whole=True).problems
        assert first.startswith(
            "10.96.0.0/12 at the receiver: the router uses 1 of 3 next hops and knows 3: look at its"
        )
        assert second.startswith(
            "10.96.0.10/32 at the receiver: the router does not have it from BGP: look at its prefix"
        )

        switch.received = all_used | {str(HOST): [(NODES[0], True), (NODES[1], True)]}
        (only,) = looking.compare(wanted, whole=True).problems
        assert only.startswith("10.96.0.10/32 at the receiver: 10.192.0.2 is in use beside what is announced")
        (only,) = looking.compare({HOST: frozenset()}, whole=False).problems
        assert only == "10.96.0.10/32 at the receiver: it is withdrawn, and still in the router's table"
    finally:
        looking.close()


def test_ten_thousand_prefixes_cost_a_few_questions(switch: Eos, tmp_path: Path) -> None:
    looking = receiver(tmp_path, switch)
    prefixes = [f"10.{100 + n // 65536}.{n // 256 % 256}.{n % 256}/32" for n in range(10_000)]
    switch.received = {prefix: [(NODES[0], True)] for prefix in prefixes}
    try:
        found = looking.compare({Prefix.parse(p): frozenset(NODES[:1]) for p in prefixes}, whole=True)
    finally:
        looking.close()
    assert found == ((), ("the receiver is asked prefix by prefix: 24 of 10000 prefixes were compared",))
    assert sum(command.startswith("show ip route vrf default ") for command in switch.transcript) == 24


def test_ipv6_routes_that_napalm_does_not_find_are_no_drift(switch: Eos, tmp_path: Path) -> None:
    looking = receiver(tmp_path, switch)
    switch.received = {str(SIX): [("fd10:192::1", True)]}
    try:
        found = looking.compare({SIX: frozenset(["fd10:192::1"])}, whole=True)
    finally:
        looking.close()
    assert found.problems == ()
    assert "NAPALM cannot read its release" in found.warnings[0]


def test_a_router_of_ios_is_compared(tmp_path: Path) -> None:
    (tmp_path / "device").mkdir()
    with Ios(tmp_path / "device") as device:
        looking = receiver(tmp_path, device)
        device.learned = {str(AGGREGATE): Learned(NODES[0])}
        try:
            found = looking.compare({AGGREGATE: frozenset(NODES[:1])}, whole=True)
            assert found == ((), ())
            (only,) = looking.compare({AGGREGATE: frozenset(NODES[:2])}, whole=True).problems
            assert "the router uses 1 of 2 next hops" in only
            (only,) = looking.compare({HOST: frozenset(NODES[:1])}, whole=True).problems
            assert "the router does not have it from BGP" in only
        finally:
            looking.close()


def test_a_driver_without_the_question_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "device").mkdir()
    with NxosApi(tmp_path / "device") as device:
        looking = receiver(tmp_path, device)
        try:
            found = looking.compare({AGGREGATE: frozenset(NODES)}, whole=True)
        finally:
            looking.close()
    assert found.problems == ()
    assert "NAPALM's driver for nxos has no get_route_to" in found.warnings[0]
