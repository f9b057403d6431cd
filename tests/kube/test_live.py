"""The one-shot list against a real API server: the same as kubectl's file, and what users are told when it refuses."""

import dataclasses
import json
from pathlib import Path
from typing import Any, ClassVar

import certifi
import pytest

from k8s_ecmp.errors import ClusterError, ClusterUnreachable
from k8s_ecmp.kube import api, load_cluster
from k8s_ecmp.kube.file import load_file
from k8s_ecmp.kube.live import load_live
from k8s_ecmp.model import ClusterState
from k8s_ecmp.settings import ClusterSettings, Settings
from tests.kube.build import kured, settings
from tests.world.kube import sample
from tests.world.kube.server import ADMIN, READER, STRANGER, KubeApi

pytestmark = pytest.mark.kubeworld

REQUIRED = (("", "nodes", "list"), ("", "services", "list"), ("discovery.k8s.io", "endpointslices", "list"))
CIDRS = ("networking.k8s.io", "servicecidrs", "list")
KURED = ("apps", "daemonsets", "get")


def load(
    kube: KubeApi, folder: Path, who: str = ADMIN, *, cidrs: tuple[str, ...] = (), limit: int = 500, **changes: Any
) -> ClusterState:
    """`changes` are those of `KubeApi.kubeconfig`."""
    config = kube.kubeconfig(folder / "config", who, **changes)
    return load_live(ClusterSettings(kubeconfig=str(config), service_cidrs=cidrs), limit=limit)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The requests that are made, as path and query."""
    seen: list[tuple[str, dict[str, Any]]] = []
    real = api.Api.get

    def get(self: api.Api, path: str, query: dict[str, str | int] | None = None) -> bytes:
        seen.append((path, query or {}))
        return real(self, path, query)

    monkeypatch.setattr(api.Api, "get", get)
    return seen


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_kubectls_file_says_the_same(kube_api: KubeApi, tmp_path: Path, form: str) -> None:
    sample.create(kube_api)
    file = tmp_path / "cluster"
    file.write_text(kube_api.kubectl("get", sample.EVERYTHING, "--all-namespaces", "--output", form))
    from_file = load_file(str(file), settings=settings())
    live = load(kube_api, tmp_path)
    assert live.source == kube_api.server
    assert dataclasses.replace(from_file, source=live.source) == live
    assert [made.name for made in live.nodes] == ["n1", "n2", "n3"]
    assert (live.skipped, live.warnings) == ((), ())


def test_raw_lists_say_the_same(kube_api: KubeApi, tmp_path: Path) -> None:
    """`kubectl get --raw` prints the server's lists, whose items carry no kind."""
    sample.create(kube_api)
    paths = ("api/v1/nodes", "api/v1/services", "apis/discovery.k8s.io/v1/endpointslices")
    lists = [kube_api.get(f"/{path}") for path in (*paths, "apis/networking.k8s.io/v1/servicecidrs")]
    assert not any("kind" in item for document in lists for item in document["items"])
    file = tmp_path / "cluster.json"
    file.write_text("\n".join(json.dumps(document) for document in lists))
    live = load(kube_api, tmp_path)
    assert dataclasses.replace(load_file(str(file), settings=settings()), source=live.source) == live


def test_by_the_settings(kube_api: KubeApi, tmp_path: Path) -> None:
    sample.create(kube_api)
    config = kube_api.kubeconfig(tmp_path / "config")
    state = load_cluster(
        Settings(owner="x", tag=4201, cluster=ClusterSettings(kubeconfig=str(config), context="world"))
    )
    assert state == load(kube_api, tmp_path)


def test_what_a_node_and_a_service_say(kube_api: KubeApi, tmp_path: Path) -> None:
    sample.create(kube_api)
    state = load(kube_api, tmp_path)
    second = state.nodes[1]
    assert second.internal_ips == ("10.0.0.12", "fd00::12")
    assert second.ready is not None
    assert second.ready.status == "True"
    assert second.created is not None
    nginx = next(made for made in state.services if made.name == "nginx")
    assert (nginx.load_balancer_ips, nginx.external_local) == (("203.0.113.7",), True)
    web = [made for made in state.slices if made.service == "default/web"]
    assert {(made.family, tuple(e.node for e in made.endpoints)) for made in web} == {(4, ("n2", "n3")), (6, ("n3",))}


class TestPages:
    def test_pages(self, kube_api: KubeApi, tmp_path: Path, asked: list[tuple[str, dict[str, Any]]]) -> None:
        sample.create(kube_api)
        whole = load(kube_api, tmp_path)
        asked.clear()
        assert load(kube_api, tmp_path, limit=2) == whole
        pages = [path for path, query in asked if "continue" in query]
        assert pages.count("/api/v1/nodes") == 1
        assert pages.count("/api/v1/services") == 2

    def test_a_list_that_expires_starts_again(
        self, kube_server: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a server that keeps no snapshots of its own, as all did before Kubernetes 1.34."""
        statuses: list[int] = []
        real = api.Api._request

        with KubeApi(tmp_path / "server", ["--feature-gates=ListFromCacheSnapshot=false"]) as server:
            sample.create(server)

            def compact_before_the_second_page(self: api.Api, url: str) -> Any:
                if "continue=" in url and len(statuses) == 1:
                    server.delete("Node", "n3")
                    server.compact()
                answer = real(self, url)
                statuses.append(answer[0])
                return answer

            monkeypatch.setattr(api.Api, "_request", compact_before_the_second_page)
            state = load(server, tmp_path, limit=1)
        assert statuses.count(410) == 1
        assert [made.name for made in state.nodes] == ["n1", "n2"]
        assert state.warnings == ()


class TestServiceCIDRs:
    def test_objects(self, kube_api: KubeApi, tmp_path: Path, asked: list[tuple[str, dict[str, Any]]]) -> None:
        kube_api.create(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "ServiceCIDR",
                "metadata": {"name": "test-more"},
                "spec": {"cidrs": ["10.44.0.0/24"]},
            }
        )
        path = "/apis/networking.k8s.io/v1/servicecidrs/test-more/status"
        assert [str(entry.prefix) for entry in load(kube_api, tmp_path).service_cidrs] == ["10.43.0.0/16", "fd43::/108"]
        kube_api.patch(path, {"status": {"conditions": [ready("True")]}})
        state = load(kube_api, tmp_path)
        assert [str(entry.prefix) for entry in state.service_cidrs] == ["10.43.0.0/16", "fd43::/108", "10.44.0.0/24"]
        assert not any("configmaps" in path for path, _ in asked)

    def test_settings_ask_nobody(
        self, kube_api: KubeApi, tmp_path: Path, asked: list[tuple[str, dict[str, Any]]]
    ) -> None:
        state = load(kube_api, tmp_path, cidrs=("10.1.0.0/16",))
        assert [entry.origin for entry in state.service_cidrs] == ["settings"]
        assert not any("servicecidrs" in path for path, _ in asked)

    def test_kubeadm_stands_in_for_a_forbidden_list(self, kube_api: KubeApi, tmp_path: Path) -> None:
        kube_api.create(kubeadm_config("10.43.0.0/16,fd43::/108"))
        kube_api.allow(READER, *REQUIRED, ("", "configmaps", "get"))
        state = load(kube_api, tmp_path, READER)
        assert [entry.origin for entry in state.service_cidrs] == ["ConfigMap kube-system/kubeadm-config"] * 2
        assert all(warning.startswith("service CIDRs: ") for warning in state.warnings[:2])
        assert 'cannot list resource "servicecidrs"' in state.warnings[0]

    def test_the_api_servers_pod_comes_last(self, kube_api: KubeApi, tmp_path: Path) -> None:
        kube_api.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": "kube-apiserver-n1",
                    "namespace": "kube-system",
                    "labels": {"component": "kube-apiserver"},
                },
                "spec": {
                    "containers": [
                        {
                            "name": "a",
                            "image": "a",
                            "command": ["kube-apiserver", "--service-cluster-ip-range=10.43.0.0/16"],
                        }
                    ]
                },
            }
        )
        kube_api.allow(READER, *REQUIRED, ("", "pods", "list"))
        state = load(kube_api, tmp_path, READER)
        assert [entry.origin for entry in state.service_cidrs] == ["Pod kube-system/kube-apiserver-n1"]


class TestKured:
    LOCK: ClassVar = {"nodeID": "n2", "metadata": {}, "created": "2026-03-01T10:00:00Z", "TTL": 0}

    def test_its_lock_drains_a_node(self, kube_api: KubeApi, tmp_path: Path) -> None:
        kube_api.create(kured(self.LOCK))
        state = load(kube_api, tmp_path)
        assert state.drains == {"n2": "draining: kured's lock"}
        assert state.warnings == load(kube_api, tmp_path, cidrs=("10.43.0.0/16",)).warnings

    def test_without_it(self, kube_api: KubeApi, tmp_path: Path) -> None:
        sample.create(kube_api)
        state = load(kube_api, tmp_path)
        assert (state.drains, state.warnings) == ({}, ())

    def test_a_lock_that_cannot_be_read(self, kube_api: KubeApi, tmp_path: Path) -> None:
        sample.create(kube_api)
        kube_api.create(kured("nobody"))
        state = load(kube_api, tmp_path)
        assert (state.drains, state.warnings) == ({}, ("kured's lock: it is no mapping",))


class TestRights:
    def test_the_required_ones_suffice(self, kube_api: KubeApi, tmp_path: Path) -> None:
        sample.create(kube_api)
        kube_api.allow(READER, *REQUIRED, CIDRS, KURED)
        assert load(kube_api, tmp_path, READER) == load(kube_api, tmp_path)

    def test_without_service_cidrs_it_goes_on(self, kube_api: KubeApi, tmp_path: Path) -> None:
        sample.create(kube_api)
        kube_api.allow(READER, *REQUIRED)
        state = load(kube_api, tmp_path, READER)
        assert len(state.nodes) == 3
        assert state.service_cidrs == ()
        assert [warning.partition(":")[0] for warning in state.warnings] == ["service CIDRs"] * 4 + ["kured's lock"]

    def test_without_services_it_does_not(self, kube_api: KubeApi, tmp_path: Path) -> None:
        kube_api.allow(READER, REQUIRED[0])
        with pytest.raises(ClusterError) as raised:
            load(kube_api, tmp_path, READER)
        assert not raised.value.retryable
        assert 'User "reader" cannot list resource "services"' in raised.value.message
        assert raised.value.remedy == "grant get, list and watch on services with a ClusterRole"

    def test_with_none_at_all(self, kube_api: KubeApi, tmp_path: Path) -> None:
        with pytest.raises(ClusterError, match='User "stranger" cannot list resource "nodes"'):
            load(kube_api, tmp_path, STRANGER)


class TestUnreachable:
    def test_a_wrong_token(self, kube_api: KubeApi, tmp_path: Path) -> None:
        with pytest.raises(ClusterError) as raised:
            load(kube_api, tmp_path, token="a-wrong-secret")
        assert str(raised.value) == (
            f"the API server {kube_api.server} does not accept the credentials (401) "
            "(renew the token or client certificate of the kubeconfig)"
        )

    def test_a_token_file_with_a_newline(self, kube_api: KubeApi, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("token-of-admin\n")
        assert load(kube_api, tmp_path, credentials={"tokenFile": str(tmp_path / "token")}).services

    def test_a_wrong_authority(self, kube_api: KubeApi, tmp_path: Path) -> None:
        with pytest.raises(ClusterError) as raised:
            load(kube_api, tmp_path, certificate_authority=certifi.where())
        assert raised.value.message.startswith(
            f"no TLS connection to the API server {kube_api.server}: certificate ver"
        )
        assert not raised.value.retryable
        assert "\n" not in str(raised.value)

    def test_a_wrong_name(self, kube_api: KubeApi, tmp_path: Path) -> None:
        """The certificate names 127.0.0.1, not every other way to write it."""
        with pytest.raises(ClusterError, match=r"no TLS connection .* certificate is not valid for '127\.1'"):
            load(kube_api, tmp_path, server=f"https://127.1:{kube_api.port}")

    def test_tls_to_nobody_who_speaks_it(self, kube_api: KubeApi, tmp_path: Path) -> None:
        with pytest.raises(ClusterError, match="no TLS connection"):
            load(kube_api, tmp_path, server=f"https://127.0.0.1:{kube_api.etcd_port}")

    def test_it_does_not_answer_in_time(
        self, kube_api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(api, "_READ_S", 0.3)
        monkeypatch.setattr(api, "_CONNECT_S", 0.3)
        with kube_api.frozen(), pytest.raises(ClusterUnreachable) as raised:
            load(kube_api, tmp_path)
        assert raised.value.message == f"the API server {kube_api.server} does not answer: no answer within 0.3 s"
        assert raised.value.retryable
        assert load(kube_api, tmp_path).services


def ready(status: str) -> dict[str, str]:
    since = "2026-03-01T10:00:00Z"
    return {"type": "Ready", "status": status, "lastTransitionTime": since, "reason": "", "message": ""}


def kubeadm_config(subnet: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kubeadm-config", "namespace": "kube-system"},
        "data": {"ClusterConfiguration": f"networking:\n  serviceSubnet: {subnet}\n"},
    }
