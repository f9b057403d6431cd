"""docs/guides/guards.md has every key and every value, and what it says of them is so; its examples are run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints
from zoneinfo import ZoneInfo

import msgspec
import pytest
import yaml
from markdown_it import MarkdownIt

from k8s_ecmp.core.freeze import window_in_force
from k8s_ecmp.core.guards import GUARDS
from k8s_ecmp.core.reviewed import forbids
from k8s_ecmp.journal import Journal
from k8s_ecmp.model import NextHop, Policy, Prefix, RouteChange
from k8s_ecmp.settings import FreezeWindow, GuardSettings, Settings, load_settings
from tests.site import REPO, Site, new_site

PAGE = REPO / "docs/guides/guards.md"
TOKENS = MarkdownIt().enable("table").parse(PAGE.read_text())


def under(heading: str) -> Iterator[tuple[str, str]]:
    """What stands under a heading: (kind, text) of fences, by their language, and of table cells."""
    here = ""
    for number, token in enumerate(TOKENS):
        if token.type == "heading_open":
            here = TOKENS[number + 1].content
        elif here == heading and token.type == "fence":
            yield token.info, token.content
        elif here == heading and token.type in ("tr_open", "td_open"):
            yield token.type, TOKENS[number + 1].content


def blocks(heading: str, language: str) -> list[str]:
    return [text for kind, text in under(heading) if kind == language]


def rows(heading: str) -> dict[str, list[str]]:
    """The rows of a table: first cell -> the others, without backquotes."""
    found: list[list[str]] = []
    for kind, text in under(heading):
        if kind == "tr_open":
            found.append([])
        elif kind == "td_open":
            found[-1].append(text.strip("`"))
    return {row[0]: row[1:] for row in found if row}


def defaults(section: type[msgspec.Struct]) -> dict[str, str]:
    """Each key, and its default as it is written in YAML."""
    return {
        field.name: "required" if field.required else yaml.safe_dump(_plain(field.default)).split("\n")[0]
        for field in msgspec.structs.fields(section)
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    ("heading", "section"),
    [("Guards, freezes, modes and policies", GuardSettings), ("Freeze windows", FreezeWindow)],
)
def test_every_key_stands_there_with_its_default(heading: str, section: type[msgspec.Struct]) -> None:
    assert {key: cells[0] for key, cells in rows(heading).items()} == defaults(section)


@pytest.mark.parametrize(("heading", "setting"), [("Modes", "mode"), ("Policies", "policy")])
def test_every_value_stands_there(heading: str, setting: str) -> None:
    assert set(rows(heading)) == set(get_args(get_type_hints(Settings)[setting]))


def test_every_guard_stands_there() -> None:
    assert tuple(rows("The guards")) == GUARDS


HOPS = tuple(NextHop(f"10.0.0.{number}") for number in (1, 2))
CHANGES = [RouteChange.between("default", Prefix.parse("10.96.0.1"), *hops) for hops in (((), HOPS), (HOPS, HOPS[:1]))]


@pytest.mark.parametrize("policy", get_args(Policy))
def test_a_policy_lets_through_what_the_page_says(policy: Policy) -> None:
    delete = RouteChange.between("default", Prefix.parse("10.96.0.1"), HOPS, ())
    allowed = [forbids(change, "full", policy) is None for change in (*CHANGES, delete)]
    assert ["yes" if one else "no" for one in allowed] == rows("Policies")[policy][:3]


def loaded(folder: Path, text: str) -> Settings:
    file = folder / "settings.yaml"
    file.write_text(text if "owner:" in text else f"owner: prod-eu1\ntag: 4201\n{text}")
    return load_settings(file)


def test_the_settings_on_it_are_the_defaults_and_are_taken(tmp_path: Path) -> None:
    (whole,) = blocks("Guards, freezes, modes and policies", "yaml")
    assert set(yaml.safe_load(whole)["guards"]) == set(defaults(GuardSettings))
    assert loaded(tmp_path, whole) == loaded(tmp_path, "owner: prod-eu1\ntag: 4201\n")
    (file,) = blocks("The freeze file", "yaml")
    assert loaded(tmp_path, file).guards.freeze_file == str(tmp_path / "FREEZE")


def test_the_windows_last_as_the_page_says(tmp_path: Path) -> None:
    (text,) = blocks("Freeze windows", "yaml")
    weekend, christmas = loaded(tmp_path, text).guards.freeze_windows
    berlin = ZoneInfo("Europe/Berlin")

    def holds(window: FreezeWindow, *local: int) -> bool:
        return window_in_force([window], datetime(*local, tzinfo=berlin).astimezone(UTC)) is not None  # type: ignore[misc, arg-type]

    # 6, 7 and 5 o'clock on the Monday after an ordinary weekend, the one of March, and the one of October.
    for friday, hour in ((date(2026, 5, 22), 6), (date(2026, 3, 27), 7), (date(2026, 10, 23), 5)):
        monday = friday + timedelta(days=3)
        day, end = (friday.year, friday.month, friday.day), (monday.year, monday.month, monday.day, hour)
        assert [holds(weekend, *day, 17, 59), holds(weekend, *day, 18), holds(weekend, *end)] == [False, True, False]
        assert holds(weekend, *end[:3], hour - 1, 59)
    assert [holds(christmas, 2026, 12, 31, 23, 59), holds(christmas, 2027, 1, 1)] == [True, False]
    assert window_in_force([christmas], datetime(2026, 12, 24, tzinfo=UTC)).everything  # type: ignore[union-attr]


# --- on a site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = new_site(tmp_path)
    assert site.run_here("apply", "--yes").code == 0
    return site


def shell(site: Site, command: str) -> int:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        command, shell=True, cwd=site.folder, env={**os.environ, "PATH": path}, check=False, capture_output=True
    ).returncode


@pytest.mark.slow
def test_overriding_by_name_as_shown_works_and_is_recorded(site: Site) -> None:
    plan, apply, at_once = blocks("Overriding one", "sh")[0].splitlines()
    site.not_ready("node2")
    site.settings(guards={"max_changes": 1})
    assert site.run_here("apply", "--yes").code == 3
    assert shell(site, plan) == 2
    assert shell(site, apply) == 0
    site.not_ready("node3")
    site.settings(guards={"max_withdrawn_fraction": 0.1, "max_not_ready_fraction": 1})
    assert site.run_here("apply", "--yes").code == 3
    assert shell(site, at_once) in (0, 3), "node3 alone serves shop/cart: guard last-next-hop holds that prefix"
    with Journal(site.folder / "journal.sqlite") as journal:
        made = journal.entries(kinds=["override"])
    assert [entry.body["guards"] for entry in made] == [["max-changes"], ["mass-withdrawal"]]
    assert made[-1].reason == "ten Services were deleted"
    assert "10.192.0.3" not in site.config("edge1").read_text().replace("10.97.10.2/32 10.192.0.3", "")


@pytest.mark.slow
def test_the_freeze_file_as_shown_holds_until_it_is_removed(site: Site) -> None:
    freeze, thaw = blocks("The freeze file", "sh")[0].splitlines()
    site.settings(**yaml.safe_load(blocks("The freeze file", "yaml")[0]))
    site.not_ready("node2")
    assert shell(site, freeze) == 0
    path = str(site.folder / "made-meanwhile.plan")
    held = site.run_here("plan", "--out", path)
    assert (held.code, "audit until Friday, ask ops" in held.out) == (3, True)
    assert site.run_here("apply", "--yes").code == 3
    assert shell(site, thaw) == 0
    assert site.run_here("apply", path).code == 3, "what was made meanwhile stays held"
    assert site.run_here("apply", "--yes").code == 0


@pytest.mark.slow
@pytest.mark.parametrize(("freeze_all", "gone"), [(False, True), (True, False)])
def test_in_a_window_dead_nodes_leave_and_nothing_else(site: Site, freeze_all: bool, gone: bool) -> None:
    window = {"start": "* * * * *", "duration_s": 3600, "freeze_all": freeze_all}
    site.settings(guards={"freeze_windows": [window]}, services={"cluster_ips": "none"})
    site.not_ready("node2")
    before = site.config("edge1").read_text()
    assert site.run_here("apply", "--yes").code == 3
    after = site.config("edge1").read_text()
    assert ("10.192.0.2 " not in after) is gone
    assert "10.97.10.1/32 10.192.0.1" in after, "a route that nobody asks for any more is no dead node"
    assert (after != before) is gone
