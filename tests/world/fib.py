"""Every state that a router's kernel routes go through, as rtnetlink tells it.

FRR's routes refer to nexthop objects; their notifications carry the next hops all the same. IPv4 and IPv6 routes of the
main table are noted, those of the kernel itself (connected, link-local) left out.
"""

import contextlib
import ipaddress
import itertools
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple, Self

from tests.world.netns import Namespace, wait_for

Hops = frozenset[str]
GONE: Hops = frozenset()
Allowed = Mapping[str, Collection[Hops]]

_GROUPS = 0x40 | 0x400  # RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE
_RECEIVE_BUFFER = 64 << 20
_SO_RCVBUFFORCE = 33
_NLMSG_ERROR, _NLMSG_DONE, _RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 2, 3, 24, 25, 26
_NLM_F_REQUEST, _NLM_F_DUMP, _NLM_F_APPEND = 0x1, 0x300, 0x800
_RTA_DST, _RTA_GATEWAY, _RTA_MULTIPATH, _RTA_TABLE, _RTA_VIA = 1, 5, 9, 15, 18
_TABLE_MAIN, _PROTO_KERNEL = 254, 2
_UNICAST = 1
_NO_WAY = {6: "blackhole", 7: "unreachable", 8: "prohibit"}


class Sample(NamedTuple):
    """The next hops of a prefix from a moment of the monotonic clock on; no hops: the route is not there."""

    at: float
    hops: Hops


class Notice(NamedTuple):
    """One message of the kernel about one route."""

    prefix: str
    hops: Hops
    removed: bool
    appended: bool


class FibHistory:
    """Notes every state of every route of a router's namespace. Use as a context manager, or `close()` it."""

    def __init__(self, router: Namespace) -> None:
        self._router = router
        self._samples: dict[str, list[Sample]] = {}
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        with router.entered():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        self._socket.bind((0, _GROUPS))
        self._socket.setblocking(False)
        now = time.monotonic()
        for prefix, hops in self.kernel().items():
            self._samples[prefix] = [Sample(now, hops)]
        self._wake, self._bell = os.pipe()
        self._thread = threading.Thread(target=self._run, name="fib", daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.write(self._bell, b"x")
        self._thread.join()
        self._socket.close()
        os.close(self._wake)
        os.close(self._bell)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what a test asks

    def now(self, prefix: str) -> Hops:
        """The hops of a prefix as last told."""
        self._raise()
        with self._changed:
            samples = self._samples.get(prefix)
            return samples[-1].hops if samples else GONE

    def table(self) -> dict[str, Hops]:
        """All routes as last told."""
        self._raise()
        with self._changed:
            return {prefix: samples[-1].hops for prefix, samples in self._samples.items() if samples[-1].hops}

    def samples(self, prefix: str, since: float = 0) -> list[Sample]:
        """The states of a prefix from `since` on; the first is the one that held at that moment."""
        self._raise()
        with self._changed:
            samples = list(self._samples.get(prefix, ()))
        before = [sample for sample in samples if sample.at < since]
        start = before[-1].hops if before else GONE
        return [Sample(since, start), *(sample for sample in samples if sample.at >= since)]

    def await_hops(self, prefix: str, hops: Collection[str], timeout: float = 60) -> Sample:
        """Returns the sample by which the prefix had exactly these hops (none: was gone)."""
        return self.await_table({prefix: hops}, timeout)[prefix]

    def await_table(self, wanted: Mapping[str, Collection[str]], timeout: float = 60) -> dict[str, Sample]:
        """Returns, when every prefix of `wanted` has exactly those hops, the sample of each."""
        goal = {prefix: frozenset(hops) for prefix, hops in wanted.items()}
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                self._raise()
                found = {prefix: self._samples.get(prefix, [Sample(0, GONE)])[-1] for prefix in goal}
                wrong = [prefix for prefix, sample in found.items() if sample.hops != goal[prefix]]
                if not wrong:
                    return found
                left = deadline - time.monotonic()
                if left <= 0:
                    lines = [
                        f"{prefix}: {sorted(found[prefix].hops)} instead of {sorted(goal[prefix])}" for prefix in wrong
                    ]
                    raise TimeoutError(
                        f"after {timeout} s in the kernel of {self._router.name}: {'; '.join(lines[:8])}"
                    )
                self._changed.wait(left)

    def await_exactly(self, wanted: Mapping[str, Collection[str]], timeout: float = 60) -> None:
        """Returns when these routes are all that there is."""
        goal = {prefix: frozenset(hops) for prefix, hops in wanted.items()}
        try:
            wait_for(lambda: self.table() == goal, "exactly the wanted routes", timeout, 0.01)
        except TimeoutError as error:
            table = self.table()
            lines = [
                f"  {prefix}: {sorted(table.get(prefix, GONE))} instead of {sorted(goal.get(prefix, GONE))}"
                for prefix in sorted(table.keys() | goal.keys())
                if table.get(prefix, GONE) != goal.get(prefix, GONE)
            ]
            text = "\n".join(lines[:20])
            raise TimeoutError(f"{error} in the kernel of {self._router.name}; {len(lines)} differ:\n{text}") from error

    def violations(self, allowed: Allowed, since: float = 0) -> list[str]:
        """Every state since then that `allowed` does not name, as a line.

        Args:
            allowed: for a prefix the sets that it may have (`GONE` among them when it may be absent). A prefix that is
                not named may not exist.
            since: a moment of the monotonic clock.
        """
        self._raise()
        with self._changed:
            prefixes = set(self._samples) | set(allowed)
        found = []
        for prefix in sorted(prefixes):
            states = allowed.get(prefix, (GONE,))
            found += [
                f"{prefix} had {sorted(sample.hops)} at +{sample.at - since:.4f} s"
                for sample in self.samples(prefix, since)
                if sample.hops not in states
            ]
        return found

    def assert_only(self, allowed: Allowed, since: float = 0) -> None:
        """Fails when a prefix had a state that `allowed` does not name, or when the kernel has one that was not told."""
        found = self.violations(allowed, since)
        assert not found, f"wrong routes in {self._router.name}:\n" + "\n".join(found[:40])
        wait_for(lambda: self.kernel() == self.table(), f"what was told is what {self._router.name} has")

    def kernel(self) -> dict[str, Hops]:
        """The routes that the kernel has now, asked for by a dump."""
        with self._router.entered():
            asking = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        with contextlib.closing(asking):
            found: dict[str, Hops] = {}
            for family in (socket.AF_INET, socket.AF_INET6):
                body = struct.pack("=8BI", family, 0, 0, 0, 0, 0, 0, 0, 0)
                flags = _NLM_F_REQUEST | _NLM_F_DUMP
                asking.send(struct.pack("=IHHII", 16 + len(body), _RTM_GETROUTE, flags, 1, 0) + body)
                for notice in _dumped(asking):
                    found[notice.prefix] = notice.hops
            return found

    # --- how it listens

    def _run(self) -> None:
        ends: list[socket.socket | int] = [self._socket, self._wake]
        try:
            while True:
                readable, _, _ = select.select(ends, [], [])
                if self._socket in readable:
                    self._take()
                elif self._wake in readable:
                    return
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                text = self._socket.recv(1 << 17)
                at = time.monotonic()
                with self._changed:
                    for notice in _notices(text):
                        self._note(at, notice)
                    self._changed.notify_all()

    def _note(self, at: float, notice: Notice) -> None:
        samples = self._samples.setdefault(notice.prefix, [])
        before = samples[-1].hops if samples else GONE
        if notice.removed:
            hops = before - notice.hops  # a route of IPv6 may lose a single hop
        elif notice.appended:
            hops = before | notice.hops
        else:
            hops = notice.hops
        if hops != before or not samples:
            samples.append(Sample(at, hops))

    def _raise(self) -> None:
        if self._failure is not None:
            raise RuntimeError(f"the watch of {self._router.name} broke off") from self._failure


@contextlib.contextmanager
def histories(*routers: Namespace) -> Iterator[list[FibHistory]]:
    """A `FibHistory` of each router's namespace."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(FibHistory(router)) for router in routers]


def steps(old: Collection[str], new: Collection[str]) -> set[Hops]:
    """What a prefix may show while it goes from `old` to `new`: those two and their union, and nothing in between.

    FRR takes one added hop of a prefix at a time: where several are added, or a route is new, it may also show what
    both sets share and a part of the rest. An existing route is never without hops before it is to be gone.
    """
    before, after = frozenset(old), frozenset(new)
    both, rest = before & after, sorted(before ^ after)
    found = {before, after, before | after} if before and after else {before, after}
    if len(after - before) > 1:
        parts = itertools.chain.from_iterable(itertools.combinations(rest, size) for size in range(len(rest) + 1))
        found |= {hops for part in parts if (hops := both | frozenset(part))}
    return found


def timed(act: Callable[[], object], history: FibHistory, prefix: str, hops: Collection[str]) -> float:
    """Seconds from the start of `act` until the kernel told that the prefix has these hops."""
    start = time.monotonic()
    act()
    return history.await_hops(prefix, hops).at - start


# --- rtnetlink


def _dumped(asking: socket.socket) -> Iterator[Notice]:
    while True:
        text = asking.recv(1 << 20)
        yield from _notices(text)
        for kind, _, _ in _messages(text):
            if kind == _NLMSG_ERROR:
                raise OSError("the kernel refused a dump of its routes")
            if kind == _NLMSG_DONE:
                return


def _messages(text: bytes) -> Iterator[tuple[int, int, bytes]]:
    while len(text) >= 16:
        length, kind, flags = struct.unpack_from("=IHH", text)
        yield kind, flags, text[16:length]
        text = text[(length + 3) & ~3 :]


def _notices(text: bytes) -> Iterator[Notice]:
    for kind, flags, body in _messages(text):
        if kind in {_RTM_NEWROUTE, _RTM_DELROUTE} and (notice := _notice(kind, flags, body)):
            yield notice


def _notice(kind: int, flags: int, body: bytes) -> Notice | None:
    family, length, _, _, table, protocol, _, route_type = struct.unpack_from("=8B", body)
    attributes = dict(_attributes(body[12:]))
    if _RTA_TABLE in attributes:
        (table,) = struct.unpack("=I", attributes[_RTA_TABLE])
    if table != _TABLE_MAIN or protocol == _PROTO_KERNEL or route_type not in {_UNICAST, *_NO_WAY}:
        return None
    if family not in {socket.AF_INET, socket.AF_INET6}:
        return None
    size = 4 if family == socket.AF_INET else 16
    address = ipaddress.ip_address(attributes.get(_RTA_DST, bytes(size)))
    hops = frozenset({_NO_WAY[route_type]} if route_type in _NO_WAY else _hops(attributes))
    appended = family == socket.AF_INET6 and bool(flags & _NLM_F_APPEND)
    return Notice(f"{address}/{length}", hops, kind == _RTM_DELROUTE, appended)


def _hops(attributes: Mapping[int, bytes]) -> Iterator[str]:
    if _RTA_MULTIPATH not in attributes:
        yield _hop(attributes)
    text = attributes.get(_RTA_MULTIPATH, b"")
    while len(text) >= 8:
        (length,) = struct.unpack_from("=H", text)
        yield _hop(dict(_attributes(text[8:length])))
        text = text[(length + 3) & ~3 :]


def _hop(attributes: Mapping[int, bytes]) -> str:
    if _RTA_GATEWAY in attributes:
        return str(ipaddress.ip_address(attributes[_RTA_GATEWAY]))
    if _RTA_VIA in attributes:
        return str(ipaddress.ip_address(attributes[_RTA_VIA][2:]))
    return "connected"


def _attributes(text: bytes) -> Iterator[tuple[int, bytes]]:
    while len(text) >= 4:
        length, kind = struct.unpack_from("=HH", text)
        if length < 4:
            return
        yield kind & 0x3FFF, text[4:length]
        text = text[(length + 3) & ~3 :]
