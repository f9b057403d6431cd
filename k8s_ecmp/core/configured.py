"""What is configured against what shall be: next hops with everything that is written on them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from k8s_ecmp.model import NextHop, Prefix


class HopKey(NamedTuple):
    """What makes two next hops the same, whether the platform's own distance is written or not."""

    label: str
    distance: int
    tag: int | None
    name: str | None
    options: tuple[str, ...]

    def __str__(self) -> str:
        marks = [f"tag {self.tag}"] if self.tag is not None else []
        marks += [f"name {self.name}"] if self.name is not None else []
        return " ".join([self.label, f"distance {self.distance}", *marks, *self.options])


def hop_keys(hops: Sequence[NextHop], default_distance: int) -> frozenset[HopKey]:
    """The hops, comparable; `default_distance` is what a hop has on which none is written."""
    return frozenset(hop_key(hop, default_distance) for hop in hops)


def hop_key(hop: NextHop, default_distance: int) -> HopKey:
    """One hop, comparable."""
    return HopKey(hop.label, hop.distance or default_distance, hop.tag, hop.name, hop.options)


def configured_problems(
    found: Mapping[Prefix, Sequence[NextHop]], wanted: Mapping[Prefix, Sequence[NextHop]], default_distance: int
) -> dict[Prefix, str]:
    """How configured next hops differ from the wanted ones, a sentence by prefix, sorted; no hops: no route."""
    problems = {}
    for prefix in sorted(found.keys() | wanted.keys()):
        is_there = hop_keys(found.get(prefix, ()), default_distance)
        shall_be = hop_keys(wanted.get(prefix, ()), default_distance)
        if is_there == shall_be:
            continue
        labels, needed = {key.label for key in is_there}, {key.label for key in shall_be}
        if labels == needed:
            now, then = map(_listed, (map(str, is_there - shall_be), map(str, shall_be - is_there)))
        else:
            now, then = _listed(labels), _listed(needed)
        problems[prefix] = f"{prefix} is configured as {now} instead of {then}"
    return problems


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words)) or "nothing"
