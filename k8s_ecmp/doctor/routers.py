"""What one router tells: that it can be reached, whose marks it carries, and whether it reaches the nodes."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from nornir.core import Nornir
from nornir.core.task import Result, Task

from k8s_ecmp.core.intent import Intent
from k8s_ecmp.core.ownership import Marks, is_owned
from k8s_ecmp.core.selection import RouterView, Selection
from k8s_ecmp.errors import ChangePending, EcmpError
from k8s_ecmp.finding import Finding, few
from k8s_ecmp.model import RunningRoutes
from k8s_ecmp.routers.connection import error_text
from k8s_ecmp.routers.hosts import router_view
from k8s_ecmp.routers.session import Progress, open_session, port_of, tell
from k8s_ecmp.routers.tasks import run
from k8s_ecmp.settings import Settings


@dataclass(frozen=True)
class Facts:
    """What was read of a router; every list is sorted.

    `elsewhere` counts our prefixes in VRFs that are not the router's; `renamed` are prefixes with our tag and another
    name, `mixed` those that carry our tag in part; `unresolved` next hops that it cannot reach, None where it cannot
    tell. `hops` is the largest number of next hops that a prefix shall have, `cut` the largest number of nodes that do
    not fit into its `max_paths`.
    """

    owned: int = 0
    routes: int = 0
    elsewhere: dict[str, int] = field(default_factory=dict)
    renamed: tuple[str, ...] = ()
    mixed: tuple[str, ...] = ()
    asked: int = 0
    unresolved: tuple[str, ...] | None = None
    hops: int = 0
    cut: int = 0
    max_paths: int = 0
    platform_paths: int = 0


def examine_routers(
    nornir: Nornir, settings: Settings, intent: Intent | None, progress: Progress | None
) -> Iterator[Finding]:
    """Reads every router and says what was found, in the inventory's order.

    Args:
        nornir: the routers.
        settings: owner and tag.
        intent: what is wanted; None where the cluster could not be read.
        progress: called with router and step.
    """
    for name, multi in run(nornir, _read, settings=settings, intent=intent, progress=progress).items():
        facts, error = multi[0].result, multi[0].exception
        if isinstance(facts, Facts):
            yield from check_router(name, facts, settings, intent is not None)
        else:
            yield _unreadable(name, error or EcmpError("no result"))


def _unreadable(name: str, error: BaseException) -> Finding:
    pending = isinstance(error, ChangePending)
    message = error.message if isinstance(error, EcmpError) else error_text(error)
    return Finding(
        "router",
        "warning" if pending else "problem",
        message,
        "its routes are not changed before that has ended" if pending else "its routes stay as they are",
        error.remedy if isinstance(error, EcmpError) else None,
        name,
    )


def _read(task: Task, *, settings: Settings, intent: Intent | None, progress: Progress | None) -> Result:
    """Nornir task: `result` is `Facts`. Writes nothing."""
    try:
        port = port_of(task)
        view = router_view(task.host)
        marks = port.traits.marks(settings, view)
        tell(progress, task, "connect")
        with open_session(task, port, None) as session:
            tell(progress, task, "read")
            running = session.read()
            addresses, hops, cut = _selected(view, intent)
            unresolved = None
            if port.platform == "bgp":
                session.shown.installed(view.vrf)  # an error where a session is down
            elif port.syntax.verification is not None and port.platform != "file":
                unresolved = tuple(sorted(session.shown.unresolved(view.vrf, addresses)))
        limits = (view.max_paths, port.capabilities.max_paths)
        return Result(
            host=task.host,
            result=facts_of(running, marks, view.vrf, len(addresses), unresolved, (hops, cut), limits),
        )
    except Exception as error:  # noqa: BLE001  whatever it is, it is this router's alone
        return Result(host=task.host, failed=True, exception=error)
    finally:
        tell(progress, task, "done")


def _selected(view: RouterView, intent: Intent | None) -> tuple[list[str], int, int]:
    """All next hops that the router shall have; the most of one prefix; the most nodes that one prefix leaves out."""
    if intent is None:
        return [], 0, 0
    selection = Selection(view, intent.desired.nodes)
    addresses: set[str] = set()
    hops = cut = 0
    for route in intent.desired.routes:
        selected = selection.of(route)
        addresses.update(selected.addresses)
        hops = max(hops, len(selected.addresses))
        cut = max(cut, len(selected.cut))
    return sorted(addresses), hops, cut


def facts_of(
    running: RunningRoutes,
    marks: Marks,
    vrf: str,
    asked: int,
    unresolved: tuple[str, ...] | None,
    paths: tuple[int, int],
    limits: tuple[int, int],
) -> Facts:
    """The facts out of what was read.

    Args:
        running: all static routes of the router.
        marks: ours, as its platform carries them.
        vrf: the one that is ours to write to.
        asked: number of next hops that the router was asked for.
        unresolved: those that it does not reach, None where it cannot tell.
        paths: the most next hops of a prefix, and the most nodes left out of one.
        limits: `max_paths` of the inventory and of the platform.
    """
    elsewhere: dict[str, int] = {}
    renamed: list[str] = []
    mixed: list[str] = []
    owned = 0
    for route in running:
        if is_owned(route, marks):
            if route.vrf == vrf:
                owned += 1
            else:
                elsewhere[route.vrf] = elsewhere.get(route.vrf, 0) + 1
            continue
        tagged = [hop for hop in route.next_hops if hop.tag == marks.tag]
        if tagged:
            where = str(route.prefix) + (f" vrf {route.vrf}" if route.vrf != vrf else "")
            other_name = marks.name_mark and any(hop.name != marks.owner for hop in tagged)
            (renamed if other_name else mixed).append(where)
    return Facts(
        owned=owned,
        routes=len(running),
        elsewhere=dict(sorted(elsewhere.items())),
        renamed=tuple(renamed),
        mixed=tuple(mixed),
        asked=asked,
        unresolved=unresolved,
        hops=paths[0],
        cut=paths[1],
        max_paths=limits[0],
        platform_paths=limits[1],
    )


def check_router(name: str, facts: Facts, settings: Settings, decided: bool) -> Iterator[Finding]:
    """What the facts of one router mean.

    Args:
        name: the router.
        facts: what was read.
        settings: owner and tag.
        decided: whether the wanted next hops are known.
    """
    yield Finding(
        "router", "ok", f"reached and read: {facts.owned} of {facts.routes} static routes are ours", router=name
    )
    yield from _check_marks(name, facts, settings)
    if decided:
        yield _check_next_hops(name, facts)
        yield from _check_paths(name, facts)


def _check_marks(name: str, facts: Facts, settings: Settings) -> Iterator[Finding]:
    for vrf, count in facts.elsewhere.items():
        yield Finding(
            "marks",
            "warning",
            f"{count} prefixes with our marks are in VRF {vrf}",
            "they are left alone, and nothing keeps them up to date",
            "remove them by hand, or set data.k8s_ecmp.vrf if that is where the routes belong",
            name,
        )
    if facts.renamed:
        yield Finding(
            "marks",
            "problem",
            f"tag {settings.tag} stands with another name than {settings.owner!r} or none on {few([*facts.renamed])}",
            "somebody else uses our tag; where routers carry no names, ours and theirs cannot be told apart",
            "give each owner a tag of its own",
            name,
        )
    if facts.mixed:
        yield Finding(
            "marks",
            "warning",
            f"{few([*facts.mixed])} carry our tag, but not only our marks",
            "they count as somebody else's, a conflict where a route of ours is wanted there",
            "remove them from the router; what is wanted is created anew",
            name,
        )


def _check_next_hops(name: str, facts: Facts) -> Finding:
    if not facts.asked:
        return Finding("next-hops", "ok", "no next hop is wanted on it", router=name)
    if facts.unresolved is None:
        return Finding(
            "next-hops", "unknown", f"it cannot tell whether it reaches {facts.asked} next hops", router=name
        )
    if not facts.unresolved:
        return Finding("next-hops", "ok", f"it reaches all {facts.asked} next hops", router=name)
    return Finding(
        "next-hops",
        "problem",
        f"it has no route to {len(facts.unresolved)} of {facts.asked} next hops: {few([*facts.unresolved])}",
        "these nodes get no traffic from it",
        "connect the router to the nodes' subnet, or leave such addresses out with data.k8s_ecmp.next_hops.subnets",
        name,
    )


def _check_paths(name: str, facts: Facts) -> Iterator[Finding]:
    if facts.hops > facts.platform_paths:
        yield Finding(
            "paths",
            "problem",
            f"a prefix shall have {facts.hops} next hops, its platform takes {facts.platform_paths}",
            "the guard platform-limit holds its changes",
            f"set data.k8s_ecmp.max_paths to {facts.platform_paths} or less",
            name,
        )
    elif facts.cut:
        yield Finding(
            "paths",
            "warning",
            f"max_paths is {facts.max_paths}, so a prefix leaves out up to {facts.cut} nodes",
            "which nodes those are differs from prefix to prefix; an aggregate puts all its traffic on the others",
            "raise data.k8s_ecmp.max_paths as far as the hardware goes, or spread the routers over the nodes with "
            "next_hops.node_selector",
            name,
        )
