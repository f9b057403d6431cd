"""`drain` and `undrain`."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from k8s_ecmp.cli.common import say, settings_of
from k8s_ecmp.errors import ClusterError, ClusterRefused, EcmpError, SettingsError
from k8s_ecmp.settings import Settings

if TYPE_CHECKING:
    from k8s_ecmp.kube.drain import DrainedNode, LeaseWatch
    from k8s_ecmp.kube.writes import Writer

_TIMEOUT_S = 300.0
_SAY_EVERY_S = 10.0
_LOOK_EVERY_S = 0.5
_READ_EVERY_S = 2.0
_LAST_LOOK_S = 5.0
_PATIENCE_S = 5.0
_MOST_PREFIXES = 8

NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="The node's name, as kubectl shows it.")]


def drain(
    context: typer.Context,
    node: NodeArgument,
    wait: Annotated[
        bool, typer.Option("--wait", "-w", help="Return when every router has confirmed it, in its routing table.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="S", min=0, help=f"Wait for at most S seconds; {_TIMEOUT_S:g} if not given."),
    ] = None,
    read_routers: Annotated[
        bool,
        typer.Option("--read-routers", help="Read the routers from here instead of asking the daemon that leads."),
    ] = False,
) -> int:
    """Take a node out of the routes before it is rebooted, upgraded or switched off.

    Annotates the node with k8s-ecmp.io/drain: "true" and writes to no router itself: the daemon (`k8s-ecmp run`) or the
    next `k8s-ecmp apply` does. The node goes on serving, so that connections do not break. With --wait the command
    returns when no route goes through the node any more; then it is safe to go on:

        k8s-ecmp drain node-1 --wait && kubectl drain node-1 --ignore-daemonsets

    A Local service whose only endpoint is on the node keeps its route, and --wait names it: move the pod first if it
    must not fail. Afterwards **k8s-ecmp undrain** brings the node back.

    Without --wait it exits with 0 when the node is annotated. With it: 0 when every router has confirmed, 1 at the
    timeout, naming router and prefixes; the node stays annotated then. Calling it again does no harm.
    """
    from k8s_ecmp.kube import drain as drains
    from k8s_ecmp.kube.writes import Writer

    settings, base = _live_settings(context, "drain")
    if not wait and (timeout is not None or read_routers):
        raise SettingsError("--timeout and --read-routers say how to wait", remedy="add --wait")
    writer = Writer(settings.cluster, patience_s=_PATIENCE_S)
    found = drains.read_node(writer, node)
    watch = drains.LeaseWatch(writer, settings.daemon.lease, settings.owner)
    if wait and not read_routers:
        _look(watch)
    # What was confirmed before this command was called may be long ago: it is asked for anew.
    asked = drains.ask_to_drain(writer, found, anew=watch.ack(found) is not None)
    if not wait:
        typer.echo(f"node {node} is {'already ' if asked == found else ''}asked to drain; routers were not asked")
        say(f"wait for them with: k8s-ecmp drain {node} --wait")
        return 0
    waiting = _Wait(settings, base, writer, watch, asked, read_routers, _TIMEOUT_S if timeout is None else timeout)
    return waiting.run()


def undrain(context: typer.Context, node: NodeArgument) -> int:
    """Bring a node back into the routes after `drain`: removes the annotations that `drain` set.

    The daemon, or the next `k8s-ecmp apply`, adds the node's next hops again once it is Ready for nodes.hold_up_s.
    Other signals that keep a node out (taints, kured's lock, the exclude label) are not this command's.
    """
    from k8s_ecmp.kube import drain as drains
    from k8s_ecmp.kube.writes import Writer

    settings, _ = _live_settings(context, "undrain")
    writer = Writer(settings.cluster, patience_s=_PATIENCE_S)
    found = drains.read_node(writer, node)
    drains.take_back(writer, found)
    typer.echo(f"node {node} is no longer asked to drain" if found.marked else f"node {node} was not asked to drain")
    return 0


def _live_settings(context: typer.Context, command: str) -> tuple[Settings, Path]:
    """The settings of a cluster that can be written to.

    Raises:
        SettingsError: it is a file.
    """
    settings, base = settings_of(context)
    if settings.cluster.source != "live":
        raise SettingsError(
            f"{command} annotates the node in the cluster, and cluster.source is the file {settings.cluster.source}",
            remedy='set cluster.source: live, or put the annotation k8s-ecmp.io/drain: "true" into the file',
        )
    return settings, base


def _look(watch: "LeaseWatch") -> None:
    """Reads the Lease.

    Raises:
        ClusterError: the API server does not answer or refuses.
    """
    try:
        watch.look()
    except ClusterRefused as error:
        remedy = f"{error.remedy}, or add --read-routers" if error.remedy else "add --read-routers"
        raise ClusterRefused(error.message, status=error.status, remedy=remedy) from error


@dataclass
class _Standing:
    """How far a drain is. `blocking`: router -> what still stands there; `unknown` says why nothing is known."""

    drained: bool = False
    kept: tuple[str, ...] = ()
    kept_more: int = 0
    blocking: dict[str, list[str]] = field(default_factory=dict)
    unknown: str | None = None


class _Wait:
    """Waits until a drain is confirmed: by the daemon that leads, or where none does by reading the routers."""

    def __init__(
        self,
        settings: Settings,
        base: Path,
        writer: "Writer",
        watch: "LeaseWatch",
        node: "DrainedNode",
        read_routers: bool,
        timeout_s: float,
    ) -> None:
        self._settings = settings
        self._base = base
        self._writer = writer
        self._watch = watch
        self._node = node
        self._read_routers = read_routers
        self._started = time.monotonic()
        self._timeout_s = timeout_s
        self._last = _Standing(unknown="nothing was heard yet")
        self._source = ""
        self._pause_s = _LOOK_EVERY_S

    def run(self) -> int:
        """Until it is drained (0) or the time is up (1)."""
        said_at = self._started
        while True:
            try:
                self._check_still_asked()
                self._last = self._look()
            except ClusterRefused:
                raise
            except ClusterError as error:
                if not error.retryable:
                    raise
                self._last = _Standing(unknown=str(error))
            if self._last.drained:
                return self._done()
            left_s = self._timeout_s - self._elapsed_s
            if left_s <= 0:
                return self._too_late()
            if time.monotonic() - said_at >= _SAY_EVERY_S:
                said_at = time.monotonic()
                say(f"still waiting after {self._elapsed_s:.0f} s{_colon(self._words())}")
            time.sleep(min(self._pause_s, left_s))

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._started

    def _check_still_asked(self) -> None:
        """Somebody else may drain the node too, under another id; nobody may have taken it back."""
        from k8s_ecmp.kube.drain import read_node

        now = read_node(self._writer, self._node.name)
        if not now.asked:
            raise EcmpError(f"the drain of node {now.name} was taken back by somebody else", remedy="call drain again")
        self._node = now

    def _look(self) -> _Standing:
        if not self._read_routers:
            _look(self._watch)
            ack = self._watch.ack(self._node)
            if ack is not None:
                return _Standing(drained=True, kept=ack.kept, kept_more=ack.more)
            if self._watch.holder is not None:
                self._tell(f"waiting for {self._watch.holder} to confirm that no route goes through {self._node.name}")
                self._pause_s = _LOOK_EVERY_S
                return _Standing(blocking=self._watch.pending(self._node))
            if self._watch.undecided:
                self._tell("looking whether a daemon still renews the Lease")
                return _Standing(unknown="it is not known yet whether a daemon leads")
            self._tell("no daemon holds the Lease; reading the routers from here")
        else:
            self._tell("reading the routers")
        self._pause_s = _READ_EVERY_S
        return self._read(max(self._timeout_s - self._elapsed_s, _LAST_LOOK_S))

    def _read(self, deadline_s: float) -> _Standing:
        """Asks the routers themselves: their configurations and routing tables."""
        from k8s_ecmp import runs
        from k8s_ecmp.routers.inventory import init_nornir
        from k8s_ecmp.routers.tasks import outcomes, run
        from k8s_ecmp.routers.through import Through, routes_through

        settings = self._settings
        nornir = init_nornir(settings, self._base, deadline_s=deadline_s)
        desired = runs.observe(settings).desired
        verdict = desired.nodes.get(self._node.name)
        if verdict is None:
            return _Standing(unknown=f"node {self._node.name} cannot be read; `k8s-ecmp desired` says why")
        families = (*verdict.annotated.values(), *verdict.internal.values())
        addresses = frozenset(address for family in families for address in family)
        answers = outcomes(
            run(nornir, routes_through, settings=settings, addresses=addresses),
            Through,
            lambda name, error: Through(name, error=str(error)),
        )
        # A draining node that is still wanted serves what nobody else serves, or what is its own (its pod CIDR).
        wanted = {route.prefix for route in desired.routes if self._node.name in route.nodes}
        kept = sorted({prefix for answer in answers for prefix in answer.prefixes if prefix in wanted})
        blocking = {
            answer.router: [answer.error] if answer.error else [str(p) for p in answer.prefixes if p not in wanted]
            for answer in answers
        }
        blocking = {router: what for router, what in blocking.items() if what}
        return _Standing(not blocking, tuple(map(str, kept)), 0, blocking)

    def _done(self) -> int:
        name, last = self._node.name, self._last
        if not last.kept and not last.kept_more:
            typer.echo(f"node {name} is drained: no route of ours goes through it on any router")
            return 0
        typer.echo(f"node {name} is drained but for what nobody else serves, which keeps its route:")
        for prefix in last.kept:
            typer.echo(f"  {prefix}")
        if last.kept_more:
            typer.echo(f"  and {last.kept_more} more")
        return 0

    def _too_late(self) -> int:
        if not self._last.blocking:
            # The daemon has not said what it waits for. Where the routers can be read from here, they tell.
            say("time is up; a last look at the routers")
            try:
                found = self._read(_LAST_LOOK_S)
            except Exception as error:  # noqa: BLE001  whatever hinders it: the answer is the timeout
                say(f"they cannot be read from here: {error}")
            else:
                self._last.blocking = found.blocking
                if found.drained:
                    self._last.unknown = (
                        "no router sends anything through it now, but the daemon has not confirmed that"
                    )
        say(f"error: node {self._node.name} is not drained after {self._timeout_s:g} s{_colon(self._words())}")
        say(f"it stays asked to drain; `k8s-ecmp undrain {self._node.name}` takes that back")
        return 1

    def _words(self) -> str:
        return "; ".join(_blocked(self._last.blocking)) or self._last.unknown or ""

    def _tell(self, text: str) -> None:
        """What is waited for, when that changes."""
        if text != self._source:
            self._source = text
            say(f"{text} (at most {self._timeout_s:g} s)")


def _blocked(blocking: dict[str, list[str]]) -> Iterator[str]:
    for router, what in blocking.items():
        rest = len(what) - _MOST_PREFIXES
        yield f"{router}: {', '.join(what[:_MOST_PREFIXES])}{f' and {rest} more' if rest > 0 else ''}"


def _colon(text: str) -> str:
    return f": {text}" if text else ""
