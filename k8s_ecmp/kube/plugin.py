"""Credential plugins with a time limit: the kubernetes client waits for one for ever.

A plugin that waits for a login or for a server that is away would leave the daemon blind without a word. At a terminal,
wherever standard output goes, it may ask its user, and take as long as that takes.
"""

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

from kubernetes.config import ConfigException
from kubernetes.config.exec_provider import ExecProvider

LONGEST_S = 20.0

_running: set["subprocess.Popen[str]"] = set()
_lock = threading.Lock()  # of these


def at_terminal() -> bool:
    """Whether this process has a terminal that a plugin can ask on; a daemon and cron have none."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def end_all() -> None:
    """Ends the plugins that run, whichever thread waits for one; its error comes at once."""
    with _lock:
        for process in _running:
            _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    """Ends a plugin; in a session of its own with all that it started, which would keep its output open."""
    if process.returncode is not None:
        return
    with contextlib.suppress(OSError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.terminate()  # so that it leaves the terminal as it found it


atexit.register(end_all)  # also those of threads that nobody waits for


class CredentialPlugin(ExecProvider):
    """What a kubeconfig names under `exec`, run as KEP-541 says; prepared by the kubernetes client."""

    def run(self, previous_response: Any = None) -> dict[str, Any]:
        """What the plugin answers.

        Args:
            previous_response: what the server said to the credentials before, if anything.

        Returns:
            The `status` of its ExecCredential: a token, or a certificate with its key.

        Raises:
            ConfigException: it fails, answers something else, or, without a terminal, nothing within `LONGEST_S`; it is
                ended then.
            OSError: it cannot be started.
        """
        terminal = at_terminal()
        interactive = terminal and sys.stdout is not None and sys.stdout.isatty()
        process = subprocess.Popen(
            self.args,
            stdin=None if terminal else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=sys.stderr if interactive else subprocess.PIPE,
            cwd=self.cwd,
            env={**self.env, "KUBERNETES_EXEC_INFO": json.dumps(self._question(interactive, previous_response))},
            text=True,
            start_new_session=not terminal,
        )
        try:
            with _lock:
                _running.add(process)
            answer, said = process.communicate(timeout=None if terminal else LONGEST_S)
        except subprocess.TimeoutExpired:
            _end(process)
            process.wait()
            raise ConfigException(f"exec: no answer within {LONGEST_S:g} s") from None
        finally:
            _end(process)  # it still runs where this is left by an exception, Ctrl-C for one
            with _lock:
                _running.discard(process)
        if process.returncode:
            raise ConfigException(f"exec: process returned {process.returncode}. {(said or '').strip()}")
        return self._status(answer)

    def _question(self, interactive: bool, previous_response: Any) -> dict[str, Any]:
        spec: dict[str, Any] = {"interactive": interactive}
        if previous_response:
            spec["response"] = previous_response
        if self.cluster:
            spec["cluster"] = dict(self.cluster.value)
            for extension in self.cluster.value.get("extensions") or ():
                if extension["name"] == "client.authentication.k8s.io/exec":
                    spec["cluster"]["config"] = extension["extension"]
                    break
        return {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec}

    def _status(self, answer: str) -> dict[str, Any]:
        try:
            data = json.loads(answer)
        except ValueError:
            raise ConfigException("exec: failed to decode process output") from None
        for key in ("apiVersion", "kind", "status"):
            if not isinstance(data, dict) or key not in data:
                raise ConfigException(f"exec: malformed response. missing key '{key}'")
        if data["apiVersion"] != self.api_version:
            raise ConfigException(f"exec: plugin api version {data['apiVersion']} does not match {self.api_version}")
        status: dict[str, Any] = data["status"]
        return status
