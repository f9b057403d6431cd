"""`k8s-ecmp run` as a process, on routers that are files and a cluster that is a file: what follows from what."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.running import Running, in_sync, rewrite, routers
from tests.site import Site, new_site
from tests.world.netns import wait_for


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(new_site(tmp_path))
    made.site.settings(nodes={"hold_down_s": 0, "hold_up_s": 0})
    yield made
    made.kill()


@pytest.mark.slow
def test_routers_follow_the_cluster_and_stay_when_it_stops(running: Running) -> None:
    running.start()
    running.until(in_sync, "the routers are in sync")
    assert running.site.run("plan").code in (0, 3)  # 3: the demo has a conflict
    rewrite(running.site, lambda: running.site.not_ready("node1"))
    running.until(lambda d: any(n["name"] == "node1" and n["standing"] == "out" for n in d["nodes"]), "node1 is out")
    running.until(in_sync, "the routers follow")
    assert running.site.run("verify").code in (0, 3)
    before = {path: path.read_bytes() for path in running.site.folder.glob("inventories/demo/routers/*.cfg")}
    assert running.stop() == 0
    assert before == {path: path.read_bytes() for path in before}
    assert "stopped" in {line["event"] for line in running.lines()}


@pytest.mark.slow
def test_a_broken_file_holds_everything_and_is_said_once(running: Running) -> None:
    running.start()
    running.until(in_sync, "the routers are in sync")
    path = running.site.folder / "cluster.yaml"
    whole = path.read_text()
    path.write_text("kind: [")
    document = running.until(lambda d: not d["synced"], "the file cannot be read")
    assert "cluster.yaml" in document["not_ready"]
    assert [hold["guard"] for hold in document["holds"]] == ["not-synced"]
    path.write_text(whole)
    running.until(lambda d: d["ready"], "the file is whole again")


@pytest.mark.slow
def test_the_freeze_file_stops_all_writing(running: Running) -> None:
    running.site.settings(guards={"freeze_file": "frozen"})
    (running.site.folder / "frozen").write_text("change window\n")
    before = {path: path.read_bytes() for path in running.site.folder.glob("inventories/demo/routers/*.cfg")}
    running.start()
    document = running.until(lambda d: set(routers(d).values()) == {"held"}, "everything is held")
    assert "change window" in document["holds"][0]["detail"]
    assert before == {path: path.read_bytes() for path in before}
    (running.site.folder / "frozen").unlink()
    running.until(in_sync, "it goes on")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["observe", "propose"])
def test_modes_that_never_write(running: Running, mode: str) -> None:
    running.site.settings(mode=mode)
    before = {path: path.read_bytes() for path in running.site.folder.glob("inventories/demo/routers/*.cfg")}
    running.start()
    document = running.until(lambda d: d["ready"] and set(routers(d).values()) == {"held"}, "the mode holds them")
    assert all(router["pending"] for router in document["routers"])
    assert running.stop() == 0
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.slow
def test_withdraw_only_adds_nothing(running: Running) -> None:
    running.start()
    running.until(in_sync, "the routers are in sync")
    running.stop()
    running.site.settings(mode="withdraw-only")
    running.start()
    rewrite(running.site, lambda: running.site.not_ready("node1"))
    running.until(lambda d: any(n["name"] == "node1" and n["standing"] == "out" for n in d["nodes"]), "node1 is out")
    document = running.until(in_sync, "its hops are withdrawn")
    hops = {router["name"]: router["owned_hops"] for router in document["routers"]}
    rewrite(
        running.site,
        lambda: running.site.node("node1", lambda item: item["status"]["conditions"][1].update(status="True")),
    )
    running.until(
        lambda d: all(n["standing"] == "eligible" for n in d["nodes"] if n["name"] == "node1"), "node1 is back"
    )
    document = running.until(in_sync, "nothing is added")
    assert hops == {router["name"]: router["owned_hops"] for router in document["routers"]}


@pytest.mark.slow
def test_a_change_by_hand_is_reported_as_drift_and_healed(running: Running) -> None:
    running.site.settings(daemon={"resync_s": 1})
    running.start()
    running.until(in_sync, "the routers are in sync")
    path = next(iter(sorted(running.site.folder.glob("inventories/demo/routers/*.cfg"))))
    text = path.read_text()
    tag = yaml_tag(running.site)
    line = next(line for line in text.splitlines(keepends=True) if f"tag {tag}" in line)
    path.write_text(text.replace(line, ""))
    assert running.said("drift")["router"] == path.stem
    wait_for(lambda: line.strip() in path.read_text(), "the line is back")


def yaml_tag(site: Site) -> str:
    lines = (site.folder / "k8s-ecmp.yaml").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("tag:"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "arguments", "words"),
    [
        ({"daemon": {"shards": 2}}, (), "daemon.shards is 2"),
        ({"cluster": {"source": "-"}}, (), "cannot follow stdin"),
        ({}, ("--listen", "nonsense"), "--listen 'nonsense'"),
        ({}, ("--log-level", "loud"), "no log level 'loud'"),
    ],
)
def test_what_it_refuses(tmp_path: Path, settings: dict[str, Any], arguments: tuple[str, ...], words: str) -> None:
    site = new_site(tmp_path)
    site.settings(**settings)
    outcome = site.run("run", *arguments)
    assert (outcome.code, outcome.out) == (1, "")
    assert words in outcome.err
    assert "Traceback" not in outcome.err
