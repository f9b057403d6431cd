"""`k8s-ecmp run` as a process, on routers that are files and a cluster that is a file."""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

from tests.site import COMMAND, Site
from tests.world.netns import wait_for


class Running:
    def __init__(self, site: Site, around: Sequence[str] = ()) -> None:
        self.site = site
        self.around = around
        self.process: subprocess.Popen[bytes] | None = None
        self.log = site.folder / "log"
        self.port = 0

    def start(self, *arguments: str) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *self.around,
                    *COMMAND,
                    "--config",
                    str(self.site.folder / "k8s-ecmp.yaml"),
                    "run",
                    "--listen",
                    "127.0.0.1:0",
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.port = int(self.said("started")["listen"].rpartition(":")[2])

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def said(self, event: str, count: int = 1) -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            assert self.process is not None
            if self.process.poll() is not None and not any(line["event"] == event for line in self.lines()):
                raise RuntimeError(self.log.read_text())
            lines = [line for line in self.lines() if line["event"] == event]
            return lines if len(lines) >= count else []

        return wait_for(found, f"the log says {event!r}", timeout=120)[-1]

    def status(self) -> dict[str, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/status", headers={"Accept": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            document: dict[str, Any] = json.loads(answer.read())
            return document

    def until(self, condition: Callable[..., Any], what: str, timeout: float = 120) -> dict[str, Any]:
        def met() -> dict[str, Any] | None:
            try:
                document = self.status()
            except OSError:
                return None
            return document if condition(document) else None

        found = wait_for(met, what, timeout)
        assert found is not None
        return found

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of a page."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def kill(self) -> None:
        """SIGKILL, where it still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def routers(document: dict[str, Any]) -> dict[str, str]:
    return {router["name"]: router["state"] for router in document["routers"]}


def in_sync(document: dict[str, Any]) -> bool:
    return document["ready"] and set(routers(document).values()) <= {"in-sync", "conflict"}


def rewrite(site: Site, change: Callable[[], None]) -> None:
    """The file changes in one step, as a careful writer does it."""
    before = (site.folder / "cluster.yaml").stat().st_mtime_ns
    change()
    path = site.folder / "cluster.yaml"
    os.utime(path, ns=(before + 10**9, before + 10**9))
