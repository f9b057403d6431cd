"""What holds whatever went wrong: routes without a gap, one truth told three times, and a next run that heals."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from tests.faults.watch import GONE, Hops, Seen, Table
from tests.site import Outcome

Ended = Literal["old", "new", "part"]
_LINE = re.compile(r"^r1 +([a-z-]+) ", re.MULTILINE)


@dataclass(frozen=True)
class Review:
    """What was reviewed: next hops before and after, by prefix."""

    before: Mapping[str, Hops]
    after: Mapping[str, Hops]

    @classmethod
    def read(cls, plan: Path) -> Self:
        before, after = {}, {}
        (router,) = json.loads(plan.read_text())["routers"]
        for change in router["changes"]:
            hops = frozenset(change["next_hops"])
            after[change["prefix"]] = hops
            before[change["prefix"]] = hops - {*change["add"]} | {*change["remove"]}
        return cls(before, after)

    def ended(self, table: Table, typed: Collection[str] = ()) -> Ended:
        """How far the router is; prefixes at which somebody else typed are left out."""
        prefixes = self.before.keys() - {*typed}
        for name, wanted in (("old", self.before), ("new", self.after)):
            if all(table.get(prefix, GONE) == wanted[prefix] for prefix in prefixes):
                return name  # type: ignore[return-value]
        return "part"


def gaps(review: Review, seen: Seen, typed: Collection[str]) -> list[str]:
    """Moments at which a prefix lacked a hop that it had and keeps, or had one that nobody planned; foreign routes that
    changed."""
    found = []
    for prefix in sorted(seen.prefixes()):
        states = seen.of(prefix)
        if prefix in review.before:
            before, after = review.before[prefix], review.after[prefix]
            lacks = [before & after - state for state in states if not before & after <= state]
            found += [f"{prefix} was without {', '.join(sorted(hops))}" for hops in lacks]
            found += [f"{prefix} was gone" for state in states if before and after and not state]
            if prefix not in typed:
                extra = [state - before - after for state in states if not state <= before | after]
                found += [f"{prefix} had {', '.join(sorted(hops))}" for hops in extra]
        elif prefix not in typed and len(states) > 1:
            found.append(f"{prefix}, which is no business of the plan, went through {[sorted(s) for s in states]}")
    return found


def report(done: Outcome) -> tuple[str | None, str]:
    """The router's outcome in what `apply` printed (None: none is printed), and all that it said."""
    start = done.out.find("OUTCOME")
    found = _LINE.search(done.out, start) if start >= 0 else None
    return found and found[1], done.out + done.err


def agreement(ended: Ended, done: Outcome | None, rows: list[dict[str, object]], chain: Outcome) -> list[str]:
    """Where report (`done`; None: the run was killed), journal (`rows`, `chain`) and router tell different stories."""
    found = []
    if chain.code != 0:
        found.append(f"the journal is not whole: {chain.out}{chain.err}")
    refused = any(row.get("router") == "-" for row in rows)  # a plan file as a whole
    rows = [row for row in rows if row.get("router") != "-"]
    outcome = str(rows[-1]["outcome"]) if rows else None
    if outcome == "committed" and ended != "new":
        found.append(f"the journal says committed, the router is {ended}")
    if outcome in (None, "refused", "blocked", "rolled-back") and ended != "old":
        found.append(f"the journal says {outcome or 'nothing'}, the router is {ended}")
    if outcome == "failed":
        found += _failed("journal", str(rows[-1]["error"]), ended)
    if done is None:
        return found
    told, said = report(done)
    if "Traceback" in said:
        found.append(f"it died: {said}")
    if told is None and ended != "old":
        found.append(f"nothing is reported, the router is {ended}: {said}")
    if told is None and done.code == 3 and not refused and "not in the journal" not in said:
        found.append("the journal has no word of the refused file")
    if told == "committed" and ended != "new":
        found.append(f"the report says committed, the router is {ended}")
    if told in ("refused", "blocked", "rolled-back", "unchanged") and ended != "old":
        found.append(f"the report says {told}, the router is {ended}")
    if told == "failed":
        found += _failed("report", said, ended)
    lost = "could not be written down" in said
    if (done.code == 0) != (told == "committed" and not lost):
        found.append(f"exit {done.code} with outcome {told}")
    if told != outcome and not (lost and outcome in ("begun", "died")) and not (told == "failed" and outcome is None):
        found.append(f"the report says {told}, the journal {outcome}")
    return found


def unsettled(left: Sequence[str], done: Outcome | None) -> list[str]:
    """What a run that came to its end (None: it was killed) left on the router without a word: no timer is to do what
    it says that it did itself."""
    if done is None or "takes the change back by itself" in done.out:
        return []
    return [f"it ended and left {text}" for text in left]


def _failed(who: str, said: str, ended: Ended) -> list[str]:
    """A failure has to say what is in force where it is not as it was."""
    in_force = re.search(
        r"(?<!nothing of the change )(is|are) in force|left alone|takes the change back by itself", said
    )
    return [] if ended == "old" or in_force else [f"the {who} does not say that the router is {ended}: {said}"]
