"""Standard output and error where whoever reads them may go away in the middle of a run.

A pipe's reader ends (`| head`, or `| tee` at Ctrl-C), a terminal is closed, a disk is full. A line that is lost is no
reason to leave a run, which may be changing routers: it goes on to its end, and its exit code says what became of it.
(The end of a rollout whose own terminal is closed is that of the wave in hand: `routers.interrupting`.)
"""

import contextlib
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, NoReturn, TextIO

from k8s_ecmp.errors import EcmpError
from k8s_ecmp.views.page import visible

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def outlive_readers() -> None:
    """From here on what nobody reads any more counts as written, in streams that this process was started with.

    What goes to standard error is for people, and never fails. What goes to standard output is data, and fails where
    its reader may still be there: a full disk is an `EcmpError`.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, _outliving(stream, data=name == "stdout"))


def printed(line: str) -> EcmpError | None:
    """Prints a line to standard output at once; why it could not be, for a run that goes on and says so at its end."""
    try:
        print(line, flush=True)  # noqa: T201
    except EcmpError as error:
        return error
    return None


def leave(message: str, code: int) -> NoReturn:
    """Prints a last line to stderr and exits; threads that still hang on a router do not hold the process."""
    with contextlib.suppress(OSError):
        print("\n".join(map(visible, message.split("\n"))), file=sys.stderr, flush=True)  # noqa: T201
    with contextlib.suppress(OSError, EcmpError):  # what is lost there changes nothing of what the message says
        sys.stdout.flush()
    os._exit(code)


def _outliving(stream: io.TextIOWrapper, *, data: bool) -> TextIO:
    """The same stream on the same descriptor."""
    stream.flush()
    raw = _Unheard(stream.fileno(), data=data)
    return io.TextIOWrapper(
        raw if isinstance(stream.buffer, io.RawIOBase) else io.BufferedWriter(raw),  # python -u: unbuffered
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Unheard(io.FileIO):
    """A descriptor that nobody may listen to any more; left open at the end."""

    def __init__(self, descriptor: int, *, data: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._data = data
        self._terminal = self.isatty()  # one that was closed does not say any more that it is one

    def write(self, content: "ReadableBuffer", /) -> int:
        """As `FileIO.write`: the bytes that were written, None for a pipe that is full and does not block.

        Raises:
            EcmpError: data could not be written.
        """
        size = memoryview(content).nbytes
        try:
            written = super().write(content)
        except OSError as error:
            gone = isinstance(error, ConnectionError) or (self._terminal and error.errno == errno.EIO)
            if self._data and not gone:
                raise EcmpError(f"standard output cannot be written: {error.strerror}") from error
            return size
        return written if self._data or written is not None else size
