"""What was announced is taken back by an undo of the journal, like a change of any router."""

import json
from pathlib import Path

import pytest

from tests.bgp.edge import WANTED, nodes, started
from tests.world.bgp import await_services
from tests.world.fib import FibHistory

pytestmark = pytest.mark.world


def test_an_undo_announces_what_was_before(tmp_path: Path) -> None:
    with started(tmp_path) as world:
        world.program()
        world.add_node(4)
        world.program()
        with FibHistory(world.frr.netns) as kernel:
            await_services(kernel, nodes(1, 2, 3, 4))
            entries = json.loads(world.cli("history", "--format", "json", "--router", "edge").stdout)["entries"]
            number = max(entry["id"] for entry in entries if entry.get("outcome") == "committed")
            back = str(tmp_path / "back.plan")
            world.cli("history", "undo", str(number), "--out", back, code=2)
            world.cli("apply", back)
            await_services(kernel, WANTED)
            assert world.announced("edge") == WANTED
