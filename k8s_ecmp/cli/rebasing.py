"""`apply FILE.plan --rebase`: a new plan for a stale one, and how the two differ."""

from pathlib import Path
from typing import TYPE_CHECKING

from k8s_ecmp.cli.common import say, warn_all
from k8s_ecmp.errors import PlanRefused
from k8s_ecmp.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from k8s_ecmp.model import Plan, Prefix


def rebase(
    file: Path,
    settings: Settings,
    plan_now: "Callable[[Collection[Prefix]], Plan]",
    names: "Collection[str] | None",
    out: Path | None,
) -> int:
    """Shows how the plan of now differs from that of the file; writes it to `out`. Writes to no router.

    Args:
        file: the old plan.
        settings: owner and tag, which have to be those of the plan.
        plan_now: makes the new one, of the prefixes that the old one adopts; none: of everything.
        names: routers that the command line asks for; None: all, also those that the inventory no longer has.
        out: where the new plan goes; None: nowhere.

    Raises:
        PlanRefused: the file cannot be read, is another owner's, or takes back an entry of the journal.

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

    old = runs.read_plan(file, settings)
    if old.undoes is not None:
        raise PlanRefused(
            f"the plan in {file} takes back entry {old.undoes} of the journal, and was not made from the cluster",
            remedy=anew(old.undoes),
        )
    new = plan_now(old.adopts)
    fresh = decode_plan(encode_plan(new))  # as a file has it, which knows hops by their labels alone
    found = difference(old if names is None else runs.narrowed(old, names), fresh)
    print_difference(found)
    if out is not None:
        write_plan(out, new)
        warn_all(record_plan(settings, new, out))
        say(written(new, out))
    if any(router.status == "failed" for router in fresh.routers):
        return runs.ERROR
    return runs.CHANGES if found else runs.DONE
