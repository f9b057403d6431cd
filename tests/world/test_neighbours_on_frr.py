"""Next hops that answer ARP and ND, and some that do not, on a real FRR router: what its kernel knows of them is told."""

import itertools
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.site import Outcome, Site, new_site
from tests.world import frr_release
from tests.world.frr import FrrRouter, Link
from tests.world.netns import wait_for

pytestmark = [pytest.mark.world, pytest.mark.long]

ANSWERING, SILENT = ("10.192.0.1", "fd10:192::1"), ("10.192.0.3", "fd10:192::3")
LINKS = [
    Link(
        "rack",
        ["10.192.0.254/24", "fd10:192::fe/64"],
        peer_addresses=[f"{ANSWERING[0]}/24", f"{ANSWERING[1]}/64"],
    )
]


@pytest.fixture(params=["", frr_release.NEWEST], ids=lambda release: release or "installed")
def router(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FrrRouter]:
    release = frr_release.wanted(request)
    with FrrRouter("r1", tmp_path / "frr", links=LINKS, config="", release=release) as made:
        yield made


@pytest.fixture
def site(router: FrrRouter, tmp_path: Path) -> Site:
    made = new_site(tmp_path / "site")
    made.hosts(r1=router.host())
    made.settings(rollout={"confirm_within_s": 120, "verify_timeout_s": 60})
    return made


def told(done: Outcome) -> list[tuple[str, str, str]]:
    """Next hop, protocol and interface of each warning."""
    assert done.code == 0, done.out + done.err
    return re.findall(r"warning: next hop (\S+) does not answer (ARP|ND) on (\S+),", " ".join(done.out.split()))


def send(router: FrrRouter, *addresses: str) -> None:
    """A packet from the router to each address, which its kernel has to find the neighbour for."""
    with router.netns.entered():
        for address in addresses:
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", (address, 9))


def states(router: FrrRouter) -> dict[str, str]:
    """What the kernel says of its neighbours, by address."""
    return {
        entry["dst"]: entry["state"][0]
        for family in ("-4", "-6")
        for entry in json.loads(router.netns.ip(family, "-j neigh show") or "[]")
    }


def await_told(router: FrrRouter, run: Callable[[], Outcome]) -> None:
    """Runs it when the router has just given two neighbours up, until it tells of both: the kernel forgets neighbours
    when it has many, all namespaces' together.
    """
    silent = [(SILENT[0], "ARP", "rack"), (SILENT[1], "ND", "rack")]

    def tells() -> bool:
        send(router, *ANSWERING, *SILENT)
        wait_for(lambda: "INCOMPLETE" not in states(router).values(), "the kernel knows who answers and who does not")
        found = told(run())
        assert set(found) <= set(silent)
        return found == silent

    wait_for(tells, "who does not answer is told", timeout=120)


def test_a_next_hop_that_does_not_answer_is_told_after_somebody_sent_to_it(router: FrrRouter, site: Site) -> None:
    assert told(site.run("apply", "--yes")) == []  # nobody sent to any of them: nothing is known
    assert not set(SILENT) & states(router).keys()
    assert told(site.run("verify")) == []

    await_told(router, lambda: site.run("verify"))

    ready = itertools.cycle(("False", "True"))

    def change() -> Outcome:
        site.node("node2", lambda item: item["status"]["conditions"][1].update(status=next(ready)))
        return site.run("apply", "--yes")

    await_told(router, change)  # the change stays, whoever is silent
    assert {ANSWERING[0], SILENT[0]} <= router.fib("10.96.0.0/12")

    router.ip("neigh flush dev rack nud failed")
    assert told(site.run("verify")) == []  # nobody sent to them since


def test_neighbours_below_another_device_are_not_the_default_vrf_s(router: FrrRouter, site: Site) -> None:
    """As an interface of a VRF is below the VRF's device; a bridge stands for it, which every kernel has."""
    router.ip("link add red type bridge")
    router.ip("link set red up")
    router.ip("link add far type veth peer name farther")
    router.ip("link set far master red up")
    assert told(site.run("apply", "--yes")) == []

    def failed() -> bool:
        for hop in (ANSWERING[0], SILENT[0]):
            router.ip(f"neigh replace {hop} dev far nud failed")
        return states(router).get(SILENT[0]) == "FAILED"

    wait_for(failed, "the kernel keeps them for a moment")
    assert told(site.run("verify")) == []

    def tells() -> bool:
        router.ip(f"neigh replace {SILENT[0]} dev rack nud failed")
        return told(site.run("verify")) == [(SILENT[0], "ARP", "rack")]

    wait_for(tells, "the one of the default VRF is told")


def test_a_login_without_ip_is_told_of_by_verify_alone(router: FrrRouter, site: Site) -> None:
    (router.directory / router.name / "bin/ip").unlink()
    applied = site.run("apply", "--yes")
    assert applied.code == 0
    assert "warning" not in applied.out
    verified = site.run("verify")
    assert verified.code == 0
    text = " ".join(verified.out.split())
    assert "warning: whether next hops answer ARP and ND could not be seen" in text
    assert "the login needs `ip` on its PATH" in text
