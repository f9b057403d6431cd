"""One API server with the deployment applied: RBAC and the kubelets' restrictions on, as kubeadm has them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.kube.writes import Writer
from k8s_ecmp.settings import ClusterSettings
from tests.site import REPO
from tests.world.kube import sample
from tests.world.kube.server import READER, KubeApi, missing

OVERLAY = REPO / "deploy/kustomize/overlays/example"
KUBELET = "token-of-kubelet-n2"
_TOKENS = f"""\
token-of-admin,admin,admin,system:masters
token-of-reader,reader,reader,network-operators
{KUBELET},system:node:n2,system:node:n2,system:nodes
"""


class Deployed:
    """The API server, and clients of it with the credentials of those who use it."""

    def __init__(self, kube: KubeApi) -> None:
        self.kube = kube

    def token(self) -> str:
        """Of the daemon's ServiceAccount, as its pod would get it."""
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600},
        }
        made = self.kube.request("POST", "/api/v1/namespaces/k8s-ecmp/serviceaccounts/k8s-ecmp/token", request)
        return str(made["status"]["token"])

    def cluster(self, folder: Path, token: str | None = None) -> ClusterSettings:
        """With the ServiceAccount's token, or another one."""
        config = self.kube.kubeconfig(folder / "deployed.conf", READER, token=token or self.token())
        return ClusterSettings(kubeconfig=str(config))

    def writer(self, folder: Path, token: str | None = None) -> Writer:
        return Writer(self.cluster(folder, token))

    def get(self, path: str) -> Any:
        return self.kube.get(path)


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("deployed")
    tokens = folder / "more-tokens.csv"
    tokens.write_text(_TOKENS)
    flags = (
        f"--token-auth-file={tokens}",
        "--authorization-mode=Node",  # beside RBAC, which the server has already
        "--enable-admission-plugins=NodeRestriction",
    )
    with KubeApi(folder, flags) as kube:
        sample.create(kube)
        kube.kubectl("apply", "--server-side", "--validate=strict", "-k", str(OVERLAY))
        yield Deployed(kube)
