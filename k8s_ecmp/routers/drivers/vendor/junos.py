"""Juniper Junos by NETCONF over SSH: the exclusive lock or a private candidate, commit confirmed, and whose it is.

NAPALM's driver commits without a lock when it confirms, which would take other people's uncommitted edits along; it
throws away the shared candidate when it discards, whoever wrote it; and PyEZ below it checks no host keys unless told
to, and takes a warning for a refusal. Here the lock is held from `lock` to `discard_config`, nothing is discarded that
this driver does not hold, and the session under NAPALM's driver checks host keys and heeds warnings.
"""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from k8s_ecmp.errors import (
    ChangePending,
    CommitFailed,
    ConfigRejected,
    ConfirmExpired,
    ForeignLines,
    HostKeyRejected,
    LockHeld,
    RouterError,
)
from k8s_ecmp.redaction import sanitized
from k8s_ecmp.routers.drivers.vendor.base import VendorDriver, describe
from k8s_ecmp.routers.drivers.vendor.netconf_errors import refusals

_HOLDER = re.compile(r"locked by:\s*(?P<user>\S+)(?:\s+terminal\s+(?P<terminal>[^\s(]+))?(?:\s*\(pid (?P<pid>\d+)\))?")
_MODIFIED = "configuration database modified"
_CONFIRMED = re.compile(r"commit confirmed, rollback in (\d+)\s*min")
_KEY_ERRORS = ("SSHUnknownHostError", "BadHostKeyException")


class JunosDriver(VendorDriver):
    """One router. `optional_args` are NAPALM's, and `ssh_strict`, `alt_key_file`, `use_keys`, `allow_agent`."""

    napalm_name: ClassVar[str] = "junos"

    def __init__(
        self, hostname: str, username: str, password: str, timeout: float = 60, optional_args: Any = None
    ) -> None:
        self._held = False
        """Whether this driver holds the lock, or has its private candidate open."""
        self._timed = False
        """Whether our commit with a timer was sent and neither confirmed nor taken back, as far as is known."""
        super().__init__(hostname, username, password, timeout, optional_args)

    def prepared(self, options: dict[str, Any]) -> dict[str, Any]:
        """Port 830, host keys checked; the lock is looked after here, not by NAPALM."""
        options.setdefault("port", 830)
        self._strict = bool(options.pop("ssh_strict", True))
        self._known_hosts = options.pop("alt_key_file", None)
        self._use_keys = options.pop("use_keys", None)
        self._allow_agent = options.pop("allow_agent", None)
        self._private = bool(options.get("config_private", False))
        return options | {"lock_disable": True, "config_lock": False}

    # --- verbs ---

    def open(self) -> None:
        """Connects.

        Raises:
            Unreachable, AuthenticationFailed, HostKeyRejected: it did not work.
        """
        from k8s_ecmp.routers.drivers.vendor.junos_device import HeedingDevice

        self._held = False
        napalm = self.device
        with self.translated("connect"), self._ssh_config() as ssh_config:
            napalm.device = HeedingDevice(
                heed=self.heed,
                host=napalm.hostname,
                user=napalm.username,
                password=napalm.password or None,
                port=napalm.port,
                ssh_private_key_file=napalm.key_file,
                ssh_config=ssh_config,
                huge_tree=napalm.huge_tree,
                look_for_keys=self._use_keys,
                allow_agent=self._allow_agent,
                hostkey_verify=self._strict,
                conn_open_timeout=int(self.device.timeout),
            )
            napalm.open()

    def lock(self) -> None:
        """Takes the exclusive lock, or opens a private candidate; our own commit that still waits is taken back.

        Raises:
            LockHeld: somebody else has the configuration locked.
            ForeignLines: somebody has uncommitted changes in the shared candidate.
            ChangePending: somebody else's commit waits for its confirm; a commit of ours would confirm it.
        """
        if self._held:
            return
        with self.translated("lock the configuration"):
            self._take()
        try:
            if self.has_pending_commit():
                if not self._timed:
                    raise ChangePending(
                        "a commit waits for its confirm, and a commit of ours would confirm it",
                        remedy="wait until the router has taken it back, or confirm it on the router",
                    )
                self.rollback()
                self._take_again()
            elif left := self.compare_config():
                raise ForeignLines(f"the candidate already holds changes: {sanitized(left).split()[:12]}")
        except RouterError:
            with contextlib.suppress(RouterError):
                self._give_back()
            raise

    def load_merge_candidate(self, filename: str | None = None, config: str | None = None) -> None:
        """Loads commands into the candidate; "" takes the lock alone.

        Raises:
            LockHeld, ForeignLines, ChangePending: as `lock`.
            ConfigRejected: the router refused a line; nothing is in force.
        """
        self.lock()
        if not filename and not config:
            return
        try:
            super().load_merge_candidate(filename=filename, config=config)
        except ConfigRejected:
            self._held = not self._private  # NAPALM has closed the private candidate
            raise

    def commit_config(self, message: str = "", revert_in: int | None = None) -> None:
        """Puts the candidate in force. With a timer no message goes along: it would hide that the commit waits.

        Raises:
            CommitFailed: it broke off; the caller reads again before it decides.
        """
        if not self._held:
            raise CommitFailed("nothing is committed without the lock")
        self._timed = revert_in is not None
        super().commit_config(message="" if revert_in else message, revert_in=revert_in)
        self._held = not self._private

    def has_pending_commit(self) -> bool:
        """Whether a commit waits for its confirm, anybody's.

        The history says so of its newest entry. Releases that do not are asked for the entry's age, those that show no
        history in NAPALM's own way.
        """
        from jnpr.junos.exception import RpcError

        with self.translated("ask for pending changes"):
            try:
                newest = self.device.device.rpc.get_commit_information().find("commit-history")
            except RpcError:
                return bool(self.device.has_pending_commit())
            if newest is None:
                return False
            if newest.find("commit-confirmed") is not None:
                return True
            timer = _CONFIRMED.search(newest.findtext("comment") or "")
            if timer is None:
                return False
            now = self.device.device.rpc.get_system_uptime_information().find(".//current-time/date-time")
            then = newest.find("date-time")
            if now is None or then is None:
                return True
            return int(now.get("seconds")) - int(then.get("seconds")) < int(timer[1]) * 60

    def confirm_commit(self) -> None:
        """Makes a commit with a timer final, under the lock, so that nobody's edits go along.

        Raises:
            ConfirmExpired: the router has already taken it back.
        """
        with self.translated("confirm"):
            if not self.has_pending_commit():
                self._timed = False
                raise ConfirmExpired("the router took the change back before it was confirmed")
            self._take()
            self.device.confirm_commit()
            self._timed = False
            self._close_private()

    def rollback(self) -> None:
        """Takes back our commit whose timer still runs, by going back to the configuration before it.

        Raises:
            CommitFailed: no commit of ours waits.
            RouterError: the router refused it; the commit goes on waiting.
        """
        with self.translated("roll back"):
            if not self._timed or not self.has_pending_commit():
                raise CommitFailed("no commit of ours waits for its confirm any more")
            self._take()
            self.device.rollback()
            self._timed = False
            self._held = not self._private

    def discard_config(self) -> None:
        """Throws our candidate away and gives the lock back; without the lock nothing is ours to throw away."""
        if not self._held:
            return
        with self.translated("discard"):
            self._give_back()

    def cli(self, commands: list[str], encoding: str = "text") -> dict[str, Any]:
        """The answers to show commands; none about a forwarding table that the router keeps to itself."""
        answers = super().cli(commands, encoding)
        forwarding = [command for command in answers if command.startswith("show route forwarding-table ")]
        if not any(answers[command].strip() for command in forwarding):
            return {command: answer for command, answer in answers.items() if command not in forwarding}
        return answers

    # --- the lock ---

    def _take(self) -> None:
        """Locks, or opens the private candidate, where that is not done yet."""
        from jnpr.junos.exception import RpcError

        if self._held:
            return
        if self._private:
            try:
                self.device.device.rpc.open_configuration(private=True, normalize=True)
            except RpcError as error:  # "uncommitted changes will be discarded on exit" is a warning
                if (error.rpc_error or {}).get("severity") != "warning":
                    raise
        else:
            self.device.device.cu.lock()
        self._held = True

    def _take_again(self) -> None:
        with self.translated("lock the configuration"):
            self._take()

    def _give_back(self) -> None:
        self._held = False
        self.device.discard_config()  # closes a private candidate, too
        if not self._private:
            self.device.device.cu.unlock()

    def _close_private(self) -> None:
        if self._private:
            self._held = False
            self.device.device.rpc.close_configuration()

    # --- connecting ---

    @contextlib.contextmanager
    def _ssh_config(self) -> Iterator[str | None]:
        """The OpenSSH configuration that says where the known hosts are: ncclient takes the file from nowhere else."""
        own: str | None = self.device.ssh_config_file
        if self._known_hosts is None:
            yield own
            return
        base = Path(own or "~/.ssh/config").expanduser()
        rest = base.read_text(encoding="utf-8") if base.is_file() else ""
        with tempfile.NamedTemporaryFile("w", suffix=".ssh_config", encoding="utf-8") as file:
            file.write(f'Host *\n    UserKnownHostsFile "{self._known_hosts}"\n\n{rest}')
            file.flush()
            yield file.name

    # --- errors ---

    def translate(self, error: Exception, what: str) -> RouterError | None:
        """Whose lock it is, which line was refused, and the reasons that PyEZ hides behind its own errors."""
        chain = list(_causes(error))
        names = {cls.__name__ for one in chain for cls in type(one).__mro__}
        text = " ".join(" ".join(str(getattr(one, "message", "") or one).split()) for one in chain)
        if names & set(_KEY_ERRORS) or "no acceptable host key" in text or "FileNotFoundError" in names:
            where = self._known_hosts or "known_hosts"
            return HostKeyRejected(
                f"could not {what}: the host key of {self.hostname} is not among those in {where}",
                remedy="add it there, name the right file by alt_key_file, or set ssh_strict: false, "
                "which sends the password to whoever answers",
            )
        if _MODIFIED in text:
            return ForeignLines(
                "somebody has uncommitted changes in the shared candidate, which a commit would take along",
                remedy="commit or `rollback 0` them on the router, or set config_private: true",
            )
        if (held := _HOLDER.search(text)) is not None:
            holder = held["user"] + (f", pid {held['pid']}" if held["pid"] else "")
            return LockHeld(
                f"the configuration is being changed by {holder}", holder=holder, remedy="wait until the lock is free"
            )
        if "MergeConfigException" in names:
            return ConfigRejected(f"the router refused the candidate: {_reasons(chain)}")
        if "CommitError" in names:
            kind = RouterError if what == "roll back" else CommitFailed
            return kind(f"the router refused the commit: {_reasons(chain)}")
        return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and those behind it; PyEZ keeps some of them as `_orig`."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__, getattr(one, "_orig", None)]


def _reasons(chain: list[BaseException]) -> str:
    """What the router says, with the place in the configuration."""
    from k8s_ecmp.routers.drivers.vendor.junos_device import found

    for one in chain:
        errors = getattr(one, "errs", None)
        if isinstance(errors, list) and errors:
            return refusals(map(found, errors))
    return describe(chain[0])


DRIVERS = {"junos": JunosDriver}
