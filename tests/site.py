"""A user's folder: settings, a cluster file and routers in files, and the command run as users run it."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from k8s_ecmp.errors import EcmpError, PlanRefused

REPO = Path(__file__).parents[1]
COMMAND = [str(Path(sys.executable).parent / "k8s-ecmp")]


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Site:
    folder: Path

    def run(self, *arguments: str, stdin: str | None = None) -> Outcome:
        done = subprocess.run(
            [*COMMAND, "--config", str(self.folder / "k8s-ecmp.yaml"), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            cwd="/",
            stdin=subprocess.DEVNULL if stdin is None else None,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def run_here(self, *arguments: str) -> Outcome:
        """The same command in this process, which has imported already what it needs."""
        from k8s_ecmp.cli.app import app

        pages = io.BytesIO(), io.BytesIO()
        out, err = (io.TextIOWrapper(page, "utf-8", write_through=True) for page in pages)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = app(["--config", str(self.folder / "k8s-ecmp.yaml"), *arguments], standalone_mode=False)
            except PlanRefused as error:
                print(f"refused: {error}", file=err)
                code = 3
            except EcmpError as error:
                print(f"error: {error}", file=err)
                code = 1
        return Outcome(code, *(page.getvalue().decode() for page in pages))

    @contextlib.contextmanager
    def begun(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """The command while it runs, its output in pipes; killed at the end."""
        command = [*COMMAND, "--config", str(self.folder / "k8s-ecmp.yaml"), *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def config(self, router: str) -> Path:
        return self.folder / f"inventories/demo/routers/{router}.cfg"

    def hosts(self, **hosts: Any) -> None:
        """The inventory has these routers alone, and no groups."""
        folder = self.folder / "inventories/demo"
        (folder / "hosts.yaml").write_text(yaml.safe_dump(hosts))
        (folder / "groups.yaml").unlink(missing_ok=True)

    def edit(self, file: str, change: Any) -> None:
        path = self.folder / file
        content = yaml.safe_load(path.read_text())
        change(content)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def node(self, name: str, change: Any) -> None:
        def edit(cluster: Any) -> None:
            for item in cluster["items"]:
                if item["kind"] == "Node" and item["metadata"]["name"] == name:
                    change(item)

        self.edit("cluster.yaml", edit)

    def not_ready(self, *names: str) -> None:
        for name in names:
            self.node(name, lambda item: item["status"]["conditions"][1].update(status="False"))

    def settings(self, **values: Any) -> None:
        self.edit("k8s-ecmp.yaml", lambda content: content.update(values))


def new_site(folder: Path) -> Site:
    """The demo, laid out as a user's folder."""
    inventory = folder / "inventories/demo"
    shutil.copytree(REPO / "inventories/demo", inventory)
    for name in ("k8s-ecmp.yaml", "cluster.yaml"):
        (inventory / name).replace(folder / name)
    return Site(folder)


def read_until(process: "subprocess.Popen[str]", word: str) -> str:
    """Standard error up to the line with the word; a command that ends without it fails here."""
    assert process.stderr is not None
    read = ""
    for line in process.stderr:
        read += line
        if word in line:
            return read
    raise AssertionError(f"{word!r} never came: {read}")


def ended(process: "subprocess.Popen[str]") -> Outcome:
    out, err = process.communicate(timeout=240)
    return Outcome(process.returncode, out, err)
