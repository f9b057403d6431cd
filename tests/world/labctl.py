"""One lab kept up for a person: `python -m tests.world.lab up | down | shell | do`.

A process of its own holds the lab and changes it on demand over a Unix socket; when it ends, everything it made ends.
"""

import argparse
import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tests.world import lab as world
from tests.world.cluster import Cluster
from tests.world.lab import HOME, INVENTORY, ROOT, Lab, NodePlan, Topology
from tests.world.netns import wait_for
from tests.world.objects import Port, ServiceState

TOPOLOGY = Topology(
    lan=("10.1.0.0/24", "fd00:10:1::/64"),
    routers={"r1": ("10.1.0.1", "fd00:10:1::1"), "r2": ("10.1.0.2", "fd00:10:1::2")},
    nodes={
        f"node-{n}": NodePlan((f"10.1.0.1{n}", f"fd00:10:1::1{n}"), (f"10.2.{n}.0/24", f"fd00:10:2:{n}::/64"))
        for n in (1, 2, 3)
    },
    service_cidrs=("10.100.0.0/16", "fd00:10:100::/112"),
    pod_cidrs=("10.2.0.0/16", "fd00:10:2::/48"),
)
_EPILOG = """
up      builds two FRR routers, three nodes, their pods and a client, and returns
shell   opens a shell at a PLACE, or runs COMMAND there:
          operator (default)  the management network: k8s-ecmp reaches the routers by SSH from here
          client              a machine behind the routers: curl, dig
          r1, r2              a router: vtysh, ip route
          node-1 ... node-3   a node: nft list ruleset, ip route
do      changes the cluster or the cables; the cluster file follows at once:
          scale NAMESPACE/SERVICE NODE...      one pod for each NODE
          policy NAMESPACE/SERVICE Cluster|Local
          drain|undrain NODE                   the annotation k8s-ecmp.io/drain
          ready|not-ready NODE                 the Ready condition, as if for ten minutes
          cut|mend NODE                        the node's cable
down    ends it all

First steps:
  python -m tests.world.lab up
  python -m tests.world.lab shell -- k8s-ecmp --config {config} plan
"""


class UsageError(Exception):
    """What was asked cannot be done; the text says why."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.world.lab",
        description="A lab of real FRR routers, nodes, pods and a client in network namespaces.",
        epilog=_EPILOG.format(config=_shown(HOME)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--directory", type=Path, default=HOME, help="keys, cluster file and state (default: %(default)s)"
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="up | down | shell | do")
    verbs.add_parser("up", help="build the lab")
    verbs.add_parser("down", help="take it down")
    shell = verbs.add_parser("shell", help="a shell, or a command, inside the lab")
    shell.add_argument("place", nargs="?", default="operator")
    do = verbs.add_parser("do", help="change the cluster or the cables")
    do.add_argument("words", nargs="+")
    words = sys.argv[1:] if arguments is None else arguments
    split = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:split])
    directory = options.directory.resolve()
    try:
        if options.verb == "up":
            _up(directory)
        elif options.verb == "down":
            _down(directory)
        elif options.verb == "do":
            print(_ask(directory, options.words))
        else:
            _shell(directory, options.place, words[split + 1 :])
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


# --- the person's side -------------------------------------------------------------------------------------------


def _up(directory: Path) -> None:
    if reason := world.missing():
        raise UsageError(reason)
    if _state(directory):
        raise UsageError(f"the lab in {directory} is up already; `python -m tests.world.lab down` ends it")
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "lab.log"
    with log.open("wb") as errors:
        holder = subprocess.Popen(
            [sys.executable, "-m", __name__, str(directory)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    assert holder.stdout is not None
    if holder.stdout.readline() != b"ready\n":
        raise UsageError(f"the lab did not come up; {log} says why:\n{log.read_text()[-2000:]}")
    print(f"The lab is up. Next: python -m tests.world.lab shell -- k8s-ecmp --config {_shown(directory)} plan")


def _down(directory: Path) -> None:
    state = _state(directory)
    if state is None:
        raise UsageError(f"no lab is up in {directory}")
    os.kill(state["pid"], signal.SIGTERM)
    wait_for(lambda: _state(directory) is None, "the lab is down", timeout=30)
    print("The lab is down.")


def _shell(directory: Path, place: str, command: list[str]) -> NoReturn:
    state = _state(directory)
    if state is None:
        raise UsageError(f"no lab is up in {directory}; `python -m tests.world.lab up` builds it")
    if place not in state["places"]:
        raise UsageError(f"there is no {place}; places are {', '.join(state['places'])}")
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"}
    argv = [*state["places"][place], *(command or [os.environ.get("SHELL", "/bin/sh")])]
    sys.stdout.flush()
    os.execvpe(argv[0], argv, environment)


def _ask(directory: Path, words: list[str]) -> str:
    """Has the holder carry out a command; its answer."""
    if _state(directory) is None:
        raise UsageError(f"no lab is up in {directory}; `python -m tests.world.lab up` builds it")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(directory / "control"))
        connection.sendall((shlex.join(words) + "\n").encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    verdict, _, text = answer.decode().partition(" ")
    if verdict != "done":
        raise UsageError(text)
    return text


def _state(directory: Path) -> dict[str, Any] | None:
    """The running lab's process and places; None when none runs there."""
    with contextlib.suppress(OSError, ValueError):
        state: dict[str, Any] = json.loads((directory / "state.json").read_text())
        if __name__ in Path(f"/proc/{state['pid']}/cmdline").read_text():
            return state
    return None


def _shown(directory: Path) -> str:
    """The settings file that a person uses with the lab in that directory."""
    return "inventories/lab/k8s-ecmp.yaml" if directory == HOME else str(directory / "k8s-ecmp.yaml")


# --- the process that holds the lab --------------------------------------------------------------------------------


def starting_cluster() -> Cluster:
    """A database, DNS, a web shop, and a customer service that is Local and has an external address."""
    cluster = TOPOLOGY.cluster()
    dns_ports = (Port(53, 53, "dns", "UDP"), Port(53, 53, "dns-tcp", "TCP"))
    cluster.add_service(ServiceState("kube-system/kube-dns", ("10.100.0.10", "fd00:10:100::a"), dns_ports))
    cluster.add_service(ServiceState("default/mysql", ("10.100.1.5",), (Port(3306, 3306, "mysql"),)))
    web_port = Port(80, 8080, "http", node_port=30080)
    cluster.add_service(ServiceState("shop/web", ("10.100.2.80", "fd00:10:100::280"), (web_port,), type="NodePort"))
    cluster.add_service(
        ServiceState(
            "shop/customer",
            ("10.100.2.11",),
            (Port(80, 8080, "http", node_port=30180),),
            type="NodePort",
            external_policy="Local",
            external_ips=("10.101.0.10",),
        )
    )
    cluster.scale("kube-system/kube-dns", "node-1", "node-2")
    cluster.scale("default/mysql", "node-3")
    cluster.scale("shop/web", "node-1", "node-2")
    cluster.scale("shop/customer", "node-2")
    return cluster


def change(lab: Lab, cluster: Cluster, words: list[str]) -> None:
    """Carries out one `do` command.

    Raises:
        UsageError: the command, the service or the node does not exist, or words are missing.
    """
    verb, *names = words or [""]
    on_nodes: dict[str, Callable[[str], None]] = {
        "drain": cluster.drain,
        "undrain": cluster.undrain,
        "ready": lambda node: cluster.set_ready(node, since_s=600),
        "not-ready": lambda node: cluster.set_ready(node, "Unknown", since_s=600),
        "cut": lab.cut,
        "mend": lab.mend,
    }
    if verb in on_nodes and len(names) == 1:
        on_nodes[verb](_known(names[0], lab.nodes, "node"))
    elif verb == "scale" and names:
        _known(names[0], cluster.services, "service")
        cluster.scale(names[0], *(_known(node, lab.nodes, "node") for node in names[1:]))
    elif verb == "policy" and len(names) == 2 and names[1] in {"Cluster", "Local"}:
        cluster.change_service(_known(names[0], cluster.services, "service"), external_policy=names[1])
    else:
        raise UsageError(f"cannot do {shlex.join(words)!r}; `python -m tests.world.lab --help` lists what can be done")
    lab.sync(cluster)


def _known(name: str, names: Any, kind: str) -> str:
    if name not in names:
        raise UsageError(f"there is no {kind} {name}; there are {', '.join(names)}")
    return name


def hold(directory: Path) -> None:
    """Builds the lab, says "ready", and serves `do` commands until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    state_file, control = directory / "state.json", directory / "control"
    cluster = starting_cluster()
    with contextlib.ExitStack() as files, Lab(TOPOLOGY, directory) as lab:
        lab.sync(cluster)
        for name in INVENTORY.glob("*.yaml"):
            (directory / name.name).write_text(name.read_text().replace(str(HOME), str(directory)))
        control.unlink(missing_ok=True)
        server = files.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(str(control))
        server.listen()
        places = {
            "operator": lab.management.argv(),
            "client": lab.client.argv(),
            **{name: router.argv() for name, router in lab.routers.items()},
            **{name: node.namespace.argv() for name, node in lab.nodes.items()},
        }
        new = state_file.with_suffix(".new")
        new.write_text(json.dumps({"pid": os.getpid(), "places": places}))
        new.replace(state_file)
        files.callback(state_file.unlink)  # when the lab is gone: `down` waits for this
        print("ready", flush=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        while True:
            _answer(server, lab, cluster)


def _answer(server: socket.socket, lab: Lab, cluster: Cluster) -> None:
    connection, _ = server.accept()
    with connection, connection.makefile("r") as requests:
        try:
            change(lab, cluster, shlex.split(requests.readline()))
            answer = f"done {lab.cluster_file}"
        except (UsageError, RuntimeError, ValueError) as error:
            answer = f"refused {error}"
        with contextlib.suppress(OSError):
            connection.sendall(answer.encode())


if __name__ == "__main__":
    hold(Path(sys.argv[1]))
