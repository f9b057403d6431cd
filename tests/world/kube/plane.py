"""A whole control plane in a namespace: etcd, kube-apiserver, and the controllers that make slices and service CIDRs."""

import http.client
import subprocess
from pathlib import Path
from typing import Any

from tests.world.kube.server import KubeApi
from tests.world.netns import Namespace

# Not node-lifecycle-controller: Node objects have no kubelet behind them, the tests themselves say who is Ready.
_CONTROLLERS = ("endpointslice-controller", "endpointslice-mirroring-controller", "service-cidr-controller")


class ControlPlane(KubeApi):
    """As `KubeApi`, with kube-controller-manager beside it. `namespace` is where everything runs."""

    def __init__(self, folder: Path, *, namespace: Namespace, **options: Any) -> None:
        super().__init__(folder, namespace=namespace, **options)
        self._controllers: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        super().start()
        certificates = self.folder / "controller-certificates"
        flags = [
            f"--kubeconfig={self.kubeconfig(self.folder / 'controllers.conf')}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--cert-dir={certificates}",
            f"--controllers={','.join(_CONTROLLERS)}",
            "--kube-api-qps=1000",  # the default is 20 requests a second
            "--kube-api-burst=1000",
        ]
        command = ["setpriv", "--pdeathsig", "TERM", *self._argv("kube-controller-manager", *flags)]
        with (self.folder / "kube-controller-manager.log").open("ab") as log:
            self._controllers = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self) -> None:
        if self._controllers is not None:
            self._controllers.kill()
            self._controllers.wait()
            self._controllers = None
        super().stop()

    def request(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """As `KubeApi.request`; once more where the server has closed a connection that stood idle."""
        idle = self._connection is not None
        try:
            return super().request(method, path, body, **options)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            if not idle:
                raise
            return super().request(method, path, body, **options)
