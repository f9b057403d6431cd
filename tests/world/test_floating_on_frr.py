"""Floating static routes on a real FRR router, behind a route that zebra prefers: the kernel's, with distance 0."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site import Outcome, Site, new_site
from tests.world import frr_release
from tests.world.frr import FrrRouter, Link
from tests.world.netns import wait_for

pytestmark = pytest.mark.world

LINKS = [Link("rack", ["10.192.0.254/24", "fd10:192::fe/64"])]
HOST = "10.97.10.1/32"
HOPS = {"10.192.0.1", "10.192.0.2"}
WORDS = f"warning: {HOST} is not in use: the router prefers kernel with distance 0, ours has 250"


@pytest.fixture(params=["", frr_release.NEWEST], ids=lambda release: release or "installed")
def router(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FrrRouter]:
    release = frr_release.wanted(request)
    with FrrRouter("r1", tmp_path / "frr", links=LINKS, config="", release=release) as made:
        yield made


@pytest.fixture
def site(router: FrrRouter, tmp_path: Path) -> Site:
    made = new_site(tmp_path / "site")
    made.hosts(r1=router.host(data={"k8s_ecmp": {"distance": 250}}))
    made.settings(rollout={"confirm_within_s": 120, "verify_timeout_s": 60})
    return made


def one_line(done: Outcome) -> str:
    return " ".join(done.out.split())


def test_behind_a_better_route_it_is_a_warning_and_takes_over_when_that_goes(router: FrrRouter, site: Site) -> None:
    router.ip(f"route add {HOST} via 10.192.0.253")
    wait_for(lambda: '"kernel"' in router.vtysh(f"show ip route {HOST} json"), "zebra has the kernel's route")
    applied = site.run("apply", "--yes")
    assert applied.code == 0, applied.out + applied.err
    assert WORDS in one_line(applied)
    assert f"ip route {HOST} 10.192.0.1 tag 4201 250" in router.running_config()
    verified = site.run("verify")
    assert verified.code == 0, verified.out
    assert WORDS in one_line(verified)
    assert site.run("plan").code == 0

    site.not_ready("node2")  # a change of the next hops of a route that is not in use
    changed = site.run("apply", "--yes")
    assert changed.code == 0, changed.out
    assert WORDS in one_line(changed)

    router.ip(f"route del {HOST} via 10.192.0.253")
    wait_for(lambda: router.fib(HOST) == {"10.192.0.1"}, "the floating route takes over")
    verified = site.run("verify")
    assert verified.code == 0
    assert "warning" not in verified.out


def test_a_floating_route_that_is_missing_behind_a_better_one_is_missed(router: FrrRouter, site: Site) -> None:
    assert site.run("apply", "--yes").code == 0
    router.ip(f"route add {HOST} via 10.192.0.253")
    wait_for(lambda: router.fib(HOST) == {"10.192.0.253"}, "the kernel's route is in use")
    assert WORDS in one_line(site.run("verify"))
    router.configure(f"no ip route {HOST} 10.192.0.2 tag 4201 250")
    wait_for(lambda: '"10.192.0.2"' not in router.vtysh(f"show ip route {HOST} json"), "zebra has one hop less")
    assert site.run("verify").code == 2
