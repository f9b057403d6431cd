"""What a plan is: when it was made, of what, until when it counts, and what applies exactly it."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from k8s_ecmp.core.waves import ready
from k8s_ecmp.model import Mode, Plan, Policy
from k8s_ecmp.views.document import plan_id

UNWRITTEN = "Nothing has been written yet."
_KEEP = (
    "This plan is a preview, in no file. `k8s-ecmp plan --out FILE.plan` makes a plan to be reviewed and writes it to "
    "one; `k8s-ecmp apply FILE.plan` then makes the changes in that file and no others."
)
_NOTHING = "There is nothing to apply."
_HELD = "While guards hold it, applying this plan writes nothing."
_MODES: Mapping[Mode | None, str] = {
    "observe": "Made in mode observe, under which nothing is ever written to a router.",
    "propose": "Made in mode propose, under which plans are made for review and nothing is ever written to a router.",
    "withdraw-only": "Made in mode withdraw-only: routes and next hops are only taken away, none is added or changed.",
}
_POLICIES: Mapping[Policy | None, str] = {
    "upsert-only": "Made with policy upsert-only: no prefix is deleted.",
    "create-only": "Made with policy create-only: prefixes are only created, none is updated or deleted.",
}
_NEVER_APPLIED = ("observe", "propose")
_AT_APPLY = ("foreign-lines", "frozen")  # guards that look at the time of apply, whatever the plan was made with


def scope(plan: Plan) -> str:
    """What is written, and what never is."""
    rest = "every other route stays as it is."
    if plan.adopts:
        named = ", ".join(map(str, plan.adopts))
        rest = f"every other route stays as it is, but those at {named}: this plan takes them over, and nothing else."
    said = f'Only static routes with tag {plan.tag} ("ours") are written or removed; {rest}'
    if any(router.platform == "bgp" for router in plan.routers):
        said += " To BGP peers (platform bgp) our routes are announced; nothing is written into their configuration."
    return said


def terms(plan: Plan) -> str:
    """The mode and the policy by which it was made, where they are not the usual ones; "" where they are."""
    if plan.undoes is None or plan.mode in _NEVER_APPLIED:
        return " ".join(filter(None, (_MODES.get(plan.mode), _POLICIES.get(plan.policy))))
    named = [f"mode {plan.mode}"] if plan.mode in _MODES else []
    named += [f"policy {plan.policy}"] if plan.policy in _POLICIES else []
    return f"A way back is made whatever {' and '.join(named)} say; apply refuses what they forbid." if named else ""


def apply_command(plan: Plan, path: str | Path) -> str:
    """The command that applies the plan in a file, with the overrides that apply has to be told again."""
    again = [f"--override {guard}" for guard in plan.overrides if guard in _AT_APPLY]
    return " ".join(["k8s-ecmp apply", str(path), *again])


def written(plan: Plan, path: str | Path) -> str:
    """That the plan is in a file now, and what applies it."""
    if plan.mode in _NEVER_APPLIED:
        return f"wrote {path}; apply refuses it while the settings have mode: {plan.mode}"
    if plan.holds or not ready(plan.routers):
        return f"wrote {path}; as it is, applying it writes nothing"
    return f"wrote {path}; apply it with: {apply_command(plan, path)}"


class PlanFile(NamedTuple):
    """The file that holds a plan: its path as people type it, and the plan's id in it."""

    path: str
    id: str


class Fact(NamedTuple):
    """A fact with its name: what comes from elsewhere or is not for reading, then words of ours; either may be ""."""

    name: str
    code: str
    words: str

    def __str__(self) -> str:
        return f"{self.name}: {', '.join(filter(None, (self.code, self.words)))}"


class About(NamedTuple):
    """Of one plan: its id, facts, and what to do next, in a sentence or two."""

    id: str
    facts: tuple[Fact, ...]
    next_step: str


def about(plan: Plan, file: PlanFile | None = None) -> About:
    """What the plan is.

    Args:
        plan: made now, or read from a file.
        file: where it is kept; None: nowhere.
    """
    identity = plan_id(plan) if file is None else file.id
    facts = [
        Fact("Id", identity, ""),
        Fact("Made", "", time_text(plan.created)),
        Fact("Made from", plan.cluster_source, "and the routers' configurations, as they were then"),
        Fact("Digest of the routes that it asks for", plan.cluster_digest, ""),
    ]
    if file is not None:
        facts.append(Fact("Expires", "", f"{time_text(plan.expires)}; after that the file is refused"))
    return About(identity, tuple(facts), _next_step(plan, file))


def time_text(time: datetime) -> str:
    """The time to the second."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _next_step(plan: Plan, file: PlanFile | None) -> str:
    if plan.holds or not ready(plan.routers):
        return _HELD if plan.guards else _NOTHING
    never = plan.mode in _NEVER_APPLIED
    if file is None:
        return f"{_KEEP} While the settings have `mode: {plan.mode}`, apply refuses." if never else _KEEP
    command = apply_command(plan, file.path)
    refused = f"While the settings have `mode: {plan.mode}`, apply refuses. Under `mode: full`, " if never else ""
    named = [f"guard {guard}" for guard in plan.overrides if guard in _AT_APPLY]
    again = f"Apply asks {' and '.join(named)} once more, hence the override there, too. " if named else ""
    return (
        f"{refused}`{command}` makes these changes and no others; the cluster is not read again. {again}"
        f"It refuses the whole file after {time_text(plan.expires)}, or if the file was edited, or if on any router "
        "with changes, blocked ones too, our routes or others at their prefixes are no longer those that this plan was "
        "made for. If they change after that first look, this router alone stays as it is and the others go on."
    )
