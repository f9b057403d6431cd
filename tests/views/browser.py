"""Debian's Chromium without a head and without a network, driven over its DevTools protocol."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websocket import create_connection

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)


def missing() -> str | None:
    """Why there is no browser."""
    return None if shutil.which("chromium") else "chromium is not installed: scripts/install-test-packages"


@contextmanager
def browser(folder: Path) -> Iterator["Browser"]:
    """A running browser with its profile in the folder."""
    environment = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    with (folder / "chromium.log").open("w") as log:
        process = subprocess.Popen(
            ["chromium", *_FLAGS, f"--user-data-dir={folder}/profile", "about:blank"],
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        try:
            yield Browser(_endpoint(folder / "profile/DevToolsActivePort", process))
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _endpoint(port_file: Path, process: subprocess.Popen[Any]) -> str:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if port_file.exists() and len(lines := port_file.read_text().split()) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        assert process.poll() is None, "chromium ended"
        time.sleep(0.05)
    raise AssertionError("chromium does not listen")


class Browser:
    """One page, and what happened in it."""

    def __init__(self, url: str) -> None:
        self._socket = create_connection(url, timeout=60)
        self._number = 0
        self._session: str | None = None
        self.events: list[tuple[str, dict[str, Any]]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: object) -> Any:
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            if "method" in answer:
                self.events.append((answer["method"], answer["params"]))

    def open(self, path: Path, *, scheme: str = "light", width: int = 1200, height: int = 900) -> None:
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        end = time.monotonic() + 60
        while not any(method == "Page.loadEventFired" for method, _ in self.events):
            assert time.monotonic() < end, "the page does not load"
            self.run("0")
        self.run("new Promise(done => setTimeout(done, 200))")

    def run(self, script: str) -> object:
        """What a script says; the page's own policy does not bind it."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole, format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def pdf(self) -> bytes:
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    @property
    def requests(self) -> list[str]:
        return [said["request"]["url"] for method, said in self.events if method == "Network.requestWillBeSent"]

    @property
    def errors(self) -> list[str]:
        """What the console shows, and uncaught exceptions."""
        kinds = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        return [json.dumps(said) for method, said in self.events if method in kinds]
