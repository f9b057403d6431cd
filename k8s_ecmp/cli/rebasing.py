"""`apply FILE.plan --rebase`: a new plan for a stale one, and how the two differ."""

from pathlib import Path
from typing import TYPE_CHECKING

from k8s_ecmp.cli.common import say, warn_all
from k8s_ecmp.errors import PlanRefused
from k8s_ecmp.finding import few
from k8s_ecmp.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from k8s_ecmp.model import Plan, Prefix


def rebase(
    file: Path,
    settings: Settings,
    plan_now: "Callable[[list[str], Collection[Prefix]], Plan]",
    inventory: "Collection[str]",
    asked: "Collection[str] | None",
    out: Path | None,
) -> int:
    """Shows how the plan of now differs from that of the file; writes it to `out`. Writes to no router.

    Args:
        file: the old plan.
        settings: owner and tag, which have to be those of the plan.
        plan_now: makes the new one, for these routers and of the prefixes that the old one adopts; none: of everything.
        inventory: the names of all routers.
        asked: those that the command line asks for; None: those of the old plan.
        out: where the new plan goes; None: nowhere.

    Raises:
        PlanRefused: the file cannot be read, is another owner's, takes back an entry of the journal, or the inventory
            has none of its routers.

    Returns:
        The exit code: 1 a router could not be read, 2 they differ, 0 they are the same.
    """
    from k8s_ecmp import runs
    from k8s_ecmp.core.difference import difference
    from k8s_ecmp.recording import record_plan
    from k8s_ecmp.views.difference_text import print_difference
    from k8s_ecmp.views.document import decode_plan, encode_plan, write_plan
    from k8s_ecmp.views.next_step import anew
    from k8s_ecmp.views.plan_about import written

    old, _ = runs.read_plan(file, settings)
    if old.undoes is not None:
        raise PlanRefused(
            f"the plan in {file} takes back entry {old.undoes} of the journal, and was not made from the cluster",
            remedy=anew(old.undoes),
        )
    new = plan_now(_routers(old, file, inventory) if asked is None else list(asked), old.adopts)
    fresh = decode_plan(encode_plan(new))  # as a file has it, which knows hops by their labels alone
    found = difference(old if asked is None else runs.narrowed(old, asked), fresh)
    print_difference(found)
    if out is not None:
        write_plan(out, new)
        warn_all(record_plan(settings, new, out))
        say(written(new, out))
    if any(router.status == "failed" for router in fresh.routers):
        return runs.ERROR
    return runs.CHANGES if found else runs.DONE


def _routers(old: "Plan", file: Path, inventory: "Collection[str]") -> list[str]:
    """The routers of a plan that the inventory has: who planned for some of them meant no others.

    Raises:
        PlanRefused: there are none.
    """
    names = [router.name for router in old.routers]
    left = [name for name in names if name in inventory]
    gone = [name for name in names if name not in inventory]
    if not left:
        raise PlanRefused(
            f"the inventory has none of the routers of {file}: {few(gone, 20)}",
            remedy="`k8s-ecmp plan --out NEW.plan` plans for those that it has",
        )
    if gone:
        say(
            f"the inventory no longer has {few(gone, 20)}: the new plan is without {'it' if len(gone) == 1 else 'them'}"
        )
    if len(left) < len(inventory):
        say(
            f"the new plan is for the routers of {file} alone, which are {len(left)} of the {len(inventory)} in the "
            "inventory; `k8s-ecmp plan` plans for all"
        )
    return left
