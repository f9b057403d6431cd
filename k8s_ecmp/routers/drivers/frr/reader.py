"""A waiting vtysh for questions: an answer costs no new process on the router."""

import itertools
import re

from k8s_ecmp.errors import RouterError
from k8s_ecmp.routers.drivers.frr.agent import Stream
from k8s_ecmp.routers.drivers.frr.session import Session

_REFUSED = re.compile(
    r"^% (Unknown command|Ambiguous command|Command incomplete|There is no matched command)", re.MULTILINE
)


class Reader:
    """vtysh on a channel of its own."""

    def __init__(self, name: str, session: Session, timeout: float) -> None:
        self._name = name
        self._timeout = timeout
        self._stream = Stream(name, session.start("exec vtysh"))
        self._serial = itertools.count(1)

    @property
    def alive(self) -> bool:
        return not self._stream.closed

    def close(self) -> None:
        self._stream.close()

    def ask(self, command: str) -> str:
        """The output of one command.

        Raises:
            RouterError: vtysh does not know the command.
            Unreachable, DeadlineExceeded: the session is lost, or slow.
        """
        end = f"k8s-ecmp-end-{next(self._serial)}"
        self._stream.send(f"{command}\n{end}\n", self._timeout)
        raw = self._stream.until(f"% Unknown command: {end}\n".encode(), self._timeout)
        self._stream.line(self._timeout)
        text = raw.decode("utf-8", "replace").replace("\r\n", "\n")
        text = text[text.index(f"{command}\n") + len(command) + 1 :]
        body, _, prompt = text.removesuffix(f"{end}\n").rpartition("\n")
        if "(config" in prompt:
            self._stream.send("end\n", self._timeout)
        return known(self._name, command, body + "\n" if body else "")


def refused(answer: str) -> bool:
    """Whether vtysh says that it does not know the command."""
    return _REFUSED.search(answer[:200]) is not None


def known(name: str, command: str, answer: str) -> str:
    """The answer to a command.

    Raises:
        RouterError: vtysh does not know the command.
    """
    if refused(answer):
        raise RouterError(f"router {name}: vtysh refuses {command!r}: {answer.strip().splitlines()[0]}")
    return answer
