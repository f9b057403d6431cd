"""The nodes as they are told of, one by one: their verdicts, and what holds them in or out until a time.

Nothing here knows a clock: times are arguments, and those of one node never go back.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from k8s_ecmp.core.conditions import is_available, is_ready, not_in_the_future, since
from k8s_ecmp.core.eligibility import (
    DRAIN_ANNOTATION,
    DRAIN_ID_ANNOTATION,
    Health,
    NodeVerdict,
    damped_health,
    is_well,
    judge_node,
)
from k8s_ecmp.core.flags import parse_bool
from k8s_ecmp.core.flapping import Flaps
from k8s_ecmp.core.unnoticed import Unnoticed
from k8s_ecmp.model import Condition, Node, Skipped
from k8s_ecmp.selector import Selector
from k8s_ecmp.settings import Settings

_UNANSWERED = "has not answered its health check yet"


class Counts(NamedTuple):
    """Nodes: those that are bad and those in all among the `selected` ones, and the eligible ones."""

    bad: int = 0
    selected: int = 0
    eligible: int = 0


@dataclass(slots=True)
class _NodeEntry:
    """A node as it is kept: `node` with its conditions' times as they count here, `told` as the API told them.

    `listed`: it was there when the cluster was first looked at, or came with a list. `before`: Ready and
    NetworkUnavailable as they were when they were good last.
    """

    node: Node
    told: tuple[Condition | None, Condition | None]
    verdict: NodeVerdict
    health: Health
    listed: bool
    notes: tuple[Skipped, ...] = ()
    before: tuple[Condition | None, Condition | None] = (None, None)


class LiveNodes:
    """Every node with its verdict. `verdicts` is kept up to date in place, `counts` sums them up."""

    def __init__(
        self, settings: Settings, follow: Callable[[str, NodeVerdict | None, NodeVerdict | None], None]
    ) -> None:
        """Knows no node yet.

        Args:
            settings: which nodes are selected, how long they are held, which guards look at them.
            follow: called with a node's name and its verdict before and after each judgement; None: there is no node.
        """
        self._settings = settings
        self._follow = follow
        self._selector = Selector.parse(settings.nodes.selector)
        self._flaps = Flaps(settings.nodes.hold_up_s)
        self._entries: dict[str, _NodeEntry] = {}
        self._drains: Mapping[str, str] = {}
        self._draining: dict[str, str] = {}
        self._deadlines: list[tuple[datetime, str]] = []
        self._snapshot: Mapping[str, NodeVerdict] | None = None
        self._unnoticed = Unnoticed()
        self._now = datetime.fromtimestamp(0, UTC)
        self.verdicts: dict[str, NodeVerdict] = {}
        self.counts = Counts()

    # --- what is told ---

    def put(self, node: Node, now: datetime, *, live: bool = True) -> None:
        """A node is new or different.

        Args:
            node: as the API tells it.
            now: the time of this decision.
            live: it was just told of as a change. A condition that changed before our eyes counts from now on, whatever
                the API server's clock says; one out of a list counts from the time that it states.
        """
        self._now = max(self._now, now)
        old = self._entries.get(node.name)
        told = (node.ready, node.network_unavailable)
        if old is None:
            timed = not_in_the_future(node, now)
        else:
            timed = msgspec.structs.replace(
                node,
                ready=since(node.ready, old.told[0], old.node.ready, is_ready, now, live=live),
                network_unavailable=since(
                    node.network_unavailable, old.told[1], old.node.network_unavailable, is_available, now, live=live
                ),
            )
            timed = self._as_if_nothing_had_happened(timed, old, now)
            if timed == old.node:
                old.told = told
                return
        health = Health(_UNANSWERED if self._settings.nodes.probe.enabled else None) if old is None else old.health
        entry = _NodeEntry(timed, told, _NO_VERDICT, health, not live if old is None else old.listed)
        if old is not None:
            self._note_losses(entry, old, now)
        self._entries[node.name] = entry
        self._judge(entry, None if old is None else old.verdict, now)

    def drop(self, name: str) -> None:
        """A node is gone."""
        entry = self._entries.pop(name, None)
        if entry is None:
            return
        self._flaps.drop(name)
        del self.verdicts[name]
        self._draining.pop(name, None)
        self._unnoticed.drop(name)
        self._changed(name, entry.verdict, None)

    def set_drains(self, reasons: Mapping[str, str], now: datetime) -> None:
        """All drain signals that stand on no Node object: node -> reason."""
        different = {name for name in {*reasons, *self._drains} if reasons.get(name) != self._drains.get(name)}
        self._drains = dict(reasons)
        for name in different:
            entry = self._entries.get(name)
            if entry is not None:
                self._judge(entry, entry.verdict, now)

    def set_health(self, name: str, ill: str | None, now: datetime) -> None:
        """What a node's own health check says: `ill` why it fails, None that it answers.

        A node that answers has to hold up, but not one of a list whose first answer this is: it was there before us.
        """
        self._now = max(self._now, now)
        entry = self._entries.get(name)
        if entry is None or entry.health.ill == ill:
            return
        if ill is None:
            first = entry.health.ill == _UNANSWERED and entry.listed
            excused = entry.health.excused_until is not None and now < entry.health.excused_until
            well_since = None if first or excused else now
            entry.health = entry.health._replace(ill=None, well_since=well_since, excused_until=None)
        else:
            entry.health = entry.health._replace(ill=ill)
        self._judge(entry, entry.verdict, now)

    # --- time ---

    def next_deadline(self) -> datetime | None:
        """When `advance` has something to do; None: never."""
        return self._deadlines[0][0] if self._deadlines else None

    def advance(self, now: datetime) -> None:
        """Ends the holds whose time has come."""
        self._now = max(self._now, now)
        while self._deadlines and self._deadlines[0][0] <= now:
            _, name = heapq.heappop(self._deadlines)
            entry = self._entries.get(name)
            if entry is not None and entry.verdict.changes_at is not None and entry.verdict.changes_at <= now:
                self._judge(entry, entry.verdict, now)

    def hold_or_let_go(self) -> None:
        """Nodes that are lost while "panic" holds everything leave no router: well again, they count at once."""
        for name in self._unnoticed.settled(self._now, panicking=self.panicking):
            self._let_go(self._entries[name])

    # --- what follows ---

    @property
    def panicking(self) -> bool:
        """Whether so many nodes are bad at once that guard "panic" holds everything."""
        most = self._settings.guards.max_not_ready_fraction
        return most < 1 and self.counts.bad > most * self.counts.selected

    @property
    def snapshot(self) -> Mapping[str, NodeVerdict]:
        """The verdicts of this moment by name, sorted; nobody changes it."""
        if self._snapshot is None:
            self._snapshot = dict(sorted(self.verdicts.items()))
        return self._snapshot

    @property
    def names(self) -> AbstractSet[str]:
        return self._entries.keys()

    @property
    def drains(self) -> Mapping[str, str]:
        """The drain signals that stand on no Node object, as they were told."""
        return self._drains

    def draining(self) -> dict[str, str]:
        """Nodes that are asked to leave -> the id that their annotation gives the drain, "" where there is none."""
        return dict(self._draining)

    def objects(self) -> tuple[Node, ...]:
        """The nodes with their conditions' times as they count here."""
        return tuple(entry.node for entry in self._entries.values())

    def health(self) -> dict[str, Health]:
        """What was seen of each beyond its object."""
        return {name: entry.health for name, entry in self._entries.items()}

    def notes(self) -> Iterable[Skipped]:
        """What of them was left out."""
        return (note for entry in self._entries.values() for note in entry.notes)

    # --- inside ---

    def _as_if_nothing_had_happened(self, node: Node, old: _NodeEntry, now: datetime) -> Node:
        """The node; a condition that is good again, and never counted as lost, is as old as it was before."""
        ready, network = node.ready, node.network_unavailable
        ready_is_back = is_ready(ready) and not is_ready(old.node.ready)
        network_is_back = is_available(network) and not is_available(old.node.network_unavailable)
        if not ready_is_back and not network_is_back:
            return node
        counted = damped_health(old.node, self._settings.nodes, now, old.health)
        if ready is not None and ready_is_back and counted.ready.good:
            ready = Condition(ready.status, _since(old.before[0]))
        if network is not None and network_is_back and counted.network.good:
            network = Condition(network.status, _since(old.before[1]))
        return msgspec.structs.replace(node, ready=ready, network_unavailable=network)

    def _note_losses(self, entry: _NodeEntry, old: _NodeEntry, now: datetime) -> None:
        """Of conditions that go bad: what they were before, and whether they are given time."""
        ready, network = entry.before = old.before
        ready_is_lost = is_ready(old.node.ready) and not is_ready(entry.node.ready)
        network_is_lost = is_available(old.node.network_unavailable) and not is_available(
            entry.node.network_unavailable
        )
        if not ready_is_lost and not network_is_lost:
            return
        counted = damped_health(old.node, self._settings.nodes, now, old.health).good
        if ready_is_lost:
            ready = old.node.ready
            entry.health = entry.health._replace(ready_held_down=counted)
        if network_is_lost:
            network = old.node.network_unavailable
            entry.health = entry.health._replace(network_held_down=counted)
        entry.before = ready, network

    def _let_go(self, entry: _NodeEntry) -> None:
        """Nothing holds a node any more that is not back: its loss begins now, with the time that one is given.

        What of it is well again was never missed. One whose health check failed may only not have been asked again yet:
        as many failures as ever are to be seen.
        """
        now = self._now
        entry.node = _well_all_the_time(entry.node, bad_since=now)
        entry.before = (None, None)
        probe = self._settings.nodes.probe
        rounds = timedelta(seconds=probe.interval_s * probe.failures) if entry.health.ill is not None else None
        excused_until = None if rounds is None else now + rounds
        entry.health = entry.health._replace(
            well_since=None, ready_held_down=True, network_held_down=True, excused_until=excused_until
        )
        self._flaps.forgive(entry.node.name)
        self._judge(entry, entry.verdict, now)

    def _return_at_once(self, entry: _NodeEntry) -> bool:
        """Whether nobody has missed the node, so that it has nothing to prove, and its loss is not counted."""
        if not self._unnoticed.back(entry.node.name):
            return False
        self._flaps.forgive(entry.node.name)
        entry.node = _well_all_the_time(entry.node)
        entry.health = entry.health._replace(well_since=None)
        return True

    def _judge(self, entry: _NodeEntry, old: NodeVerdict | None, now: datetime) -> None:
        name = entry.node.name
        well = is_well(entry.node) and entry.health.ill is None
        returns = well and self._return_at_once(entry)
        verdict = self._verdict_of(entry, now)
        if old is not None and old.healthy and not verdict.healthy:
            if not well and old.standing != "out":  # no planned loss, of a node that was out already
                self._unnoticed.lost(name, self._now)
                self._flaps.lost(name, now)
            # From now on, and not from its last loss, however long ago that was.
            entry.health = entry.health._replace(hold_up_s=self._flaps.hold_up_s(name, now))
            verdict = self._verdict_of(entry, now)
        entry.verdict = self.verdicts[name] = verdict
        if verdict.standing != "out":
            if not returns and (old is None or old.standing == "out"):
                self._unnoticed.came(name)
            self._unnoticed.forget(name)
        if verdict.standing == "draining" or parse_bool(entry.node.annotations.get(DRAIN_ANNOTATION, "")):
            self._draining[name] = entry.node.annotations.get(DRAIN_ID_ANNOTATION, "")
        else:
            self._draining.pop(name, None)
        if verdict.changes_at is not None:
            heapq.heappush(self._deadlines, (verdict.changes_at, name))
        self._changed(name, old, verdict)

    def _verdict_of(self, entry: _NodeEntry, now: datetime) -> NodeVerdict:
        verdict, entry.notes = judge_node(
            entry.node, self._selector, self._settings.nodes, now, self._drains.get(entry.node.name), entry.health
        )
        return verdict

    def _changed(self, name: str, old: NodeVerdict | None, new: NodeVerdict | None) -> None:
        self._snapshot = None
        bad, selected, eligible = self.counts
        for verdict, by in ((old, -1), (new, 1)):
            if verdict is not None:
                bad += by * (verdict.bad and verdict.selected)
                selected += by * verdict.selected
                eligible += by * (verdict.standing == "eligible")
        self.counts = Counts(bad, selected, eligible)
        self._follow(name, old, new)


def _well_all_the_time(node: Node, bad_since: datetime | None = None) -> Node:
    """The node with conditions that are good as they always were; what is bad is so since then."""
    ready, network = node.ready, node.network_unavailable
    if ready is not None:
        ready = Condition(ready.status, None if is_ready(ready) else bad_since)
    if network is not None:
        network = Condition(network.status, None if is_available(network) else bad_since)
    return msgspec.structs.replace(node, ready=ready, network_unavailable=network)


def _since(condition: Condition | None) -> datetime | None:
    return None if condition is None else condition.since


_NO_VERDICT = NodeVerdict("", "out", "", False, False, {}, {}, {}, {})
