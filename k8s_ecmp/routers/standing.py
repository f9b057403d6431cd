"""A session to one router that stays open: what a daemon reads through it and commits, as fast as is safe.

It knows the router's routes between two commits, so that a change costs no reading of the whole configuration. What it
knows is dropped as soon as anything speaks against it: another session of this tool, a hop that is not ours at a prefix
to be changed, an error. Not for several threads.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nornir.core.configuration import Config
from nornir.core.inventory import Host

from k8s_ecmp.core.configured import configured_problems
from k8s_ecmp.core.ownership import Marks
from k8s_ecmp.core.selection import RouterView
from k8s_ecmp.core.table import Table
from k8s_ecmp.errors import EcmpError, PlanRefused, RouterError, SessionDown, VerifyFailed
from k8s_ecmp.model import NextHop, Prefix, RouteChange, RouterPlan, RunningRoutes, StaticRoute
from k8s_ecmp.platforms.base import Installed
from k8s_ecmp.platforms.edits import apply_edits
from k8s_ecmp.routers.applying import settled_on_error, taken_back_on_error
from k8s_ecmp.routers.connection import connect
from k8s_ecmp.routers.driver import Watching
from k8s_ecmp.routers.hosts import CONNECTION, router_view
from k8s_ecmp.routers.inventory import reach_through_exabgp
from k8s_ecmp.routers.port import Port, hops_of
from k8s_ecmp.routers.session import NEVER_WRITE, new_session, template_for
from k8s_ecmp.routers.tables import floating, silent_hops, table_problems
from k8s_ecmp.routers.through import prefixes_through
from k8s_ecmp.routers.transaction import Transaction
from k8s_ecmp.settings import Settings

if TYPE_CHECKING:
    from k8s_ecmp.routers.drivers.frr.keeping import Keeping

_FEW = 24
_SLOW_STAGE_S = 1.0

Permission = Callable[[], None]
"""Asked directly before a commit; raises when nothing may be written now."""


class StandingSession:
    """One router: `connect`, then `read`, then any number of `commit`."""

    def __init__(self, host: Host, configuration: Config, settings: Settings, *, fence_s: int = 0) -> None:
        """Reads the inventory; connects to nothing yet.

        Args:
            host: Nornir's.
            configuration: Nornir's.
            settings: owner, tag, rollout.
            fence_s: a commit that reaches the router so many seconds after it was prepared is refused there, where the
                driver can; 0: no such limit.
        """
        self._host = host
        self._configuration = configuration
        self._settings = settings
        self._fence_s = fence_s
        self.view: RouterView = router_view(host)
        self._driver: Any = None
        self._keeping: Keeping | None = None
        self._transaction: Transaction | None = None
        self._table: Table | None = None
        self._reads: int | None = None
        self._reachable: set[str] = set()
        self._unsaved = False  # what a session owed that was lost

    @property
    def connected(self) -> bool:
        return self._transaction is not None

    @property
    def table(self) -> Table | None:
        """What is known to run; None: it has to be read."""
        return self._table

    @cached_property
    def port(self) -> Port:
        """What the router's platform promises."""
        return Port.of(self._host)

    @property
    def _marks(self) -> Marks:
        return self.port.traits.marks(self._settings, self.view)

    @property
    def saves_later(self) -> bool:
        """Whether a commit waits for `save_startup`."""
        return self._keeping is not None and self._keeping.unsaved

    def connect(self) -> None:
        """Opens the session.

        Raises:
            UnsupportedPlatform: nobody drives the router, or this version does not write to it.
            RenderError: the user's template cannot be read.
            RouterError: no connection; a subclass says why.
        """
        self.close()
        port = _followed(self._host)
        template = template_for(self._settings, port)
        self._driver = connect(self._host, self._configuration)
        self._keeping = getattr(self._driver, "keeping", None)
        if self._keeping is not None:
            self._keeping.fence(self._fence_s)
            self._keeping.keep_applied()
            self._keeping.acknowledge_at_once()
            writes = self._settings.mode not in NEVER_WRITE
            if self._unsaved or (writes and self._keeping.found_unsaved):
                self._keeping.expect_unsaved()
        self._transaction = Transaction(self._driver, port, template, kept=self._keeping is not None)

    def close(self) -> None:
        """Leaves the router as it is, its startup configuration saved where it can be. May be called at any time."""
        transaction, self._transaction, self._driver, self._table = self._transaction, None, None, None
        keeping, self._keeping = self._keeping, None
        self._reachable.clear()
        if transaction is not None:
            with contextlib.suppress(EcmpError):
                transaction.discard()
        with contextlib.suppress(Exception):
            self._host.close_connection(CONNECTION)
        if keeping is not None:
            self._unsaved = keeping.unsaved

    def forget(self) -> None:
        """What is known may be wrong; the next thing is to read."""
        self._table = None
        self._reachable.clear()

    def check(self) -> None:
        """Asks the router for a sign of life, and forgets what is known when another session has held its lock.

        Raises:
            RouterError: there is none.
        """
        if self._driver is None or not self._driver.is_alive().get("is_alive"):
            raise RouterError(f"router {self._host.name}: the session was lost")
        watching = self._driver if self._keeping is None else self._keeping
        if isinstance(watching, Watching) and watching.changed_by_others():
            self.forget()

    def read(self, *, recover: bool) -> Table:
        """The whole running configuration.

        Args:
            recover: first settle what a process that died left unconfirmed: kept where it was applied in full.

        Raises:
            ChangePending: such a change is there and `recover` is false.
            ParseError: the text cannot be understood.
            RouterError: anything else.
        """
        session = self._open()
        self.forget()
        if recover:
            session.begin()
            session.discard()
        else:
            session.expect_settled()
        table = self._know(session.read())
        self._reads = None if self._keeping is None else self._keeping.reads
        return table

    def installed(self) -> dict[Prefix, Installed] | None:
        """The router's routing and forwarding tables; None where it does not show them."""
        tables = self._open().shown.installed(self.view.vrf, standby=self._standby())
        if tables is not None:
            self._reachable.update(label for found in tables.values() for label in found.fib)
        return tables

    def unresolved(self, addresses: Collection[str]) -> frozenset[str]:
        """Those of `addresses` to which the router has no way; asks only for those that no route of it uses."""
        unknown = [address for address in addresses if address not in self._reachable]
        if not unknown:
            return frozenset()
        missing = self._open().shown.unresolved(self.view.vrf, sorted(unknown))
        self._reachable.update(set(unknown) - missing)
        return missing

    def drift_in_tables(self) -> tuple[str, ...]:
        """How routing and forwarding tables differ from the configuration of our routes, a sentence each."""
        try:
            tables = self.installed()
        except SessionDown as error:
            return (self._open().why_down(error),)
        if tables is None or self._table is None:
            return ()
        expected = {p: frozenset(hop.table_label for hop in r.next_hops) for p, r in self._table.owned.items()}
        missing = {
            a for p, labels in expected.items() for a in labels - (tables[p].fib if p in tables else frozenset())
        }
        if missing:
            lost = self._open().shown.unresolved(
                self.view.vrf, sorted(a for a in missing if " " not in a and a != "discard")
            )
            expected = {p: labels - lost for p, labels in expected.items()}
        received = self._open().compare_received(expected, whole=True)
        return table_problems(tables, expected, self._standby()) + received.problems

    def silent_hops(self) -> tuple[str, ...]:
        """A sentence for each next hop of ours that does not answer ARP or ND, as far as the router shows that."""
        owned = self._table.owned if self._table is not None else {}
        expected = {p: frozenset(hop.table_label for hop in route.next_hops) for p, route in owned.items()}
        with contextlib.suppress(EcmpError):
            return silent_hops(self._open().shown.neighbours(self.view.vrf, expected), expected)
        return ()

    def _standby(self) -> Mapping[Prefix, int]:
        """The floating ones among our routes."""
        known = self._table
        owned = known.owned.items() if known is not None else ()
        return floating(((prefix, route.next_hops) for prefix, route in owned), self._open().default_distance)

    def through(
        self, addresses: Collection[str], tables: Mapping[Prefix, Installed] | None = None
    ) -> tuple[Prefix, ...]:
        """Our prefixes that go through one of the addresses, by what is known to run and by `tables`.

        Raises:
            RouterError: nothing is known; `read` first.
        """
        if self._table is None:
            raise RouterError(f"router {self._host.name} has to be read first")
        return prefixes_through(self._table.running, tables, self._marks, self.view.vrf, addresses)

    def commit(
        self,
        planned: RouterPlan,
        permission: Permission,
        hurry: Callable[[], bool] = lambda: False,
        announce: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> tuple[str, ...]:
        """Makes the planned changes, verifies and confirms them.

        Args:
            planned: made from `table`.
            permission: asked directly before the commit.
            hurry: whether there is no time left to wait for the tables to show it.
            announce: called with the commands before they are staged; must not take long.

        Returns:
            Warnings.

        Raises:
            PlanRefused: what runs is no longer what the plan was made from; nothing was written.
            NotLeading: what `permission` raised; nothing was written.
            VerifyFailed: it was committed, did not show, and was taken back.
            RouterError: anything else; the message says what is left.
        """
        session = self._open()
        table = self._table
        if table is None:
            raise PlanRefused(f"router {self._host.name} has to be read first")
        changes = planned.changes
        gaining = [change for change in changes if change.add]
        try:
            began = time.monotonic()
            if self._keeping is None:
                table = self._read_again(session, table, changes)
            elif _tables_tell(gaining):
                prefixes = [change.prefix for change in gaining]
                self._keeping.look_along(session.shown.commands(self.view.vrf, prefixes))
            commands = session.stage(changes, table.running, announce=announce)
            self._expect_unchanged(session, table, gaining)
            if time.monotonic() - began > _SLOW_STAGE_S and self._keeping is not None:
                self._keeping.renew_fence()
            permission()
            warnings = self._commit(session, changes, hurry)
        except BaseException:
            self.forget()
            raise
        finally:
            with contextlib.suppress(EcmpError):
                session.discard()
        # What is confirmed stays confirmed, whatever the reading behind it says.
        try:
            self._follow(session, table, commands, {change.prefix for change in changes})
        except EcmpError:
            self.forget()
        return warnings

    def save_startup(self) -> None:
        """Saves the startup configuration where the driver leaves that to us."""
        if self._keeping is not None and self._keeping.unsaved:
            self._keeping.save_startup()

    # --- inside ---

    def _open(self) -> Transaction:
        if self._transaction is None:
            raise RouterError(f"router {self._host.name}: no session")
        return self._transaction

    def _know(self, running: RunningRoutes) -> Table:
        self._table = Table.of(running, self._marks, self.view.vrf)
        return self._table

    def _follow(
        self, session: Transaction, before: Table, commands: Sequence[str], changed: AbstractSet[Prefix]
    ) -> None:
        """What is known once a commit is confirmed."""
        if self._keeping is not None:
            edits = self.port.syntax.edits(before.running, "\n".join(commands))
            self._know(self.port.syntax.parse(apply_edits(before.running.text, edits)))
            return
        after = self._know(session.read())
        if any(not after.alike(before, prefix) for prefix in (before.owned.keys() | after.owned.keys()) - changed):
            self.forget()  # it is read in full, and planned

    def _read_again(self, session: Transaction, table: Table, changes: Sequence[RouteChange]) -> Table:
        """For drivers that cannot tell whether somebody else was there, at these changes or at any route of ours.

        A BGP peer's takes what it reads here for known: nobody would tell later that routes of ours have gone.
        """
        fresh = self._know(session.read())
        looked_at = {*table.owned, *fresh.owned, *(change.prefix for change in changes)}
        if any(not fresh.alike(table, prefix) for prefix in looked_at):
            raise PlanRefused(f"router {self._host.name} was changed by somebody else")
        return fresh

    def _expect_unchanged(self, session: Transaction, table: Table, gaining: Sequence[RouteChange]) -> None:
        """Looks for what others did meanwhile at the prefixes that gain a hop: on FRR it would take over our tag.

        Raises:
            PlanRefused: something is there that the plan does not know.
        """
        if self._keeping is not None and self._keeping.reads != self._reads:
            raise PlanRefused(f"another session has changed router {self._host.name}")
        if session.diff_has_changed():
            raise PlanRefused(f"other lines on router {self._host.name} were changed by somebody else")
        if not gaining:
            return
        prefixes = [change.prefix for change in gaining]
        known = {p: table.here[p] for p in prefixes if p in table.here}
        # Behind a better route some platforms show nothing.
        try:
            tables = session.shown.installed(self.view.vrf, prefixes) if _tables_tell(gaining) else None
        except SessionDown:
            tables = None
        if tables is None or any(found.better and found.behind is None for found in tables.values()):
            running = session.read()
            self._reads = None if self._keeping is None else self._keeping.reads
            now = {p: route for p in prefixes if (route := running.get(self.view.vrf, p)) is not None}
            changed = [p for p in prefixes if _hops(now.get(p)) != _hops(known.get(p))]
        else:
            changed = [
                p for p, found in tables.items() if not _shown(found) <= {h.table_label for h in _hops(known.get(p))}
            ]
        if changed:
            raise PlanRefused(f"{changed[0]} on router {self._host.name} was changed by somebody else")

    def _commit(
        self, session: Transaction, changes: Sequence[RouteChange], hurry: Callable[[], bool]
    ) -> tuple[str, ...]:
        rollout = self._settings.rollout
        with settled_on_error(session):
            session.commit(rollout.confirm_within_s, hops_of(changes))
        with taken_back_on_error(session):
            expected = {change.prefix: frozenset(change.next_hops) for change in changes}
            standby = floating(((change.prefix, change.after) for change in changes), session.default_distance)
            with contextlib.ExitStack() as stack:
                witness = session
                if rollout.new_connection == "always":
                    anew = new_session(self._host, self._configuration, self.port, rollout)
                    witness = stack.enter_context(anew)
                if self._keeping is None:
                    self._expect_configured(witness.read(), changes)
                removed = {change.prefix: change.remove for change in changes}
                problems, warnings = witness.verify(
                    self.view.vrf, expected, rollout.verify_timeout_s, hurry, standby, removed
                )
            if problems:
                more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
                tables = session.shown.installed(self.view.vrf, tuple(expected), standby) or {}
                wrong = [prefix for prefix in expected if table_problems(tables, {prefix: expected[prefix]}, standby)]
                raise VerifyFailed(f"after the commit {'; '.join(problems[:3])}{more}", prefixes=wrong)
            session.confirm()
        self._reachable.update(label for labels in expected.values() for label in labels)
        return warnings + session.router_warnings()

    def _expect_configured(self, running: RunningRoutes, changes: Sequence[RouteChange]) -> None:
        """For drivers that do not say themselves whether every line was taken.

        Raises:
            VerifyFailed: the configuration is not as it was to become.
        """
        wanted = {change.prefix: change.after for change in changes}
        found = {p: route.next_hops for p in wanted if (route := running.get(self.view.vrf, p)) is not None}
        wrong = configured_problems(found, wanted, self._open().default_distance)
        if wrong:
            raise VerifyFailed(f"after the commit {next(iter(wrong.values()))}", prefixes=tuple(wrong))


def _tables_tell(gaining: Sequence[RouteChange]) -> bool:
    """Whether the routing table will do to see what others did at prefixes that gain a hop.

    One that is new to us may have a line whose hop does not resolve, which the routing table does not show.
    """
    return 0 < len(gaining) <= _FEW and not any(change.action == "create" for change in gaining)


def _followed(host: Host) -> Port:
    reach_through_exabgp(host)
    return Port.of(host)


def _shown(found: Installed) -> frozenset[str]:
    """Every next hop of static routes that the tables show at a prefix, in use or not."""
    return found.rib | (found.behind or frozenset())


def _hops(route: StaticRoute | None) -> frozenset[NextHop]:
    return frozenset(route.next_hops) if route is not None else frozenset()
