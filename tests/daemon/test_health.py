"""The health server over real sockets."""

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import msgspec
import pytest

from k8s_ecmp.daemon.health import HealthServer
from k8s_ecmp.daemon.metrics import Instruments
from k8s_ecmp.errors import SettingsError
from k8s_ecmp.report import DaemonReport
from tests.views.reports import CALM, FULL, HOSTILE


class Daemon:
    """What the server asks; a test changes it."""

    def __init__(self) -> None:
        self.report = CALM
        self.turns = True
        self.broken = False
        self.asked: set[str] = set()

    def say(self) -> DaemonReport:
        self.asked.add(threading.current_thread().name)
        if self.broken:
            raise RuntimeError("no report can be made")
        return self.report


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


@pytest.fixture
def server(daemon: Daemon) -> Iterator[HealthServer]:
    made = HealthServer("127.0.0.1:0", daemon.say, lambda: daemon.turns, Instruments())
    made.start()
    yield made
    made.stop()


def get(server: HealthServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    host, _, port = server.address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=30)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


def test_livez_asks_whether_the_loop_turns_and_nothing_else(server: HealthServer, daemon: Daemon) -> None:
    daemon.report = FULL
    daemon.broken = True
    assert get(server, "/livez")[0] == 200
    assert daemon.asked == set()
    daemon.turns = False
    assert get(server, "/livez")[::2] == (503, "the loop stands still\n")


def test_readyz_says_why_not(server: HealthServer, daemon: Daemon) -> None:
    assert get(server, "/readyz")[::2] == (200, "ready\n")
    daemon.report = FULL
    assert get(server, "/readyz")[::2] == (503, "not ready: router edge2 failed\n")
    assert daemon.asked == {"health"}


def test_status_is_the_report(server: HealthServer, daemon: Daemon) -> None:
    daemon.report = FULL
    status, headers, text = get(server, "/status", Accept="*/*")
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "application/json", "no-store")
    assert json.loads(text)["version"] == 1
    assert msgspec.json.decode(text, type=DaemonReport) == FULL


@pytest.mark.parametrize(
    ("path", "accept", "kind"),
    [
        ("/status", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("/status?format=html", "*/*", "text/html; charset=utf-8"),
        ("/status?format=json", "text/html", "application/json"),
    ],
)
def test_a_browser_gets_a_page(server: HealthServer, daemon: Daemon, path: str, accept: str, kind: str) -> None:
    daemon.report = FULL
    status, headers, text = get(server, path, Accept=accept)
    assert (status, headers["content-type"]) == (200, kind)
    if kind.startswith("text/html"):
        assert HOSTILE not in text
        assert "&lt;script&gt;" in text
        assert "default-src 'none'" in headers["content-security-policy"]


def test_index_and_what_is_not_there(server: HealthServer) -> None:
    status, headers, text = get(server, "/")
    assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
    for path in ("/livez", "/readyz", "/status", "/metrics"):
        assert path in text
        assert get(server, path, method="HEAD")[0] == 200
    assert get(server, "/secrets")[0] == 404
    assert get(server, "/status", method="POST")[0] == 405
    assert "server" not in headers


def test_metrics_in_both_forms(server: HealthServer) -> None:
    status, headers, text = get(server, "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=")
    assert 'k8s_ecmp_owned_prefixes{router="edge1"} 12.0\n' in text
    _, headers, text = get(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_a_report_that_fails_is_an_error_of_its_own_pages_alone(server: HealthServer, daemon: Daemon) -> None:
    daemon.broken = True
    assert [get(server, path)[0] for path in ("/status", "/metrics", "/livez")] == [500, 500, 200]
    daemon.broken = False
    assert get(server, "/readyz")[0] == 200


def test_ipv6(daemon: Daemon) -> None:
    server = HealthServer("[::1]:0", daemon.say, lambda: True)
    server.start()
    try:
        assert server.address.startswith("[::1]:")
        assert get(server, "/livez")[0] == 200
    finally:
        server.stop()


@pytest.mark.parametrize("listen", ["[::]:0", "localhost:0"])
def test_a_name_or_the_wildcard_listens_in_both_families(daemon: Daemon, listen: str) -> None:
    server = HealthServer(listen, daemon.say, lambda: True)
    server.start()
    try:
        port = server.address.rpartition(":")[2]
        families = {found[0] for found in socket.getaddrinfo("localhost", None)} if "localhost" in listen else {10, 2}
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "[::1]")):
            if family in families:
                server.address = f"{host}:{port}"
                assert get(server, "/livez")[0] == 200
    finally:
        server.stop()


def test_a_port_in_use_is_a_clear_error(server: HealthServer, daemon: Daemon) -> None:
    second = HealthServer(server.address, daemon.say, lambda: True)
    with pytest.raises(SettingsError) as raised:
        second.start()
    assert raised.value.message == f"nobody can listen on {server.address}: another process listens there"
    assert "--listen" in (raised.value.remedy or "")
    assert get(server, "/livez")[0] == 200


@pytest.mark.parametrize(
    ("listen", "why"),
    [
        ("192.0.2.1:9637", "this machine has no such address"),
        ("nowhere.invalid:9637", "the host's name has no address"),
        ("here", "is not HOST:PORT"),
    ],
)
def test_an_address_that_cannot_be_had(daemon: Daemon, listen: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        HealthServer(listen, daemon.say, lambda: True).start()


def test_it_stops_and_frees_the_port(daemon: Daemon) -> None:
    # An address that no other process of this machine takes a port of meanwhile.
    first = HealthServer("127.96.37.1:0", daemon.say, lambda: True)
    first.start()
    assert get(first, "/livez")[0] == 200
    first.stop()
    first.stop()
    again = HealthServer(first.address, daemon.say, lambda: True)
    again.start()
    try:
        assert get(again, "/livez")[0] == 200
    finally:
        again.stop()
    assert not any(thread.name == "health" for thread in threading.enumerate())


def test_stopping_at_once_leaves_nothing(daemon: Daemon) -> None:
    server = HealthServer("127.0.0.1:0", daemon.say, lambda: True)
    server.start()
    server.stop()
    assert not any(thread.name == "health" for thread in threading.enumerate())


def test_an_open_connection_does_not_hold_the_stop(server: HealthServer) -> None:
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as idle:
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(1024).startswith(b"HTTP/1.1 200")
        server.stop()
        assert not any(thread.name == "health" for thread in threading.enumerate())


SLOW_IMPORTS = """
import sys
from k8s_ecmp.daemon.health import HealthServer
from k8s_ecmp.daemon.metrics import Instruments
import k8s_ecmp.daemon.logs, k8s_ecmp.cli.app
server = HealthServer("127.0.0.1:0", lambda: None, lambda: True, Instruments())
print([name for name in ("uvicorn", "starlette", "prometheus_client", "structlog", "rich") if name in sys.modules])
"""


def test_slow_libraries_wait_for_the_servers_thread() -> None:
    done = subprocess.run([sys.executable, "-c", SLOW_IMPORTS], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
