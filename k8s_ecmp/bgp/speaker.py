"""ExaBGP as a process: started, and again when it dies, so that peers lose nothing within their restart time."""

import contextlib
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from k8s_ecmp.bgp.alone import alone
from k8s_ecmp.bgp.config import EXABGP
from k8s_ecmp.errors import SettingsError
from k8s_ecmp.redaction import sanitized

_ENVIRONMENT = {
    "exabgp_api_ack": "true",
    "exabgp_api_cli": "false",
    "exabgp_api_respawn": "true",
    "exabgp_daemon_daemonize": "false",
    "exabgp_daemon_drop": "false",
    "exabgp_log_level": "ERROR",
    "exabgp_log_destination": "stderr",
    "exabgp_tcp_bind": "",
}
_LONG_S = 10.0  # one that ran so long is started again at once
_PAUSE_S = 2.0
_LEAVE_S = 10.0


def command(folder: Path) -> list[str]:
    """What runs ExaBGP in the foreground."""
    return [sys.executable, "-m", "k8s_ecmp.bgp.exabgp", "server", str(folder / EXABGP)]


def environment() -> dict[str, str]:
    """ExaBGP's settings, over those of this process.

    Started by root it would become `nobody` after the first start of the bridge, whatever `daemon_drop` says, and could
    not start it again: it stays the user who runs it. An uid without a name, as in a container, has no rights that
    ExaBGP could drop.
    """
    user = {}
    with contextlib.suppress(KeyError):
        user = {"exabgp_daemon_user": pwd.getpwuid(os.getuid()).pw_name}
    return {**os.environ, **_ENVIRONMENT, **user}


def validate(folder: Path) -> str | None:
    """What ExaBGP says against its configuration, without passwords; None: nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "exabgp", "validate", str(folder / EXABGP)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return "; ".join(sanitized(line) for line in lines[-5:]) or f"exit code {done.returncode}"


def keep_running(folder: Path, prepare: Callable[[], None], tell: Callable[[str], None]) -> int:
    """Runs ExaBGP until this process is told to end, and starts it again whenever it dies.

    SIGTERM and SIGINT end it without withdrawing: peers keep the routes for their graceful restart time.

    Args:
        folder: with its configuration.
        prepare: writes that, once it is known that no other ExaBGP runs there.
        tell: takes lines for people.

    Returns:
        An exit code.

    Raises:
        SettingsError: ExaBGP is not installed, or another one runs in the folder.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{folder} cannot be used: {error.strerror}") from error
    taken = SettingsError(
        f"an ExaBGP of {folder} runs already", remedy="end that one; k8s-ecmp bgp status says whether it works"
    )
    with alone(folder / "exabgp.lock", taken) as lock:
        prepare()
        return _run(folder, tell, lock)


def _run(folder: Path, tell: Callable[[str], None], lock: int) -> int:
    """`lock` is open in ExaBGP too, which may outlive this process."""
    ending: list[int] = []
    running: list[subprocess.Popen[bytes]] = []

    def end(number: int, _: FrameType | None) -> None:
        ending.append(number)
        for process in running:
            process.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    while not ending:
        began = time.monotonic()
        try:
            process = subprocess.Popen(command(folder), env=environment(), stdin=subprocess.DEVNULL, pass_fds=[lock])
        except OSError as error:
            raise SettingsError(f"ExaBGP cannot be started: {error}", remedy="pip install exabgp") from error
        running[:] = [process]
        if ending:
            process.terminate()
        code = _wait(process, ending)
        if not ending:
            tell(f"ExaBGP ended with {code}; it is started again")
            if time.monotonic() - began < _LONG_S:
                time.sleep(_PAUSE_S)
    return 0


def _wait(process: "subprocess.Popen[bytes]", ending: list[int]) -> int:
    since: float | None = None
    while True:
        try:
            return process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            if ending:
                since = since or time.monotonic()
                if time.monotonic() - since > _LEAVE_S:
                    process.kill()
