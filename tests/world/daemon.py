"""`k8s-ecmp run` as a process of its own, on the routers and the API server of a live world."""

import contextlib
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml

from tests.world.lab import CliResult
from tests.world.live import Live
from tests.world.netns import wait_for

_FIRST_PORT = 19637
_PORTS = itertools.count(_FIRST_PORT)
COMMAND = str(Path(sys.executable).with_name("k8s-ecmp"))

# Without the waits that calm a real network, so that a test sees what follows from what.
AT_ONCE: dict[str, Any] = {
    "services": {"add_delay_s": 0},
    "nodes": {"hold_down_s": 0, "hold_up_s": 0},
    "guards": {"max_withdrawn_fraction": 1},
    "rollout": {"canary": 0},
}


class Page(NamedTuple):
    """An answer of the daemon; status 0: it does not listen or does not answer."""

    status: int
    text: str


class Daemon:
    """One replica. `with Daemon(live, settings) as daemon:` starts it, and kills it after if it still runs.

    Args:
        live: the world; the daemon runs in its management network.
        settings: sections of the settings file; they are laid over `AT_ONCE` and a Lease, key by key.
        name: its identity, and the name of its folder.
        environment: further variables of its process.
    """

    def __init__(
        self,
        live: Live,
        settings: Mapping[str, Any] | None = None,
        *,
        name: str = "a",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.live = live
        self.name = name
        self.environment = dict(environment or {})
        self.folder = live.directory / f"daemon-{name}"
        self.folder.mkdir(exist_ok=True)
        self.port = next(_PORTS)
        self._process: subprocess.Popen[bytes] | None = None
        self.configure(settings or {})

    @property
    def settings_file(self) -> Path:
        return self.folder / "k8s-ecmp.yaml"

    @property
    def log_file(self) -> Path:
        return self.folder / "stderr.log"

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Writes the settings; a daemon reads them when it starts."""
        base: dict[str, Any] = {
            "owner": "lab",
            "tag": 4201,
            "cluster": {"source": "live", "kubeconfig": str(self.live.kubeconfig)},
            "inventory": str(self.live.directory / "inventory"),
            "journal": "journal.sqlite",
        }
        self.settings_file.write_text(yaml.safe_dump(merged(base, AT_ONCE, settings), sort_keys=False))

    # --- its process

    def start(self) -> Self:
        """Starts the process; `await_ready` waits for it."""
        words = [COMMAND, "--config", str(self.settings_file), "run", "--identity", self.name]
        words += ["--listen", f"127.0.0.1:{self.port}"]
        inside = self.live.management.argv(*words)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *inside],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "NO_COLOR": "1", **self.environment},
            )
        return self

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._running().poll()

    def send(self, sent: signal.Signals) -> None:
        self._running().send_signal(sent)

    def stop(self, timeout: float = 60) -> int:
        """SIGTERM; its exit code."""
        self.send(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout: float = 60) -> int:
        """Its exit code, as soon as it has ended."""
        return self._running().wait(timeout)

    def kill(self) -> None:
        """SIGKILL. May be called twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"daemon {self.name} was not started")
        return self._process

    @contextlib.contextmanager
    def paused(self) -> Any:
        """The process stands still (SIGSTOP), and goes on at the end."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    # --- what it says

    def get(self, path: str, timeout: float = 5) -> Page:
        """GET of one of its pages."""
        with self.live.management.entered():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
            with contextlib.closing(connection):
                try:
                    connection.request("GET", path, headers={"Accept": "application/json"})
                    answer = connection.getresponse()
                    return Page(answer.status, answer.read().decode())
                except (OSError, http.client.HTTPException):
                    return Page(0, "")

    def status(self) -> dict[str, Any]:
        """The status document; empty when it does not answer."""
        page = self.get("/status")
        return json.loads(page.text) if page.status == 200 else {}

    def metrics(self) -> dict[str, float]:
        """Its metrics by name with labels, as the text format writes them."""
        lines = [line for line in self.get("/metrics").text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def await_ready(self, timeout: float = 90) -> Self:
        """Returns when /readyz says 200."""
        self.await_page("/readyz", 200, timeout)
        return self

    def await_page(self, path: str, status: int, timeout: float = 90) -> None:
        try:
            wait_for(lambda: self._alive() and self.get(path).status == status, f"{path} says {status}", timeout, 0.02)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self.get(path)}\n{self.tail()}") from error

    def await_status(self, condition: Any, what: str, timeout: float = 90) -> dict[str, Any]:
        """The first status document of which the condition holds."""

        def met() -> dict[str, Any]:
            document = self.status()
            return document if document and condition(document) else {}

        try:
            return wait_for(met, what, timeout, 0.02)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {json.dumps(self.status())}\n{self.tail()}") from error

    def await_leading(self, timeout: float = 90) -> Self:
        self.await_status(lambda status: status["leading"], f"{self.name} leads", timeout)
        return self

    def _alive(self) -> bool:
        if self.exit_code is not None:
            raise RuntimeError(f"the daemon ended with {self.exit_code}:\n{self.tail()}")
        return True

    def log(self) -> list[dict[str, Any]]:
        """Its log, a document a line; a line that is no JSON fails."""
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def tail(self, lines: int = 30) -> str:
        """The end of its log, for the message of a failed test."""
        return "\n".join(self.log_file.read_text().splitlines()[-lines:]) if self.log_file.exists() else ""

    # --- other commands with its settings

    def cli(self, *arguments: str, timeout: float = 240) -> CliResult:
        """`k8s-ecmp --config ... ARGUMENTS` inside the management network."""
        command = self.live.management.argv(COMMAND, "--config", str(self.settings_file), *arguments)
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout, env=environment)
        return CliResult(arguments, done.returncode, done.stdout, done.stderr)


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings laid over each other, the last on top; mappings in them too."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            if isinstance(below, dict) and isinstance(value, Mapping):
                result[key] = merged(below, value)
            else:
                result[key] = value
    return result
