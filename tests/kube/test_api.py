"""Answers that a real API server gives only on its worst days: an HTTP server of the test gives them."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s_ecmp.errors import ClusterError, ClusterUnreachable
from k8s_ecmp.kube.live import load_live
from k8s_ecmp.model import ClusterState, Skipped
from k8s_ecmp.settings import ClusterSettings
from tests.kube.build import kubeadm, node

Answer = tuple[int, dict[str, str], bytes]
EMPTY: Answer = (200, {}, b'{"items": []}')


class Scripted:
    """Gives a path its prepared answers one after the other, the last one for ever; any other path an empty list."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.seen: list[str] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                scripted.seen.append(self.path)
                prepared = scripted.answers.get(self.path.partition("?")[0], [EMPTY])
                status, headers, body = prepared.pop(0) if len(prepared) > 1 else prepared[0]
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Keeps the test's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.config = folder / "config"
        self.config.write_text(kubeconfig(self.url))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def load(self, cidrs: tuple[str, ...] = ("10.96.0.0/12",)) -> ClusterState:
        return load_live(ClusterSettings(kubeconfig=str(self.config), service_cidrs=cidrs))


def kubeconfig(server: str) -> str:
    return yaml.safe_dump(
        {
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "contexts": [{"name": "x", "context": {"cluster": "c"}}],
            "current-context": "x",
        }
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Scripted]:
    made = Scripted(tmp_path)
    yield made
    made.close()


def page(*items: Any, token: str = "") -> Answer:
    return 200, {}, json.dumps({"metadata": {"continue": token}, "items": list(items)}).encode()


def status(code: int, message: str = "so it is", **headers: str) -> Answer:
    return code, headers, json.dumps({"kind": "Status", "message": message}).encode()


def test_a_broken_object_costs_itself_alone(server: Scripted) -> None:
    """Whichever page it stands on; the page's other objects count."""
    server.answers["/api/v1/nodes"] = [
        page(node("n1"), token="two"),
        page(node("bad", spec={"taints": 5}), node("n2"), token="three"),
        page(node("n3")),
    ]
    state = server.load()
    assert [made.name for made in state.nodes] == ["n1", "n2", "n3"]
    assert state.skipped == (Skipped("Node bad", "spec.taints: 5 is not a list"),)


def test_an_expired_list_starts_from_its_first_page(server: Scripted) -> None:
    server.answers["/api/v1/nodes"] = [
        page(node("gone"), token="two"),
        status(410),
        page(node("n1"), token="two"),
        page(node("n2")),
    ]
    state = server.load()
    assert [made.name for made in state.nodes] == ["n1", "n2"]
    assert state.warnings == ()


def test_a_list_that_always_expires(server: Scripted) -> None:
    server.answers["/api/v1/nodes"] = [answer for _ in range(9) for answer in (page(node(), token="2"), status(410))]
    with pytest.raises(ClusterUnreachable, match="drops the list of nodes before its last page"):
        server.load()


def test_a_busy_server_is_asked_again(server: Scripted) -> None:
    busy = status(429, **{"Retry-After": "0"})
    server.answers["/api/v1/nodes"] = [busy, busy, page(node("n1"))]
    assert [made.name for made in server.load().nodes] == ["n1"]


@pytest.mark.parametrize(
    ("answer", "expected", "text", "requests"),
    [
        (
            status(429, "slow down", **{"Retry-After": "0"}),
            ClusterUnreachable,
            "answered 429 for /api/v1/nodes: slow",
            5,
        ),
        (status(503), ClusterUnreachable, "answered 503 for /api/v1/nodes: so it is", 1),
        (status(500), ClusterUnreachable, "answered 500 for /api/v1/nodes: so it is", 1),
        ((502, {}, b"<html>"), ClusterUnreachable, "answered 502 for /api/v1/nodes", 1),
        (status(400), ClusterError, "answered 400 for /api/v1/nodes: so it is", 1),
        ((302, {"Location": "/login"}, b""), ClusterError, "answered 302 for /api/v1/nodes", 1),
        ((404, {}, b"not here"), ClusterError, "knows no /api/v1/nodes (404)", 1),
        (
            (200, {}, b"<html>Sign in</html>"),
            ClusterError,
            "answered with something that is no list for /api/v1/nodes",
            1,
        ),
        (
            (200, {"Content-Length": "99"}, b'{"items": ['),
            ClusterUnreachable,
            "does not answer: the connection broke off",
            1,
        ),
    ],
)
def test_answers_that_end_it(
    server: Scripted, answer: Answer, expected: type[ClusterError], text: str, requests: int
) -> None:
    server.answers["/api/v1/nodes"] = [answer]
    with pytest.raises(ClusterError) as raised:
        server.load()
    assert raised.value.retryable == (expected is ClusterUnreachable)
    assert f"the API server {server.url} {text}" in raised.value.message
    assert len(server.seen) == requests


class TestServiceCIDRs:
    V1, BETA = "/apis/networking.k8s.io/v1/servicecidrs", "/apis/networking.k8s.io/v1beta1/servicecidrs"
    CONFIG = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config"

    def test_an_older_server_has_the_beta(self, server: Scripted) -> None:
        made = {
            "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": ["10.96.0.0/12"]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        server.answers |= {self.V1: [status(404)], self.BETA: [page(made)]}
        state = server.load(())
        assert [(str(entry.prefix), entry.origin) for entry in state.service_cidrs] == [
            ("10.96.0.0/12", "ServiceCIDR kubernetes")
        ]

    def test_one_older_still_has_kubeadm(self, server: Scripted) -> None:
        config: Answer = (200, {}, json.dumps(kubeadm("10.96.0.0/12")).encode())
        server.answers |= {self.V1: [status(404)], self.BETA: [status(404)], self.CONFIG: [config]}
        state = server.load(())
        assert [entry.origin for entry in state.service_cidrs] == ["ConfigMap kube-system/kubeadm-config"]
        assert not any("service CIDRs" in warning for warning in state.warnings)

    def test_nobody_knows(self, server: Scripted) -> None:
        server.answers |= {self.V1: [status(404)], self.BETA: [status(403)], self.CONFIG: [(200, {}, b'{"data": 5}')]}
        state = server.load(())
        assert state.service_cidrs == ()
        assert [warning for warning in state.warnings if warning.startswith("service CIDRs")] == [
            f"service CIDRs: the API server {server.url} forbids to get, list or watch servicecidrs (403): so it is",
            f"service CIDRs: {self.CONFIG} cannot be read: Expected `object | null`, got `int` - at `$.data`",
        ]
        last = [path for path in server.seen if "kured" not in path][-1]
        assert last.startswith("/api/v1/namespaces/kube-system/pods?limit=500&labelSelector=component%3Dkube-api")


class TestProxy:
    @pytest.fixture
    def environment(self, monkeypatch: pytest.MonkeyPatch, free_port: int) -> Callable[[str], None]:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)

        def set_(no_proxy: str) -> None:
            monkeypatch.setenv("HTTP_PROXY", f"http://user:hunter2@127.0.0.1:{free_port}")
            monkeypatch.setenv("NO_PROXY", no_proxy)

        return set_

    def test_a_dead_proxy_is_named_without_its_password(
        self, server: Scripted, environment: Callable[[str], None], free_port: int
    ) -> None:
        environment("")
        with pytest.raises(ClusterUnreachable) as raised:
            server.load()
        assert raised.value.message == (
            f"the proxy http://127.0.0.1:{free_port} does not lead to the API server {server.url}"
        )
        assert server.seen == []

    def test_no_proxy_goes_around_it(self, server: Scripted, environment: Callable[[str], None]) -> None:
        environment("127.0.0.1")
        server.load()
        assert server.seen


def test_a_dead_server(tmp_path: Path, free_port: int) -> None:
    config = tmp_path / "config"
    config.write_text(kubeconfig(f"http://127.0.0.1:{free_port}"))
    with pytest.raises(ClusterUnreachable) as raised:
        load_live(ClusterSettings(kubeconfig=str(config)))
    assert raised.value.message == f"the API server http://127.0.0.1:{free_port} does not answer: connection refused"
    assert raised.value.remedy


def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(kubeconfig("https://nowhere.invalid:6443"))
    with pytest.raises(ClusterUnreachable, match="does not answer: its name cannot be resolved"):
        load_live(ClusterSettings(kubeconfig=str(config)))
