"""MetalLB's speaker in its own BGP implementation, as a process in a node's namespace: the peer of the measurements.

It announces load-balancer addresses alone, and MetalLB's controller, which would hand them out, does not run: whoever
makes a service writes its address into the status. The program is built when it is named
(`python -m tests.world.kube.build metallb-speaker`).
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from tests.world.kube import build
from tests.world.kube.server import KubeApi
from tests.world.netns import Namespace, wait_for

PROGRAM = "metallb-speaker"
NAMESPACE = "metallb-system"
NODES_ASN, ROUTER_ASN = 64512, 64513
_MODULE = "go.universe.tf/metallb"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_STATUSES = f"/apis/metallb.io/v1beta1/namespaces/{NAMESPACE}/servicebgpstatuses"
_INT32_MAX = 2**31 - 1


def missing() -> str | None:
    """Why no speaker can run here; None when one can."""
    absent = build.missing([PROGRAM])
    return f"{PROGRAM} not built: run `{build.COMMAND} {PROGRAM}` once" if absent else None


def router_config(router_id: str, nodes: Sequence[str]) -> str:
    """Lines for the frr.conf of a router (with bgpd) to which the speakers at the addresses `nodes` announce."""
    lines = [
        f"router bgp {ROUTER_ASN}",
        f" bgp router-id {router_id}",
        " no bgp ebgp-requires-policy",
        *(f" neighbor {node} remote-as {NODES_ASN}" for node in nodes),
        " address-family ipv4 unicast",
        "  maximum-paths 64",
        " exit-address-family",
        "exit",
    ]
    return "\n".join(lines)


def install(api: KubeApi, *, router: str, pool: str, nodes: Sequence[str]) -> None:
    """Definitions and configuration: every address of `pool` is announced to the router's address by every node."""
    definitions = _definitions()
    for definition in definitions:
        api.request("POST", _DEFINITIONS, definition)
    wait_for(lambda: all(_established(api, found["metadata"]["name"]) for found in definitions), "definitions stand")
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for node in nodes:
        api.create(_pod(node))
    peer = {"myASN": NODES_ASN, "peerASN": ROUTER_ASN, "peerAddress": router}
    _configure(api, "v1beta1", "IPAddressPool", {"addresses": [pool], "autoAssign": False})
    _configure(api, "v1beta1", "BGPAdvertisement", {"ipAddressPools": ["world"]})
    _configure(api, "v1beta2", "BGPPeer", peer)


def writes(api: KubeApi) -> int:
    """A number that grows by one with every write to the API; the speakers write about every service, at their leisure."""
    return int(api.get(f"{_STATUSES}?limit=1")["metadata"]["resourceVersion"])


class Speaker:
    """One node's speaker. Use as a context manager.

    Args:
        node: the Node object's name.
        namespace: the node's.
        kubeconfig: with a server that is reached from there.
        log: the file of what it prints.
    """

    def __init__(self, node: str, namespace: Namespace, kubeconfig: Path, log: Path) -> None:
        self.node = node
        self._namespace = namespace
        self._kubeconfig = kubeconfig
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns at once."""
        environment = {**os.environ, "KUBECONFIG": str(self._kubeconfig), "METALLB_BGP_TYPE": "native"}
        flags = [f"--namespace={NAMESPACE}", f"--node-name={self.node}", f"--pod-name={_pod_name(self.node)}"]
        with self._log.open("ab") as log:
            self._process = self._namespace.popen(
                str(build.binary(PROGRAM)), *flags, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """Ends it. May be called twice."""
        if self._process is None:
            return
        self._process.send_signal(signal_number)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _definitions() -> list[dict[str, Any]]:
    """As in the module, but for a bound that its own format cannot hold and that this API server refuses."""
    folder = build.module_folder("metallb", _MODULE) / "config" / "crd" / "bases"
    found = [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))]
    for definition in found:
        _widen(definition)
    return found


def _widen(part: Any) -> None:
    if isinstance(part, dict):
        if part.get("format") == "int32" and part.get("maximum", 0) > _INT32_MAX:
            del part["format"]
        for value in part.values():
            _widen(value)
    elif isinstance(part, list):
        for value in part:
            _widen(value)


def _established(api: KubeApi, name: str) -> bool:
    conditions = api.get(f"{_DEFINITIONS}/{name}").get("status", {}).get("conditions", [])
    return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)


def _configure(api: KubeApi, version: str, kind: str, spec: Mapping[str, Any]) -> None:
    document = {
        "apiVersion": f"metallb.io/{version}",
        "kind": kind,
        "metadata": {"name": "world", "namespace": NAMESPACE},
        "spec": spec,
    }
    api.request("POST", f"/apis/metallb.io/{version}/namespaces/{NAMESPACE}/{kind.lower()}s", document)


def _pod_name(node: str) -> str:
    return f"speaker-{node}"


def _pod(node: str) -> dict[str, Any]:
    """The speaker asks for its own pod when it starts, to make it the owner of what it writes."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": _pod_name(node), "namespace": NAMESPACE},
        "spec": {"nodeName": node, "containers": [{"name": "speaker", "image": "speaker"}]},
    }
