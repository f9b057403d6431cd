"""Network namespaces for tests: every address and interface lives inside one, the host's own stays untouched.

Names are `ke-<pid>-<n>-<role>`: unique among test runs, and what a killed run left behind can be told by its pid.
"""

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_PREFIX = "ke-"
_COUNTER = itertools.count(1)
_LIBC = ctypes.CDLL(None, use_errno=True)
_SWEPT = threading.Event()


def missing() -> str | None:
    """Why namespaces cannot be used here; None when they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "nsenter", "unshare", "socat"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    return None


def run(*argv: str, input: str | None = None, check: bool = True, timeout: float = 120) -> str:
    """Standard output of a command; a failure carries the command's standard error."""
    done = subprocess.run(argv, check=False, input=input, capture_output=True, text=True, timeout=timeout)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def wait_for(condition: Callable[..., T | None], what: str, timeout: float = 120, interval: float = 0.005) -> T:
    """The first true answer of `condition`; fails with `what` at the deadline.

    `condition` is called without arguments; one that is made in a loop keeps the loop's values as defaults.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {timeout} s still not: {what}")
        time.sleep(interval)


class Namespace:
    """A network namespace, loopback up. Use as a context manager, or `close()` it."""

    def __init__(self, role: str) -> None:
        if not _SWEPT.is_set():
            _SWEPT.set()
            sweep()
        self.name = f"{_PREFIX}{os.getpid()}-{next(_COUNTER)}-{role}"
        run("ip", "netns", "add", self.name)
        with self.entered():  # a link-local address under detection keeps IPv6 neighbours from being asked for a second
            Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
        run("ip", "-n", self.name, "link", "set", "lo", "up")

    @property
    def path(self) -> str:
        return f"/run/netns/{self.name}"

    def argv(self, *command: str) -> list[str]:
        """`command` as one that runs inside this network namespace (files and processes stay the host's)."""
        return ["nsenter", f"--net={self.path}", *command]

    def run(self, *command: str, input: str | None = None, check: bool = True, timeout: float = 120) -> str:
        return run(*self.argv(*command), input=input, check=check, timeout=timeout)

    def popen(self, *command: str, **options: Any) -> subprocess.Popen[Any]:
        """A process inside; its pid is the command's own."""
        return subprocess.Popen(self.argv(*command), **options)

    def ip(self, *arguments: str, check: bool = True) -> str:
        """`ip -n NAME ARGUMENTS`; one argument may hold several words."""
        return run("ip", "-n", self.name, *" ".join(arguments).split(), check=check)

    def sysctl(self, **values: int | str) -> None:
        """Keys with "__" for the dots: `sysctl(net__ipv4__ip_forward=1)`."""
        self.run("sysctl", "-qw", *(f"{key.replace('__', '.')}={value}" for key, value in values.items()))

    def bridge(self, name: str, addresses: Sequence[str] = ()) -> None:
        """A bridge, up, with addresses ("10.0.0.1/24")."""
        self.ip("link add", name, "type bridge")
        self.add_addresses(name, addresses)

    def add_addresses(self, interface: str, addresses: Sequence[str]) -> None:
        """Addresses that are usable at once (no duplicate address detection), then the interface up."""
        for address in addresses:
            self.ip("address add", address, "dev", interface, "nodad" if ":" in address else "")
        self.ip("link set", interface, "up")

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread inside this network namespace; sockets that it opens stay there."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        target = os.open(self.path, os.O_RDONLY)
        try:
            _setns(target)
            yield
        finally:
            _setns(own)
            os.close(own)
            os.close(target)

    def close(self) -> None:
        """Ends what still runs inside and deletes the namespace. May be called twice."""
        if Path(self.path).exists():
            _delete(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def veth(
    one: Namespace,
    one_interface: str,
    other: Namespace,
    other_interface: str,
    one_addresses: Sequence[str] = (),
    other_addresses: Sequence[str] = (),
) -> None:
    """A cable between two namespaces, both ends placed at once, addressed and up."""
    run(
        *f"ip link add {one_interface} netns {one.name} type veth peer name {other_interface} netns {other.name}".split()
    )
    one.add_addresses(one_interface, one_addresses)
    other.add_addresses(other_interface, other_addresses)


def sweep() -> None:
    """Removes namespaces of test runs whose process is gone."""
    for path in Path("/run/netns").glob(f"{_PREFIX}*"):
        owner = path.name.split("-")[1]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            with contextlib.suppress(RuntimeError):
                _delete(path.name)


def _delete(name: str) -> None:
    for pid in run("ip", "netns", "pids", name, check=False).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    run("ip", "netns", "delete", name)


def _setns(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
