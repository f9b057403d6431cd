"""Platforms on which a static next hop is one line: what they share.

A platform is a subclass of `FlatPlatform`, which says of its syntax what `FlatSyntax` asks for. Reading a text
(`reading`), what commands do to routes (`settling`), writing commands (`writing`) and where lines go in a text
(`placing`) are the same for all of them.
"""

from collections.abc import Iterator, Mapping, Sequence

from k8s_ecmp.model import NextHop, Prefix, RouteChange, RunningRoutes
from k8s_ecmp.platforms.base import Verification
from k8s_ecmp.platforms.edits import Edit, changed_lines, unified
from k8s_ecmp.platforms.placing import line_edits, settlements
from k8s_ecmp.platforms.reading import LineReader, read_routes
from k8s_ecmp.platforms.remarks import Remarks
from k8s_ecmp.platforms.syntax import FlatSyntax, Statement
from k8s_ecmp.platforms.writing import expect_vrfs, write_commands


class FlatPlatform(FlatSyntax):
    """One router syntax with one line for each next hop."""

    verification: Verification | None = None

    def statements(self, lines: Sequence[str], remarks: Remarks, *, commands: bool = False) -> Iterator[Statement]:
        return LineReader(self, remarks).statements(lines, commands=commands)

    def homes(
        self,
        running: RunningRoutes,
        source: Sequence[str],
        homeless: Mapping[tuple[str, int], list[tuple[Prefix, NextHop]]],
    ) -> Iterator[Edit]:
        return settlements(self, running, source, homeless)

    # --- the platform's protocol ---

    def parse(self, text: str) -> RunningRoutes:
        """All static routes of a whole running configuration, every VRF, in order of first appearance.

        Raises:
            ParseError: the text is no whole configuration, or the VRF of a static line cannot be told.
        """
        return read_routes(self, text)

    def render(self, changes: Sequence[RouteChange], running: RunningRoutes, template: str | None = None) -> str:
        """The configuration commands for the changes, one a line; "" when there are none.

        Raises:
            RenderError: the router lacks a VRF, the template failed, or what it wrote would not do exactly the changes.
        """
        expect_vrfs(self, changes, running)
        return write_commands(self, changes, template)

    def edits(self, running: RunningRoutes, commands: str) -> tuple[Edit, ...]:
        """What the commands would do to the text of `running`.

        Raises:
            ParseError: a command is no static route command, or the device would refuse it.
        """
        return line_edits(self, running, commands)

    def foreign_lines(self, device_diff: str, running: RunningRoutes, commands: str) -> list[str]:
        """The added and removed lines of the device's diff that the predicted one has not, under the same context."""
        planned = set(changed_lines(unified(running.source, self.edits(running, commands))))
        return [" ".join(words) for context, words in changed_lines(device_diff) if (context, words) not in planned]
