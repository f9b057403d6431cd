"""`adopt`: taking over a route that is not ours, by a reviewed plan of that prefix alone."""

from pathlib import Path
from typing import Any

import pytest

from tests.site import Site

pytestmark = pytest.mark.slow

PREFIX = "10.97.10.1/32"
# How somebody has written the route, on each platform, with words of their own; and other lines, which stay.
FRR = (
    "ip route 10.97.10.1/32 192.0.2.77 tag 900\nip route 10.97.10.1/32 10.192.0.1 tag 900\n",
    "ip route 10.97.10.200/32 192.0.2.77 tag 900\n",
    "! frr\nhostname r1\n{}{}ip route 0.0.0.0/0 192.0.2.1\n!\nend\n",
)
EOS = (
    "ip route 10.97.10.1/32 192.0.2.77 200 tag 900 name theirs\nip route 10.97.10.1/32 10.192.0.1\n",
    "ip route 10.97.10.200/32 192.0.2.77 name theirs\n",
    "hostname r1\n!\nip routing\n!\n{}{}ip route 0.0.0.0/0 192.0.2.1\n!\nend\n",
)
IOS = (
    "ip route 10.97.10.1 255.255.255.255 192.0.2.77 200 tag 900 name theirs\n"
    "ip route 10.97.10.1 255.255.255.255 GigabitEthernet1 10.192.0.1 track 7\n",
    "ip route 10.97.10.200 255.255.255.255 192.0.2.77 name theirs\n",
    "version 17.9\nhostname r1\n!\n{}{}ip route 0.0.0.0 0.0.0.0 192.0.2.1\n!\nend\n",
)
NXOS = (
    "ip route 10.97.10.1/32 192.0.2.77 name theirs tag 900 200\nip route 10.97.10.1/32 10.192.0.1 track 7\n",
    "ip route 10.97.10.200/32 192.0.2.77 name theirs\n",
    "version 9.3(9)\nhostname r1\n{}{}ip route 0.0.0.0/0 192.0.2.1\n",
)
IOSXR = (
    "  10.97.10.1/32 192.0.2.77 200 tag 900 description theirs\n  10.97.10.1/32 10.192.0.1\n",
    "  10.97.10.200/32 192.0.2.77 description theirs\n",
    "hostname r1\nrouter static\n address-family ipv4 unicast\n  0.0.0.0/0 192.0.2.1\n{}{} !\n!\nend\n",
)
JUNOS = (
    "        route 10.97.10.1/32 {\n            next-hop [ 192.0.2.77 10.192.0.1 ];\n            tag 900;\n        }\n",
    "        route 10.97.10.200/32 next-hop 192.0.2.77;\n",
    "system {\n    host-name r1;\n}\nrouting-options {\n    static {\n        route 0.0.0.0/0 next-hop 192.0.2.1;\n"
    "{}{}    }\n}\n",
)
TEXTS = {"frr": FRR, "eos": EOS, "ios": IOS, "iosxr": IOSXR, "nxos": NXOS, "junos": JUNOS}


def _filled(template: str, theirs: str, other: str) -> str:
    before, _, rest = template.partition("{}{}")
    return before + theirs + other + rest


@pytest.fixture(params=TEXTS)
def contested(request: pytest.FixtureRequest, site: Site) -> tuple[Site, Path, str, str]:
    """One router on which somebody has the prefix: the site, its file, their line at another prefix, its platform."""
    theirs, other, template = TEXTS[request.param]
    path = site.folder / "r1.cfg"
    path.write_text(_filled(template, theirs, other))
    options = {"syntax": request.param, "path": str(path)}
    site.hosts(r1={"platform": "file", "connection_options": {"napalm": {"extras": {"optional_args": options}}}})
    return site, path, other, request.param


def _router(document: Any) -> Any:
    (router,) = document["routers"]
    return router


def test_a_route_of_others_becomes_ours_by_a_plan_of_its_prefix_alone(contested: tuple[Site, Path, str, str]) -> None:
    site, path, other, _ = contested
    assert site.run_here("apply", "--yes").code == 3
    applied = path.read_text()
    (conflict,) = _router(site.run_here("plan", "--format", "json").json())["conflicts"]
    assert conflict["prefix"] == PREFIX

    file = site.folder / "adopt.plan"
    planned = site.run_here("adopt", PREFIX, "--out", str(file), "--format", "json")
    assert planned.code == 2, planned.err
    (change,) = _router(planned.json())["changes"]
    assert (change["action"], change["prefix"]) == ("update", PREFIX)
    assert change["next_hops"] == ["10.192.0.1", "10.192.0.2"]
    assert change["reasons"][0].startswith("adopts a route that is not ours: ")
    assert "192.0.2.77" in change["reasons"][0]
    assert planned.json()["adopts"] == [PREFIX]
    assert path.read_text() == applied, "adopt writes nothing"

    assert site.run_here("apply", str(file)).code == 0
    assert site.run_here("plan").code == 0
    assert other in path.read_text()
    gone = [line for line in applied.splitlines() if line not in path.read_text().splitlines()]
    assert all("10.97.10.1" in line or "192.0.2.77" in line or line.strip() == "tag 900;" for line in gone), gone
    assert site.run_here("verify").code == 0


def test_history_says_how_it_was_and_does_not_put_it_back(contested: tuple[Site, Path, str, str]) -> None:
    site, path, _, _ = contested
    file = site.folder / "adopt.plan"
    site.run_here("adopt", PREFIX, "--out", str(file))
    assert site.run_here("apply", str(file), "--ticket", "CHG-7").code == 0
    adopted = path.read_text()
    entries = site.run_here("history", "--format", "json").json()["entries"]
    (begun,) = (entry for entry in entries if entry["router"] == "r1" and entry["changes"])
    undo = site.run_here("history", "undo", str(begun["id"]))
    assert undo.code == 0
    assert f"{PREFIX}: it was adopted, and stood there as " in " ".join(undo.out.split())
    assert "192.0.2.77" in undo.out
    assert path.read_text() == adopted


def test_what_nobody_asks_for_is_not_adopted(site: Site) -> None:
    done = site.run_here("adopt", "192.0.2.0/24", PREFIX)
    assert done.code == 1
    assert "nothing in the cluster asks for 192.0.2.0/24" in done.err
    assert site.run_here("adopt", "nonsense").code == 1


def test_without_a_conflict_there_is_nothing_to_adopt(site: Site) -> None:
    site.run_here("apply", "--yes")
    done = site.run_here("adopt", PREFIX)
    assert done.code == 0, done.out


def test_other_prefixes_are_no_part_of_it(contested: tuple[Site, Path, str, str]) -> None:
    """Nothing is applied yet: everything else that the cluster asks for is missing, and stays so."""
    site, path, _, _ = contested
    file = site.folder / "adopt.plan"
    planned = site.run_here("adopt", "10.97.10.1", "--out", str(file), "--format", "json").json()
    assert [change["prefix"] for change in _router(planned)["changes"]] == [PREFIX]
    assert _router(planned)["conflicts"] == []
    assert site.run_here("apply", str(file)).code == 0
    assert "10.97.10.2/" not in path.read_text().replace(" 255.255.255.255", "/32")


@pytest.mark.parametrize(
    ("settings", "word"), [({"mode": "withdraw-only"}, "mode"), ({"policy": "create-only"}, "policy")]
)
def test_mode_and_policy_may_forbid_it(
    contested: tuple[Site, Path, str, str], settings: dict[str, str], word: str
) -> None:
    site, _, _, _ = contested
    site.settings(**settings)
    done = site.run_here("adopt", PREFIX, "--format", "json")
    assert done.code == 3
    (conflict,) = _router(done.json())["conflicts"]
    assert f"it is not adopted: {word} {settings[word]}" in conflict["reason"]
    assert _router(done.json())["changes"] == []


def test_a_freeze_window_holds_it_whole(contested: tuple[Site, Path, str, str]) -> None:
    """Of other changes a window lets through what only takes dead next hops away: theirs are no node's."""
    site, _, _, _ = contested
    window = {"start": "* * * * *", "duration_s": 3600, "time_zone": "UTC"}
    site.settings(guards={"freeze_windows": [window]})
    done = site.run_here("adopt", PREFIX, "--format", "json")
    assert done.code == 3, done.err
    assert _router(done.json())["changes"] == []
    assert {trip["guard"] for trip in done.json()["guards"]} == {"frozen"}


def test_a_route_that_changed_since_the_review_is_not_adopted(contested: tuple[Site, Path, str, str]) -> None:
    site, path, _, _ = contested
    file = site.folder / "adopt.plan"
    site.run_here("adopt", PREFIX, "--out", str(file))
    changed = path.read_text().replace("192.0.2.77", "192.0.2.78")
    path.write_text(changed)
    done = site.run_here("apply", str(file))
    assert done.code == 3
    assert "192.0.2.77" in done.err
    assert path.read_text() == changed
    again = site.run_here("apply", str(file), "--rebase", "--out", str(site.folder / "new.plan"))
    assert again.code == 2
    assert site.run_here("apply", str(site.folder / "new.plan")).code == 0
    assert (
        "192.0.2.78" not in path.read_text().replace("10.97.10.200", "") or "10.97.10.1/32 192" not in path.read_text()
    )


def test_the_text_says_that_it_takes_over(contested: tuple[Site, Path, str, str]) -> None:
    site, _, _, _ = contested
    done = site.run_here("adopt", PREFIX)
    words = " ".join(done.out.split())
    assert f"every other route stays as it is, but those at {PREFIX}: this plan takes them over" in words
    assert "adopts a route that is not ours" in words


def test_the_remedy_of_a_conflict_names_it(contested: tuple[Site, Path, str, str]) -> None:
    site, _, _, _ = contested
    assert "k8s-ecmp adopt" in site.run_here("plan").out


def _frr_sites(site: Site, names: tuple[str, ...], theirs: str) -> None:
    hosts = {}
    for name in names:
        path = site.folder / f"{name}.cfg"
        path.write_text(f"! frr\nhostname {name}\n{theirs}ip route 0.0.0.0/0 192.0.2.1\n!\nend\n")
        options = {"syntax": "frr", "path": str(path)}
        hosts[name] = {"platform": "file", "connection_options": {"napalm": {"extras": {"optional_args": options}}}}
    site.hosts(**hosts)


def test_what_is_foreign_by_a_word_alone_is_adopted_and_not_put_back(site: Site) -> None:
    """Tag and next hops are ours already; the label is not."""
    _frr_sites(site, ("r1",), "ip route 10.97.10.1/32 192.0.2.77 tag 4201 label 100\n")
    file = str(site.folder / "adopt.plan")
    assert site.run_here("adopt", PREFIX, "--out", file).code == 2
    assert site.run_here("apply", file).code == 0
    (entry,) = site.run_here("history", "--format", "json").json()["entries"]
    undo = site.run_here("history", "undo", str(entry["id"]))
    assert undo.code == 0, undo.out
    assert "192.0.2.77 tag 4201 label 100" in " ".join(undo.out.split())


def test_a_freeze_window_holds_one_that_takes_a_stranger_s_next_hop_away(site: Site) -> None:
    """Two next hops are as they shall be, and the third is no node's: as a change of ours it would be a withdrawal."""
    lines = "".join(f"ip route 10.97.10.1/32 {hop} tag 900\n" for hop in ("10.192.0.1", "10.192.0.2", "192.0.2.77"))
    _frr_sites(site, ("r1",), lines)
    site.settings(guards={"freeze_windows": [{"start": "* * * * *", "duration_s": 3600, "time_zone": "UTC"}]})
    done = site.run_here("adopt", PREFIX, "--format", "json")
    assert done.code == 3
    assert [trip["guard"] for trip in done.json()["guards"]] == ["frozen"]
    assert site.run_here("adopt", PREFIX, "--override", "frozen").code == 2


def test_a_plan_is_not_applied_in_a_mode_that_only_withdraws(site: Site) -> None:
    lines = "".join(f"ip route 10.97.10.1/32 {hop} tag 900\n" for hop in ("10.192.0.1", "10.192.0.2", "10.192.0.3"))
    _frr_sites(site, ("r1",), lines)
    file = str(site.folder / "adopt.plan")
    assert site.run_here("adopt", PREFIX, "--out", file).code == 2
    site.settings(mode="withdraw-only")
    done = site.run_here("apply", file)
    assert done.code == 3
    assert "mode: withdraw-only" in done.err


def test_where_nothing_stands_or_ours_differs_nothing_is_adopted(site: Site) -> None:
    _frr_sites(site, ("r1", "r2"), "")
    path = site.folder / "r2.cfg"
    path.write_text(path.read_text().replace("ip route 0", "ip route 10.97.10.1/32 10.192.0.3 tag 4201\nip route 0"))
    done = site.run_here("adopt", PREFIX, "--format", "json")
    assert done.code == 0
    assert done.json()["summary"] == {"create": 0, "update": 0, "delete": 0, "conflict": 0, "failed": 0}


def test_a_wave_that_is_taken_back_gets_theirs_again(site: Site) -> None:
    theirs = "ip route 10.97.10.1/32 192.0.2.77 tag 900\n"
    _frr_sites(site, ("r1", "r2", "r3"), theirs)
    site.settings(rollout={"canary": 0, "parallel": 1, "on_failure": "rollback-wave"})
    file = str(site.folder / "adopt.plan")
    assert site.run_here("adopt", PREFIX, "--out", file).code == 2
    before = (site.folder / "r1.cfg").read_text()
    site.settings(rollout={"canary": 0, "parallel": 3, "on_failure": "rollback-wave"})
    assert site.run_here("adopt", PREFIX, "--out", file).code == 2
    (site.folder / "r3.cfg").chmod(0o644)
    (site.folder / "r3.cfg.history").write_text("not a folder, so that the commit fails")
    done = site.run_here("apply", file, "--on-failure", "rollback-wave")
    assert done.code == 1, done.out
    assert (site.folder / "r1.cfg").read_text() == before, done.out
    assert "rolled-back" in done.out
    assert "is not as it was" not in done.out
