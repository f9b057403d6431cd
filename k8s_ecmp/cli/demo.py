"""`demo`: the main job on the embedded routers, told step by step."""

import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from k8s_ecmp.errors import EcmpError
from k8s_ecmp.resources import resource_dir

_FOREIGN = "ip route 198.51.100.10/32 192.0.2.77\n"


def demo(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="Where to put the demo; a new folder where it is not given."),
    ] = None,
) -> int:
    """Show plan, apply, verify, a node's failure and a conflict on two embedded routers. Touches nothing else."""
    place = (folder or Path(tempfile.mkdtemp(prefix="k8s-ecmp-demo-"))).resolve()
    if place.exists() and any(place.iterdir()):
        raise EcmpError(f"{place} is not empty", remedy="name a new folder")
    _lay_out(place)
    run = partial(_run, context, place)
    started = time.monotonic()
    _title("Two routers, three nodes, and what kubectl printed. What does the cluster ask for?")
    run("desired", expect=0)
    _title("What would change on the routers?")
    run("plan", expect=2)
    _title("Change them, and check.")
    run("apply", "--yes", expect=0)
    run("verify", expect=0)
    _title("Nothing is left to do.")
    run("plan", expect=0)
    _title("node2 fails.")
    _fail_node(place / "cluster.yaml", "node2")
    run("plan", expect=2)
    run("apply", "--yes", expect=0)
    _title("Somebody puts a route of their own at one of our addresses: it is reported and never touched.")
    _put_foreign_route(place / "inventories/demo/routers/edge1.cfg")
    run("plan", expect=3)
    run("why", "198.51.100.10", "--router", "edge1", expect=0)
    _title(f"Done in {time.monotonic() - started:.1f} s. Go on by hand:")
    command = Path(sys.argv[0]).absolute()
    sys.stdout.write(f"  cd {place}\n  {command} plan\n  {command} --help\n")
    return 0


def _lay_out(place: Path) -> None:
    """The demo's folder looks like a user's: settings and cluster file at the top, the inventory below."""
    source = resource_dir("demo")
    inventory = place / "inventories/demo"
    shutil.copytree(source, inventory, dirs_exist_ok=True)
    for name in ("k8s-ecmp.yaml", "cluster.yaml"):
        (inventory / name).replace(place / name)


def _run(context: typer.Context, place: Path, *arguments: str, expect: int) -> None:
    sys.stdout.write(f"\n$ k8s-ecmp {' '.join(arguments)}\n")
    sys.stdout.flush()
    words = ["--config", str(place / "k8s-ecmp.yaml"), *arguments]
    code = context.find_root().command.main(words, standalone_mode=False)
    sys.stdout.write(f"(exit code {code})\n")
    if code != expect:
        raise EcmpError(f"the demo expected exit code {expect} of {arguments[0]} and got {code}")


def _title(text: str) -> None:
    sys.stdout.write(f"\n{'-' * 80}\n{text}\n")
    sys.stdout.flush()


def _fail_node(path: Path, name: str) -> None:
    import yaml

    cluster = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    for item in cluster["items"]:
        if item["kind"] == "Node" and item["metadata"]["name"] == name:
            ready = next(each for each in item["status"]["conditions"] if each["type"] == "Ready")
            since = datetime.now(UTC) - timedelta(minutes=5)
            ready.update(status="Unknown", reason="NodeStatusUnknown", lastTransitionTime=f"{since:%Y-%m-%dT%H:%M:%SZ}")
        if item["kind"] == "EndpointSlice":
            for endpoint in item["endpoints"]:
                if endpoint.get("nodeName") == name:
                    endpoint["conditions"].update(ready=False, serving=False)
    path.write_text(yaml.safe_dump(cluster, sort_keys=False), encoding="utf-8")


def _put_foreign_route(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    ours = [line for line in lines if line.startswith("ip route 198.51.100.10/32 ")]
    at = lines.index(ours[0])
    path.write_text("".join([*lines[:at], _FOREIGN, *lines[at + len(ours) :]]), encoding="utf-8")
