"""What one router shows: its routing and forwarding tables, the way to a next hop, and its neighbours."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from k8s_ecmp.errors import CommitFailed, ParseError, RouterError, SessionDown, TableUnreadable
from k8s_ecmp.model import Prefix, RunningRoutes
from k8s_ecmp.platforms.addresses import addresses_of
from k8s_ecmp.platforms.base import Installed, Neighbour, Verification
from k8s_ecmp.platforms.neighbours import neighbour_commands, read_neighbours
from k8s_ecmp.routers.driver import Driver
from k8s_ecmp.routers.drivers.vendor.base import describe
from k8s_ecmp.routers.port import Port
from k8s_ecmp.routers.tables import is_address

_T = TypeVar("_T")
_RETRY_S = 1.0
_AGAIN_S = 10.0  # what a new session may take behind one in which an answer is outstanding
_FEW = 24  # prefixes that are asked for one by one instead of reading the whole table


class Shown:
    """Asks one open driver. Every error that leaves it is a `RouterError` or a `ParseError`.

    Attributes:
        running: the configuration that was read last.
    """

    def __init__(self, driver: Driver, port: Port) -> None:
        self._driver = driver
        self._port = port
        self._unreadable = ""
        self._unanswered = ""
        self._fib_too_slow = False
        self.running = RunningRoutes(())

    def installed(
        self, vrf: str, prefixes: Sequence[Prefix] | None = None, standby: Collection[Prefix] = ()
    ) -> dict[Prefix, Installed] | None:
        """What the routing and forwarding tables hold in the VRF, or at some prefixes of it; of those others may lack.

        None where the platform does not show it, or the router's answers cannot be understood. A whole table is that
        of static routes: those in `standby` that it does not show in use are asked for one by one.
        """
        verification = self._verification
        if verification is None:
            return None
        commands = self.commands(vrf, prefixes)
        tables = self._tables(verification, "read the routing table", commands, verification.read_tables)
        if tables is None:
            return None
        found = {prefix: entry for (in_vrf, prefix), entry in tables.items() if in_vrf == vrf}
        unused = [prefix for prefix in standby if prefix not in found or not found[prefix].rib]
        if unused and (prefixes is None or len(prefixes) > _FEW):
            commands = verification.prefix_commands(vrf, unused)
            more = self._tables(verification, "read the routing table", commands, verification.read_tables)
            if more is None:
                return None
            found |= {prefix: entry for (in_vrf, prefix), entry in more.items() if in_vrf == vrf}
        return found

    def commands(self, vrf: str, prefixes: Sequence[Prefix] | None) -> tuple[str, ...]:
        """What `installed` asks at first; nothing where the platform does not show it."""
        verification = self._verification
        if verification is None:
            return ()
        if prefixes is not None and len(prefixes) <= _FEW:
            return verification.prefix_commands(vrf, prefixes)
        return verification.table_commands([vrf])

    @property
    def _verification(self) -> Verification | None:
        return self._port.syntax.verification if self._port.platform != "file" else None

    def unresolved(self, vrf: str, addresses: Sequence[str]) -> frozenset[str]:
        """Those of `addresses` that the router has no route to; nothing where the platform cannot tell.

        A router that knows the way to none of them may rather not show its ways: it is believed where it knows one to
        an address of the configuration that was read last.
        """
        missing = self._without_way(vrf, addresses)
        if self._port.capabilities.undo or missing != set(addresses):
            return missing
        known = [address for address in addresses_of(self.running, vrf, addresses) if address not in missing]
        return missing if len(self._without_way(vrf, known, unknown=known)) < len(known) else frozenset()

    def neighbours(
        self, vrf: str, expected: Mapping[Prefix, frozenset[str]], tables: Mapping[Prefix, Installed] | None = None
    ) -> list[Neighbour]:
        """What the router knows of next hops as neighbours; nothing where it does not show that.

        Args:
            vrf: the VRF.
            expected: labels of next hops by prefix.
            tables: what was read of them, where a platform shows neighbours there; None: that is read again.

        Raises:
            RouterError, ParseError: it cannot be asked, or its answer cannot be understood.
        """
        addresses = {label for labels in expected.values() for label in labels if is_address(label)}
        if not addresses or not self._port.capabilities.neighbours or self._port.platform == "file":
            return []
        asked = neighbour_commands(self._port.syntax.name, vrf, addresses)
        if asked:
            answers = called("ask for neighbours", self._driver.cli, list(asked))
            return [
                neighbour
                for command, family in asked.items()
                for neighbour in read_neighbours(self._port.syntax.name, family, command, answers[command])
            ]
        if tables is None:
            tables = self.installed(vrf, _samples(expected)) or {}
        return [neighbour for found in tables.values() for neighbour in found.neighbours]

    @property
    def blind(self) -> tuple[str, ...]:
        """The warning that the tables could not be read when they were last asked for; nothing if they were."""
        if not self._unreadable:
            return ()
        return (f"the configuration alone was verified, the router's tables cannot be read: {self._unreadable}",)

    @property
    def half_blind(self) -> tuple[str, ...]:
        """The warning that nothing could be read of a forwarding table; nothing if it always could."""
        if not self._unanswered:
            return ()
        return (f"the routing table alone was verified, not the forwarding table: {self._unanswered}",)

    def _without_way(self, vrf: str, addresses: Sequence[str], unknown: Collection[str] = ()) -> frozenset[str]:
        """Those without a route, as the router says it; `unknown` where it cannot tell."""
        verification = self._verification
        if verification is None or not addresses:
            return frozenset(unknown)
        commands = verification.resolve_commands(vrf, addresses)
        missing = self._tables(
            verification, "ask for next hops", commands, lambda a: verification.read_unresolved(vrf, addresses, a)
        )
        return frozenset(unknown) if missing is None else missing

    def _tables(
        self, verification: Verification, what: str, commands: Sequence[str], read: Callable[[Mapping[str, str]], _T]
    ) -> _T | None:
        """Asks the router; None where it refuses show commands or answers in a form of its own.

        Operating systems differ by release in what they print. A change that nobody can see in the tables is no reason
        to take it back where the configuration is as planned; the report warns. Our own drivers know their routers.
        """
        try:
            return self._read_tables(verification, what, commands, read)
        except SessionDown:
            raise
        except (TableUnreadable, RouterError) as error:
            if self._port.capabilities.undo or error.retryable:
                raise
            self._unreadable = str(error)
            return None

    def _read_tables(
        self, verification: Verification, what: str, commands: Sequence[str], read: Callable[[Mapping[str, str]], _T]
    ) -> _T:
        """Asks for the routing table, then for the forwarding table.

        Where that is refused, has a form of its own or comes too late, the routing table alone is read.
        """
        forwarding = [command for command in commands if verification.is_forwarding(command)]
        routing = [command for command in commands if command not in forwarding]
        answers: Mapping[str, str] = called(what, self._driver.cli, routing)
        if not forwarding or self._fib_too_slow:
            return read(answers)
        try:
            found = called("read the forwarding table", self._driver.cli, forwarding)
            whole = read({**answers, **found})
        except (TableUnreadable, RouterError) as error:
            if error.retryable:
                self._connect_again()
                self._fib_too_slow = True
                answers = called(what, self._driver.cli, routing)
            whole = read(answers)
            late = "it came too late, or the session broke off: " if error.retryable else ""
            self._unanswered = f"{late}{error}"
        else:
            if missing := [command for command in forwarding if command not in found]:
                self._unanswered = f"that is too long to be read, or the login may not see it ({missing[0]})"
        return whole

    def _connect_again(self) -> None:
        """Ends a session in which an answer is outstanding, and opens another."""
        deadline = time.monotonic() + _AGAIN_S
        while True:
            try:
                self._driver.close()
                called("connect again", self._driver.open)
            except RouterError as error:
                if not error.retryable or time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_S)
            else:
                return


def called(what: str, method: Any, *args: Any, **kwargs: Any) -> Any:
    """What a driver's method answers; whatever it raises is a `RouterError` or a `ParseError`."""
    try:
        return method(*args, **kwargs)
    except (RouterError, ParseError):
        raise
    except Exception as error:
        kind = CommitFailed if what == "commit" else RouterError
        raise kind(f"could not {what}: {describe(error)}") from error


def _samples(expected: Mapping[Prefix, frozenset[str]]) -> list[Prefix]:
    """A few prefixes that have all next hops, or as many of them as so few can have."""
    found: list[Prefix] = []
    seen: set[str] = set()
    for prefix, labels in expected.items():
        if not labels <= seen and len(found) < _FEW:
            found.append(prefix)
            seen |= labels
    return found
