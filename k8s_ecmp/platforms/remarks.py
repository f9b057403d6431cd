"""What a reading of a configuration has to say beside the routes: of lines that it could not make out."""

from collections.abc import Callable, Sequence

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import ParseNote, Prefix

_SHOWN = 200  # characters of a line


class Remarks:
    """Takes what is said of lines while they are read.

    One line that cannot be read is no reason to give up a router: where its prefix is known, the prefix is nobody's to
    change (`refused`); where not, its VRF cannot be told any more (`unreadable`). A half line at the very end is
    another thing: there the text is cut short, and nobody knows what is missing.

    Args:
        more: whether anything stands behind a line, by its 1-based number. Nothing does in commands, where a line that
            cannot be read is always an error.
    """

    def __init__(self, more: Callable[[int], bool] = lambda _: False) -> None:
        self.notes: list[ParseNote] = []
        self.refused: dict[tuple[str, Prefix], str] = {}
        self.unreadable: list[tuple[str, ParseNote]] = []
        self.closed: dict[int, str] = {}
        self._more = more

    @classmethod
    def on(cls, lines: Sequence[str]) -> "Remarks":
        """Remarks on the lines of a configuration."""
        return cls(lambda number: any(line and not line.isspace() for line in lines[number:]))

    def note(self, line: int, text: str, reason: str) -> None:
        """Something to know of a line."""
        self.notes.append(ParseNote(line, text.strip()[:_SHOWN], reason))

    def refuse(self, line: int, text: str, problem: ValueError, vrf: str, prefix: Prefix) -> None:
        """What stands behind a prefix cannot be read.

        Raises:
            ParseError: the text ends with this line, or holds commands.
        """
        self.refused.setdefault((vrf, prefix), self.flaw(line, text, problem, str(prefix)))

    def flaw(self, line: int, text: str, problem: ValueError, what: str) -> str:
        """What cannot be read of `what`, noted; without the line's number, which moves with other people's lines.

        Raises:
            ParseError: the text ends with this line, or holds commands.
        """
        self._expect_more(line, text, problem)
        self.note(line, text, f"cannot be read: {problem}; {what} is left alone")
        return f"{text.strip()[:_SHOWN]!r} cannot be read: {problem}"

    def setting(self, line: int, text: str, problem: ValueError) -> None:
        """A line that begins as static lines do and has no word that could be a prefix: no route.

        Raises:
            ParseError: the text ends with this line, or holds commands.
        """
        self._expect_more(line, text, problem)
        self.note(line, text, "no route: a setting that is not known")

    def lose(self, line: int, text: str, problem: ValueError, vrf: str) -> None:
        """The prefix of a static line cannot be read.

        Raises:
            ParseError: the text ends with this line, or holds commands.
        """
        self._expect_more(line, text, problem)
        self.note(line, text, f"cannot be read: {problem}")
        self.unreadable.append((vrf, ParseNote(line, text.strip()[:_SHOWN], str(problem))))

    def _expect_more(self, line: int, text: str, problem: ValueError) -> None:
        if not self._more(line):
            raise ParseError(f"{text.strip()!r}: {problem}", line=line)
