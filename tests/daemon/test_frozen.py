"""The freeze file in front of a daemon: nothing is written, also not what settles the change of a run that died."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s_ecmp.routers.drivers.frr import FrrDriver
from tests.daemon.running import Running, in_sync, routers
from tests.site import new_site
from tests.world.frr import FrrRouter, Link

pytestmark = pytest.mark.world

AGGREGATE = "10.96.0.0/12"


@pytest.fixture
def router(tmp_path: Path) -> Iterator[FrrRouter]:
    links = [Link("lan0", ["10.192.0.254/24", "fd10:192::fe/64"])]
    with FrrRouter("r1", tmp_path / "frr", links=links) as made:
        yield made


def waits(router: FrrRouter) -> bool:
    return bool(router.run("sh", "-c", "ls /run/k8s-ecmp | grep -e pending || :"))


def test_a_change_that_waits_for_its_confirm_goes_on_waiting_while_frozen(router: FrrRouter, tmp_path: Path) -> None:
    dead = FrrDriver(**router.login())
    dead.open()
    dead.load_merge_candidate(config=f"ip route {AGGREGATE} 10.192.0.1 tag 4201\n")
    dead.commit_config(revert_in=3600)
    dead._remote.close()
    running = Running(new_site(tmp_path / "site"))
    running.site.hosts(r1=router.host())
    running.site.settings(guards={"freeze_file": "frozen"})
    freeze = running.site.folder / "frozen"
    freeze.touch()
    try:
        running.start()
        document = running.until(lambda d: routers(d) == {"r1": "failed"}, "the change is seen", 180)
        assert "waits for its confirm" in document["routers"][0]["error"]
        assert waits(router)
        freeze.unlink()
        running.until(in_sync, "it goes on", 180)
        assert not waits(router)
        assert len(router.fib(AGGREGATE)) > 1
    finally:
        running.kill()
