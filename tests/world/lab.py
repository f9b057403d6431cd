"""A data centre in namespaces: clients, FRR routers, nodes and pods, with the CLI pointed at it.

    client --- street --- router(s) --- lan --- nodes --- pods

`street` and `lan` are switches. Nodes forward by the rules of `dnat`; routers learn no route by themselves. The CLI runs
inside the routers' management network as a process of its own. `python -m tests.world.lab --help` keeps one lab up for a
person.
"""

import contextlib
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import yaml

from k8s_ecmp.bgp.client import BridgeClient
from k8s_ecmp.errors import RouterError
from tests.world import bgp, dnat, frr
from tests.world.bgp_machine import COMMAND
from tests.world.cluster import Cluster
from tests.world.frr import FrrRouter, Link, ManagementNetwork
from tests.world.netns import Namespace, run, veth, wait_for
from tests.world.nodes import NodeSpace, Server, family
from tests.world.objects import Pod

ROOT = Path(__file__).parents[2]
INVENTORY = ROOT / "inventories/lab"
HOME = Path("/var/lib/k8s-ecmp-lab")  # where inventories/lab looks for the keys
STREET = ("203.0.113.0/24", "fd00:203:113::/64")
CLIENT = ("203.0.113.10", "fd00:203:113::10")
SPEAKER = "10.255.0.1"
_GRACE_S = 0.5


def missing() -> str | None:
    """Why no lab can be built here; None when one can."""
    for tool in ("nft", "dig", "curl"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    return frr.missing()


@dataclass(frozen=True)
class NodePlan:
    """A node's addresses on the LAN and its pod CIDRs."""

    addresses: tuple[str, ...]
    pod_cidrs: tuple[str, ...]


@dataclass(frozen=True)
class Topology:
    """Who is on the LAN. `pod_cidrs` is the cluster CIDR of each family."""

    lan: tuple[str, ...]
    routers: Mapping[str, tuple[str, ...]]
    nodes: Mapping[str, NodePlan]
    service_cidrs: tuple[str, ...]
    pod_cidrs: tuple[str, ...]

    def cluster(self) -> Cluster:
        """The nodes of this topology as a cluster without services."""
        cluster = Cluster(service_cidrs=self.service_cidrs, pod_cidrs=self.pod_cidrs)
        for name, plan in self.nodes.items():
            cluster.add_node(name, plan.addresses, plan.pod_cidrs)
        return cluster


@dataclass(frozen=True)
class CliResult:
    """How a run of the CLI ended."""

    arguments: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        return f"k8s-ecmp {' '.join(self.arguments)}: exit {self.exit_code}\n{self.stdout}\n{self.stderr}"


@dataclass
class Lab:
    """One lab. `with Lab(topology, directory) as lab:` builds it and takes everything down after.

    With `mode` "bgp" the routers get their routes from one ExaBGP in the management network, which is started with the
    lab; the CLI reads their tables over SSH.
    """

    topology: Topology
    directory: Path
    mode: str = "static"
    management: ManagementNetwork = field(init=False)
    client: Namespace = field(init=False)
    routers: dict[str, FrrRouter] = field(init=False, default_factory=dict)
    nodes: dict[str, NodeSpace] = field(init=False, default_factory=dict)
    lan: Namespace = field(init=False)
    _down: set[str] = field(init=False, default_factory=set)
    _stack: contextlib.ExitStack = field(init=False, default_factory=contextlib.ExitStack)

    def start(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ends every process and deletes every namespace of the lab. May be called twice."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- the cluster drives the lab

    @property
    def cluster_file(self) -> Path:
        return self.directory / "cluster.json"

    def sync(self, cluster: Cluster) -> None:
        """Makes the lab what the cluster says: new pods first, then the rules on every node, old pods last, after a
        grace period as the kubelet gives it: a packet that was sent to one by the rules of before is on its way still.

        The cluster file is written with the rules, as the API server tells everybody at once.
        """
        wanted = {pod.name: pod for pod in cluster.pods.values() if pod.node not in self._down}
        present = {name for node in self.nodes.values() for name in node.pods}
        new = [self._start_pod(cluster, pod) for name, pod in wanted.items() if name not in present]
        for server in new:
            server.await_ready()
        self._load_rules(cluster)
        cluster.write(self.cluster_file)
        if old := [(node, name) for node in self.nodes.values() for name in node.pods if name not in wanted]:
            time.sleep(_GRACE_S)
        for node, name in old:
            node.remove_pod(name)

    def cut(self, node: str) -> None:
        """Pulls the node's cable; nobody is told."""
        self.lan.ip("link set", node, "down")

    def mend(self, node: str) -> None:
        self.lan.ip("link set", node, "up")

    def power_off(self, node: str) -> None:
        """The node's cable is dead, its pods are gone, its kernel has forgotten kube-proxy's rules."""
        self.cut(node)
        self._down.add(node)
        for name in list(self.nodes[node].pods):
            self.nodes[node].remove_pod(name)
        self.nodes[node].namespace.run("nft", "flush", "ruleset")

    def power_on(self, node: str, cluster: Cluster) -> None:
        """The node is back with kube-proxy's rules in force, and answers all its neighbours, as a machine does long before
        its pods come, with the next `sync`.
        """
        self._down.discard(node)
        self._load_rules(cluster)
        self.mend(node)
        others = [space.namespace for name, space in self.nodes.items() if name != node and name not in self._down]
        for neighbour in (*others, *(router.netns for router in self.routers.values())):
            for address in self.topology.nodes[node].addresses:
                wait_for(partial(_answers, neighbour, address), f"{neighbour.name} reaches {node} at {address}")

    def restore(self, cluster: Cluster) -> None:
        """Every node is up and cabled again, whatever a test did to it."""
        self._down.clear()
        self.sync(cluster)
        for node in self.nodes:
            self.mend(node)

    def serve_client(self, roles: Sequence[str], identity: Mapping[str, Any]) -> None:
        """A server on the client's side of the routers, such as the company's own DNS."""
        server = Server(self.client, roles, identity)
        self._stack.callback(server.close)
        server.await_ready()

    def _start_pod(self, cluster: Cluster, pod: Pod) -> Server:
        service = cluster.services[pod.service]
        roles = {f"{_role(port.target)}:{port.target}" for port in service.ports}
        zone = {
            f"{name}.{namespace}.svc.{DOMAIN}": list(item.cluster_ips)
            for item in cluster.services.values()
            for namespace, _, name in [item.key.partition("/")]
        }
        identity = {"zone": zone, "origin": DOMAIN} if any(r.startswith("dns") for r in roles) else {}
        return self.nodes[pod.node].add_pod(pod).serve(sorted(roles), identity)

    def _load_rules(self, cluster: Cluster) -> None:
        services, slices = cluster.service_objects(), cluster.slice_objects()
        for name, node in self.nodes.items():
            if name not in self._down:
                node.load(
                    dnat.ruleset(
                        name, services, slices, pod_cidrs=cluster.pod_cidrs, service_cidrs=cluster.service_cidrs
                    )
                )

    # --- the CLI

    @property
    def settings_file(self) -> Path:
        return self.directory / "k8s-ecmp.yaml"

    def write_settings(self, **sections: Any) -> None:
        """The settings file: the lab's inventory and cluster file, and whatever `sections` say."""
        settings: dict[str, Any] = {
            "owner": "lab",
            "tag": 4201,
            "inventory": "inventory",
            "cluster": {"source": self.cluster_file.name, "service_cidrs": list(self.topology.service_cidrs)},
            "journal": "journal.sqlite",
        }
        self.settings_file.write_text(yaml.safe_dump(settings | sections, sort_keys=False))

    def write_inventory(self) -> None:
        """`inventories/lab` with this lab's routers and directory in it."""
        folder = self.directory / "inventory"
        folder.mkdir(exist_ok=True)
        for name in ("groups.yaml", "defaults.yaml"):
            (folder / name).write_text((INVENTORY / name).read_text().replace(str(HOME), str(self.directory)))
        hosts: dict[str, dict[str, Any]] = {
            name: {"hostname": router.address, "groups": ["lab"]} for name, router in self.routers.items()
        }
        if self.mode == "bgp":
            session = {"folder": str(self.exabgp_folder), "local_addresses": [SPEAKER], "read_receiver": True}
            session |= {"local_as": bgp.SPEAKER_AS, "peer_as": bgp.ROUTER_AS}
            for host in hosts.values():
                host["data"] = {"k8s_ecmp": {"mode": "bgp", "bgp": session}}
        (folder / "hosts.yaml").write_text(yaml.safe_dump(hosts, sort_keys=False))

    def cli(self, *arguments: str, timeout_s: float = 240) -> CliResult:
        """Runs `k8s-ecmp --config ... ARGUMENTS` inside the management network."""
        command = Path(sys.executable).with_name("k8s-ecmp")
        argv = self.management.argv(str(command), "--config", str(self.settings_file), *arguments)
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=timeout_s, env=environment)
        return CliResult(arguments, done.returncode, done.stdout, done.stderr)

    # --- ExaBGP

    @property
    def exabgp_folder(self) -> Path:
        return self.directory / "exa"

    def announced(self) -> dict[str, dict[str, list[str]]]:
        """By router, what is announced to it: next hops by prefix."""
        found = {}
        for name in self.routers:
            routes = self._ask("read", peer=name)["routes"]
            found[name] = {prefix: [hop[0] for hop in hops] for prefix, hops in routes.items()}
        return found

    def _ask(self, op: str, **words: Any) -> dict[str, Any]:
        client = BridgeClient(self.exabgp_folder, 30)
        try:
            return client.ask(op, **words)
        finally:
            client.close()

    def _start_exabgp(self) -> None:
        self.write_settings()
        with (self.directory / "exabgp.log").open("ab") as log:
            argv = [COMMAND, "--config", str(self.settings_file), "bgp", "start"]
            process = self.management.namespace.popen(*argv, stdout=log, stderr=log, start_new_session=True)
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)

        def in_order() -> bool:
            with contextlib.suppress(RouterError):
                peers = self._ask("status")["peers"].values()
                return all(session["synced"] for peer in peers for session in peer["sessions"])
            return False

        wait_for(in_order, "all sessions are up and have said everything", 60)

    # --- how it is built

    def _build(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o755)
        self.management = self._stack.enter_context(ManagementNetwork())
        self.lan = self._switch("lan")
        street = self._switch("street")
        self.client = self._stack.enter_context(Namespace("client"))
        _plug(street, "client", self.client, "street", with_length(CLIENT, STREET))
        self._share_keys()
        failures: list[BaseException] = []
        starter = threading.Thread(target=self._start_routers, args=(street, failures))
        starter.start()
        try:
            for name, plan in self.topology.nodes.items():
                self._build_node(name, plan)
        finally:
            starter.join()
        if failures:
            raise failures[0]
        gateways = [address for addresses in street_addresses(self.topology).values() for address in addresses]
        for version in (4, 6):
            hops = " ".join(f"nexthop via {gateway}" for gateway in gateways if family(gateway) == version)
            self.client.ip(f"-{version} route add default {hops}")
        self.client.sysctl(net__ipv4__fib_multipath_hash_policy=1, net__ipv6__fib_multipath_hash_policy=1)
        self._introduce()
        known = "".join(router.known_hosts.read_text() for router in self.routers.values())
        (self.directory / "known_hosts").write_text(known)
        self.write_inventory()
        if self.mode == "bgp":
            self._start_exabgp()

    def _introduce(self) -> None:
        """Everybody on a switch knows the others' MAC addresses for good.

        The kernel has one neighbour table for all namespaces. Where tests beside this one fill it, it forgets entries of
        ours at any moment, and a packet of a load is lost that no route was wrong for.
        """
        routers = self.topology.routers
        outside = street_addresses(self.topology)
        lan = [(self.routers[name].netns, routers[name]) for name in routers]
        lan += [(self.nodes[name].namespace, plan.addresses) for name, plan in self.topology.nodes.items()]
        street = [(self.routers[name].netns, outside[name]) for name in routers] + [(self.client, CLIENT)]
        for interface, members in (("lan", lan), ("street", street)):
            macs = [json.loads(member.ip("-j link show dev", interface))[0]["address"] for member, _ in members]
            for member, _ in members:
                others = [pair for pair in zip(members, macs, strict=True) if pair[0][0] is not member]
                known = [(address, mac) for (_, addresses), mac in others for address in addresses]
                lines = [
                    f"neigh replace {address} lladdr {mac} dev {interface} nud permanent" for address, mac in known
                ]
                run("ip", "-n", member.name, "-batch", "-", input="\n".join(lines))

    def _switch(self, role: str) -> Namespace:
        namespace = self._stack.enter_context(Namespace(role))
        namespace.ip("link add switch type bridge")
        namespace.ip("link set switch up")
        return namespace

    def _share_keys(self) -> None:
        """One key for all routers, so that one group of the inventory fits them all."""
        key = self.directory / "client_key"
        if not key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(key))
        for router in self.topology.routers:
            folder = self.directory / router
            folder.mkdir(exist_ok=True)
            for name in ("client_key", "client_key.pub"):
                shutil.copy(self.directory / name, folder / name)

    def _start_routers(self, street: Namespace, failures: list[BaseException]) -> None:
        try:
            for name, addresses in self.topology.routers.items():
                outside = with_length(street_addresses(self.topology)[name], STREET)
                links = [
                    Link("lan", with_length(addresses, self.topology.lan), self.lan, name),
                    Link("street", outside, street, name),
                ]
                router = FrrRouter(name, self.directory, links=links, management=self.management)
                if self.mode == "bgp":
                    router.config, router.daemons = bgp.frr_config([SPEAKER]), ("bgpd",)
                self._stack.callback(router.stop)
                router.start()
                for switch in (self.lan, street):
                    switch.ip("link set", name, "master switch")
                self.routers[name] = router
        except BaseException as error:
            failures.append(error)

    def _build_node(self, name: str, plan: NodePlan) -> None:
        node = NodeSpace(name, plan.addresses)
        self._stack.callback(node.close)
        self.nodes[name] = node
        _plug(self.lan, name, node.namespace, "lan", with_length(plan.addresses, self.topology.lan))
        gateways = [address for addresses in self.topology.routers.values() for address in addresses]
        node.route("default4", gateways)
        node.route("default6", gateways)
        for other, other_plan in self.topology.nodes.items():
            for cidr in other_plan.pod_cidrs if other != name else ():
                node.route(cidr, other_plan.addresses)


DOMAIN = "dev.cluster.local"


def _role(port: int) -> str:
    """What listens on a pod's port: 53 DNS, 3306 a greeting, all else HTTP."""
    return {53: "dns", 3306: "greet"}.get(port, "http")


def street_addresses(topology: Topology) -> dict[str, tuple[str, ...]]:
    """The routers' addresses on the clients' side."""
    return {
        name: tuple(str(ipaddress.ip_network(prefix)[number]) for prefix in STREET)
        for number, name in enumerate(topology.routers, 1)
    }


def with_length(addresses: Iterable[str], prefixes: Iterable[str]) -> list[str]:
    """Addresses with the length of the prefix that holds them."""
    networks = [ipaddress.ip_network(prefix) for prefix in prefixes]
    return [
        f"{address}/{network.prefixlen}"
        for address in addresses
        for network in networks
        if ipaddress.ip_address(address) in network
    ]


def _plug(switch: Namespace, port: str, namespace: Namespace, interface: str, addresses: Sequence[str]) -> None:
    veth(switch, port, namespace, interface, (), addresses)
    switch.ip("link set", port, "master switch")


def _answers(neighbour: Namespace, address: str) -> bool:
    """Whether the neighbour has an answer of the machine at the address: nobody serves this port there."""
    with neighbour.entered():
        try:
            socket.create_connection((address, 9), timeout=0.5).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return True


if __name__ == "__main__":
    from tests.world.labctl import main

    sys.exit(main())
