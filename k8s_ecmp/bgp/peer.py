"""One peer as the bridge sees it: what is announced to it, and what its sessions say."""

import itertools
import sqlite3
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from k8s_ecmp.bgp.announced import Announced, Hop, Hops, Wanted
from k8s_ecmp.bgp.events import Negotiated
from k8s_ecmp.bgp.lines import (
    BLOCK,
    FAMILIES,
    MAX_PATH_ID,
    announcements,
    check_attributes,
    check_mark,
    check_prefix,
    check_route,
    withdrawals,
)
from k8s_ecmp.bgp.peers import PeerConfig, Session
from k8s_ecmp.bgp.troubles import say

_T = TypeVar("_T")
_LEAST_MEMORY_S = 300.0
_SAID_S = 60.0


@dataclass
class Link:
    """One session. `epoch` counts how often it came up; `families` are those that both sides have, `add_path` those of
    them in which it may carry several paths for a prefix.
    """

    session: Session
    index: int
    up: bool = False
    since: float = field(default_factory=time.time)
    reason: str = "not yet established"
    epoch: int = 0
    synced: bool = False
    families: frozenset[str] = frozenset()
    add_path: frozenset[str] = frozenset()

    def agree(self, agreed: Negotiated) -> None:
        self.families, self.add_path = agreed.families, agreed.add_path


class Change(NamedTuple):
    """What is to be said: by prefix the slots with another next hop than before, and (prefix, slot) without one."""

    gained: Mapping[str, Collection[int]]
    left: Collection[tuple[str, int]]


class Peer:
    """What one peer is to be told. Memory and file are the same at every moment that another task can see."""

    def __init__(self, config: PeerConfig, announced: Announced) -> None:
        """Reads the file.

        Raises:
            ValueError: the configuration names attributes that ExaBGP cannot be given.
        """
        self._announced = announced
        self.links: list[Link] = []
        self.behind = True
        """Whether other replicas, where there are any, shall be preferred: nobody has yet said that it is current."""
        self.configure(config)
        self.note: str | None = None
        """Why nothing is announced, where that is not what a client asked for."""
        self.version = 0
        """Counts the changes of what is announced, and of what can be."""
        self._begun = False
        self._finish()

    def configure(self, config: PeerConfig) -> None:
        """Is from now on configured like this; sessions that stay keep their state. Not while something is changed.

        Raises:
            ValueError: the configuration names attributes that ExaBGP cannot be given.
        """
        check_attributes(config.attributes)
        check_attributes(config.attributes_behind or "")
        before = {link.session: link for link in self.links}
        self.config = config
        self.links = [before.get(session) or Link(session, 0) for session in config.sessions]
        for number, link in enumerate(self.links):
            link.index = number
        self._read()

    @property
    def routes(self) -> Mapping[str, Hops]:
        """What is announced, by prefix."""
        return self._routes

    @property
    def attributes(self) -> str:
        """What stands in every announcement at the moment."""
        behind = self.config.attributes_behind
        return behind if self.behind and behind is not None else self.config.attributes

    def closed(self) -> dict[int, str]:
        """By address family (4 or 6), why nothing can be added in it and what to do; of sessions that are up alone."""
        found: dict[int, str] = {}
        for link in self.links:
            for number in self.config.families:
                name, there = FAMILIES[number], link.session.peer
                if not link.up or number in found:
                    continue
                if name not in link.families:
                    found[number] = (
                        f"{there} has not activated {name} for {link.session.local}: activate it there, or take it out "
                        "of bgp.families in the inventory"
                    )
                elif self.config.add_path and name not in link.add_path:
                    found[number] = (
                        f"{there} does not take several paths for a prefix in {name}: let it receive additional paths "
                        "(RFC 7911), or name as many bgp.local_addresses in the inventory as a prefix shall have next "
                        "hops"
                    )
        return found

    def refusal(self) -> str | None:
        """All of `closed`; None: everything can be added."""
        return "; ".join(self.closed().values()) or None

    def check(self, wanted: Wanted) -> None:
        """Looks whether these next hops can be announced; nothing is changed.

        Raises:
            ValueError: something in it cannot.
        """
        closed, limit = self.closed(), self.config.max_paths
        for prefix, hops in wanted.items():
            check_route(prefix, [hop for hop, _, _ in hops])
            family = check_prefix(prefix)
            if hops and family not in self.config.families:
                raise ValueError(f"{prefix} is of a family that bgp.families does not have")
            if family in closed:
                standing = self._routes.get(prefix, {})
                if any(hop not in standing for hop, _, _ in hops):
                    raise ValueError(f"{prefix} can get no more next hops: {closed[family]}")
            if limit is not None and (count := len({hop for hop, _, _ in hops})) > limit:
                raise ValueError(f"{prefix} has {count} next hops; {limit} sessions carry one each")
            for _, tag, name in hops:
                check_mark(tag, name)

    def begin(self, wanted: Wanted) -> None:
        """Keeps a change, which was checked, before it is `set` in pieces: where it is broken off, the next bridge of
        these files sets all of it.
        """
        self._announced.begin(self.config.name, wanted)
        self._begun = True

    def forget_begun(self) -> None:
        """A change of which a piece could not be written stays as it is: its client knows. Not while one is written."""
        if self._begun:
            self._announced.forget_begun(self.config.name)
            self._begun = False

    def set(self, wanted: Wanted, *, last: bool = True) -> Change:
        """Takes new next hops, which were checked, for some prefixes, and writes them down: all of them or none.

        Args:
            wanted: by prefix.
            last: whether no more pieces follow of what was begun.
        """
        fresh: dict[str, int] = {}
        changed = {prefix: self._placed(prefix, hops, fresh) for prefix, hops in wanted.items()}
        gained: dict[str, set[int]] = {}
        left, back = [], []
        for prefix, placed in changed.items():
            before = {hop.slot: address for address, hop in self._routes.get(prefix, {}).items()}
            after = {hop.slot: address for address, hop in placed.items()}
            gained[prefix] = {slot for slot, address in after.items() if before.get(slot) != address}
            left += [(prefix, slot) for slot in before.keys() - after.keys()]
            back += [(prefix, slot) for slot in after.keys() - before.keys() if (prefix, slot) in self.leaving]
        now = time.time()
        self._announced.change(self.config.name, changed, fresh, left, back, now, last=last)
        self._begun = self._begun and not last
        self.version += 1
        self._path_ids |= fresh
        self.leaving.update(dict.fromkeys(left, now))
        for key in back:
            self.leaving.pop(key, None)
        for prefix, placed in changed.items():
            if placed:
                self._routes[prefix] = placed
            else:
                self._routes.pop(prefix, None)
        return Change(gained, left)

    def lines(self, change: Change) -> Iterator[list[str]]:
        """What its sessions are told of a change, block by block: at each prefix all that is new comes first."""
        for link in self.links:
            yield from self.announce(link, change.gained)
        for link in self.links:
            yield from self.withdraw(link, change.left)

    def forget_leaving(self) -> None:
        """Drops withdrawals that every session was told and that are older than twice the restart time.

        None while a session takes one path for a prefix: what `withdraw` put in the place of others is to go, too.
        FRR 8.4 keeps stale paths beyond the restart time, unused, and uses them again when the session comes up.
        """
        if self.closed() or not all(link.synced and time.time() - link.since > _SAID_S for link in self.links):
            return
        before = time.time() - max(_LEAST_MEMORY_S, 2 * self.config.restart_s)
        old = [key for key, at in self.leaving.items() if at < before]
        if old:
            self._announced.forget_leaving(self.config.name, before)
            for key in old:
                del self.leaving[key]

    def announce(self, link: Link, slots: Mapping[str, Collection[int]] | None = None) -> Iterator[list[str]]:
        """Lines that announce what is there, block by block; each looks when it is asked for.

        Args:
            link: on which session.
            slots: by prefix which of its slots; None: everything.
        """
        selector = link.session.selector
        for block in _blocks(list(self._routes) if slots is None else slots):
            routes = {
                prefix: self._slots(link, prefix, None if slots is None else slots[prefix])
                for prefix in block
                if prefix in self._routes
            }
            yield list(announcements(selector, self.attributes, routes))

    def withdraw(self, link: Link, keys: Iterable[tuple[str, int]]) -> Iterator[list[str]]:
        """Lines that withdraw those of (prefix, slot) that carry nothing.

        A peer that takes one path for a prefix would lose it with any of them. Where a next hop stays, it is told that
        one in the place of each that leaves: the prefix is never gone, and ExaBGP keeps no dead next hop to repeat.
        """
        selector = link.session.selector
        singles = self._singles(link)
        mine = (key for key in keys if self.config.add_path or key[1] == link.index)
        for block in _blocks(mine):
            slots: dict[str, dict[int, str | None]] = {}
            for prefix, slot in block:
                if prefix in singles:
                    stays = next(iter(self._routes.get(prefix, ())), None)
                    slots[prefix] = dict.fromkeys(singles[prefix], stays)
                elif (prefix, slot) in self.leaving:
                    slots.setdefault(prefix, {})[slot if self.config.add_path else 0] = None
            yield [*announcements(selector, self.attributes, slots), *withdrawals(selector, slots)]

    def _singles(self, link: Link) -> Mapping[str, Collection[int]]:
        """The prefixes of which the peer takes one path, though the session is for many: all slots that are left."""
        if not (self.config.add_path and link.up):
            return {}
        found: dict[str, set[int]] = defaultdict(set)
        families = {number for number, name in FAMILIES.items() if name not in link.add_path}
        if families:
            for prefix, slot in self.leaving:
                if check_prefix(prefix) in families:
                    found[prefix].add(slot)
        return found

    def farewell(self, link: Link) -> Iterator[list[str]]:
        """Lines that withdraw everything from a session that will not be there any more: without them a peer that
        restarts gracefully would keep it for a while.
        """
        for block in _blocks(list(self._routes)):
            slots = {p: dict.fromkeys(self._slots(link, p, None)) for p in block if p in self._routes}
            yield list(withdrawals(link.session.selector, slots))

    def _slots(self, link: Link, prefix: str, only: Collection[int] | None) -> dict[int, str | None]:
        """By path identifier, what stands in the prefix's slots that this session carries."""
        found: dict[int, str | None] = {}
        for address, (_, _, slot) in self._routes[prefix].items():
            if only is None or slot in only:
                if self.config.add_path:
                    found[slot] = address
                elif slot == link.index:
                    found[0] = address
        return found

    def _placed(self, prefix: str, hops: Iterable[tuple[str, int | None, str | None]], fresh: dict[str, int]) -> Hops:
        """The hops with their slots: a hop that stays keeps its own."""
        marks = {hop: (tag, name) for hop, tag, name in hops}
        if self.config.add_path:
            return {hop: Hop(*mark, self._path_id(hop, fresh)) for hop, mark in marks.items()}
        count = len(self.links)
        placed = {hop: old.slot for hop, old in self._routes.get(prefix, {}).items() if hop in marks}
        for hop in marks:
            if hop not in placed:
                liked = (self._path_id(hop, fresh) - 1) % count
                taken = set(placed.values())
                free = (slot % count for slot in range(liked, liked + count))
                placed[hop] = next(slot for slot in free if slot not in taken)
        return {hop: Hop(*mark, placed[hop]) for hop, mark in marks.items()}

    def _path_id(self, hop: str, fresh: dict[str, int]) -> int:
        found = self._path_ids.get(hop) or fresh.get(hop)
        if found is None:
            found = fresh[hop] = max((*self._path_ids.values(), *fresh.values()), default=0) + 1
            if found > MAX_PATH_ID:
                raise ValueError("no path identifier is left")
        return found

    def _finish(self) -> None:
        """What a bridge that died had begun to write, as far as the sessions can carry it now."""
        if (begun := self._announced.begun(self.config.name)) is None:
            return
        families, limit = self.config.families, self.config.max_paths
        try:
            self.set({p: list(hops)[:limit] for p, hops in begun.items() if check_prefix(p) in families})
        except sqlite3.Error as error:  # a full disk: what is there is announced, and the next bridge tries again
            say(f"{self.config.name}: a change that was broken off cannot be finished: {error}")

    def _read(self) -> None:
        name = self.config.name
        self._routes = self._announced.routes(name)
        self._path_ids = self._announced.path_ids(name)
        self.leaving = self._announced.leaving(name)
        if others := [prefix for prefix in self._routes if check_prefix(prefix) not in self.config.families]:
            self._announced.change(name, {prefix: {} for prefix in others}, {}, (), (), time.time())
            for prefix in others:
                del self._routes[prefix]
        self.leaving = {key: at for key, at in self.leaving.items() if check_prefix(key[0]) in self.config.families}
        kind = "add-path" if self.config.add_path else f"{len(self.links)} sessions"
        if self._announced.kind(name) == kind:
            return
        old, self._routes, self.leaving = self._routes, {}, {}
        fresh: dict[str, int] = {}
        limit = self.config.max_paths
        for prefix, hops in old.items():
            kept = [(address, hop.tag, hop.name) for address, hop in hops.items()][:limit]
            self._routes[prefix] = self._placed(prefix, kept, fresh)
        self._path_ids |= fresh
        self._announced.start_anew(name, kind, self._routes, self._path_ids)


def _blocks(items: Iterable[_T]) -> Iterator[list[_T]]:
    left = iter(items)
    while block := list(itertools.islice(left, BLOCK)):
        yield block
