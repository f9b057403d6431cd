"""The daemon's report on a terminal, in a pipe and as a page."""

import html.parser
import io

import msgspec
import pytest
from rich.console import Console

from k8s_ecmp.report import GuardReport, NodeReport
from k8s_ecmp.views.status_page import status_page
from k8s_ecmp.views.status_text import print_status
from tests.views.plans import GOLDEN, console_of, printed
from tests.views.reports import CALM, FULL, HOSTILE, STANDBY

SHOWN = {"status": FULL, "status-calm": CALM, "status-standby": STANDBY}


def shown(report, width=None) -> str:
    console = console_of(width) if width else Console(file=io.StringIO(), force_terminal=False, width=1000)
    print_status(report, console)
    return printed(console)


@pytest.mark.parametrize("medium", ["80", "pipe"])
@pytest.mark.parametrize("name", SHOWN)
def test_golden(name, medium):
    assert shown(SHOWN[name], None if medium == "pipe" else medium) == (GOLDEN / f"{name}.{medium}.txt").read_text()


@pytest.mark.parametrize("name", ["status-calm", "status-standby"])
def test_it_fits_a_terminal(name):
    assert max(map(len, shown(SHOWN[name], "80").splitlines())) <= 80


def test_columns_line_up():
    lines = shown(FULL).splitlines()
    head = next(line for line in lines if line.startswith("ROUTER"))
    for name in ("edge1", "edge2", "leaf-with-a-long-name"):
        row = next(line for line in lines if line.startswith(f"{name} "))
        for column in ("PLATFORM", "STATE", "PREFIXES", "PENDING", "LAST SUCCESS"):
            at = head.index(column)
            assert (row[at - 1], row[at] == " ") == (" ", False), (column, row)


def test_standard_output_without_a_console(capsys):
    print_status(CALM)
    assert capsys.readouterr().out == (GOLDEN / "status-calm.pipe.txt").read_text()


@pytest.mark.parametrize(
    ("report", "last"),
    [
        (CALM, "Ready; 0 changes pending on 1 router."),
        (FULL, "Not ready: router edge2 failed."),
        (STANDBY, "Ready, standing by."),
        (msgspec.structs.replace(CALM, holds=(GuardReport("frozen", "x"),)), "Ready; a guard holds changes."),
    ],
)
def test_the_last_line_is_the_sum(report, last):
    assert shown(report).splitlines()[-1] == last


def test_many_nodes_are_cut_on_a_terminal_alone():
    nodes = tuple(NodeReport(f"n{number}", "out", "label x") for number in range(300))
    report = msgspec.structs.replace(CALM, nodes=nodes)
    assert "250 more nodes" in shown(report, "80")
    assert shown(report).count("label x") == 300
    assert status_page(msgspec.structs.replace(CALM, nodes=nodes * 3)).count("label x") == 500


class Reader(html.parser.HTMLParser):
    """Collects what a browser would see, and every reference to elsewhere."""

    VOID = frozenset(("meta", "link", "br", "img"))

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append(text)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.parametrize("report", SHOWN.values())
def test_the_page_needs_nothing_from_elsewhere(report):
    reader = read(status_page(report))
    assert "script" not in reader.tags
    assert reader.references == ["status?format=json", "metrics"]


def test_the_page_tells_what_the_text_tells():
    reader = read(status_page(FULL))
    seen = set(reader.texts)
    for router in FULL.routers:
        assert {router.name, router.state} <= seen
    for text in (
        "edge2 does not answer: " + HOSTILE.replace("\x1b", "\\x1b") + "; again in 7 s",
        "guard last-next-hop holds 10.96.3.3/32: shop/web lost its nodes",
        "guard panic: 2 of 3 nodes are not Ready at once (n2, n3)",
        "drift: 1 difference without a cause in the cluster",
        "conflict 10.96.7.7/32: a route that is not ours: next hop 10.0.0.9 has no tag",
        "3 nodes: 1 eligible, 1 draining, 1 out",
        "no: router edge2 failed",
        "Service default/broken",
    ):
        assert text in seen, text
