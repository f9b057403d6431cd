"""A Junos router behind NETCONF: one shared candidate, private ones, the lock, commit confirmed and its history.

Sources: Junos XML management protocol guide (load-configuration, lock-configuration, commit-configuration,
get-configuration compare), Junos CLI user guide ("commit confirmed", "configure exclusive", "configure private"), and
captured answers of 12.3 to 22.4 for error texts and the commit history. Not seen on a device: what a commit says of a
route without a next hop, and of a full disk.
"""

import asyncio
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from xml.sax.saxutils import escape

from lxml import etree

from tests.world.emulators.base import PASSWORD, USERNAME, Emulator, canonical
from tests.world.emulators.junos_show import answer, tables
from tests.world.emulators.junos_tree import Node, Refused, change, check, clone, compare, parse, text_of
from tests.world.emulators.netconf import Cut, NetconfServer, RpcError, local_name, rpc_error

_NAMESPACES = {"junos": "http://xml.juniper.net/junos/21.4R3/junos"}
_CAPABILITIES = (
    "urn:ietf:params:netconf:base:1.0",
    "urn:ietf:params:netconf:capability:candidate:1.0",
    "urn:ietf:params:netconf:capability:confirmed-commit:1.0",
    "urn:ietf:params:netconf:capability:validate:1.0",
    "http://xml.juniper.net/netconf/junos/1.0",
)
_BOOT = 1_700_000_000  # the device's clock when it booted, seconds
_HEADER = "\n## Last commit: 2024-05-14 09:12:44 UTC by alice\n"
_LOST_AFTER_S = 0.3  # how long a commit goes on when its client is gone

SAMPLE = """
version 21.4R3.15;
groups {
    members {
        interfaces {
            <*> {
                mtu 9192;
            }
        }
    }
}
apply-groups members;
system {
    host-name r1;
    root-authentication {
        encrypted-password "$6$Yx1;{2}$kq"; ## SECRET-DATA
    }
    login {
        message "Authorised users only; { route 10.96.0.0/12 next-hop 10.9.9.9; }";
    }
    services {
        netconf {
            ssh;
        }
    }
}
interfaces {
    et-0/0/0 {
        description "nodes; routing-options { static { route 10.96.0.0/12 discard; } }";
        unit 0 {
            family inet {
                address 10.192.0.254/24;
            }
            family inet6 {
                address fd10:192::fe/64;
            }
        }
    }
    et-0/0/1 {
        unit 0 {
            family inet {
                address 10.9.0.1/24;
            }
        }
    }
}
routing-options {
    rib inet6.0 {
        static {
            route 2001:db8:f::/48 next-hop fd10:192::fd;
        }
    }
    static {
        /* the office */
        route 172.20.0.0/16 {
            next-hop 10.192.0.253;
            qualified-next-hop 10.192.0.252 {
                preference 170;
            }
            no-readvertise;
        }
        route 10.97.10.2/32 next-hop 10.192.0.253;
        inactive: route 10.98.0.0/16 next-hop 10.192.0.253;
        route 198.18.0.0/15 discard;
    }
    forwarding-table {
        export ecmp;
    }
}
protocols {
    lldp {
        interface all;
    }
}
policy-options {
    policy-statement ecmp {
        then {
            load-balance per-packet;
        }
    }
}
routing-instances {
    red {
        instance-type virtual-router;
        interface et-0/0/1.0;
        routing-options {
            static {
                route 10.96.0.0/12 next-hop 10.9.0.9;
            }
        }
    }
}
"""


@dataclass
class Commit:
    """One entry of the history: what was in force, and what `show system commit` says of it."""

    tree: Node
    user: str
    client: str
    seconds: int
    comment: str = ""
    log: str = ""


@dataclass
class Timer:
    """A commit that waits for its confirm; `before` is what comes back."""

    before: Node
    handle: asyncio.TimerHandle | None = None


@dataclass
class Edit:
    """What a session may be changing: its private candidate, or the shared one under its lock."""

    number: int
    user: str
    private: Node | None = None
    base: Node | None = None
    committing: bool = field(default=False)


class Junos(Emulator):
    """The device. Other people's uncommitted edits are made by `edit`."""

    driver: ClassVar[str] = "junos"
    SAMPLE: ClassVar[str] = SAMPLE

    def load(self, running: str) -> None:
        tree = parse(running)
        self.history = [Commit(tree, "alice", "cli", _BOOT)]
        self.candidate = clone(tree)
        self.locked: Edit | None = None
        self.timer: Timer | None = None
        self.clock = _BOOT + 100
        self.marks_waiting = True
        """Whether the commit history says "rollback pending", as current releases do."""
        self.guard = threading.RLock()

    # --- the device ---

    def start(self) -> None:
        self._server = NetconfServer(
            self.folder, {USERNAME: PASSWORD}, _CAPABILITIES, lambda n, user: _Session(self, Edit(n, user)), _NAMESPACES
        )
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def host(self) -> dict[str, Any]:
        options = {"alt_key_file": str(self._server.known_hosts), "use_keys": False}
        return {
            "hostname": "127.0.0.1",
            "port": self._server.port,
            "platform": "junos",
            "username": USERNAME,
            "password": PASSWORD,
            "connection_options": {"napalm": {"extras": {"timeout": 15, "optional_args": options}}},
        }

    @property
    def known_hosts(self) -> Path:
        """The file with the device's host key."""
        return self._server.known_hosts

    def running(self) -> str:
        with self.guard:
            return _HEADER + text_of(self.history[0].tree)

    def others(self, tag: int) -> str:
        with self.guard:
            tree = clone(self.history[0].tree)
        for line in _tagged(tree, str(tag)):
            change(tree, line)
        return text_of(tree)

    def routes(self) -> dict[tuple[str, str], frozenset[str]]:
        with self.guard:
            found = tables(self.history[0].tree, self.learned)
        return {
            (_vrf(table), canonical(str(prefix))): frozenset(address for address, _ in route.hops)
            for table, routes in found.items()
            for prefix, route in routes.items()
            if route.protocol == "Static" and str(prefix) not in self.faults.hide
        }

    def type(self, lines: str) -> None:
        with self.guard:
            tree = clone(self.history[0].tree)
            for line in lines.splitlines():
                change(tree, line)
                change(self.candidate, line)
            self._commit(tree, "bob", "cli")

    def edit(self, lines: str) -> None:
        """Somebody types configuration lines in the shared candidate and leaves them there."""
        with self.guard:
            for line in lines.splitlines():
                change(self.candidate, line)

    def stop_sessions(self) -> None:
        """Every connection is lost."""
        self._server.cut()

    def pending(self) -> bool:
        with self.guard:
            return self.timer is not None

    def expire(self) -> None:
        with self.guard:
            timer, self.timer = self.timer, None
            if timer is not None:
                if timer.handle is not None:
                    timer.handle.cancel()
                self._commit(timer.before, "root", "other")
                self.candidate = clone(timer.before)

    def _commit(self, tree: Node, user: str, client: str, comment: str = "", log: str = "") -> None:
        """Any commit confirms one that waits."""
        if self.timer is not None and self.timer.handle is not None:
            self.timer.handle.cancel()
        self.timer = None
        self.clock += 1
        self.history.insert(0, Commit(clone(tree), user, client, self.clock, comment, log))

    def dirty(self) -> bool:
        """Whether the shared candidate differs from what is in force."""
        return self.candidate != self.history[0].tree


def _vrf(table: str) -> str:
    return table.rsplit(".", 2)[0] if table.count(".") > 1 else "default"


def _tagged(tree: Node, tag: str) -> list[str]:
    from tests.world.emulators.junos_tree import statics

    return [
        f"delete {' '.join(path)} route {prefix}"
        for path, routes in statics(tree)
        for prefix, node in routes
        if (leaf := node.children.get(("tag",))) is not None and leaf.values == [tag]
    ]


class _Session:
    """One NETCONF session and the operations that NAPALM's driver sends."""

    def __init__(self, device: Junos, edit: Edit) -> None:
        self._device = device
        self._edit = edit
        self._answers = {
            "lock-configuration": self._lock,
            "unlock-configuration": self._unlock,
            "open-configuration": self._open,
            "close-configuration": self._close,
            "load-configuration": self._load,
            "get-configuration": self._get,
            "get-commit-information": self._commits,
            "get-commit-revision-information": self._revision,
            "get-system-uptime-information": self._uptime,
            "command": self._command,
        }

    async def answer(self, operation: etree._Element) -> str:
        name = local_name(operation)
        device = self._device
        device.transcript.append(_line(name, operation))
        if name == "commit-configuration":
            return await self._commit(operation)
        method = self._answers.get(name)
        if method is None:
            raise RpcError(rpc_error("syntax error, expecting <command>", tag="operation-not-supported"))
        with device.guard:
            answer = method(operation)
            device.changed()
            return answer

    def ended(self) -> None:
        """Uncommitted changes of a session that holds the lock are discarded, and the lock is given back."""
        with self._device.guard:
            if not self._edit.committing:
                self._release()

    def _release(self) -> None:
        device = self._device
        if device.locked is self._edit:
            device.locked = None
            device.candidate = clone(device.history[0].tree)
        self._edit.private = None

    # --- whose candidate ---

    @property
    def _candidate(self) -> Node:
        return self._device.candidate if self._edit.private is None else self._edit.private

    def _expect_free(self) -> None:
        device = self._device
        if device.faults.holder or device.locked not in (None, self._edit):
            user, number = (device.faults.holder, 4681) if device.locked is None else _holder(device.locked)
            text = (
                f"\nconfiguration database locked by:\n  {user} terminal p0 (pid {number}) on since "
                "2024-05-14 09:31:02 UTC, idle 00:01:12\n      exclusive [edit]\n"
            )
            more = f"<error-info><session-id>{number}</session-id></error-info>"
            raise RpcError(rpc_error(text, tag="lock-denied", more=more))

    def _lock(self, _: etree._Element) -> str:
        self._expect_free()
        device = self._device
        if device.locked is self._edit:
            raise RpcError(rpc_error("Configuration database is already open", tag="lock-denied"))
        if device.dirty():
            raise RpcError(rpc_error("\nconfiguration database modified\n", tag="lock-denied"))
        device.locked = self._edit
        return "<ok/>"

    def _unlock(self, _: etree._Element) -> str:
        if self._device.locked is not self._edit:
            raise RpcError(rpc_error("Configuration database is not open"))
        self._release()
        return "<ok/>"

    def _open(self, _: etree._Element) -> str:
        self._expect_free()
        if self._edit.private is not None:
            raise RpcError(rpc_error("private configuration is already open"))
        self._edit.base = clone(self._device.history[0].tree)
        self._edit.private = clone(self._edit.base)
        raise RpcError(rpc_error("uncommitted changes will be discarded on exit", severity="warning"))

    def _close(self, _: etree._Element) -> str:
        self._edit.private = None
        return "<ok/>"

    # --- operations ---

    def _load(self, operation: etree._Element) -> str:
        self._expect_free()
        rollback = operation.get("rollback")
        if rollback is not None:
            tree = clone(self._device.history[int(rollback)].tree)
            self._put(tree)
            return "<load-configuration-results><ok/></load-configuration-results>"
        if operation.get("action") != "set":
            raise RpcError(rpc_error("syntax error"))
        tree = clone(self._candidate)
        problems = []
        for line in "".join(operation.itertext()).splitlines():
            if not line.strip():
                continue
            try:
                change(tree, line.strip(), self._device.faults.refuse)
            except Refused as error:
                more = f"<error-path>[edit {escape(error.path)}]</error-path>" if error.path else ""
                problems.append(rpc_error(str(error), severity=error.kind, more=more))
        self._put(tree)
        if problems:
            count = f"<load-error-count>{len(problems)}</load-error-count>"
            body = "".join(problems) + count
            raise RpcError(f"<load-configuration-results>{body}</load-configuration-results>")
        return "<load-configuration-results><ok/></load-configuration-results>"

    def _put(self, tree: Node) -> None:
        if self._edit.private is None:
            self._device.candidate = tree
        else:
            self._edit.private = tree

    def _get(self, operation: etree._Element) -> str:
        if operation.get("compare") == "rollback":
            old = self._device.history[int(operation.get("rollback", "0"))].tree
            text = "\n" + "".join(f"{line}\n" for line in compare(old, self._candidate))
            return (
                "<configuration-information><configuration-output>"
                f"{escape(text)}</configuration-output></configuration-information>"
            )
        committed = operation.get("database") == "committed"
        tree = self._device.history[0].tree if committed else self._candidate
        return f"<configuration-text>{escape(_HEADER + text_of(tree))}</configuration-text>"

    def _commits(self, _: etree._Element) -> str:
        entries = []
        for number, commit in enumerate(self._device.history[:50]):
            waits = number == 0 and self._device.timer is not None and self._device.marks_waiting
            entries.append(
                f"<commit-history><sequence-number>{number}</sequence-number><user>{commit.user}</user>"
                f'<client>{commit.client}</client><date-time junos:seconds="{commit.seconds}">then</date-time>'
                + (f"<comment>{commit.comment}</comment>" if commit.comment else "")
                + (f"<log>{escape(commit.log)}</log>" if commit.log else "")
                + ("<commit-confirmed>rollback pending</commit-confirmed>" if waits else "")
                + "</commit-history>"
            )
        return f"<commit-information>{''.join(entries)}</commit-information>"

    def _revision(self, _: etree._Element) -> str:
        newest = self._device.history[0]
        comment = newest.log or newest.comment  # a message hides the other text
        return (
            f"<commit-revision-information><revision>re0-{newest.seconds}-7</revision><user>{newest.user}</user>"
            f'<client>{newest.client}</client><date-time junos:seconds="{newest.seconds}">then</date-time>'
            + (f"<comment>{escape(comment)}</comment>" if comment else "")
            + "</commit-revision-information>"
        )

    def _uptime(self, _: etree._Element) -> str:
        now = f'<current-time><date-time junos:seconds="{self._device.clock}">now</date-time></current-time>'
        return f"<system-uptime-information>{now}</system-uptime-information>"

    def _command(self, operation: etree._Element) -> str:
        command = " ".join((operation.text or "").split())
        faults = self._device.faults
        hidden = "show route" if faults.blind else "show route forwarding-table" if faults.fib_hidden else None
        if hidden is not None and command.startswith(hidden):
            return ""
        if faults.fib_refused and command.startswith("show route forwarding-table"):
            return "<output>error: permission denied: forwarding-table</output>"
        try:
            text = answer(command, self._device.history[0].tree, faults.hide, self._device.learned, faults.silent)
        except ValueError:
            raise RpcError(rpc_error(f"syntax error, expecting <command>: {command}")) from None
        return f"<output>{escape(text)}</output>" if text else ""

    async def _commit(self, operation: etree._Element) -> str:
        device, faults = self._device, self._device.faults
        with device.guard:
            self._expect_free()
            tree = self._merged()
            drop, faults.drop = faults.drop, None
        if drop == "before-commit":
            raise Cut
        if faults.full_disk:
            raise RpcError(rpc_error("could not save the configuration: No space left on device"))
        try:
            check(tree)
        except Refused as error:
            path = f"<error-path>[edit {escape(error.path)}]</error-path>"
            raise RpcError(rpc_error(str(error), more=path) + rpc_error("configuration check-out failed")) from None
        self._edit.committing = True
        if drop == "in-commit":
            asyncio.get_running_loop().call_later(_LOST_AFTER_S, self._end_lost, tree, operation)
            raise Cut
        await asyncio.sleep(faults.slow_commit_s)
        self._end(tree, operation)
        if drop == "after-commit":
            raise Cut
        return (
            '<commit-results><routing-engine junos:style="normal"><name>re0</name><commit-success/>'
            "</routing-engine></commit-results>"
        )

    def _merged(self) -> Node:
        """What a commit would put in force: the shared candidate, or the private one's changes over what is there."""
        device, edit = self._device, self._edit
        if edit.private is None or edit.base is None:
            return clone(device.candidate)
        if device.history[0].tree == edit.base:
            return clone(edit.private)
        raise RpcError(rpc_error("configuration database modified since the private candidate was opened"))

    def _end_lost(self, tree: Node, operation: etree._Element) -> None:
        self._end(tree, operation)
        with self._device.guard:
            self._release()

    def _end(self, tree: Node, operation: etree._Element) -> None:
        device = self._device
        minutes = int(operation.findtext("{*}confirm-timeout") or 10)
        confirmed = operation.find("{*}confirmed") is not None
        log = operation.findtext("{*}log") or ""
        comment = f"commit confirmed, rollback in {minutes}mins" if confirmed else ""
        with device.guard:
            before = device.history[0].tree
            device._commit(tree, self._edit.user, "netconf", comment, log)
            if self._edit.private is None:
                device.candidate = clone(tree)
            else:
                device.candidate = clone(tree) if device.candidate == before else device.candidate
            if confirmed:
                handle = asyncio.get_running_loop().call_later(minutes * 60, device.expire)
                device.timer = Timer(clone(before), handle)
            self._edit.committing = False


def _holder(edit: Edit) -> tuple[str, int]:
    return edit.user, edit.number


def _line(name: str, operation: etree._Element) -> str:
    """An operation for the transcript: its name, attributes and text."""
    attributes = "".join(f" {key}={value}" for key, value in sorted(operation.attrib.items()))
    inner = " ".join(local_name(child) for child in operation.iterchildren("*"))
    text = "".join(operation.itertext()).strip()
    return f"{name}{attributes}" + (f" <{inner}>" if inner else "") + (f"\n{text}" if text else "")
