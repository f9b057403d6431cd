"""Cisco IOS and IOS-XE: NAPALM's `ios` driver over SSH and SCP.

A candidate is a file on the router's flash; the commit copies it into the running configuration, line by line, which
is not atomic, and the revert timer of `archive` takes the whole back. NAPALM's pitfalls that are dealt with here: fixed
file names, `file prompt quiet` typed into the running configuration, a candidate without `end`, a discard that leaves a
copy of the running configuration on flash, a rollback of the whole configuration on "Invalid input", a `write mem` that
fails without a word, and a rollback that replaces the configuration when no timer runs.
"""

import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from k8s_ecmp.errors import (
    CommitFailed,
    ConfigRejected,
    ConfirmExpired,
    EcmpError,
    HostKeyRejected,
    LockHeld,
    NotSaved,
    ParseError,
    RouterError,
    Unreachable,
)
from k8s_ecmp.platforms.ios import PLATFORM
from k8s_ecmp.platforms.reading import expect_parts
from k8s_ecmp.routers.drivers.vendor.base import causes_of, describe
from k8s_ecmp.routers.drivers.vendor.long_tables import WholeTables
from k8s_ecmp.routers.drivers.vendor.shell import notice_the_end

_PROMPT, _SCP = "file prompt quiet", "ip scp server enable"
_LOCK = "show configuration lock"
_STALE_S = 3600
_OUR_FILE = re.compile(r"\bk8s-ecmp-\S+-([0-9a-f]{8})[0-9a-f]{4}-(?:merge|rollback)\.cfg")
_VOLATILE = re.compile(r"!|Building configuration|Current configuration|ntp clock-period|\s*$")
# What a router prints into any answer: the load and the time before it, where the line has `exec prompt timestamp`, and
# messages, where it has `monitor`.
_PRINTED = re.compile(
    r"[+-]?(?:Load for five secs:|Time source is "
    r"|[*.]?(?:\w{3} +\d+ (?:\d{4} )?[\d:.]+(?: \w+)?: |\d+: )*%[A-Z][\w-]*-\d-\w+: )"
)
_QUESTION = re.compile(r"(\S[^\n]*(?:\[confirm\]|\[yes/no\]:?|\(y/n\)\??))\s*\Z")
_LOST = frozenset({"ReadTimeout", "ReadException", "WriteException", "ConnectionClosedException", "SSHException"})


class IosDriver(WholeTables):
    """One router. Host keys are checked against known_hosts, or against `alt_key_file` with `alt_host_keys`."""

    napalm_name: ClassVar[str] = "ios"

    def __init__(
        self, hostname: str, username: str, password: str, timeout: float = 60, optional_args: Any = None
    ) -> None:
        super().__init__(hostname, username, password, timeout, optional_args)
        self._read: str | None = None  # the running configuration as read last
        self._files: list[str] = []  # ours on flash
        self._asked = ""  # what the router asked instead of saving
        self._pending_commit = self.device._get_pending_commits  # noqa: SLF001  NAPALM has no public way to see whose it is
        self.device._get_pending_commits = self._pending  # noqa: SLF001  asked for by NAPALM before a confirm and a rollback

    def prepared(self, options: dict[str, Any]) -> dict[str, Any]:
        """Checked host keys, time for large configurations, and no prompts to switch off by a configuration line."""
        defaults = {"ssh_strict": True, "system_host_keys": True, "read_timeout_override": 300}
        return defaults | options | {"auto_file_prompt": False}

    # --- verbs ---

    def open(self) -> None:
        """Connects.

        Raises:
            Unreachable, AuthenticationFailed, HostKeyRejected: it did not work.
        """
        super().open()
        notice_the_end(self.device.device)
        self.device.device.save_config = self._save

    def get_config(self, retrieve: str = "all") -> Mapping[str, str]:
        """The configuration's texts as "running" and "startup"; "candidate" is always empty.

        Raises:
            ParseError: the router did not show all of what runs.
        """
        texts = super().get_config(retrieve)
        expect_parts(PLATFORM, texts.get("running", ""))
        self._read = texts.get("running") or self._read
        return texts

    def lock(self) -> None:
        """IOS has no lock that NAPALM takes; looks whether others change the router.

        Raises:
            LockHeld: a change waits for its confirm, or somebody has the configuration locked.
        """
        with self.translated("ask who changes the configuration"):
            pending = self._pending()
            answers = self.device.cli([_LOCK])
        if pending:
            raise LockHeld(
                f"a change by {pending.get('user', 'somebody')} waits for its confirm; within "
                f"{pending.get('timer', 'its time')} the router takes back everything since then",
                holder=str(pending.get("user", "unknown")),
                remedy="wait, or end it on the router by `configure confirm` or `configure revert now`",
            )
        if re.search(r"State\s*:\s*LOCKED", answers[_LOCK]):
            user = re.search(r"User\s*:\s*(\S+)", answers[_LOCK])
            holder = user[1] if user else "unknown"
            raise LockHeld(f"{holder} has locked the configuration", holder=holder, remedy="wait until it is free")
        self._clear_away()

    def load_merge_candidate(self, filename: str | None = None, config: str | None = None) -> None:
        """Copies the commands to a file on the router's flash, closed by `end`; "" only looks as `lock` does.

        Raises:
            LockHeld: as `lock`.
            RouterError: the router lacks a setting that files need.
            ConfigRejected: the file did not arrive whole.
        """
        text = Path(filename).read_text(encoding="utf-8") if filename else config
        if not text:
            self.lock()
            return
        self._expect_settings()
        stamp = f"{int(time.time()):08x}{secrets.token_hex(2)}"
        name = f"k8s-ecmp-{self.owner[:20]}-{stamp}"
        self.device.merge_cfg, self.device.rollback_cfg = f"{name}-merge.cfg", f"{name}-rollback.cfg"
        self._files.append(self.device.merge_cfg)
        super().load_merge_candidate(config="\n".join([*text.splitlines(), "end"]) + "\n")

    def compare_config(self) -> str:
        """The candidate's commands that the running configuration lacks, removals with "-".

        Raises:
            RouterError: the router answered with an error, which NAPALM takes for a diff.
        """
        diff = "\n".join(line for line in super().compare_config().splitlines() if not _PRINTED.match(line))
        wrong = next(
            (line for line in diff.splitlines() if line.lstrip("+- ").startswith("%") or "error 5" in line), None
        )
        if wrong is not None:
            raise RouterError(f"the router cannot compare the candidate: {wrong.lstrip('+- ')}")
        return diff

    def commit_config(self, message: str = "", revert_in: int | None = None) -> None:
        """Copies the candidate into the running configuration; without a timer it is saved, too.

        Raises:
            ConfigRejected: the router refused a line, and NAPALM put the whole configuration back.
            NotSaved: it is in force, but not in the startup configuration.
            CommitFailed: it broke off; the caller reads again before it decides.
        """
        before = self._read
        self._files.append(self.device.rollback_cfg)
        if revert_in is not None:
            self._expect_archive()
        try:
            with self.translated("commit"):
                self.device.commit_config(message=message, revert_in=revert_in)
        except ConfigRejected as error:
            if "automatic rollback attempted" not in error.message:
                raise
            raise ConfigRejected(f"{_refusal(str(error.__cause__))}; {self._rolled_back(before)}") from error
        if revert_in is None:
            self._expect_saved()

    def has_pending_commit(self) -> bool:
        """Whether a revert timer runs, anybody's."""
        with self.translated("ask for pending changes"):
            return bool(self.device.has_pending_commit())

    def confirm_commit(self) -> None:
        """Ends the timer and saves.

        Raises:
            ConfirmExpired: the router has already taken the change back.
            NotSaved: it is in force for good, but not in the startup configuration.
        """
        if not self.has_pending_commit():
            raise ConfirmExpired("the router's timer ran out and took the change back before it was confirmed")
        super().confirm_commit()
        if self.has_pending_commit():
            raise CommitFailed("the router did not take the confirm: its timer still runs")
        self._expect_saved()

    def rollback(self) -> None:
        """Ends the timer by taking back the whole configuration since its start. Never without a timer, for then NAPALM
        would replace the configuration by a file.

        Raises:
            CommitFailed: no timer runs.
            RouterError: the router did not end it, or it is somebody else's.
        """
        if not self.has_pending_commit():
            raise CommitFailed("no timer runs on the router that could be ended")
        with self.translated("roll back"):
            self.device.rollback()
        if self.has_pending_commit():
            raise RouterError("the router did not end its timer")

    def discard_config(self) -> None:
        """Deletes our files from flash, of which one is a copy of the running configuration with its secrets."""
        if self._files:
            self._delete(*self._files)
            self._files.clear()

    def _pending(self) -> dict[str, str]:
        """The change whose timer runs, with its "user" and "timer"; {}: none. NAPALM keeps blanks behind the words."""
        return {name: str(value).strip() for name, value in self._pending_commit().items()}

    # --- what the router has to have, and what it has left ---

    def _expect_settings(self) -> None:
        text = self._read or self.get_config("running")["running"]
        lines = {line.strip() for line in text.splitlines()}
        wanted = (_PROMPT,) if self.options.get("inline_transfer") else (_PROMPT, _SCP)
        missing = [setting for setting in wanted if setting not in lines]
        if missing:
            raise RouterError(
                f"the router is not set up for candidates in files: {' and '.join(map(repr, missing))} is missing",
                remedy="configure it once; k8s-ecmp does not change such settings by itself",
            )

    def _expect_archive(self) -> None:
        command = "show archive"
        if "Archive feature not enabled" in self.cli([command])[command]:
            raise CommitFailed(
                "the router has no archive, without which it has no timer that takes an unconfirmed change back",
                remedy="configure `archive` with a `path`, or set rollout.confirm_within_s: 0",
            )

    def _save(self) -> str:
        """Asked for by NAPALM: `write mem`; a question, as after a change of the image, is declined and remembered."""
        shell = self.device.device
        end = rf"\n{re.escape(shell.find_prompt())}"
        said = str(shell.send_command("write mem", expect_string=rf"(?:{end}|{_QUESTION.pattern})", strip_prompt=False))
        question = _QUESTION.search(said)
        self._asked = question[1] if question else ""
        if question:
            said += str(shell.send_command("n", expect_string=end, strip_prompt=False, cmd_verify=False))
        return said

    def _expect_saved(self) -> None:
        """Compares the static routes of startup and running configuration; other lines may differ by nature."""
        try:
            texts = self.get_config("all")
            startup, running = (set(PLATFORM.parse(texts[name]).routes) for name in ("startup", "running"))
            saved = {(r.vrf, r.prefix, r.next_hops) for r in startup} == {
                (r.vrf, r.prefix, r.next_hops) for r in running
            }
        except ParseError:
            saved = False
        if not saved:
            lacking = "the change is in force, but the startup configuration does not have it: `write mem`"
            if self._asked:
                raise NotSaved(
                    f"{lacking} asked {self._asked!r}, which is for you to answer",
                    remedy="`write memory` on the router, and answer its question; it is asked once",
                )
            raise NotSaved(
                f"{lacking} failed", remedy="see on the router why nvram cannot be written, then `write memory`"
            )

    def _rolled_back(self, before: str | None) -> str:
        """What NAPALM's rollback of the whole configuration has left, in words."""
        said = "NAPALM had the router put its whole configuration back as it was before the change"
        try:
            now = self.get_config("running")["running"]
        except EcmpError as error:
            return f"{said}, and it cannot be read again: {error.message}"
        old, new = ([line for line in text.splitlines() if not _VOLATILE.match(line)] for text in (before or now, now))
        changed = [f"-{line}" for line in old if line not in set(new)] + [
            f"+{line}" for line in new if line not in set(old)
        ]
        if not changed:
            return f"{said}; it is what was read before"
        return f"{said}; it differs from what was read before in {len(changed)} lines, first {changed[0]!r}"

    def _clear_away(self) -> None:
        """Deletes files of runs that died more than an hour ago."""
        with self.translated("look for files of dead runs"):
            command = f"dir {self.device.dest_file_system}"
            listing = str(self.device.cli([command])[command])
        old = time.time() - _STALE_S
        self._delete(*(found[0] for found in _OUR_FILE.finditer(listing) if int(found[1], 16) < old))

    def _delete(self, *names: str) -> None:
        if names:
            with self.translated("delete files"):
                system = self.device.dest_file_system
                self.device.cli([f"delete /force {system}/{name}" for name in names])

    # --- errors ---

    def translate(self, error: Exception, what: str) -> RouterError | None:
        """NAPALM says only that it "cannot connect"; why stands in the error that it met."""
        causes = list(causes_of(error))
        text = "; ".join(dict.fromkeys(map(describe, causes)))
        names = {type(cause).__name__ for cause in causes}
        if "not found in known_hosts" in text or "BadHostKeyException" in names:
            return HostKeyRejected(
                f"could not {what}: the host key of {self.hostname} is unknown or not the expected one",
                remedy="add it to known_hosts, or name its file by optional_args alt_host_keys: true and alt_key_file",
            )
        if what == "commit" and "revert_in requires" in text:  # said of every timer that does not start
            return CommitFailed(
                "the router did not start its timer",
                remedy="is the configuration locked by somebody, or is the right to `configure terminal` missing?",
            )
        if names & _LOST and what != "commit":
            return Unreachable(f"could not {what}: {describe(error)}")
        return None


def _refusal(text: str) -> str:
    """The first line that the router found invalid, which it prints with a mark below it, and how many there are."""
    rows = [row.strip() for row in text.splitlines() if row.strip(" ^")]
    found = [rows[number - 1] for number, row in enumerate(rows) if "Invalid input detected" in row and number]
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"the router refused {found[0]!r}{more}: invalid input" if found else "the router refused a line"


DRIVERS = {"ios": IosDriver}
