"""Nodes and pods as namespaces: pods hang behind their node, which does kube-proxy's work with the rules of `dnat`."""

import contextlib
import ipaddress
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.world.netns import Namespace, run
from tests.world.objects import Pod

_SERVER = Path(__file__).with_name("podserver.py")
_GATEWAYS = {4: "169.254.1.1", 6: "fe80::1"}
_PREFIX_LENGTH = {4: 32, 6: 128}
_ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}


def family(address: str) -> int:
    """4 or 6, of an address or a prefix."""
    return ipaddress.ip_interface(address).version


def batch(namespace: Namespace, lines: Iterable[str]) -> None:
    """Several `ip` commands inside a namespace, by one process."""
    run("ip", "-n", namespace.name, "-batch", "-", input="".join(f"{line}\n" for line in lines))


class Server:
    """A `podserver` process; it is asked to start at once and waited for later, so that many start side by side."""

    def __init__(self, namespace: Namespace, roles: Sequence[str], identity: Mapping[str, Any]) -> None:
        # Without the site packages a server starts in half the time; only DNS needs them.
        plain = [] if any(role.startswith(("dns", "forward")) for role in roles) else ["-I", "-S"]
        command = [sys.executable, *plain, str(_SERVER), json.dumps(dict(identity)), *roles]
        self._process = namespace.popen(*command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def await_ready(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"a server did not start: {self._process.args!r}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


class PodSpace:
    """A pod: a namespace cabled to its node, and the server inside."""

    def __init__(self, pod: Pod, node: Namespace, interface: str) -> None:
        self.pod = pod
        self._node = node
        self._interface = interface
        self._server: Server | None = None
        self.namespace = Namespace(f"pod-{pod.name}"[:24])
        try:
            self._plug()
        except BaseException:
            self.close()
            raise

    def _plug(self) -> None:
        interface = self._interface
        ends = f"link add {interface} netns {self._node.name} type veth peer name pod0 netns {self.namespace.name}"
        run("ip", *ends.split())
        node_lines, pod_lines = [f"link set {interface} up"], ["link set pod0 up"]
        for address in self.pod.addresses:
            version = family(address)
            gateway, length = _GATEWAYS[version], _PREFIX_LENGTH[version]
            nodad = "nodad" if version == 6 else ""
            link_length = 32 if version == 4 else 64
            node_lines += [
                f"address add {gateway}/{link_length} dev {interface} scope link {nodad}",
                f"route add {address}/{length} dev {interface}",
            ]
            pod_lines.append(f"address add {address}/{length} dev pod0 {nodad}")
            if version == 4:
                pod_lines.append(f"route add {gateway}/32 dev pod0 scope link")
            pod_lines.append(f"route add {_ANYWHERE[version]} via {gateway} dev pod0")
        batch(self._node, node_lines)
        batch(self.namespace, pod_lines)

    def serve(self, roles: Sequence[str], identity: Mapping[str, Any]) -> Server:
        """Starts the server; the caller waits for it."""
        pod = self.pod
        own = {"pod": pod.name, "node": pod.node, "service": pod.service}
        self._server = Server(self.namespace, roles, {**own, **identity})
        return self._server

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        with contextlib.suppress(RuntimeError):
            self._node.ip("link delete", self._interface)
        self.namespace.close()


class NodeSpace:
    """A node: a namespace with an interface "lan", its pods behind it, and kube-proxy's rules."""

    def __init__(self, name: str, addresses: Sequence[str]) -> None:
        self.name = name
        self.addresses = tuple(addresses)
        self.namespace = Namespace(name)
        self.namespace.sysctl(
            net__ipv4__ip_forward=1,
            net__ipv6__conf__all__forwarding=1,
            net__ipv4__fib_multipath_hash_policy=1,
            net__ipv6__fib_multipath_hash_policy=1,
        )
        self.pods: dict[str, PodSpace] = {}
        self._interfaces = 0

    def route(self, destination: str, gateways: Iterable[str]) -> None:
        """A route over all gateways of the destination's family ("default4", "default6": the default routes)."""
        version = int(destination[-1]) if destination.startswith("default") else family(destination)
        hops = [f"nexthop via {gateway}" for gateway in gateways if family(gateway) == version]
        if hops:
            target = "default" if destination.startswith("default") else destination
            self.namespace.ip(f"-{version} route replace {target} {' '.join(hops)}")

    def add_pod(self, pod: Pod) -> PodSpace:
        self._interfaces += 1
        space = self.pods[pod.name] = PodSpace(pod, self.namespace, f"pod{self._interfaces}")
        return space

    def remove_pod(self, name: str) -> None:
        self.pods.pop(name).close()

    def load(self, ruleset: str) -> None:
        """Puts kube-proxy's rules in force, as one transaction."""
        self.namespace.run("nft", "-f", "-", input=ruleset)

    def close(self) -> None:
        for pod in self.pods.values():
            pod.close()
        self.pods.clear()
        self.namespace.close()
