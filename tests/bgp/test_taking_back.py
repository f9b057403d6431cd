"""What was announced is taken back by an undo of the journal, like a change of any router."""

import json
from pathlib import Path

import pytest

from tests.world import bgp
from tests.world.bgp import BgpWorld, await_services, frr_config
from tests.world.fib import FibHistory

pytestmark = pytest.mark.world

FOUR = {
    "10.96.0.0/12": [f"10.9.0.{n}" for n in (101, 102, 103, 104)],
    "fd00:96::/112": [f"fd09::{n}" for n in (101, 102, 103, 104)],
}
THREE = {prefix: hops[:3] for prefix, hops in FOUR.items()}


def test_an_undo_announces_what_was_before(tmp_path: Path) -> None:
    if reason := bgp.missing():
        pytest.skip(reason)
    with BgpWorld(tmp_path) as world:
        edge = world.add_frr("edge", 2, frr_config())
        world.start()
        world.program()
        world.add_node(4)
        world.program()
        with FibHistory(edge.netns) as kernel:
            await_services(kernel, FOUR)
            entries = json.loads(world.cli("history", "--format", "json", "--router", "edge").stdout)["entries"]
            number = max(entry["id"] for entry in entries if entry.get("outcome") == "committed")
            back = str(tmp_path / "back.plan")
            world.cli("history", "undo", str(number), "--out", back, code=2)
            world.cli("apply", back)
            await_services(kernel, THREE)
            assert world.announced("edge") == {prefix: set(hops) for prefix, hops in THREE.items()}
