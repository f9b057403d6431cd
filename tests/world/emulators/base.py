"""What the device emulators have in common: how tests start them, damage them and look into them.

An emulator speaks a device's wire protocol to NAPALM's unmodified driver and models what the vendor's documents say of
static routes, candidates, locks and commit timers. It knows nothing of this project: no import of `k8s_ecmp`.
"""

import ipaddress
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

USERNAME = "netops"
PASSWORD = "planted-secret-7f3a"

Drop = Literal["before-commit", "in-commit", "after-commit"]


@dataclass
class Faults:
    """What goes wrong on the device, until it is taken away.

    `drop`: the connection is cut once: when the commit arrives, in the middle of it, or when it is done but not
    answered. A device that is not atomic has half of the lines in force after "in-commit"; an atomic one goes on and
    ends it. `refuse`: a configuration line that contains the text is refused as the device refuses an invalid one.
    `hide`: prefixes that routing and forwarding tables do not show whatever is configured. `not_forwarded`: addresses
    of next hops that the forwarding table lacks (ios, iosxr, nxos). `holder`: who holds the configuration lock, or has a
    session open that keeps others out. `blind`: the login may not see the routing table; a device that has no words for
    that (junos, iosxr_netconf) answers with nothing at all. `fib_hidden`: it may not see the forwarding table alone
    (junos, iosxr_netconf). `fib_refused`: commands that show the forwarding table are refused, in the device's words (ios,
    iosxr, nxos, junos). `slow_fib_s`: seconds that such a command takes (ios, nxos). `silent`: addresses of next hops that do not answer ARP or ND; the device shows that, but
    for eos. `warning`: what the device says beside doing what `warns_at` names ("commit", "load" or "compare"; junos,
    iosxr_netconf). `log`: a log message that is printed into longer answers (iosxr).
    """

    slow_commit_s: float = 0
    drop: Drop | None = None
    refuse: str | None = None
    hide: set[str] = field(default_factory=set)
    not_forwarded: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    holder: str | None = None
    full_disk: bool = False
    blind: bool = False
    fib_hidden: bool = False
    fib_refused: bool = False
    slow_fib_s: float = 0
    warning: str = ""
    warns_at: frozenset[str] = frozenset({"commit"})
    log: str = ""


@dataclass(frozen=True)
class Learned:
    """A route that the device has from a BGP neighbour, in the default VRF."""

    next_hop: str
    distance: int = 20

    def beats(self, vrf: str, distance: int) -> bool:
        """Whether it is in use instead of a static route of that distance."""
        return vrf == "default" and self.distance < distance


class Emulator(ABC):
    """One device on loopback; a context manager that serves from `__enter__` to `__exit__`, in threads of its own.

    `driver` is NAPALM's name. `SAMPLE` is a whole running configuration as the device prints it: other people's routes
    (one of them 10.97.10.2/32, which the demo cluster wants, another in a VRF), interfaces on 10.192.0.0/24 and
    fd10:192::/64, banners and sections that have nothing to do with routes.
    """

    driver: ClassVar[str]
    SAMPLE: ClassVar[str]

    def __init__(self, folder: Path, running: str | None = None) -> None:
        self.folder = folder
        self.faults = Faults()
        self.transcript: list[str] = []
        """Every command or operation that a client sent, in order."""
        self.learned: dict[str, Learned] = {}
        """What BGP neighbours announce, by canonical prefix."""
        self.watchers: list[Callable[[], None]] = []
        """Called by eos and nxos after every command that may have changed what is in force, by junos after every operation
        but a commit; before it is answered."""
        self.load(self.SAMPLE if running is None else running)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Serves on a free port of 127.0.0.1 until `stop`."""

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def host(self) -> dict[str, Any]:
        """The inventory's entry: hostname, port, platform, username, password, connection_options. Keys and certificates
        are checked, against files in `folder`."""

    @abstractmethod
    def load(self, running: str) -> None:
        """The device has booted with this configuration."""

    @abstractmethod
    def running(self) -> str:
        """The running (committed) configuration as the device prints it."""

    @abstractmethod
    def others(self, tag: int) -> str:
        """The running configuration without the static next hops (Junos: routes) that carry the tag."""

    @abstractmethod
    def routes(self) -> dict[tuple[str, str], frozenset[str]]:
        """The forwarding table's static routes, learned ones left out: (VRF, canonical prefix) -> next-hop addresses, or {"discard"}."""

    @abstractmethod
    def type(self, lines: str) -> None:
        """Somebody types configuration lines on the console and commits them at once."""

    @abstractmethod
    def pending(self) -> bool:
        """Whether a commit waits for its confirm."""

    @abstractmethod
    def expire(self) -> None:
        """The timer of the pending commit runs out now."""

    def changed(self) -> None:
        """The device says that what is in force may have changed."""
        for watcher in self.watchers:
            watcher()

    def saved(self) -> bool:
        """Whether the startup configuration is the running one; devices with a commit history save by committing."""
        return True


def canonical(prefix: str) -> str:
    """A prefix in canonical text; host bits are cleared as devices do."""
    return str(ipaddress.ip_network(prefix, strict=False))
