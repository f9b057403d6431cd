"""What a plan is: when it was made, of what, until when it counts, and what applies exactly it."""

from datetime import datetime
from typing import NamedTuple

from k8s_ecmp.core.waves import ready
from k8s_ecmp.model import Plan
from k8s_ecmp.views.document import plan_id

UNWRITTEN = "Nothing has been written yet."
_KEEP = (
    "This plan is a preview, in no file. `k8s-ecmp plan --out FILE.plan` makes a plan to be reviewed and writes it to "
    "one; `k8s-ecmp apply FILE.plan` then makes the changes in that file and no others."
)
_NOTHING = "There is nothing to apply."
_HELD = "While guards hold it, applying this plan writes nothing."


def scope(plan: Plan) -> str:
    """What is written, and what never is."""
    said = f'Only static routes with tag {plan.tag} ("ours") are written or removed; every other route stays as it is.'
    if any(router.platform == "bgp" for router in plan.routers):
        said += " To BGP peers (platform bgp) our routes are announced; nothing is written into their configuration."
    return said


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
    if file is None:
        return _KEEP
    return (
        f"`k8s-ecmp apply {file.path}` makes these changes and no others; the cluster is not read again. "
        f"It refuses the whole file after {time_text(plan.expires)}, or if the file was edited, or if on any router "
        "that it changes our routes, or others at their prefixes, are no longer those that this plan was made for. If "
        "they change after that first look, this router alone stays as it is and the others go on."
    )
