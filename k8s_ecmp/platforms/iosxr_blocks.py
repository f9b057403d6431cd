"""Where a line of an IOS-XR configuration stands: `router static`, a VRF, an address family.

Blocks are told by indentation, one blank a level, and `!` closes those that are as deep as it stands (Cisco, "IOS XR
Routing Configuration Guide": running configurations). A line without indentation ends `router static`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from k8s_ecmp.model import DEFAULT_VRF

_FAMILIES = {"ipv4": 4, "ipv6": 6}
_STATIC = ["router", "static"]


class Block(NamedTuple):
    """An open block. `family` is 4 or 6 where routes of the unicast table stand in it, else 0.

    `kind`: "static", "vrf", "routes", or "other" for one that is not known.
    """

    kind: str
    indent: int
    vrf: str
    family: int = 0


class Cursor:
    """The blocks of static configuration that are open behind the last line that was told."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []

    def closes(self, stripped: str, indent: int) -> bool:
        """Whether the line only closes blocks, or is a comment; closes what the line does not stand in."""
        word = stripped.rstrip()
        if stripped[0] == "!" and word != "!":
            return True
        depth = len(self.blocks)
        self.leave(indent)
        if word == "root":
            self.blocks.clear()
        elif word == "exit" and self.blocks and len(self.blocks) == depth:
            self.blocks.pop()
        return word in ("!", "exit", "root")

    def leave(self, indent: int) -> None:
        """Closes the blocks that a line with this indentation does not stand in."""
        while self.blocks and self.blocks[-1].indent >= indent:
            self.blocks.pop()

    def enters(self, words: Sequence[str], indent: int) -> int:
        """How many of the words open blocks: "router static", "vrf V", "address-family ipv4 unicast".

        Raises:
            ValueError: a block's head is cut short, or it cannot stand here.
        """
        used = 0
        if not self.blocks:
            if indent or words[:2] != _STATIC:
                return 0
            self.blocks.append(Block("static", indent, DEFAULT_VRF))
            used = 2
        if len(words) > used and words[used] == "vrf":
            if len(words) < used + 2:
                raise ValueError("the VRF is missing")
            self._expect("static")
            self.blocks.append(Block("vrf", indent, words[used + 1]))
            used += 2
        if len(words) > used and words[used] == "address-family":
            self._expect("static", "vrf")
            used += self._family(words[used:], indent)
        return used

    def _expect(self, *kinds: str) -> None:
        if self.blocks[-1].kind not in kinds:
            raise ValueError("it cannot stand in this block")

    def _family(self, words: Sequence[str], indent: int) -> int:
        if len(words) < 3 or words[1] not in _FAMILIES or words[2] not in ("unicast", "multicast"):
            raise ValueError("no address family: ipv4 or ipv6, then unicast or multicast")
        vrf = self.blocks[-1].vrf
        if words[2] == "multicast" or words[3:4] == ["topology"]:
            self.blocks.append(Block("other", indent, vrf))
            return len(words)
        self.blocks.append(Block("routes", indent, vrf, _FAMILIES[words[1]]))
        return 3


def banner(line: str) -> Callable[[str], bool] | None:
    """Where `line` opens a banner, tells the line that closes it: its delimiter stands at both ends."""
    words = line.split(None, 2)
    if len(words) < 3 or words[0] != "banner" or line[0].isspace():
        return None
    text = words[2]
    delimiter = "^C" if text.startswith("^C") else text[0]
    return None if delimiter in text[len(delimiter) :] else lambda later: delimiter in later
