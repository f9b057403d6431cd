"""What `plan` and `apply` say under modes, policies and freezes that keep changes back: it is true, and it works."""

import re

import pytest

from k8s_ecmp.journal import Journal
from tests.site import Site


def last_lines(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-2:])


def test_a_mode_that_keeps_everything_back_does_not_look_like_all_is_well(site: Site) -> None:
    site.settings(mode="withdraw-only")
    done = site.run_here("plan")
    assert done.code == 0
    assert "in sync" not in last_lines(done.out)
    assert "Plan: no changes; 14 changes withheld on 2 routers, see Skipped." in done.out
    assert "router edge1: 7 changes are withheld by mode withdraw-only: create 10.96.0.0/12, " in done.out
    document = site.run_here("plan", "--format", "json").json()
    assert [router["changes"] for router in document["routers"]] == [[], []]
    assert [router["status"] for router in document["routers"]] == ["in-sync", "in-sync"]
    assert [router["withheld"] for router in document["routers"]] == [7, 7]
    assert (document["mode"], document["policy"]) == ("withdraw-only", "sync")
    assert site.run_here("verify").code == 2


def test_a_policy_that_keeps_the_dead_node_in_says_so(site: Site) -> None:
    assert site.run_here("apply", "--yes").code in (0, 3)
    site.not_ready("node2")
    site.settings(policy="create-only")
    done = site.run_here("plan")
    assert done.code == 0
    assert "withheld by policy create-only: update 10.96.0.0/12" in done.out
    assert "in sync" not in last_lines(done.out)


def freeze(site: Site) -> None:
    site.settings(guards={"freeze_file": "frozen"})
    (site.folder / "frozen").write_text("audit week\n")


def commands(text: str) -> list[list[str]]:
    return [one.split()[1:] for one in re.findall(r"`(k8s-ecmp apply [^`]*--override frozen[^`]*)`", text)]


def test_an_overridden_freeze_is_applied_by_the_command_that_the_plan_names(site: Site) -> None:
    freeze(site)
    path = str(site.folder / "c.plan")
    done = site.run_here("plan", "--override", "frozen", "--out", path)
    assert done.code == 2
    (named,) = commands(done.out)
    assert f"apply it with: k8s-ecmp {' '.join(named)}" in done.err
    held = site.run_here("apply", path)
    assert held.code == 3
    assert "plan with" not in held.out
    assert commands(held.out) == [named, [*named, "--resume"]], "where the guard stands, and in what to do next"
    assert site.run_here(*named).code in (0, 3)
    assert "ip route 10.96.0.0/12" in site.config("edge1").read_text()


@pytest.mark.parametrize("over", [False, True])
def test_a_file_from_a_freeze_tells_what_to_do_whether_it_is_over_or_not(site: Site, over: bool) -> None:
    freeze(site)
    path = str(site.folder / "d.plan")
    done = site.run_here("plan", "--out", path)
    assert "wrote" in done.err
    assert "apply it with" not in done.err
    if over:
        (site.folder / "frozen").unlink()
    done = site.run_here("apply", path)
    assert done.code == 3
    assert "once the freeze is over, plan again: a file from during the freeze stays held" in done.out
    assert ("when this was planned, and no longer: the freeze file" in done.out) is over


def test_a_window_holds_each_prefix_and_its_file_knows_when_it_is_over(site: Site) -> None:
    site.settings(guards={"freeze_windows": [{"start": "* * * * *", "duration_s": 7200}]})
    path = str(site.folder / "e.plan")
    done = site.run_here("plan", "--out", path)
    assert done.out.count("is held") == 1
    assert "guard frozen on edge1, edge2: 7 prefixes (10.96.0.0/12, " in done.out
    site.settings(guards={})
    assert "when this was planned, and no longer: freeze window" in site.run_here("apply", path).out


def test_a_way_back_knows_mode_and_freeze_too(site: Site) -> None:
    assert site.run_here("apply", "--yes", "--router", "edge1").code in (0, 3)
    with Journal(site.folder / "journal.sqlite") as journal:
        entry = str(journal.entries(kinds=["begin"])[-1].id)
    path = str(site.folder / "back.plan")
    site.settings(mode="observe", guards={"max_withdrawn_fraction": 1, "freeze_file": "frozen"})
    (site.folder / "frozen").write_text("audit week\n")
    options = ("--override", "empty-desired", "--override", "frozen", "--out", path)
    done = site.run_here("history", "undo", entry, *options)
    assert "Made in mode observe" in done.out, done.err
    assert f"`k8s-ecmp apply {path} --override frozen`" in done.out
    assert "apply refuses it while the settings have mode: observe" in done.err
