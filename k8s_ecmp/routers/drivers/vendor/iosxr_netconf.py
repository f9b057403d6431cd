"""NAPALM's `iosxr_netconf`: NETCONF over SSH, with configuration as CLI text.

What is handled here: the driver puts the text into XML as it is; after a failed load it keeps the lock and then
compares as if nothing had changed; it has no show commands, so RIB and FIB are asked for by their YANG models; ncclient
takes every unknown host key of an IOS-XR router, whatever is asked of it, and a warning for a refusal.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from k8s_ecmp.errors import AuthenticationFailed, ConfigRejected, HostKeyRejected, LockHeld, RouterError, Unreachable
from k8s_ecmp.platforms.iosxr_fib import NODES_FILTER, fib_filter, fib_node
from k8s_ecmp.platforms.iosxr_neighbours import is_neighbours, neighbour_filters
from k8s_ecmp.platforms.iosxr_rib import VRFS_FILTER, is_blank, rib_filter
from k8s_ecmp.routers.drivers.vendor.base import VendorDriver, describe
from k8s_ecmp.routers.drivers.vendor.netconf_errors import Found, only_warnings

_PORT = 830
_EDITS = frozenset({"Lock", "Unlock", "EditConfig", "DiscardChanges", "Commit"})
_NEW_S = 1.0


class IosXrNetconfDriver(VendorDriver):
    """Cisco IOS-XR behind NETCONF."""

    napalm_name = "iosxr_netconf"

    def prepared(self, options: dict[str, Any]) -> dict[str, Any]:
        """Host keys are checked against known_hosts, or `alt_key_file`, unless `ssh_strict: false`.

        Raises:
            HostKeyRejected: `alt_key_file` has no key of this router.
        """
        options = dict(options)
        strict = options.pop("ssh_strict", True)
        options.pop("alt_host_keys", None)
        options.setdefault("hostkey_verify", strict)
        file = options.pop("alt_key_file", None)
        if file and options["hostkey_verify"]:
            options.setdefault("hostkey_b64", _known_key(file, self.hostname, int(options.get("port") or _PORT)))
        return options

    def open(self) -> None:
        """Connects.

        Raises:
            Unreachable, AuthenticationFailed, HostKeyRejected: it did not work.
        """
        handler: Any = import_module("ncclient.devices.iosxr")
        handler.iosxr_unknown_host_cb = _refuse_unknown  # it is asked for keys that known_hosts has not
        super().open()
        session = self.device.device
        session.execute = self._heeding(session.execute)
        self._opened, self._used = time.monotonic(), False

    def close(self) -> None:
        """Gives the lock back and ends the session, and so its candidate."""
        super().close()
        self.device.locked = False  # where unlocking failed, the next session would believe that it has the lock

    def lock(self) -> None:
        """Locks the candidate, in a new session unless this one has just begun.

        The router would refuse the commit of a session since whose beginning others have committed.

        Raises:
            LockHeld: somebody else has it.
        """
        if not self.device.locked and (self._used or time.monotonic() - self._opened > _NEW_S):
            self._renew()
        self._used = True
        with self.translated("lock"):
            self.device._lock()  # noqa: SLF001  it remembers there that it has to unlock

    def _heeding(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        """Ncclient's way from an operation to its reply, in which warnings beside a change are no refusal.

        RFC 6241, 4.3: a reply with warnings alone is one of success. Beside the answer to a question they stay errors,
        because it may lack something.
        """
        from ncclient.operations import RPCError

        def executed(operation: type, *args: Any, **kwargs: Any) -> Any:
            try:
                return execute(operation, *args, **kwargs)
            except RPCError as error:
                errors = error.errlist or [error]
                warnings = only_warnings(Found(one.severity, " ".join(str(one.message).split())) for one in errors)
                if operation.__name__ not in _EDITS or warnings is None:
                    raise
                for warning in warnings:
                    self.heed(warning)
                return None

        return executed

    def _renew(self) -> None:
        """Begins a new session; where the router lets nobody in, the old one stays, whose commit it may refuse."""
        old = self.device.device
        try:
            self.open()
        except RouterError:
            if old is None or not old.connected:
                raise
            self.device.device = old
            return
        with contextlib.suppress(Exception):
            old.close_session()

    def load_merge_candidate(self, filename: str | None = None, config: str | None = None) -> None:
        """Loads commands into the candidate; one that fails is thrown away at once.

        Raises:
            LockHeld: somebody else is changing the router.
            ConfigRejected: it refused a line; nothing is in force.
        """
        if not self.device.locked:
            self.lock()
        try:
            super().load_merge_candidate(filename, escape(config) if config else config)
        except ConfigRejected:
            with contextlib.suppress(RouterError):
                self.discard_config()
            raise

    def commit_config(self, message: str = "", revert_in: int | None = None) -> None:  # noqa: ARG002
        """Commits; the driver takes no comment.

        Raises:
            CommitFailed: it broke off or was refused.
        """
        super().commit_config("", revert_in)

    def get_config(self, retrieve: str = "all") -> Mapping[str, str]:
        """The configuration's texts. XML closes them, so the last line `end` of a whole one may lack, and is added."""
        texts = super().get_config(retrieve)
        return {name: text if not text or _ends(text) else f"{text}\nend" for name, text in texts.items()}

    def cli(self, commands: list[str], encoding: str = "text") -> dict[str, Any]:  # noqa: ARG002
        """RIB, FIB and neighbours by their YANG models, as XML, for the show commands that ask for them.

        Of a FIB that the login may not see, or whose model the router does not have, there are no answers.

        Raises:
            RouterError: the router shows nothing of its RIB, which is another thing than an empty one.
        """
        asked = {command: rib_filter(command) for command in commands if command.startswith("show route ")}
        forwarding = [command for command in commands if command.startswith("show cef ")]
        if forwarding and (node := self._fib_node()):
            asked |= {command: fib_filter(command, node) for command in forwarding}
        answers = {wanted: self._get(wanted) for wanted in set(asked.values())}
        routes = {wanted for command, wanted in asked.items() if command.startswith("show route ")}
        if any(is_blank(answers[wanted]) for wanted in routes) and is_blank(self._get(VRFS_FILTER)):
            raise RouterError(
                "the router shows nothing of its routing table over NETCONF",
                remedy="the login needs the task `rib` to read",
            )
        neighbours = {command: self._get(*neighbour_filters(command)) for command in commands if is_neighbours(command)}
        return neighbours | {command: answers[wanted] for command, wanted in asked.items()}

    def _fib_node(self) -> str:
        """The node whose FIB is asked for; "" where there is none to be seen."""
        try:
            return fib_node(self._get(NODES_FILTER))
        except RouterError as error:
            if error.retryable:
                raise
            return ""

    def _get(self, *wanted: str) -> str:
        """The reply to subtree filters."""
        with self.translated("ask"):
            return str(self.device.device.get(filter=list(wanted)).xml)

    def translate(self, error: Exception, what: str) -> RouterError | None:
        """Errors of ncclient, some of them behind NAPALM's `ConnectionException` with their text alone."""
        name, text = type(error).__name__, f"could not {what}: {describe(error)}"
        if getattr(error, "tag", None) == "lock-denied":
            holder = _holder(error)
            return LockHeld(
                f"the configuration is being changed by {holder}", holder=holder, remedy="wait until it has ended"
            )
        if "Unknown host key" in str(error) or "no acceptable host key" in str(error):
            return HostKeyRejected(
                text, remedy=f"add the right key of {self.hostname} to known_hosts, or name its file by alt_key_file"
            )
        if what == "connect" and "uthentication" in str(error):
            return AuthenticationFailed(text, remedy="check the username and password of this router in the inventory")
        if what != "commit" and name in ("SessionCloseError", "TransportError", "SSHError", "TimeoutExpiredError"):
            return Unreachable(text)
        return None


def _ends(text: str) -> bool:
    return text.rstrip().rpartition("\n")[2].strip() == "end"


def _refuse_unknown(host: str, fingerprint: str) -> bool:  # noqa: ARG001
    return False


def _known_key(file: str, hostname: str, port: int) -> str:
    """The key of a router in a file in the form of known_hosts, in base64.

    Raises:
        HostKeyRejected: there is none, or no such file.
    """
    from paramiko.hostkeys import HostKeys

    try:
        keys = HostKeys(file if Path(file).is_file() else None)
    except Exception as error:
        raise HostKeyRejected(f"{file} cannot be read: {describe(error)}", remedy="correct alt_key_file") from error
    for name in (f"[{hostname}]:{port}", hostname):
        found: Mapping[str, Any] = keys.lookup(name) or {}
        for kind in sorted(found, key=lambda kind: kind == "ssh-rsa"):  # ncclient would sign by SHA-1 with that one
            return str(found[kind].get_base64())
    raise HostKeyRejected(f"{file} has no key of {hostname}", remedy="add it, or correct alt_key_file")


def _holder(error: Any) -> str:
    """The session that <error-info> of a refused lock names; 0 is one that is not NETCONF's (RFC 6241, 7.5)."""
    with contextlib.suppress(Exception):
        number = ET.fromstring(str(error.info)).findtext(".//{*}session-id")  # noqa: S314  from the router
        if number and number != "0":
            return f"NETCONF session {number}"
        if number:
            return "a session outside of NETCONF"
    return "another session"


DRIVERS: dict[str, type[VendorDriver]] = {"iosxr_netconf": IosXrNetconfDriver}
