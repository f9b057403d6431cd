"""What static route commands do to the next hops of one prefix, by the rules of a flat platform."""

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import NextHop
from k8s_ecmp.platforms.syntax import FlatSyntax, Statement


class Settled(NamedTuple):
    """A hop after the commands; `origins` are the positions that it had before, none for a new one."""

    hop: NextHop
    origins: tuple[int, ...]


# The hops of a prefix by their slot: one, or one for each distance where the platform has such.
_State = dict[Hashable, tuple[Settled, ...]]


def settle(platform: FlatSyntax, present: Sequence[NextHop], statements: Sequence[Statement]) -> list[Settled]:
    """The next hops of a prefix after commands that all concern it.

    Raises:
        ParseError: the device would refuse a command.
    """
    slot = platform.slot
    state: _State = {}
    for position, hop in enumerate(present):
        _put(platform, state, slot(hop), hop, (position,))
    typed: dict[Hashable, int | None] = {}
    for statement in statements:
        typed_hop = statement.hop
        if typed_hop is None:
            state.clear()
        elif statement.negated:
            _remove(platform, state, typed_hop, statement)
        else:
            key = slot(typed_hop)
            standing = state.get(key)
            now = platform.retyped(standing[0].hop, typed_hop) if standing else typed_hop
            _put(platform, state, key, now, ())
            if platform.group_tag:
                typed[platform.group(typed_hop)] = typed_hop.tag
    after = [settled for standing in state.values() for settled in standing]
    _refuse_mixture(platform, after, statements)
    return [_retag(platform, settled, typed) for settled in after] if typed else after


def _put(platform: FlatSyntax, state: _State, key: Hashable, hop: NextHop, origins: tuple[int, ...]) -> None:
    standing = state.get(key)
    if standing is None:
        state[key] = (Settled(hop, origins),)
    elif platform.each_distance:
        own = platform.distance(hop)
        others = tuple(settled for settled in standing if platform.distance(settled.hop) != own)
        same = tuple(place for settled in standing if settled not in others for place in settled.origins)
        state[key] = (*others, Settled(hop, same + origins))
    else:
        state[key] = (Settled(hop, standing[0].origins + origins),)


def _remove(platform: FlatSyntax, state: _State, hop: NextHop, statement: Statement) -> None:
    key = platform.slot(hop)
    standing = state.pop(key, ())
    if platform.each_distance and hop.distance is not None:
        own = platform.distance(hop)
        if left := tuple(settled for settled in standing if platform.distance(settled.hop) != own):
            state[key] = left
    elif not standing and not platform.silent_removal:
        raise ParseError(
            f"there is no next hop {hop.label} at {statement.prefix} in VRF {statement.vrf} to remove",
            line=statement.line,
            remedy="read the router again",
        )


def _retag(platform: FlatSyntax, settled: Settled, typed: dict[Hashable, int | None]) -> Settled:
    hop, origins = settled
    group = platform.group(hop)
    if group not in typed or hop.tag == typed[group]:
        return settled
    return Settled(msgspec.structs.replace(hop, tag=typed[group]), origins)


def _refuse_mixture(platform: FlatSyntax, settled: Iterable[Settled], statements: Sequence[Statement]) -> None:
    """No platform takes a discard route and next hops at one prefix with one distance."""
    kinds = {(platform.group(hop), hop.discard) for hop, _ in settled if hop.discard}
    if kinds and any((platform.group(hop), True) in kinds for hop, _ in settled if not hop.discard):
        last = statements[-1]
        raise ParseError(
            f"{last.prefix} in VRF {last.vrf} would have a discard route and next hops at once", line=last.line
        )
