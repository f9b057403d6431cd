"""What to do next about each router of an apply that is not as its plan wanted it: a sentence with the commands."""

from collections.abc import Mapping, Sequence

from k8s_ecmp.model import CommitResult, GuardTrip
from k8s_ecmp.views.plan_rows import guard_words

Entries = Mapping[str, Sequence[int]]
_BEFORE_COMMIT = frozenset({"connect", "read", "stage"})


def anew(undoes: int | None, file: str = "FILE.plan") -> str:
    """What makes a plan like the one of a file, for its routers, from what is so now.

    Args:
        undoes: the journal's entry that it takes back; None: it was made from a cluster.
        file: its path.
    """
    if undoes is not None:
        return f"`k8s-ecmp history undo {undoes} --out NEW.plan` plans that way back anew"
    command = f"`k8s-ecmp apply {file} --rebase --out NEW.plan`"
    return f"{command} makes a new plan for the same routers and shows how it differs"


class NextSteps:
    """What to do after one apply.

    Args:
        guards: of the plan.
        file: the plan file that it came from; None: it was made on the spot.
        undoes: the entry of the journal that the plan takes back; None: it does not.
        entries: the numbers of each router's entries in the journal.
    """

    def __init__(
        self,
        guards: Sequence[GuardTrip] = (),
        file: str | None = None,
        entries: Entries | None = None,
        undoes: int | None = None,
    ) -> None:
        self._guards = guards
        self._file = file
        self._apply = "k8s-ecmp apply" if file is None else f"k8s-ecmp apply {file}"
        self._entries = entries or {}
        self._undoes = undoes

    def of(self, result: CommitResult) -> str | None:
        """What to do about one router; None where there is nothing to do."""
        entries = self._entries.get(result.router, ())
        return self._sentence(result, result.router, str(entries[-1]) if entries else "")

    def grouped(self, results: Sequence[CommitResult]) -> list[tuple[str, tuple[str, ...]]]:
        """Each sentence with its routers: NAME and ID stand in it for theirs where it is true of several."""
        found: dict[str, list[CommitResult]] = {}
        for result in results:
            entry = "ID" if self._entries.get(result.router) else ""
            if sentence := self._sentence(result, "NAME", entry):
                found.setdefault(sentence, []).append(result)
        return [
            (self.of(some[0]) or sentence if len(some) == 1 else sentence, tuple(result.router for result in some))
            for sentence, some in found.items()
        ]

    def _sentence(self, result: CommitResult, name: str, entry: str) -> str | None:
        begun = len(self._entries.get(result.router, ())) > 1  # the change, and what became of it
        own = f"{result.remedy}; " if result.remedy else ""
        verify = f"`k8s-ecmp verify --router {name}` shows what is in force"
        sent = f", `k8s-ecmp history show {entry}` what was sent" if entry else ""
        match result.outcome:
            case "blocked":
                return self._blocked(result)
            case "refused":
                return self._anew()
            case "rolled-back":
                return f"{own or 'mend what its error names: '}{verify}{sent}; then {self._again()}"
            case "failed" if result.step is None and not begun:  # it could not be planned
                return f"{own or 'mend what its error names, '}then {self._anew()}"
            case "failed" if result.step in _BEFORE_COMMIT and not begun:
                return f"{own or 'mend what its error names, '}then {self._again()}"
            case "failed":  # where all or a part of it stands, the plan itself is refused as stale
                return f"{own}{verify}, which may be a part of the change{sent}; then {self._anew()}"
            case "committed" if not result.recorded:
                return "make the journal writable again; the next `k8s-ecmp apply` writes down what is in force"
            case "not-attempted":
                return f"not begun; go on with {self._again()}"
            case _:
                return None

    def _blocked(self, result: CommitResult) -> str:
        trips = [trip for trip in self._guards if trip.router in (None, result.router)]
        # One that holds single prefixes holds nothing else, and what it holds is in no plan.
        whole = [trip.guard for trip in trips if trip.prefix is None]
        names = whole or [trip.guard for trip in trips]
        if result.error and result.error.startswith("guard frozen"):  # it came meanwhile
            return f"guard frozen: wait for the end of the freeze; when it is over go on with {self._again()}"
        if result.error:  # found while the change was staged
            names = whole = ["foreign-lines"]
        if not names:
            return "nothing is written while the settings' `mode` forbids it: change it, then plan again"
        named = dict.fromkeys(names)
        look = "; ".join(f"guard {guard}: {guard_words(guard)[1]}" for guard in named)
        options = " ".join(f"--override {guard}" for guard in named)
        resume = " --resume" if self._file else ""
        lifted = f"`{self._apply} {options}{resume}`" if whole else f"plan with `{options}`"
        return f"{look}; if all is as it should be, {lifted}"

    def _again(self) -> str:
        return f"`{self._apply} --resume`" if self._file else f"`{self._apply}`, which plans anew"

    def _anew(self) -> str:
        if self._file is None:
            return "`k8s-ecmp apply` plans anew and applies that"
        return anew(self._undoes, self._file)
