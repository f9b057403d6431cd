"""The emulated Junos router against the vendor's manuals: what a statement, a lock and a timer do."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from tests.world.emulators.base import USERNAME
from tests.world.emulators.junos import Junos
from tests.world.emulators.junos_device import Edit
from tests.world.emulators.junos_sample import SAMPLE
from tests.world.emulators.junos_session import Session
from tests.world.emulators.junos_tree import Refused, change, compare, parse, text_of
from tests.world.emulators.netconf import RpcError

pytestmark = pytest.mark.slow

BASE = """system {
    host-name r1;
}
interfaces {
    et-0/0/0 {
        unit 0 {
            family inet {
                address 10.0.0.254/24;
            }
        }
    }
}
"""


def after(*lines: str, text: str = BASE) -> str:
    tree = parse(text)
    for line in lines:
        change(tree, line)
    return text_of(tree)


def routes(*lines: str, tmp_path: Path) -> dict[tuple[str, str], frozenset[str]]:
    device = Junos(tmp_path, BASE)
    device.type("\n".join(lines))
    return device.routes()


def test_the_sample_is_shown_as_it_was_read():
    assert text_of(parse(SAMPLE)).strip() == SAMPLE.strip()


def test_a_route_with_one_statement_is_one_line_and_others_are_blocks():
    head = "set routing-options static route 10.1.0.0/16"
    assert "        route 10.1.0.0/16 next-hop 10.0.0.1;\n" in after(f"{head} next-hop 10.0.0.1")
    assert "route 10.1.0.0/16 next-hop [ 10.0.0.1 10.0.0.2 ];" in after(f"{head} next-hop [ 10.0.0.1 10.0.0.2 ]")
    shown = after(f"{head} next-hop 10.0.0.1", f"{head} tag 5", f"{head} next-hop 10.0.0.2")
    assert "            next-hop [ 10.0.0.1 10.0.0.2 ];\n            tag 5;\n        }\n" in shown


def test_a_single_value_is_replaced_and_a_kind_of_next_hop_gives_way():
    head = "set routing-options static route 10.1.0.0/16"
    shown = after(f"{head} next-hop 10.0.0.1", f"{head} tag 5", f"{head} tag 6", f"{head} discard")
    assert "tag 6;" in shown
    assert "tag 5;" not in shown
    assert "discard;" in shown
    assert "next-hop" not in shown


def test_what_becomes_empty_is_not_shown():
    text = after("set routing-options static route 10.1.0.0/16 next-hop 10.0.0.1")
    assert after("delete routing-options static route 10.1.0.0/16", text=text) == BASE


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ("delete routing-options static route 10.1.0.0/16", "warning", "statement not found"),
        ("set routing-options static route 10.1.2.3/16 discard", "error", "invalid value"),
        ("set routing-options static route 10.1.0.0/16 tag x", "error", "invalid value"),
        ("ip route 10.0.0.0/8 10.1.1.1", "error", "syntax error"),
        ("# a comment", "error", "syntax error"),
    ],
)
def test_lines_that_are_refused(line: str, kind: str, message: str):
    with pytest.raises(Refused, match=message) as error:
        after(line)
    assert error.value.kind == kind


def test_compare_shows_whole_statements_under_their_path():
    old = parse(after("set routing-options static route 10.1.0.0/16 next-hop 10.0.0.1"))
    new = parse(text_of(old))
    change(new, "set routing-options static route 10.1.0.0/16 next-hop 10.0.0.2")
    change(new, "set routing-options static route 10.2.0.0/16 discard")
    change(new, "delete system host-name r1")
    assert list(compare(old, new)) == [
        "[edit]",
        "-    system {",
        "-        host-name r1;",
        "-    }",
        "[edit routing-options static]",
        "+    route 10.2.0.0/16 discard;",
        "[edit routing-options static route 10.1.0.0/16]",
        "-    next-hop 10.0.0.1;",
        "+    next-hop [ 10.0.0.1 10.0.0.2 ];",
    ]


def test_what_is_forwarded(tmp_path: Path):
    head = "set routing-options static route"
    found = routes(
        f"{head} 10.1.0.0/16 next-hop 10.0.0.1",
        f"{head} 10.1.0.0/16 next-hop 10.5.0.1",
        f"{head} 10.2.0.0/16 next-hop 10.5.0.1",
        f"{head} 10.3.0.0/16 discard",
        f"{head} 10.4.0.0/16 next-hop 10.0.0.1",
        f"{head} 10.4.0.0/16 qualified-next-hop 10.0.0.2 preference 3",
        f"{head} 10.6.0.0/16 discard",
        "deactivate routing-options static route 10.6.0.0/16",
        tmp_path=tmp_path,
    )
    assert found == {
        ("default", "10.1.0.0/16"): {"10.0.0.1"},  # no way to the other
        ("default", "10.3.0.0/16"): {"discard"},
        ("default", "10.4.0.0/16"): {"10.0.0.2"},  # the lower preference
    }


class Client:
    """One session, asked without a connection."""

    def __init__(self, device: Junos, number: int, user: str = USERNAME) -> None:
        self.session = Session(device, Edit(number, user))

    def ask(self, operation: str) -> str:
        return asyncio.run(self.session.answer(etree.fromstring(operation)))

    def load(self, *lines: str) -> str:
        text = "\n".join(lines)
        return self.ask(
            f'<load-configuration action="set" format="text"><configuration-set>{text}</configuration-set></load-configuration>'
        )


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Junos]:
    made = Junos(tmp_path)
    yield made
    if made.timer is not None:
        made.expire()


LINE = "set system host-name r2"
CONFIRMED = "<commit-configuration><confirmed/><confirm-timeout>1</confirm-timeout></commit-configuration>"


def test_the_lock_keeps_others_out_and_names_its_holder(device: Junos):
    first, second = Client(device, 1), Client(device, 2, "bob")
    first.ask("<lock-configuration/>")
    for operation in ("<lock-configuration/>", "<open-configuration><private/></open-configuration>"):
        with pytest.raises(RpcError, match=rf"locked by:\s+{USERNAME} terminal p0 \(pid 1\)"):
            second.ask(operation)
    with pytest.raises(RpcError, match="locked by"):
        second.load(LINE)
    first.session.ended()
    second.ask("<lock-configuration/>")


def test_a_modified_candidate_cannot_be_locked(device: Junos):
    Client(device, 1, "bob").load(LINE)
    with pytest.raises(RpcError, match="configuration database modified"):
        Client(device, 2).ask("<lock-configuration/>")


def test_a_bare_commit_takes_the_edits_of_others_along(device: Junos):
    Client(device, 1, "bob").load(LINE)
    Client(device, 2).ask("<commit-configuration/>")
    assert "host-name r2;" in device.running()


def test_what_a_lock_held_uncommitted_is_gone_with_its_session(device: Junos):
    client = Client(device, 1)
    client.ask("<lock-configuration/>")
    client.load(LINE)
    assert device.dirty()
    client.session.ended()
    assert not device.dirty()


def test_a_warning_lets_the_other_lines_in(device: Junos):
    client = Client(device, 1)
    with pytest.raises(RpcError, match="statement not found"):
        client.load("delete system domain-name x", LINE)
    client.ask("<commit-configuration/>")
    assert "host-name r2;" in device.running()


def test_a_confirmed_commit_outlives_its_session_and_comes_back(device: Junos):
    before = device.running()

    async def story() -> None:
        session = Session(device, Edit(1, USERNAME))
        await session.answer(etree.fromstring("<lock-configuration/>"))
        change(device.candidate, LINE)
        await session.answer(etree.fromstring(CONFIRMED))
        session.ended()

    asyncio.run(story())
    assert device.pending()
    assert "host-name r2;" in device.running()
    waiting = Client(device, 2).ask("<get-commit-information/>")
    assert waiting.count("rollback pending") == 1
    device.expire()
    assert device.running() == before
    assert not device.dirty()
    assert "rollback pending" not in Client(device, 2).ask("<get-commit-information/>")


def test_any_commit_confirms(device: Junos):
    async def story() -> None:
        session = Session(device, Edit(1, USERNAME))
        change(device.candidate, LINE)
        await session.answer(etree.fromstring(CONFIRMED))

    asyncio.run(story())
    device.type("set system host-name r3")
    assert not device.pending()


def test_a_private_candidate_is_merged_by_nobody_else(device: Junos):
    client = Client(device, 1)
    with pytest.raises(RpcError, match="uncommitted changes will be discarded on exit"):
        client.ask("<open-configuration><private/></open-configuration>")
    client.load(LINE)
    assert not device.dirty()
    Client(device, 2, "bob").ask("<commit-configuration/>")
    assert "host-name r1;" in device.running()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("set routing-options static route 10.1.0.0/16 tag 5", "next hop must be specified"),
        ("set routing-instances blue routing-options static route 10.1.0.0/16 discard", "instance-type"),
    ],
)
def test_what_a_commit_refuses(device: Junos, line: str, message: str):
    before = device.running()
    client = Client(device, 1)
    client.load(line)
    with pytest.raises(RpcError, match=message):
        client.ask("<commit-configuration/>")
    assert device.running() == before
