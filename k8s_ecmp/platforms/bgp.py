"""What is announced to a BGP peer, as text: `announce route PREFIX next-hop ADDRESS tag N name OWNER`, a line a path.

Not a router's syntax: the text is what the bridge beside ExaBGP keeps. Tag and name are kept there, they are not sent.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from k8s_ecmp.errors import ParseError, RenderError
from k8s_ecmp.model import DEFAULT_VRF, NextHop, Prefix, RouteChange, RunningRoutes
from k8s_ecmp.platforms.base import Capabilities, Verification
from k8s_ecmp.platforms.flat import FlatPlatform
from k8s_ecmp.platforms.remarks import Remarks
from k8s_ecmp.platforms.syntax import Place, Statement, Tail, first_line
from k8s_ecmp.platforms.words import as_address, number, read_prefix

_WORDS = ("next-hop", "tag", "name")
_TAG_MAX = 0xFFFFFFFF
_CLOSED = "! closed "


def closed_line(family: int, reason: str) -> str:
    """The comment that says why nothing can be added in an address family."""
    return f"{_CLOSED}{family} {reason}"


class Bgp(FlatPlatform):
    """Announcements to one peer."""

    name = "bgp"
    # max_paths: the kernels of receivers end at 255 hops; BGP itself has no limit.
    capabilities: ClassVar[Capabilities] = Capabilities(
        atomic=True,
        device_diff=False,
        confirm=False,
        message=False,
        lock=True,
        name_mark=True,
        max_paths=255,
        default_distance=20,
        vrf=False,
        discards=False,
        hashing=None,
        verify="configuration",
    )
    signs = frozenset({"peer"})
    headers = ("peer ",)
    frame: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        from k8s_ecmp.platforms.bgp_tables import BgpVerification

        self.verification: Verification | None = BgpVerification()

    def read_tail(self, words: Sequence[str], family: int) -> Tail:
        """`next-hop ADDRESS [tag N] [name OWNER]`.

        Raises:
            ValueError: anything else, or an address of the other family.
        """
        found = dict(zip(words[::2], words[1::2], strict=False))
        if len(words) % 2 or len(found) * 2 != len(words) or not found.keys() <= set(_WORDS):
            raise ValueError("it has other words than next-hop, tag and name, each with a value")
        address = as_address(found.get("next-hop", ""))
        if address is None:
            raise ValueError("the next hop is missing")
        if (":" in address) != (family == 6):
            raise ValueError(f"the next hop {address} is of the other family")
        tag = number(found["tag"], "tag", _TAG_MAX) if "tag" in found else None
        return Tail(NextHop(address, tag=tag, name=found.get("name")))

    def shown(self, vrf: str, prefix: Prefix, hop: NextHop, beside: str | None) -> str:  # noqa: ARG002
        """A path's line."""
        words = [f"announce route {prefix} next-hop {hop.address}"]
        words += [f"tag {hop.tag}"] if hop.tag is not None else []
        words += [f"name {hop.name}"] if hop.name is not None else []
        return " ".join(words)

    def place(self, lines: Sequence[str], vrf: str) -> Place:  # noqa: ARG002
        """Behind all others."""
        return Place(first_line(self, lines, ("end",)))

    def statements(
        self,
        lines: Sequence[str],
        remarks: Remarks,
        *,
        commands: bool = False,
    ) -> Iterator[Statement]:
        """The paths between `peer NAME` and `end`; in commands, those that are taken away too.

        Raises:
            ParseError: a line is neither a path nor a comment.
        """
        prefixes: dict[str, Prefix] = {}
        tails: dict[tuple[str, int], NextHop] = {}
        for number_, line in enumerate(lines, 1):
            if not line or line.isspace() or line[0] == "!":
                if line.startswith(_CLOSED):
                    family, _, reason = line[len(_CLOSED) :].partition(" ")
                    remarks.closed[number(family, "family", 6)] = reason
                continue
            words = line.split(None, 3)
            if not commands and words[0] in ("peer", "end"):
                continue
            withdrawn = words[0] == "withdraw" and commands
            if len(words) != 4 or words[1] != "route" or not (withdrawn or words[0] == "announce"):
                raise ParseError(f"{line.strip()[:200]!r} is no announcement", line=number_)
            try:
                prefix = prefixes.get(words[2])
                if prefix is None:
                    prefix, host_bits = read_prefix(words[2], 6 if ":" in words[2] else 4)
                    if host_bits:
                        raise ValueError(f"host bits are set; the prefix is {prefix}")
                    prefixes[words[2]] = prefix
                hop = tails.get((words[3], prefix.family))
                if hop is None:
                    hop = self.read_tail(words[3].split(), prefix.family).hop
                    tails[words[3], prefix.family] = hop
            except ValueError as error:
                raise ParseError(f"{line.strip()[:200]!r}: {error}", line=number_) from None
            yield Statement(number_, withdrawn, DEFAULT_VRF, prefix, hop)

    def render(self, changes: Sequence[RouteChange], running: RunningRoutes, template: str | None = None) -> str:
        """The paths that come and go, one a line.

        Raises:
            RenderError: a discard route, which cannot be announced; or the template is wrong.
        """
        for change in changes:
            if any(hop.discard for hop in change.after):
                raise RenderError(
                    f"{change.prefix} cannot be announced as a discard route to a BGP peer",
                    remedy="set services.discard_unserved: false, or keep the peer's discard routes in its own "
                    "configuration",
                )
        return super().render(changes, running, template)


PLATFORM = Bgp()
