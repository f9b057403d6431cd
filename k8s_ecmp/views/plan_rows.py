"""A plan in words and rows: what its text, its Markdown and its page have in common."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from k8s_ecmp.core.reasons import ADOPTS, OF_STAYING
from k8s_ecmp.model import DEFAULT_VRF, DISCARD, Action, Conflict, Plan, Prefix, RouteChange, RouterPlan, sorted_labels
from k8s_ecmp.views.page import counted
from k8s_ecmp.views.schema import Summary

COLUMNS = ("ROUTER", "PLATFORM", "STATUS", "PREFIXES", "NEXT HOPS", "CONFLICTS")
STATUS_COLUMN = 2
LEGEND = "prefixes: + create, ~ update, - delete; next hops, all in all: + gain, - lose"
SIGNS: dict[Action, str] = {"create": "+", "update": "~", "delete": "-"}

STATUS_WORDS = {
    "in-sync": "has every route that it can use and may get; nothing is written",
    "changes": "will be changed as shown",
    "conflict": "where it differs nothing may be written, for the reasons under Conflicts",
    "blocked": "a guard holds it; nothing is written",
    "failed": "could not be read or planned; nothing is written",
}
_MOST_HELD = 6  # prefixes that a guard holds for the same reason
_UNTOLD = ("conflict", "blocked")  # what else stands in the plan does not say what these words mean
DIFF_SOURCES = {"device": "computed by the router", "predicted": "predicted by k8s-ecmp"}
HELD = "Held: nothing is written to any router"
NOT_WRITTEN = "blocked, these changes are not written"
CONFLICT_REMEDY = (
    "On a router with a conflict nothing is written at that prefix: the route that stands there stays. "
    "To keep it, do nothing; to have ours, remove it on that router and plan again, or plan its replacement: "
    "`k8s-ecmp adopt PREFIX --out FILE.plan`."
)
SKIPPED_WORDS = "of the cluster left out, in whole or in part"
# Words that a network engineer may not know.
GLOSSARY = {
    "prefix": "where traffic goes to: the own address of a service (/32 or /128), or a range of such addresses",
    "next hop": "the address of a node of the cluster; a router shares traffic among all next hops of a prefix (ECMP)",
    "eligible": "a node that may be a next hop: healthy for long enough, and not excluded",
    "out": "a node that may not: unhealthy, excluded or going away",
    "draining": "a node that is taken out in good order before maintenance; it is healthy",
    "usable endpoint": "a pod of the service on that node, ready to take traffic",
    "tag": "the number on a static route that says it is k8s-ecmp's",
    "owned": "with that tag, and so k8s-ecmp's to change",
    "conflict": "somebody else's route stands at a prefix that the cluster asks for",
    "discard": "a route that drops the traffic to its prefix",
    "canary": "a router that is changed first, alone, so that a mistake shows on one",
    "failure domain": "routers that stand in for one another, such as a pair; never changed at the same time",
    "guard": "a check that stops what looks like an accident until a person has looked at it",
}


class Row(NamedTuple):
    """A change as it is shown; hops by their labels, the prefix with its VRF where that is not the default one."""

    action: Action
    prefix: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def sign(self) -> str:
        """What stands before the prefix."""
        return SIGNS[self.action]

    @property
    def stay(self) -> list[str]:
        """Hops that the prefix has before and after."""
        return [hop for hop in self.after if hop not in self.gained]

    @property
    def numbers(self) -> str:
        """How many hops there are, and were; of a route that discards, what becomes of traffic."""
        if self.action != "update":
            hops = self.after or self.before
            return _number(hops, "is" if self.after else "was")
        if DISCARD in (*self.before, *self.after):
            return f"{_number(self.before, 'was')} -> {_number(self.after, 'is')}"
        return f"{len(self.before)} -> {counted(len(self.after), 'next hop')}"


class Cause(NamedTuple):
    """Changes that have the same reasons. A line of `lines` names the hop too where there are several."""

    lines: tuple[str, ...]
    rows: tuple[Row, ...]


class Diff(NamedTuple):
    """A diff that some routers have in common; `twin` is a router with it that was shown before, whatever else differs.

    `what` it is of and its `source` are in words.
    """

    routers: tuple[str, ...]
    text: str
    what: str
    source: str
    twin: str | None

    @property
    def lines(self) -> list[str]:
        """Its lines, without ends."""
        return self.text.removesuffix("\n").split("\n")


class Group(NamedTuple):
    """Routers that have the same changes."""

    routers: tuple[str, ...]
    blocked: bool
    rows: tuple[Row, ...]
    diffs: tuple[Diff, ...]


class Held(NamedTuple):
    """What one guard holds: each detail with the routers where it is said, none where it holds everything.

    `what` says what is held, `meaning` what the guard is afraid of, `remedy` what to do about it. `prefixes`: it holds
    single prefixes, which are in no plan until it is planned without the guard.
    """

    guard: str
    everything: bool
    prefixes: bool
    what: str
    details: tuple[tuple[str, tuple[str, ...]], ...]
    meaning: str
    remedy: str

    @property
    def option(self) -> str:
        """The option that switches the guard off for one plan."""
        return f"--override {self.guard}"

    def lifted(self, applying: str | None = None) -> str:
        """What goes on in spite of the guard; `applying` is the command that applies the plan, None: it is made."""
        return f"plan with {self.option}" if applying is None or self.prefixes else f"`{applying} {self.option}`"


class Clash(NamedTuple):
    """A conflict, the routers that have it, and what others have at that prefix: what, and which routers."""

    prefix: str
    reason: str
    routers: tuple[str, ...]
    elsewhere: tuple[tuple[str, tuple[str, ...]], ...]


# What each guard is afraid of, and what to look at before it is overridden.
GUARD_WORDS = {
    "empty-desired": (
        "No route at all would remain, which looks like a broken view of the cluster.",
        "see whether the cluster was read whole: `k8s-ecmp desired`",
    ),
    "mass-withdrawal": (
        "Much would be withdrawn from one router at once.",
        "see whether that many nodes or services really went away",
    ),
    "last-next-hop": (
        "The prefix is still asked for but has no usable node left; without a next hop its traffic is dropped or "
        "follows a route that covers it.",
        "give the service a usable endpoint, or remove the service",
    ),
    "panic": (
        "This many nodes rarely fail at once; more likely the cluster lost sight of them.",
        "see whether these nodes really are down, and whether the control plane is well",
    ),
    "not-synced": (
        "The view of the cluster is not complete.",
        "wait until the cluster answers, then plan again",
    ),
    "platform-limit": (
        "The router cannot hold that much.",
        "lower this router's max_paths, or route fewer prefixes to it",
    ),
    "max-changes": (
        "More would change in one run than was thought possible.",
        "see whether so many services or nodes really came or went; `--router` does one router after the other",
    ),
    "foreign-lines": (
        "The router's own diff shows lines that are not of this plan; somebody else's change may be under way there.",
        "finish or discard that change on the router, then plan again",
    ),
    "frozen": (
        "Routers are not changed during a freeze.",
        "once the freeze is over, plan again: a file from during the freeze stays held, one from before it can be "
        "applied then",
    ),
}


def _number(hops: Sequence[str], tense: str) -> str:
    return f"traffic {tense} dropped" if hops == (DISCARD,) else counted(len(hops), "next hop")


def guard_words(guard: str) -> tuple[str, str]:
    """What a guard is afraid of, and what to do about it; a plan file may name one that this program does not know."""
    return GUARD_WORDS.get(guard, ("", "see what it says"))


def overridden(names: Sequence[str]) -> str:
    """That guards were switched off for a plan, by name; "" where none was."""
    word = "guards" if len(names) > 1 else "guard"
    return f"Overridden for this plan: {word} {', '.join(names)}." if names else ""


def prefix_text(prefix: Prefix, vrf: str) -> str:
    """The prefix, with its VRF where that is not the default one."""
    return str(prefix) + (f" vrf {vrf}" if vrf != DEFAULT_VRF else "")


def change_row(change: RouteChange) -> Row:
    """The change as it is shown."""
    left = dict.fromkeys([hop.label for hop in change.before])
    kept = dict.fromkeys([hop.label for hop in change.after])
    before, after = tuple(left), tuple(kept)
    return Row(
        change.action,
        prefix_text(change.prefix, change.vrf),
        before,
        after,
        tuple([label for label in after if label not in left]),
        sorted_labels([label for label in before if label not in kept]),
        change.reasons,
    )


def causes(rows: Iterable[Row]) -> list[Cause]:
    """The changes under what they have as their reasons: short when one node's loss concerns a thousand prefixes."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(_cause(row), []).append(row)
    return [Cause(lines, tuple(members)) for lines, members in found.items()]


def _cause(row: Row) -> tuple[str, ...]:
    moved = [f"{hop} joins" for hop in row.gained] + [f"{hop} leaves" for hop in row.lost]
    # Reasons of an update stand in the order of the hops, each once: as many as hops are one for each.
    own = [reason for reason in row.reasons if not reason.startswith((ADOPTS, *OF_STAYING))]
    if row.action == "update" and len(row.reasons) > 1 and len(own) == len(moved):
        adopted = [reason for reason in row.reasons if reason.startswith(ADOPTS)]
        staying = [reason for reason in row.reasons if reason.startswith(OF_STAYING)]
        return (*adopted, *(f"{hop}: {reason}" for hop, reason in zip(moved, own, strict=True)), *staying)
    return row.reasons


class Sheet:
    """The rows of one plan, counted once: a plan may hold some hundred thousand next hops."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.groups: list[Group] = []
        self._moves: dict[str, tuple[int, int]] = {}
        self._contested = {place.prefix: place for place in plan.contested}
        self._created: dict[Prefix, set[str]] = {}
        members: dict[tuple[tuple[Row, ...], bool], list[RouterPlan]] = {}
        for router in plan.routers:
            rows = tuple(map(change_row, router.changes))
            self._moves[router.name] = (sum(len(row.gained) for row in rows), sum(len(row.lost) for row in rows))
            if not self._blocked(router):
                for change in router.changes:
                    if change.action == "create" and change.prefix in self._contested:
                        self._created.setdefault(change.prefix, set()).add(router.name)
            if rows or router.diff:
                members.setdefault((rows, self._blocked(router)), []).append(router)
        seen: dict[tuple[str, str, str], str] = {}
        for (rows, blocked), routers in members.items():
            names = tuple(router.name for router in routers)
            self.groups.append(Group(names, blocked, rows, tuple(_diffs(routers, seen))))

    def _blocked(self, router: RouterPlan) -> bool:
        return bool(self.plan.holds) or router.status == "blocked"

    def router_row(self, router: RouterPlan) -> tuple[str, ...]:
        """The cells under `COLUMNS`."""
        summary = Summary.of((router,))
        gained, lost = self._moves[router.name]
        return (
            router.name,
            router.platform or "-",
            router.status,
            f"+{summary.create} ~{summary.update} -{summary.delete}" if router.changes else "-",
            f"+{gained} -{lost}" if router.changes else "-",
            str(len(router.conflicts)) if router.conflicts else "-",
        )

    def held(self) -> list[Held]:
        """The guards that tripped, those for everything first; alike ones of several routers as one."""
        found: dict[tuple[str, bool, bool], dict[tuple[str, Prefix | None], dict[str, None]]] = {}
        for trip in self.plan.guards:
            key = (trip.guard, trip.router is None, trip.prefix is not None)
            routers = found.setdefault(key, {}).setdefault((trip.detail, trip.prefix), {})
            if trip.router is not None:
                routers[trip.router] = None
        return [_held(*key, details) for key, details in found.items()]

    def clashes(self) -> list[Clash]:
        """The conflicts; alike ones of several routers as one."""
        found: dict[Conflict, list[str]] = {}
        for router in self.plan.routers:
            for conflict in router.conflicts:
                found.setdefault(conflict, []).append(router.name)
        return [
            Clash(prefix_text(c.prefix, c.vrf), c.reason, tuple(routers), self._elsewhere(c.prefix, routers))
            for c, routers in found.items()
        ]

    def _elsewhere(self, prefix: Prefix, these: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        place = self._contested.get(prefix)
        if place is None:
            return ()
        created = self._created.get(prefix, set())
        words = {
            "our route": place.ours,
            "no static route; this plan creates ours": [name for name in place.none if name in created],
            "no static route": [name for name in place.none if name not in created],
            "a route that is not ours": [name for name in place.theirs if name not in these],
            "not known, it could not be read": place.unknown,
        }
        return tuple((what, tuple(names)) for what, names in words.items() if names)

    def failures(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each error with the routers that have it."""
        found: dict[str, list[str]] = {}
        for router in self.plan.routers:
            if router.error:
                found.setdefault(router.error, []).append(router.name)
        return [(error, tuple(routers)) for error, routers in found.items()]

    @property
    def changes(self) -> bool:
        """Whether any router has a change."""
        return any(router.changes for router in self.plan.routers)


def legend(plan: Plan) -> list[str]:
    """What signs and words of the table of routers mean, a line each."""
    signs = [LEGEND] if any(router.changes for router in plan.routers) else []
    found = {router.status for router in plan.routers}
    return signs + [f"{status}: {STATUS_WORDS[status]}" for status in _UNTOLD if status in found]


def summary(routers: Sequence[RouterPlan]) -> str:
    """The whole plan in a sentence."""
    count = Summary.of(routers)
    changing = any(router.changes for router in routers)
    blocked = [router for router in routers if router.status == "blocked"]
    parts = []
    if ready := [router for router in routers if router.changes and router.status != "blocked"]:
        parts.append(f"{_counts(ready)} on {counted(len(ready), 'router')}")
    if count.conflict:
        parts.append(counted(count.conflict, "conflict"))
    if count.failed:
        parts.append(f"{counted(count.failed, 'router')} failed")
    if blocked:
        withheld = f" ({_counts(blocked)})" if any(router.changes for router in blocked) else ""
        parts.append(f"{counted(len(blocked), 'router')} blocked, nothing is written there{withheld}")
    if some := [router.withheld for router in routers if router.withheld]:
        parts.append(f"{counted(sum(some), 'change')} withheld on {counted(len(some), 'router')}, see Skipped")
    if not parts:
        left_out = sum(len(router.skipped) for router in routers)
        but = f"; {left_out} left out for them, see Skipped" if left_out else ""
        return f"No changes: {counted(len(routers), 'router')} in sync{but}."
    return f"Plan: {'; '.join(parts if changing else ('no changes', *parts))}."


def _counts(routers: Sequence[RouterPlan]) -> str:
    count = Summary.of(routers)
    return f"{count.create} to create, {count.update} to update, {count.delete} to delete"


def difference(change: RouteChange) -> str:
    """How a router's configuration differs from what it should have, at the prefix of a change that would mend it."""
    row = change_row(change)
    if row.action == "create":
        what = f"is not configured, and should be: {' '.join(row.after)}"
    elif row.action == "delete":
        what = "is configured, and should not be"
    else:
        lacks = f"lacks {' '.join(row.gained)}" if row.gained else ""
        extra = f"has {' '.join(row.lost)}, and should not" if row.lost else ""
        what = "; ".join(filter(None, (lacks, extra))) or "has its next hops with other attributes"
    return f"{row.prefix} {what}: {'; '.join(row.reasons)}"


def listed(names: Sequence[str], most: int = 6) -> str:
    """The first names and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def shares(sizes: Sequence[int], total: int) -> list[int]:
    """How much of each list is shown where there is room for `total`: short ones whole, the room left evenly."""
    given = [0] * len(sizes)
    left = total
    for done, place in enumerate(sorted(range(len(sizes)), key=lambda place: sizes[place])):
        given[place] = min(sizes[place], left // (len(sizes) - done))
        left -= given[place]
    return given


def _diffs(routers: Sequence[RouterPlan], seen: dict[tuple[str, str, str], str]) -> Iterable[Diff]:
    found: dict[tuple[str, str, str], list[str]] = {}
    for router in routers:
        if router.diff:
            what = "announcements" if router.platform == "bgp" else "configuration"
            found.setdefault((router.diff, what, DIFF_SOURCES[router.diff_source]), []).append(router.name)
    for key, names in found.items():
        yield Diff(tuple(names), *key, seen.get(key))
        seen.setdefault(key, names[0])


def _held(
    guard: str, everything: bool, single: bool, details: Mapping[tuple[str, Prefix | None], Iterable[str]]
) -> Held:
    """Of one guard: prefixes that it holds for the same reason on the same routers share a detail."""
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (detail, prefix), routers in details.items():
        prefixes = alike.setdefault((detail, tuple(routers)), [])
        if prefix is not None:
            prefixes.append(str(prefix))
    said = tuple((_detail(detail, prefixes), routers) for (detail, routers), prefixes in alike.items())
    what = f"So nothing is written to {'any' if everything else 'this'} router."
    if single:
        stays = "this prefix stays as it is" if len(details) == 1 else "these prefixes stay as they are"
        what = f"So {stays}; this guard holds nothing else."
    if any(len(prefixes) > _MOST_HELD for prefixes in alike.values()):
        what += " The plan's JSON names them all."
    return Held(guard, everything, single, what, said, *guard_words(guard))


def _detail(detail: str, prefixes: Sequence[str]) -> str:
    if len(prefixes) > 1:
        return f"{len(prefixes)} prefixes ({listed(prefixes, _MOST_HELD)}): {detail}"
    return ": ".join([*prefixes, detail])
