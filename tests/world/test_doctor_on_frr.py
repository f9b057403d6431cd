"""`k8s-ecmp doctor` against a real FRR router over SSH."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.site import Site, new_site
from tests.world.frr import FrrRouter, Link

pytestmark = pytest.mark.world

# A link for two of the three nodes' IPv4 addresses alone: nothing leads to IPv6 or to 10.192.0.3.
LINKS = [Link("rack", ["10.192.0.254/30", "10.192.0.1/31"])]
CONFIG = """
vrf red
 ip route 10.96.0.0/12 192.0.2.9 tag 4201
exit-vrf
"""


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrrRouter]:
    with FrrRouter("r1", tmp_path_factory.mktemp("router"), links=LINKS, config=CONFIG) as made:
        yield made


def doctor(site: Site, router: FrrRouter, code: int, **host: Any) -> dict[str, dict[str, Any]]:
    site.hosts(r1=router.host(**host))
    done = site.run("doctor", "--format", "json")
    assert done.code == code, done.out + done.err
    return {finding["check"]: finding for finding in done.json()["findings"] if finding["router"] == "r1"}


def test_it_tells_what_the_router_cannot_reach_and_writes_nothing(router: FrrRouter, tmp_path: Path) -> None:
    site = new_site(tmp_path / "site")
    before = router.running_config()
    found = doctor(site, router, 1)
    assert found["router"]["level"] == "ok"
    assert found["next-hops"]["saw"] == (
        "it has no route to 5 of 6 next hops: 10.192.0.2, 10.192.0.3, fd10:192::1, fd10:192::2, fd10:192::3"
    )
    assert found["marks"]["saw"] == "1 prefixes with our marks are in VRF red"
    assert router.running_config() == before


def test_a_login_that_fails_is_a_problem_with_a_remedy(router: FrrRouter, tmp_path: Path) -> None:
    found = doctor(new_site(tmp_path / "site"), router, 1, username="nobody-here")
    assert list(found) == ["router"]
    assert found["router"]["level"] == "problem"
    assert "nobody-here" in found["router"]["saw"]
