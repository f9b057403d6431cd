"""Cisco NX-OS by NX-API (`nxos`) or over SSH (`nxos_ssh`): live lines, a checkpoint before them, no lock and no timer.

NAPALM's drivers collect a candidate on this side and never empty it after an error; they write a checkpoint of a fixed
name, type the lines, and after any error roll the whole configuration back to what is in the file of that name, then
save it. Over SSH a checkpoint that could not be written goes unnoticed, so that the file could be that of another year.
Here every load begins with an empty candidate, every commit has a checkpoint of its own name that is looked for before
the first line and deleted behind the last, and after such a rollback the configuration is compared with what was read
before. The inverse patch of a change is the transaction's business; it needs no checkpoint, being itself the way back.
"""

import contextlib
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from k8s_ecmp.errors import (
    AuthenticationFailed,
    CommitFailed,
    ConfigRejected,
    EcmpError,
    HostKeyRejected,
    NotSaved,
    RouterError,
    Unreachable,
)
from k8s_ecmp.platforms.nxos import PLATFORM
from k8s_ecmp.platforms.reading import expect_parts
from k8s_ecmp.routers.drivers.vendor.base import causes_of, describe
from k8s_ecmp.routers.drivers.vendor.long_tables import WholeTables
from k8s_ecmp.routers.drivers.vendor.shell import notice_the_end, read_whole

_REST_S = 60.0  # what a switch may take to end a request whose client is gone
_AGAIN_S = 1.0
_LOST = ("NXAPIConnectionError", "ConnectionException", "ReadTimeout")
_SAVE = "copy run startup-config"
_BAR = re.compile(r"\[#* *\]\s*\d+%")  # how far a copy is
_HEAD = ("!Command:", "!Running configuration last done at:", "!Time:")
_NO_ROOM = "make room on bootflash: `dir bootflash:` shows what is there, `delete bootflash:FILE` takes a file away"
_UNVERIFIED = (
    "name the certificate's authority by optional_args.ca_file, or set ssl_verify: false, "
    "which sends the password to whoever answers"
)


class _NxosBase(WholeTables):
    """What both ways have in common."""

    def __init__(
        self, hostname: str, username: str, password: str, timeout: float = 60, optional_args: Any = None
    ) -> None:
        super().__init__(hostname, username, password, timeout, optional_args)
        self._read: str | None = None  # the running configuration as read last
        self._needs_checkpoint = True
        self._write_checkpoint = self.device._save_to_checkpoint  # noqa: SLF001  NAPALM has no public way
        self.device._save_to_checkpoint = self._checkpoint  # noqa: SLF001  asked for by NAPALM's commit
        self._look_for = self.device._check_file_exists  # noqa: SLF001
        self.device._check_file_exists = self._may_be_there  # noqa: SLF001  asked for by NAPALM's rollback
        self._write_startup = self.device._copy_run_start  # noqa: SLF001
        self.device._copy_run_start = self._save  # noqa: SLF001  asked for by NAPALM's commit and rollback
        self._went_back = False  # whether NAPALM has come as far as saving what it had rolled back

    # --- verbs ---

    def get_config(self, retrieve: str = "all") -> Mapping[str, str]:
        """The configuration's texts as "running" and "startup"; "candidate" is always empty.

        Raises:
            ParseError: the switch did not show all of what runs.
        """
        texts = super().get_config(retrieve)
        expect_parts(PLATFORM, texts.get("running", ""))
        self._read = texts.get("running") or self._read
        return texts

    def load_merge_candidate(self, filename: str | None = None, config: str | None = None) -> None:
        """Makes the commands the candidate, on this side; "" clears away what dead runs of ours left on the switch.

        Raises:
            RouterError: the switch cannot be asked.
        """
        super().discard_config()
        super().load_merge_candidate(filename, config)

    def lock(self) -> None:
        """There is none; deletes checkpoints that runs of ours left when they were killed."""
        command = f"dir bootflash: | include {self._checkpoints}"
        with self._in_passing(), self.translated("look for checkpoints"):
            for line in str(self.device.cli([command])[command]).splitlines():
                name = (line.split() or [""])[-1]
                if re.fullmatch(re.escape(self._checkpoints) + "[0-9a-f]{8}", name):  # not those of prod-2 for prod
                    self.device._delete_file(name)  # noqa: SLF001  NAPALM has no public way

    @contextlib.contextmanager
    def _in_passing(self) -> Iterator[None]:
        """What the switch refuses in it is no reason to stop; a lost connection is."""
        try:
            yield
        except RouterError as error:
            if error.retryable:
                raise

    def commit_config(self, message: str = "", revert_in: int | None = None) -> None:
        """Types the candidate and saves the configuration. After an error NAPALM has rolled back, where it could.

        Raises:
            NotSaved: it is in force, but not in the startup configuration.
            ConfigRejected: the switch refused a line and was rolled back.
            CommitFailed: no checkpoint can be written, so that nothing was typed; or it broke off: the caller reads
                again before it decides.
        """
        before = self._read
        self._went_back = False
        self.device.rollback_cfg = f"{self._checkpoints}{secrets.token_hex(4)}"
        try:
            with self.translated("commit"):
                self.device.commit_config(message=message, revert_in=revert_in)
        except RouterError as error:
            if any(type(cause).__name__ == "ReadTimeout" for cause in causes_of(error)):
                self._wait_for_rest()
            if isinstance(error, ConfigRejected):
                raise ConfigRejected(f"{error.message}; {self._rolled_back(before)}") from error
            if self._went_back:
                refusal = _refused_line(error)
                unsaved = "" if self._saved() else error.message
                raise ConfigRejected(
                    f"could not commit: {refusal}; {self._rolled_back(before, unsaved)}",
                    remedy="make room on the switch, then `copy running-config startup-config`" if unsaved else None,
                ) from error
            # NAPALM empties its candidate when all lines are in force; what follows is saving alone.
            if self.device.loaded and not self.device.merge_candidate:
                if self._saved():
                    return
                if self._answers():
                    raise NotSaved(
                        f"the change is in force, but not in the startup configuration: {error.message}",
                        remedy="make room on the switch, then `copy running-config startup-config`",
                    ) from error
            raise
        finally:
            with contextlib.suppress(Exception):  # the next run deletes what stays
                self.device._delete_file(self.device.rollback_cfg)  # noqa: SLF001

    def commit_way_back(self) -> None:
        """Commits as `commit_config` does, also where no checkpoint can be written."""
        self._needs_checkpoint = False
        try:
            self.commit_config()
        finally:
            self._needs_checkpoint = True

    def _checkpoint(self, name: str) -> None:
        """Writes the checkpoint and looks whether it is there.

        Raises:
            CommitFailed: it is not, and the change needs one; nothing was typed yet.
        """
        why = f"there is no file {name} behind it"
        try:
            self._write_checkpoint(name)
            written = self._may_be_there(name)
        except Exception as error:
            if type(error).__name__ != "NXAPICommandError":
                raise
            written, why = False, _refusal(error)
        if not written and self._needs_checkpoint:
            raise CommitFailed(
                f"the switch could not write the checkpoint that a refused line goes back to: {why}", remedy=_NO_ROOM
            )

    def _may_be_there(self, cfg_file: str) -> bool:
        """False where `dir` says that there is no such file; a switch that refuses to say is no reason to stop."""
        try:
            return bool(self._look_for(cfg_file))
        except Exception as error:
            if isinstance(error, OSError | EOFError) or type(error).__name__ in (*_LOST, "NXAPIAuthError"):
                raise
            return "no such file" not in str(error).lower()

    def _wait_for_rest(self) -> None:
        """Waits while the switch goes on with lines of a request that we no longer wait for."""
        last: list[str] | None = None
        deadline = time.monotonic() + _REST_S
        while time.monotonic() < deadline:
            with contextlib.suppress(EcmpError):
                now = _lines(self.get_config("running")["running"])
                if now == last:
                    return
                last = now
            time.sleep(_AGAIN_S)

    def _save(self) -> None:
        """Asked for by NAPALM, with its candidate still there where a line was refused and it has rolled back."""
        self._went_back = bool(self.device.merge_candidate)
        self._write_startup()

    def _saved(self) -> bool:
        """Whether saving works now: over NX-API the request after a lost one may."""
        with contextlib.suppress(Exception):
            self._write_startup()
            return True
        return False

    def _answers(self) -> bool:
        """Whether the switch can be asked anything: a change may have cut the way to it."""
        with contextlib.suppress(RouterError):
            self.cli(["show hostname"])
            return True
        return False

    @property
    def _checkpoints(self) -> str:
        """How the names of our checkpoints begin."""
        return f"k8s-ecmp-{self.owner}-"

    def _rolled_back(self, before: str | None, unsaved: str = "") -> str:
        """What a rollback to the checkpoint has left, in words; `unsaved`: why it could not be saved."""
        saved = f"but not saved ({unsaved})" if unsaved else "and saved"
        said = f"the whole configuration was rolled back to the checkpoint {saved}"
        try:
            now = self.get_config("running")["running"]
        except EcmpError as error:
            return f"{said}, and cannot be read again: {error.message}"
        if before is None:
            return said
        lost, found = _lines(before), _lines(now)
        changed = [f"-{line}" for line in lost if line not in set(found)]
        changed += [f"+{line}" for line in found if line not in set(lost)]
        if not changed:
            return f"{said}; it is as it was read before the change"
        return f"{said}; it differs from what was read before the change in {len(changed)} lines, first {changed[0]!r}"

    # --- errors ---

    def translate(self, error: Exception, what: str) -> RouterError | None:
        """NAPALM says only that it "cannot connect"; why stands in the error that it met. Errors of NX-API leak."""
        causes = list(causes_of(error))
        names = {type(cause).__name__ for cause in causes}
        text = "; ".join(dict.fromkeys(map(describe, causes)))
        if "NXAPIAuthError" in names:
            return AuthenticationFailed(
                f"could not {what}: the switch refused the login",
                remedy="check the username and password of this router in the inventory",
            )
        if "certificate verify failed" in text:
            return HostKeyRejected(f"could not {what}: the switch's certificate: {text}", remedy=_UNVERIFIED)
        if "known_hosts" in text or "Host key for server" in text:
            return HostKeyRejected(
                f"could not {what}: {text}",
                remedy=f"add the right key of {self.hostname} to known_hosts, or name a file by alt_key_file",
            )
        name = type(error).__name__
        if name == "NXAPICommandError":
            kind = CommitFailed if what == "commit" else RouterError
            return kind(f"could not {what}: {_refusal(error)}")
        return Unreachable(f"could not {what}: {text}") if name in _LOST and what != "commit" else None


class NxosDriver(_NxosBase):
    """NX-API. `optional_args` are NAPALM's, and `ca_file`: whose certificates are trusted."""

    napalm_name: ClassVar[str] = "nxos"

    def __init__(
        self, hostname: str, username: str, password: str, timeout: float = 60, optional_args: Any = None
    ) -> None:
        super().__init__(hostname, username, password, timeout, optional_args)
        self._write_startup = self._copy_and_read

    def _copy_and_read(self) -> None:
        """Saves as NAPALM does, and reads what the switch says of it: a copy that was aborted is no error to NX-API.

        Raises:
            CommitFailed: the switch says something else than that the copy is complete.
        """
        said = self.device._send_command(_SAVE, raw_text=True) or ""  # noqa: SLF001  NAPALM has no public way
        words = " ".join(_BAR.sub("", str(said)).split())
        if words and "complete" not in words.lower():
            raise CommitFailed(f"the switch says to {_SAVE!r}: {words}")

    def prepared(self, options: dict[str, Any]) -> dict[str, Any]:
        """HTTPS with certificates checked.

        Raises:
            RouterError: `ca_file` is not there.
        """
        authority = options.pop("ca_file", None)
        if options.setdefault("ssl_verify", True) is not False and authority is not None:
            if not Path(authority).is_file():
                raise RouterError(f"the ca_file {authority} cannot be used: there is no such file")
            options["ssl_verify"] = authority
        return options


class NxosSshDriver(_NxosBase):
    """The command line over SSH."""

    napalm_name: ClassVar[str] = "nxos_ssh"

    def prepared(self, options: dict[str, Any]) -> dict[str, Any]:
        """Host keys are checked against known_hosts, and answers may take as long as large configurations need."""
        return {"ssh_strict": True, "system_host_keys": True, "read_timeout_override": 120} | options

    def open(self) -> None:
        """Connects.

        Raises:
            Unreachable, AuthenticationFailed, HostKeyRejected: it did not work.
        """
        super().open()
        notice_the_end(self.device.device)
        read_whole(self.device.device)


def _refused_line(error: RouterError) -> str:
    """What NAPALM met before it rolled back, from the errors of a rollback that could not be saved."""
    causes = list(causes_of(error))
    refused = [cause for cause in causes if type(cause).__name__ == "NXAPICommandError"]
    merging = [cause for cause in causes if type(cause).__name__ == "MergeConfigException"]
    if refused:
        return _refusal(refused[-1])
    return describe(merging[-1]) if merging else describe(causes[-1])


def _refusal(error: Any) -> str:
    """An NXAPICommandError in one line."""
    return f"the switch refused {error.command!r}: {' '.join(str(error.message).split())}"


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.startswith(_HEAD)]


DRIVERS = {"nxos": NxosDriver, "nxos_ssh": NxosSshDriver}
