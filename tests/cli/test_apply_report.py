"""`apply --format json`: one document on standard output, whatever became of the routers."""

import hashlib
import json
import os
import pty
import re
import subprocess
from typing import Any

import pytest

from tests.fleet import Fleet
from tests.site import COMMAND, Outcome, Site

pytestmark = pytest.mark.slow

OUTCOMES = {"committed", "unchanged", "blocked", "refused", "rolled-back", "failed", "not-attempted"}


def routers(document: Any) -> dict[str, Any]:
    return {router["name"]: router for router in document["routers"]}


def entries(site: Site) -> list[Any]:
    """Those of the last run on the whole of it."""
    last = site.run_here("history", "--format", "json").json()["entries"][-1]
    shown = site.run_here("history", "show", str(last["id"]), "--format", "json").json()["entries"]
    return [
        entry for entry in shown if entry["kind"] in ("plan", "review", "override") and entry["run"] == shown[-1]["run"]
    ]


def test_a_reviewed_plan_that_is_done(site: Site) -> None:
    path = str(site.folder / "today.plan")
    assert site.run_here("plan", "--out", path).code == 2
    plan = json.loads((site.folder / "today.plan").read_text())
    done = site.run_here("apply", path, "--format", "json")
    assert done.code == 0, done.err
    assert done.out.count("\n") == 1
    document = done.json()
    assert (document["version"], document["plan"], document["file"]) == (1, plan["id"], path)
    assert (document["owner"], document["exit_code"], document["stopped"]) == (plan["owner"], 0, None)
    assert document["complete"] is True
    assert document["guards"] == document["conflicts"] == document["overrides"] == []
    changes = {router["name"]: len(router["changes"]) for router in plan["routers"]}
    assert {name: router["changes"] for name, router in routers(document).items()} == changes
    for name, router in routers(document).items():
        assert (router["outcome"], router["step"], router["recorded"]) == ("committed", "confirm", True)
        assert router["wave"] == [name in wave for wave in plan["rollout"]["waves"]].index(True) + 1
        assert router["error"] is router["remedy"] is router["undone"] is None
        assert router["elapsed_s"] > 0
        first, last = router["journal"]
        for number, kind in ((first, "begin"), (last, "result")):
            shown = site.run_here("history", "show", str(number), "--format", "json").json()["entries"]
            assert [e["kind"] for e in shown if e["id"] == number and e["router"] == name] == [kind]
    assert document["journal"] == [entry["id"] for entry in entries(site)]
    assert document["summary"].keys() == OUTCOMES | {"changes"}
    assert document["summary"]["committed"] == len(changes)
    assert document["summary"]["changes"] == sum(changes.values())
    assert "Route plan of owner" in done.err
    assert "edge1: committed after" in done.err


def test_nothing_to_do_and_nothing_in_the_journal(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    document = site.run_here("apply", "--yes", "--format", "json").json()
    assert document["file"] is None
    assert document["journal"] == []
    assert {(r["outcome"], r["wave"], r["step"], *r["journal"]) for r in document["routers"]} == {
        ("unchanged", None, None)
    }


def a_wave_that_is_taken_back(site: Site, *arguments: str, file: str | None = None) -> Outcome:
    """r1 and r2 in one wave, r3 in the next; in the pause somebody takes a route of r2's."""
    fleet = Fleet(site, 3)
    fleet.rollout(canary=0, parallel=2)
    if file is not None:
        assert site.run_here("plan", "--out", file).code == 2
    with site.begun("apply", file or "--yes", "--on-failure", "rollback-wave", "--pause", "600", *arguments) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if "pause of 600 s; " in line)
        fleet.drop_lines("r2", "10.97.10.1/32 10.192.0.2")
        out, err = process.communicate(timeout=120)
        return Outcome(process.returncode, out, said + err)


def test_routers_that_were_taken_back_that_failed_and_that_were_not_attempted(site: Site) -> None:
    done = a_wave_that_is_taken_back(site, "--format", "json")
    document = done.json()
    assert (done.code, document["exit_code"]) == (1, 1)
    found = routers(document)
    back, failed, left = found["r1"], found["r2"], found["r3"]
    assert (back["outcome"], back["undone"], back["step"], back["wave"]) == ("rolled-back", "inverse", "confirm", 1)
    assert "because r2 failed" in back["error"]
    assert len(back["journal"]) == 4, "the change and what became of it, the way back and what became of that"
    assert (failed["outcome"], failed["undone"]) == ("failed", None)
    assert "changed by somebody else" in failed["error"]
    assert (left["outcome"], left["step"], left["wave"], left["elapsed_s"]) == ("not-attempted", None, 2, 0)
    assert left["journal"] == []
    counted = {word: number for word, number in document["summary"].items() if number}
    assert counted == {"rolled-back": 1, "failed": 1, "not-attempted": 1}


def test_what_is_left_of_a_way_back_that_failed_is_planned_anew(site: Site) -> None:
    path = str(site.folder / "today.plan")
    found = routers(a_wave_that_is_taken_back(site, "--format", "json", file=path).json())
    assert "--resume" in found["r1"]["remedy"]
    assert "--resume" not in found["r2"]["remedy"], "refused: what stands there is neither before nor after the plan"
    (named,) = re.findall(r"then `k8s-ecmp (apply [^`]*)`", found["r2"]["remedy"])
    new = str(site.folder / "new.plan")
    assert site.run_here(*named.replace("NEW.plan", new).split()).code == 2
    assert site.run_here("apply", new).code == 0


def test_the_text_has_what_the_document_has(site: Site) -> None:
    done = a_wave_that_is_taken_back(site)
    assert re.search(r"^r1 +rolled-back +\d+ +\d+\.\d +confirm +\d+, \d+, \d+, \d+$", done.out, re.MULTILINE)
    assert re.search(r"^r3 +not-attempted +- +- +- +-$", done.out, re.MULTILINE)
    assert re.search(r"^Plan sha256:[0-9a-f]{64}$", done.out, re.MULTILINE)
    assert "Journal, on the run as a whole: 1;" in done.out


def test_a_router_that_cannot_be_read_fails_alone(site: Site) -> None:
    site.config("edge2").unlink()
    done = site.run_here("apply", "--yes", "--format", "json")
    document = done.json()
    assert (done.code, document["exit_code"]) == (1, 1)
    assert document["complete"] is False
    assert routers(document)["edge1"]["outcome"] == "committed"
    assert routers(document)["edge2"]["outcome"] == "failed"
    assert "edge2.cfg" in routers(document)["edge2"]["error"]
    assert routers(document)["edge2"]["step"] is None


def test_a_router_whose_routes_moved_says_what_to_do(site: Site) -> None:
    """Between the plan and the change of this router: while somebody reads what is asked."""
    Fleet(site, 2)
    terminal, keyboard = pty.openpty()
    command = [*COMMAND, "--config", str(site.folder / "k8s-ecmp.yaml"), "apply", "--format", "json"]
    with subprocess.Popen(command, stdin=keyboard, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            asked = b""
            while b"Change 2 routers as shown?" not in asked:
                piece = os.read(process.stderr.fileno(), 65536)
                assert piece, asked.decode()
                asked += piece
            text = site.config("r2").read_text()
            changed = text.replace("ip route 172", "ip route 10.96.0.0/12 192.0.2.77\nip route 172")
            site.config("r2").write_text(changed)
            os.write(terminal, b"y\n")
            out, _ = process.communicate(timeout=120)
        finally:
            process.kill()
            os.close(terminal)
            os.close(keyboard)
    found = routers(json.loads(out))
    assert found["r1"]["outcome"] == "committed"
    refused = found["r2"]
    assert (refused["outcome"], refused["step"]) == ("refused", "read")
    assert refused["remedy"] == "`k8s-ecmp apply` plans anew and applies that"
    assert process.returncode == 3


def test_what_stops_it_stands_in_it(site: Site) -> None:
    site.not_ready("node1", "node2")
    held = site.run_here("apply", "--yes", "--format", "json")
    assert held.code == held.json()["exit_code"] == 3
    assert "panic" in {guard["guard"] for guard in held.json()["guards"]}
    assert held.json()["stopped"] is None
    assert held.json()["complete"] is False
    assert {router["outcome"] for router in held.json()["routers"]} == {"blocked"}
    site.settings(mode="observe")
    stopped = site.run_here("apply", "--yes", "--format", "json")
    assert stopped.code == 3
    assert stopped.json()["stopped"] == "mode is observe, which writes to no router"
    assert stopped.json()["complete"] is False
    assert {router["outcome"] for router in stopped.json()["routers"]} == {"blocked"}


def test_a_conflict_stands_in_it(site: Site) -> None:
    config = site.config("edge1")
    config.write_text(config.read_text().replace("ip route 172", "ip route 10.96.0.0/12 192.0.2.77\nip route 172"))
    done = site.run_here("apply", "--yes", "--format", "json")
    assert done.code == 3
    (conflict,) = done.json()["conflicts"]
    assert (conflict["router"], conflict["prefix"]) == ("edge1", "10.96.0.0/12")
    assert done.json()["summary"]["committed"] == 2
    assert done.json()["complete"] is True
    assert "1 conflict (10.96.0.0/12 on edge1)" in done.err
    again = site.run_here("apply", "--yes")
    assert again.code == 3
    last = again.out.partition("Apply: 2 unchanged.\n")[2]
    assert last == (
        "No change of this plan is left to be made on these routers. Exit code 3 is for what is left alone: "
        "1 conflict (10.96.0.0/12 on edge1).\n"
    )


def test_prefixes_that_a_guard_holds_are_no_changes_of_the_plan(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    site.not_ready("node3")  # the one node with a local endpoint of Service shop/cart
    path = str(site.folder / "today.plan")
    site.run_here("plan", "--out", path)
    done = site.run_here("apply", path, "--format", "json")
    assert (done.code, done.json()["complete"]) == (3, True)
    assert {guard["guard"] for guard in done.json()["guards"]} == {"last-next-hop"}
    assert "what guards hold (last-next-hop: 10.97.10.2/32 on edge1; last-next-hop: 10.97.10.2/32 on edge2)" in done.err
    again = site.run_here("apply", "--yes", "--format", "json")
    assert {router["outcome"] for router in again.json()["routers"]} == {"blocked"}
    assert (again.code, again.json()["complete"]) == (3, True)


def test_a_file_that_is_refused_is_an_error_as_ever(site: Site) -> None:
    path = site.folder / "today.plan"
    path.write_text("{}")
    done = site.run_here("apply", str(path), "--format", "json")
    assert (done.code, done.out) == (3, "")
    assert "is not a plan" in done.err
    again = site.run_here("apply", str(path), "--rebase", "--format", "json")
    assert (again.code, again.out) == (1, "")
    assert "--rebase applies nothing" in again.err


def test_a_file_is_applied_by_the_rollout_that_was_reviewed(site: Site) -> None:
    """Settings that change after the review change nothing; the command line does, and says so in the plan it shows."""
    fleet = Fleet(site, 3)
    fleet.rollout(canary=1, parallel=1)
    path = str(site.folder / "today.plan")
    assert site.run_here("plan", "--out", path).code == 2
    fleet.rollout(canary=0, parallel=3)
    done = site.run_here("apply", path, "--pause", "0.1", "--on-failure", "rollback-wave", "--format", "json")
    assert done.code == 0, done.err
    assert [router["wave"] for router in done.json()["routers"]] == [1, 2, 3]
    assert "a pause of 0.1 s" in done.err
    assert "the others of its wave are taken back too" in done.err
    assert done.err.count("pause of 0.1 s; 1 router of this wave") == 2


def test_a_file_of_an_older_program_is_shown_in_the_order_in_which_it_is_done(site: Site) -> None:
    """It says nothing of failure domains and order: those of inventory and settings count, and are shown."""
    Fleet(site, 2, pairs={"r1": "pair", "r2": "pair"}).rollout(canary=0, parallel=2)
    path = site.folder / "today.plan"
    assert site.run_here("plan", "--out", str(path)).code == 2
    older = {name: value for name, value in json.loads(path.read_text()).items() if name not in ("id", "rollout")}
    for router in older["routers"]:
        del router["failure_domain"], router["undo"]
    body = json.dumps(older, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    whole = {**older, "id": f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"}
    path.write_text(json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n")
    done = site.run_here("apply", str(path), "--format", "json")
    assert done.code == 0, done.err
    assert [(router["name"], router["wave"]) for router in done.json()["routers"]] == [("r1", 1), ("r2", 2)]
    assert "never two of one failure domain: pair is r1, r2" in done.err
