"""A machine on which `k8s-ecmp bgp start` and `k8s-ecmp run` run: started, asked, killed; and the commands beside them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from k8s_ecmp.bgp.client import BridgeClient
from k8s_ecmp.bgp.driver import BgpDriver
from k8s_ecmp.errors import RouterError
from tests.world.netns import Namespace, wait_for
from tests.world.warm import warm

COMMAND = str(Path(sys.executable).with_name("k8s-ecmp"))
TAG = 4201
Table = dict[str, frozenset[str]]
"""Next hops by prefix."""

_LOGS = {"bgp": "exabgp.log", "run": "daemon.log"}


@dataclass
class Machine:
    """`folder` has the settings file k8s-ecmp.yaml, and the logs of what is started.

    `spaces` are the namespaces of ExaBGP ("bgp") and of the daemon ("run"); what has none runs here.
    """

    folder: Path
    spaces: dict[str, Namespace] = field(default_factory=dict, kw_only=True)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, kw_only=True)

    @property
    def exabgp_folder(self) -> Path:
        return self.folder / "exa"

    # --- processes ---

    def run(self, *command: str) -> subprocess.Popen[bytes]:
        """`k8s-ecmp COMMAND`, until `end`."""
        name = command[0]
        argv = [COMMAND, "--config", str(self.folder / "k8s-ecmp.yaml"), *command]
        space = self.spaces.get(name)
        with (self.folder / _LOGS[name]).open("ab") as log:
            self.processes[name] = subprocess.Popen(space.argv(*argv) if space else argv, stdout=log, stderr=log)
        return self.processes[name]

    def end(self, name: str, number: int = signal.SIGTERM) -> None:
        """Ends what `run` started, if that is still there."""
        process = self.processes.pop(name, None)
        if process is not None:
            process.send_signal(number)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise

    def start(self) -> None:
        """Runs `k8s-ecmp bgp start` and waits until all sessions have said everything."""
        self.run("bgp", "start")
        self.await_up()

    def stop(self) -> None:
        """Ends ExaBGP as an operator does."""
        self.end("bgp")

    @contextlib.contextmanager
    def daemon(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """`k8s-ecmp run`, ended with SIGKILL."""
        process = self.run("run", "--listen", "127.0.0.1:0", *arguments)
        try:
            yield process
        finally:
            self.end("run", signal.SIGKILL)

    def kill(self, pid: int) -> None:
        """SIGKILL, and waits until the process is gone."""
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not _running(pid), f"process {pid} is gone")

    def kill_bridge(self) -> None:
        """Returns when ExaBGP has started another, and that has said everything."""
        exabgp, bridge = self.pids()
        self.kill(bridge)
        wait_for(lambda: self.pids() != (exabgp, bridge), "ExaBGP has started another", 180)
        self.await_up()

    def kill_exabgp(self) -> None:
        """Returns when it was started again; its sessions may not be up."""
        exabgp, _ = self.pids()
        self.kill(exabgp)
        wait_for(lambda: self.pids()[0] != exabgp, "ExaBGP was started again", 180)

    # --- the bridge ---

    def ask(self, op: str, **words: Any) -> dict[str, Any]:
        """The bridge's answer; {} where there is no bridge at the moment."""
        try:
            client = BridgeClient(self.exabgp_folder, 30)
        except RouterError:
            return {}
        try:
            return client.ask(op, **words)
        except RouterError:
            return {}
        finally:
            client.close()

    def pids(self) -> tuple[int, int]:
        """ExaBGP's and the bridge's."""
        hello = wait_for(lambda: self.ask("hello"), "the bridge answers", 180)
        return hello["exabgp_pid"], hello["pid"]

    def states(self) -> dict[str, dict[str, Any]]:
        """By peer; none where no bridge answers."""
        found: dict[str, dict[str, Any]] = self.ask("status").get("peers", {})
        return found

    def held(self, peer: str) -> float | None:
        """Within how many seconds somebody has promised to be back."""
        found: float | None = self.states().get(peer, {}).get("held_s")
        return found

    def in_order(self) -> bool:
        states = self.states()
        return bool(states) and all(session["synced"] for state in states.values() for session in state["sessions"])

    def await_up(self) -> None:
        wait_for(self.in_order, "all sessions are up and have said everything", 180, 0.05)

    def announced(self, peer: str) -> Table:
        """What the bridge has on disk for a peer."""
        found = wait_for(lambda: self.ask("read", peer=peer), "the bridge answers", 180)
        return {prefix: frozenset(hop[0] for hop in hops) for prefix, hops in found["routes"].items()}

    @contextlib.contextmanager
    def driver(self, peer: str, timeout: float = 60) -> Iterator[BgpDriver]:
        """The driver of a peer, open."""
        opened = BgpDriver(timeout=timeout, optional_args={"folder": str(self.exabgp_folder), "peer": peer})
        opened.open()
        try:
            yield opened
        finally:
            opened.close()

    def commit(self, peer: str, commands: Iterable[str]) -> None:
        """One transaction of the peer's driver."""
        with self.driver(peer) as opened:
            opened.load_merge_candidate(config="\n".join(commands))
            opened.commit_config()

    def announce(self, peer: str, routes: Mapping[str, Iterable[str]]) -> None:
        """These next hops beside all others."""
        self.commit(peer, [line for prefix, hops in routes.items() for line in announcements(prefix, hops)])

    # --- commands ---

    def cli(self, *arguments: str, code: int | None = 0, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """`k8s-ecmp ARGUMENTS`, which must end with that code."""
        done = warm().run("--config", str(self.folder / "k8s-ecmp.yaml"), *arguments, timeout=timeout_s)
        log = (self.folder / "exabgp.log").read_text() if (self.folder / "exabgp.log").exists() else ""
        assert code is None or done.returncode == code, (
            f"{done.returncode}\n{done.stdout}\n{done.stderr}\n{log[-2000:]}"
        )
        return done

    def plan(self, code: int | None = 2) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.cli("plan", "--format", "json", code=code).stdout)
        return document


def announcements(prefix: str, hops: Iterable[str]) -> list[str]:
    """The commands that announce a prefix through these next hops."""
    return [f"announce route {prefix} next-hop {hop} tag {TAG} name prod" for hop in hops]


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
