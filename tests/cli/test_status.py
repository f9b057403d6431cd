"""`k8s-ecmp status` against a daemon's real health server."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from k8s_ecmp.daemon.health import HealthServer
from k8s_ecmp.report import DaemonReport, GuardReport
from tests.site import Site
from tests.views.plans import GOLDEN
from tests.views.reports import CALM, FULL, STANDBY
from tests.world.kube.server import KubeApi

pytestmark = pytest.mark.slow

Serve = Callable[..., HealthServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    started = []

    def start(report: DaemonReport, listen: str = "127.0.0.1:0") -> HealthServer:
        server = HealthServer(listen, lambda: report, lambda: True)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that is held, and on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_it_asks_the_daemon_of_the_settings(site: Site, serve: Serve) -> None:
    server = serve(CALM)
    site.settings(daemon={"listen": server.address})
    done = site.run_here("status")
    assert (done.code, done.err) == (0, "")
    assert done.out == (GOLDEN / "status-calm.pipe.txt").read_text()


@pytest.mark.parametrize(("listen", "at"), [("0.0.0.0", "0.0.0.0"), ("[::]", "[::]")])
def test_a_wildcard_is_asked_on_loopback(site: Site, serve: Serve, listen: str, at: str) -> None:
    port = serve(CALM, f"{listen}:0").address.rpartition(":")[2]
    site.settings(daemon={"listen": f"{at}:{port}"})
    assert site.run_here("status").code == 0


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (CALM, 0),
        (STANDBY, 0),
        (FULL, 1),
        (msgspec.structs.replace(CALM, holds=(GuardReport("frozen", "until Monday"),)), 3),
        (
            msgspec.structs.replace(
                CALM,
                routers=(msgspec.structs.replace(CALM.routers[0], guards=(GuardReport("mass-withdrawal", "x"),)),),
            ),
            3,
        ),
    ],
)
def test_exit_codes_in_both_forms(site: Site, serve: Serve, report: DaemonReport, code: int) -> None:
    url = f"http://{serve(report).address}"
    assert site.run_here("status", "--url", url).code == code
    shown = site.run_here("status", "--url", url, "--format", "json")
    assert shown.code == code
    assert msgspec.convert(shown.json(), DaemonReport) == report
    assert shown.out == json.dumps(shown.json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"


@pytest.mark.parametrize("form", ["http://{}", "{}", "http://{}/", "http://{}/status"])
def test_urls_need_no_settings(tmp_path: Path, serve: Serve, form: str) -> None:
    assert Site(tmp_path).run("status", "--url", form.format(serve(CALM).address)).code == 0


def test_no_daemon(site: Site, free_port: int) -> None:
    site.settings(daemon={"listen": f"127.0.0.1:{free_port}"})
    done = site.run_here("status")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"error: no daemon answers at http://127.0.0.1:{free_port}: connection refused "
        "(start it with `k8s-ecmp run`, or name the right one with --url http://HOST:PORT)\n"
    )


def test_no_listen(site: Site) -> None:
    site.settings(daemon={"listen": None})
    done = site.run_here("status")
    assert done.code == 1
    assert done.err == "error: daemon.listen is null, so the daemon cannot be asked (name its URL with --url)\n"


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:99999", "http://[::1"])
def test_a_url_of_another_form(site: Site, url: str) -> None:
    done = site.run_here("status", "--url", url)
    assert done.code == 1
    assert done.err.startswith(f"error: --url {url!r}")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.0 404 Not Found\r\n\r\nno", "says 404 to /status?format=json"),
        (b"HTTP/1.0 200 OK\r\n\r\n<html>", "is no k8s-ecmp daemon of this version"),
        (b'HTTP/1.0 200 OK\r\n\r\n{"version": 1}', "is no k8s-ecmp daemon of this version"),
        (b"HTTP/1.0 200 OK\r\n\r\n" + msgspec.json.encode(msgspec.structs.replace(CALM, version=7)), "version 7"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no daemon answers at"),
        (b"", "no daemon answers at"),
    ],
)
def test_something_else_answers(site: Site, answer: bytes, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def respond() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=respond)
        thread.start()
        done = site.run_here("status", "--url", f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert (done.code, done.out) == (1, "")
    assert words in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.kubeworld
def test_without_a_daemon_it_says_who_holds_the_lease(
    site: Site, kube_api: KubeApi, tmp_path: Path, free_port: int
) -> None:
    kubeconfig = kube_api.kubeconfig(tmp_path / "kubeconfig")
    site.settings(
        cluster={"source": "live", "kubeconfig": str(kubeconfig)}, daemon={"listen": f"127.0.0.1:{free_port}"}
    )
    assert "the Lease default/k8s-ecmp-demo does not exist" in site.run_here("status").err
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    renewed = "2026-03-01T12:00:00.000000Z"
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "k8s-ecmp-demo"},
        "spec": {"holderIdentity": "edge-b", "renewTime": renewed},
    }
    kube_api.request("POST", leases, lease)
    try:
        done = site.run_here("status")
    finally:
        kube_api.request("DELETE", f"{leases}/k8s-ecmp-demo")
    assert done.code == 1
    assert f"the Lease default/k8s-ecmp-demo is held by edge-b, renewed at {renewed}" in done.err
    assert len(done.err.splitlines()) == 1
