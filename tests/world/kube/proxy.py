"""kube-proxy, really running in a node's namespace."""

import contextlib
import http.client
import signal
import subprocess
from pathlib import Path

import yaml

from tests.world.kube import build
from tests.world.netns import Namespace, wait_for

PORT = 10256  # its health port


class KubeProxy:
    """kube-proxy of one node.

    Args:
        node: the Node's name.
        namespace: the node's.
        folder: for its configuration and log.
        kubeconfig: by which it reaches the API server.
        cluster_cidrs: the pods' ranges: with them it masquerades what comes from outside to a cluster IP.
        mode: nftables or iptables.
    """

    def __init__(
        self, node: str, namespace: Namespace, folder: Path, kubeconfig: Path, cluster_cidrs: tuple[str, ...], mode: str
    ) -> None:
        self.node = node
        self._namespace = namespace
        self._log = folder / f"kube-proxy-{node}.log"
        self._config = folder / f"kube-proxy-{node}.yaml"
        self._process: subprocess.Popen[bytes] | None = None
        config = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": mode,
            "hostnameOverride": node,
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "clusterCIDR": ",".join(cluster_cidrs),
            # Zeros: the sysctls of connection tracking belong to the host and stay as they are.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }
        self._config.write_text(yaml.safe_dump(config))

    def start(self) -> None:
        """Asks it to start; `await_ready` waits for it."""
        command = ["setpriv", "--pdeathsig", "KILL", *self._namespace.argv(str(build.binary("kube-proxy")))]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, f"--config={self._config}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def await_ready(self) -> None:
        """Returns when its health port answers 200."""
        wait_for(lambda: self.health() == 200, f"kube-proxy of {self.node} is healthy; its log: {self._log}", 30, 0.02)

    def health(self) -> int:
        """HTTP status of its health port; 0: nothing listens."""
        with self._namespace.entered():
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
            with contextlib.closing(connection):
                try:
                    connection.request("GET", "/healthz")
                    return connection.getresponse().status
                except OSError:
                    return 0

    def stop(self, sent: signal.Signals = signal.SIGKILL) -> None:
        """Ends it; its rules stay in the kernel. May be called twice."""
        if self._process is not None:
            self._process.send_signal(sent)
            self._process.wait()
            self._process = None
