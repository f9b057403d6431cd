"""A waiting vtysh for questions: an answer costs no new process on the router, or a shell that asks another's."""

import contextlib
import itertools
import re
from collections.abc import Sequence

from k8s_ecmp.errors import RouterError
from k8s_ecmp.routers.drivers.frr.agent import Stream, quoted, read_answers
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


def ask_through(door: str, name: str, session: Session, commands: Sequence[str], timeout: float) -> list[str]:
    """Has the vtysh of another login of the same user answer on a channel of this one: that saves starting another.

    Descriptor 4 of the shell here is its output, open for reading too, so that whoever opens that never waits for a
    reader; descriptor 1 is the door while the shell asks. The request is one small write, which nothing comes between.

    Args:
        door: the `Agent.door` of that login.
        name: the router.
        session: of this login.
        commands: for vtysh.
        timeout: seconds.

    Raises:
        Unreachable: that login has ended, cannot be reached, or this one is lost.
        DeadlineExceeded: no answer in time.
    """
    asked = " ".join(quoted(command) for command in commands)
    script = (
        f"[ -p {door} ] && [ -w {door} ] && [ -p /proc/$$/fd/1 ] && exec 4<>/proc/$$/fd/1 3<>{door} &&"
        f" printf '%s\\n' 'look 1 {len(commands)} /proc/'$$/fd/4 {asked} >&3 && read -r closed"
    )
    with contextlib.closing(Stream(name, session.start("exec sh"))) as stream:
        stream.send(f"{script}\n", timeout)
        return read_answers(stream, 1, name, timeout)


def known(name: str, command: str, answer: str) -> str:
    """The answer to a command.

    Raises:
        RouterError: vtysh does not know the command.
    """
    if _REFUSED.search(answer[:200]):
        raise RouterError(f"router {name}: vtysh refuses {command!r}: {answer.strip().splitlines()[0]}")
    return answer
