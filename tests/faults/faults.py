"""The rows of the matrix: each a fault, how it comes about on any router, and how it may end."""

import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.faults.cell import CREATED, Cell, inventory
from tests.faults.routers import AFTER_COMMIT, BEFORE_COMMIT, FileRouter
from tests.site import Site
from tests.world.emulators.base import Drop

IN_COMMIT = "in the commit"
KILLED_AT = (
    "journal review",
    "connect",
    "read",
    "stage",
    "journal begin",
    "commit",
    IN_COMMIT,
    "connect again",
    "verify",
    "confirm",
    "journal result",
)
"""Steps of a run behind which something may have changed."""
_TWO_HOURS_S = 7200


@dataclass(frozen=True)
class Fault:
    """One row. `happens` does it and says how it has to end; `absent` says by router why it cannot happen there."""

    name: str
    happens: Callable[[Cell], None]
    absent: Mapping[str, str] = field(default_factory=dict)


def router_is_down(cell: Cell) -> None:
    with cell.router.down():
        cell.apply()
    inventory(cell.site, cell.router)  # an emulated device comes back on another port
    cell.ends("old", 1)


def connection_is_cut(moment: Drop) -> Callable[[Cell], None]:
    def happens(cell: Cell) -> None:
        cell.site.settings(rollout={"verify_timeout_s": 2})  # so long a new connection is tried for
        with cell.stepped() as run:
            cell.router.cut(run, moment, cell.seen)
            cell.done = run.finish()
        cell.ends("new" if cell.router.name == "file" and moment == "after-commit" else "old", 1)

    return happens


def lock_is_held(cell: Cell) -> None:
    with cell.router.held():
        cell.apply()
    cell.ends("old", 1)


def wrong_diff(cell: Cell) -> None:
    """Somebody types between staging and the look at what was staged: the device's diff, or reading again."""
    looks = "stage: compare" if cell.router.name in ("file", "eos") else "stage: read the running configuration"
    with cell.stepped() as run:
        run.until(looks)
        cell.type("203.0.113.0/24" if cell.router.name == "eos" else CREATED)
        cell.done = run.finish()
    cell.ends("old", 3)


def verify_fails(cell: Cell) -> None:
    cell.site.settings(rollout={"verify_timeout_s": 1})
    with cell.router.not_installing(CREATED):
        cell.apply()
    cell.ends("old", 1)


def killed(step: str) -> Callable[[Cell], None]:
    def happens(cell: Cell) -> None:
        with cell.stepped() as run:
            if step == IN_COMMIT:
                run.until(BEFORE_COMMIT)
                cell.seen.at_next_change(run.kill)
                run.stands()  # at the latest when the commit has ended
            else:
                run.until(step)
            run.kill()
            cell.seen.at_next_change(None)
        committed = KILLED_AT.index(step) > KILLED_AT.index("commit")
        if not committed or (cell.router.timer and step != "journal result"):
            cell.ends("old", None)
        else:
            cell.ends("part" if step == IN_COMMIT and cell.router.name == "nxos_ssh" else "new", None)

    return happens


def journal_disk_is_full(step: str) -> Callable[[Cell], None]:
    def happens(cell: Cell) -> None:
        folder = cell.site.folder / "state"
        folder.mkdir()
        cell.site.settings(journal="state/journal.sqlite")
        with cell.small_disk(folder) as disk, cell.stepped() as run:
            run.until(step)
            with disk.full():
                cell.done = run.finish()
        cell.ends("new" if step == AFTER_COMMIT else "old", 1)

    return happens


def plan_disk_is_full(cell: Cell) -> None:
    folder = cell.site.folder / "plans"
    folder.mkdir()
    cell.plan = str(folder / "new.plan")
    with cell.small_disk(folder) as disk, disk.full():
        planned = cell.run("plan", "--out", cell.plan)
        cell.claim(planned.code == 1, f"plan exits with {planned.code} on a full disk: {planned.err}")
        cell.claim("Traceback" not in planned.err, planned.err)
        cell.claim("new.plan" in planned.err, f"it does not name the file: {planned.err}")
    cell.claim(not any(folder.glob("*new.plan*")), "half a plan is left")
    cell.apply()
    cell.ends("old", 3)


def router_disk_is_full(step: str) -> Callable[[Cell], None]:
    def happens(cell: Cell) -> None:
        router = cell.router
        with ExitStack() as stack:
            full = router.full_disk
            if isinstance(router, FileRouter):
                disk = stack.enter_context(cell.small_disk(router.path.parent))
                stack.enter_context(router.on(disk))
                full = disk.full
            run = stack.enter_context(cell.stepped())
            run.until(step)
            with full():
                cell.done = run.finish()
        if step == "stage":
            cell.ends("old", 1)
        else:  # a switch whose startup configuration cannot be written keeps the change and says so
            cell.ends("new", 1 if router.name == "eos" else 0)

    return happens


def clock_jumps_after_review(seconds: int) -> Callable[[Cell], None]:
    def happens(cell: Cell) -> None:
        clock = cell.prepared.clock
        clock.jump(seconds)
        with cell.stepped(clock.environment) as run:
            cell.done = run.finish()
        cell.ends("old", 3)  # it has expired, or its time has not come

    return happens


def clock_jumps_in_the_change(seconds: int) -> Callable[[Cell], None]:
    def happens(cell: Cell) -> None:
        clock = cell.prepared.clock
        clock.jump(0)
        with cell.stepped(clock.environment) as run:
            run.until(AFTER_COMMIT)
            clock.jump(seconds)
            cell.done = run.finish()
        cell.ends("new", 0)

    return happens


def two_of_one_journal(cell: Cell) -> None:
    with cell.stepped() as first:
        first.until("commit")
        second = cell.run("apply", cell.plan)
        cell.claim(
            second.code == 1 and "never write at once" in second.err, f"the second one: {second.out}{second.err}"
        )
        cell.done = first.finish()
    cell.ends("new", 0)


def two_of_one_owner(cell: Cell) -> None:
    with cell.stepped() as first:
        first.until(AFTER_COMMIT)
        second = cell.run("apply", cell.plan, site=_neighbour(cell))
        wanted = 1 if cell.router.lock else 3
        cell.claim(second.code == wanted, f"the second one exits with {second.code}: {second.out}{second.err}")
        cell.done = first.finish()
    cell.ends("new", 0)


def two_owners(cell: Cell) -> None:
    other = _neighbour(cell, owner="other", tag=4301)
    with cell.stepped() as first:
        first.until(AFTER_COMMIT)
        second = cell.run("apply", "--yes", site=other)
        cell.claim(second.code in (1, 3), f"the other owner's exits with {second.code}: {second.out}{second.err}")
        cell.done = first.finish()
    planned = cell.run("plan", site=other)
    cell.claim(planned.code == 3, f"the other owner's plan exits with {planned.code}: {planned.out}{planned.err}")
    cell.ends("new", 0)


def typed_after_review(cell: Cell) -> None:
    cell.type(CREATED)
    cell.apply()
    cell.claim(cell.done is not None and CREATED in cell.done.err, "the report does not name what was changed")
    cell.ends("old", 3)


def typed_at_the_commit(cell: Cell) -> None:
    """A route of somebody's own, the moment before; nobody can see it any more."""
    with cell.stepped() as run:
        run.until(BEFORE_COMMIT)
        cell.type("203.0.113.0/24")
        cell.done = run.finish()
    cell.ends(*(("old", 1) if cell.router.name == "file" else ("new", 0)))


def typed_after_the_commit(cell: Cell) -> None:
    with cell.stepped() as run:
        run.until(AFTER_COMMIT)
        cell.type("203.0.113.0/24")
        cell.done = run.finish()
    cell.ends("new", 0)


def plan_is_replayed(cell: Cell) -> None:
    cell.apply()
    again = cell.run("apply", cell.plan)
    cell.claim(again.code == 3 and "nothing was written" in again.err, f"again: {again.out}{again.err}")
    cell.ends("new", 0)


def _neighbour(cell: Cell, **settings: object) -> Site:
    """The same folder on another machine, with a journal of its own."""
    site = Site(cell.folder / "neighbour")
    shutil.copytree(cell.site.folder, site.folder, ignore=shutil.ignore_patterns("journal.*"))
    site.settings(**settings)
    return site


_NO_MIDDLE = {"file": "a rename has no middle"}
_NO_TABLES = {"file": "a file has no tables"}
_NO_LOCK = {"nxos_ssh": "NX-OS has no lock"}
_OVERWRITTEN = {"eos": "a session of EOS overwrites what is typed between its diff and its commit; no tool sees it"}

FAULTS = (
    Fault("router down", router_is_down),
    Fault("connection cut before the commit", connection_is_cut("before-commit")),
    Fault("connection cut in the commit", connection_is_cut("in-commit"), _NO_MIDDLE),
    Fault("connection cut after the commit", connection_is_cut("after-commit")),
    Fault("lock held by somebody", lock_is_held, _NO_LOCK),
    Fault("wrong diff", wrong_diff),
    Fault("verify fails", verify_fails, _NO_TABLES),
    *(Fault(f"killed: {step}", killed(step)) for step in KILLED_AT),
    Fault("journal's disk full: at the start", journal_disk_is_full("journal review")),
    Fault("journal's disk full: at the change", journal_disk_is_full("journal begin")),
    Fault("journal's disk full: after the commit", journal_disk_is_full(AFTER_COMMIT)),
    Fault("plan's disk full", plan_disk_is_full),
    Fault("router's disk full: before the commit", router_disk_is_full("stage")),
    Fault("router's disk full: after the commit", router_disk_is_full(AFTER_COMMIT)),
    Fault("clock +2 h after the review", clock_jumps_after_review(_TWO_HOURS_S)),
    Fault("clock -2 h after the review", clock_jumps_after_review(-_TWO_HOURS_S)),
    Fault("clock +2 h while the timer runs", clock_jumps_in_the_change(_TWO_HOURS_S)),
    Fault("clock -2 h while the timer runs", clock_jumps_in_the_change(-_TWO_HOURS_S)),
    Fault("two at once: one journal", two_of_one_journal),
    Fault("two at once: one owner, two machines", two_of_one_owner),
    Fault("two at once: two owners", two_owners),
    Fault("typed by hand after the review", typed_after_review),
    Fault("typed by hand at the commit", typed_at_the_commit, _OVERWRITTEN),
    Fault("typed by hand after the commit", typed_after_the_commit),
    Fault("plan replayed", plan_is_replayed),
)
