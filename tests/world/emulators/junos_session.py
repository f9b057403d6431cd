"""One NETCONF session with a Junos router: the operations that NAPALM's driver sends, and what they answer."""

import asyncio
from xml.sax.saxutils import escape

from lxml import etree

from tests.world.emulators.junos_device import HEADER, Edit, JunosDevice, Timer
from tests.world.emulators.junos_show import answer
from tests.world.emulators.junos_tree import Node, Refused, change, check, clone, compare, text_of
from tests.world.emulators.netconf import Cut, RpcError, local_name, rpc_error

_LOST_AFTER_S = 0.3  # how long a commit goes on when its client is gone


class Session:
    """`answer` is asked for each operation, `ended` is called when the client has gone."""

    def __init__(self, device: JunosDevice, edit: Edit) -> None:
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
            return self._loaded()
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
        return self._loaded()

    def _loaded(self) -> str:
        return f"<load-configuration-results>{self._warning('load')}<ok/></load-configuration-results>"

    def _warning(self, at: str) -> str:
        """What a captured commit of 17.4 has in <commit-results>; elsewhere as RFC 6241 has it, not seen on a device."""
        faults = self._device.faults
        if not faults.warning or at not in faults.warns_at:
            return ""
        place = "<error-path>[edit protocols]</error-path><error-info><bad-element>bgp</bad-element></error-info>"
        return rpc_error(faults.warning, severity="warning", more=place)

    def _put(self, tree: Node) -> None:
        if self._edit.private is None:
            self._device.candidate = tree
        else:
            self._edit.private = tree

    def _get(self, operation: etree._Element) -> str:
        if operation.get("compare") == "rollback":
            old = self._device.history[int(operation.get("rollback", "0"))].tree
            text = "\n" + "".join(f"{line}\n" for line in compare(old, self._candidate))
            return self._warning("compare") + (
                "<configuration-information><configuration-output>"
                f"{escape(text)}</configuration-output></configuration-information>"
            )
        committed = operation.get("database") == "committed"
        tree = self._device.history[0].tree if committed else self._candidate
        return f"<configuration-text>{escape(HEADER + text_of(tree))}</configuration-text>"

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
            refusal = rpc_error("could not save the configuration: No space left on device")
            raise RpcError(self._warning("commit") + refusal)
        try:
            check(tree)
        except Refused as error:
            path = f"<error-path>[edit {escape(error.path)}]</error-path>"
            refusal = rpc_error(str(error), more=path) + rpc_error("configuration check-out failed")
            raise RpcError(self._warning("commit") + refusal) from None
        self._edit.committing = True
        if drop == "in-commit":
            asyncio.get_running_loop().call_later(_LOST_AFTER_S, self._end_lost, tree, operation)
            raise Cut
        await asyncio.sleep(faults.slow_commit_s)
        self._end(tree, operation)
        if drop == "after-commit":
            raise Cut
        return (
            f'<commit-results><routing-engine junos:style="normal"><name>re0</name>{self._warning("commit")}'
            "<commit-success/></routing-engine></commit-results>"
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
            device.commit(tree, self._edit.user, "netconf", comment, log)
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
