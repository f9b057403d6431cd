"""No secret in anything that runs leave behind: everything they write is searched for what was planted everywhere.

A router of FRR and devices of three vendors, each with a login from another source and secrets of its own in its
configuration; all commands, good and bad; then every file, in every way in which a secret may be written.
"""

import base64
import contextlib
import http.server
import json
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.cli.planted import EOS, FRR, IOS, JUNOS, JUNOS_LINES, PLACES, PLANTED, ROUTERS, World, forms
from tests.daemon.running import Running, in_sync, rewrite
from tests.site import new_site
from tests.world.emulators.base import Emulator
from tests.world.emulators.eos import Eos
from tests.world.emulators.ios import Ios
from tests.world.emulators.junos import Junos
from tests.world.frr import FrrRouter, Link
from tests.world.kube import sample
from tests.world.kube.server import KubeApi, missing
from tests.world.netns import run as execute
from tests.world.netns import wait_for

pytestmark = pytest.mark.long


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("tests.world.emulators.eos.PASSWORD", PLANTED["env-password"])
    monkeypatch.setattr("tests.world.emulators.ssh.PASSWORD", PLANTED["netrc-password"])
    monkeypatch.setattr("tests.world.emulators.junos.PASSWORD", PLANTED["inventory-password"])
    outside, folder = tmp_path / "routers", tmp_path / "user"
    for name in ("work", "home", "tmp", "output", "keys"):
        (folder / name).mkdir(parents=True)
    with ExitStack() as stack:
        links = [Link("rack", ["10.192.0.254/24", "fd10:192::fe/64"])]
        frr = stack.enter_context(FrrRouter("frr", outside / "frr", links=links, config=FRR, daemons=["bgpd"]))
        devices: dict[str, Emulator] = {}
        for kind, running in ((Eos, EOS), (Ios, IOS), (Junos, JUNOS)):
            place = outside / kind.driver
            place.mkdir()
            devices[kind.driver] = stack.enter_context(kind(place, running))
        devices["junos"].type(JUNOS_LINES)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("K8S_ECMP_")}
        kept |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "NETRC": str(folder / "netrc")}
        world = World(folder, new_site(folder / "site"), frr, devices, kept)
        (folder / "cluster.yaml").write_text((world.site.folder / "cluster.yaml").read_text())
        key = folder / "keys/encrypted"
        key.write_bytes(frr.key_file.read_bytes())
        key.chmod(0o600)
        execute("ssh-keygen", "-q", "-p", "-P", "", "-N", PLANTED["file-passphrase"], "-f", str(key))
        world.logins()
        (world.site.folder / "inventories/demo/groups.yaml").write_text("{}")
        world.site.settings(
            credentials={"sources": ["env", "netrc", "file"], "file": str(folder / "logins.yaml")},
            rollout={"canary": 0, "confirm_within_s": 60, "verify_timeout_s": 60},
            nodes={"hold_down_s": 0, "hold_up_s": 0},
        )
        yield world


def begun(world: World) -> list[int]:
    """The changes that the journal says were begun; none before its first entry."""
    path = world.site.folder / "journal.sqlite"
    if not path.exists():
        return []
    with (
        contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database,
        contextlib.suppress(sqlite3.OperationalError),
    ):
        return [number for (number,) in database.execute("SELECT id FROM entry WHERE kind = 'begin'")]
    return []


def read_and_write(world: World) -> None:
    plan = world.folder / "work/first.plan"
    for name in ("text", "json", "markdown", "html"):
        assert world.run("plan", "--format", name) == 2
        for router in ROUTERS:
            assert router in world.said()
    assert "every user of this machine may read it" in world.said()
    assert world.run("plan", "--out", str(plan)) == 2
    assert world.run("plan", "--device-diff") == 2
    assert "tacacs-server key <removed>" in world.said()  # among the lines around ours
    assert world.run("diff") == 2
    world.more["weak"] = world.environment["K8S_ECMP_SPARE_PASSWORD"] = "supersecret"  # a plain word
    said = ("--reason", "router login supersecret", "--ticket", "CHG-supersecret")
    assert world.run("apply", str(plan), "--yes", *said) == 3  # the conflict that each router has
    assert world.said().count("committed") >= len(ROUTERS), world.said()
    assert world.run("verify") == 3
    assert world.run("doctor") in (0, 1)
    assert world.run("history") == 0
    for number in begun(world):
        assert world.run("history", "show", str(number)) == 0
        assert world.run("history", "show", str(number), "--format", "json") == 0
    assert len(begun(world)) == len(ROUTERS)
    undo = world.folder / "work/undo.plan"
    assert world.run("history", "undo", str(begun(world)[0]), "--out", str(undo)) == 3  # which withdraws everything
    assert undo.exists()


def refused_logins(world: World) -> None:
    world.logins(right=False)
    for arguments in (["plan"], ["plan", "--format", "json"], ["verify"], ["doctor"], ["apply", "--yes"]):
        assert world.run(*arguments) == 1
        assert world.said().count("the login:") >= 3, world.said()  # FRR's key is not even tried
    world.logins()


def failed_commits(world: World) -> None:
    world.wants_more("node1")
    eos, ios, junos = (world.devices[name] for name in ("eos", "ios", "junos"))
    eos.faults.refuse = ios.faults.refuse = "10.96.0.0"
    assert isinstance(junos, Junos)
    junos.edit(f'set snmp community "{PLANTED["junos-candidate"]}" authorization read-write')
    assert world.run("plan", "--device-diff") == 1
    assert world.run("apply", "--yes") == 1
    assert "uncommitted" in world.said() or "candidate already holds" in world.said(), world.said()
    eos.faults.refuse = ios.faults.refuse = None
    junos.edit(f'delete snmp community "{PLANTED["junos-candidate"]}" authorization read-write')
    eos.faults.drop = ios.faults.drop = junos.faults.drop = "in-commit"
    world.wants_more("node2")
    assert world.run("apply", "--yes") == 1
    eos.faults.drop = ios.faults.drop = junos.faults.drop = None


def killed(world: World) -> None:
    for device in world.devices.values():
        device.faults.slow_commit_s = 5
    with world.started(*world.command("apply", "--yes")) as process:
        wait_for(lambda: begun(world), "a change has begun", timeout=60)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    for device in world.devices.values():
        device.faults.slow_commit_s = 0
    assert world.run("plan") in (1, 2, 3)
    assert world.run("history", "check") == 0


class _Refuses(http.server.BaseHTTPRequestHandler):
    """A server between that says what it was sent: the worst that a proxy does."""

    def do_GET(self) -> None:
        text = f"nobody knows {self.headers['Authorization']} for {self.path}".encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None: ...


def cluster_refuses(world: World) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    login = quote(PLANTED["kubeconfig-url"], safe="")
    settings = world.site.folder / "k8s-ecmp.yaml"
    before = settings.read_text()
    for port in (server.server_port, 1):
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": f"http://admin:{login}@127.0.0.1:{port}"}}],
            "users": [{"name": "u", "user": {"token": PLANTED["kubeconfig-token"]}}],
        }
        path = world.plant(world.folder / f"kubeconfig-{port}", yaml.safe_dump(config))
        world.site.settings(cluster={"source": "live", "kubeconfig": str(path)}, daemon={"lease": {"enabled": False}})
        for arguments in (["plan"], ["doctor"], ["desired"]):
            assert world.run(*arguments) == 1
        with world.started(*world.command("run", "--log-level", "debug", "--listen", "none")) as process:
            log = world.folder / f"output/{world.count}.err"
            wait_for(lambda log=log: "k8s_ecmp.kube" in log.read_text(), "it speaks of the cluster", timeout=60)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
    server.shutdown()
    server.server_close()
    settings.write_text(before)


def the_api_server(world: World) -> None:
    """A real one, with good logins and bad ones of each kind that a kubeconfig may have."""
    if reason := missing():
        pytest.skip(reason)
    outside = world.folder.parent / "kube"
    outside.mkdir()
    authority, certificate, key = client_certificate()
    (outside / "clients.crt").write_text(authority)
    flags = [f"--client-ca-file={outside}/clients.crt"]
    body = "".join(key.splitlines()[1:-1])
    world.more = {f"client-key-{at}": body[at : at + 48] for at in range(0, len(body) - 48, 48)}
    coded = {name: base64.b64encode(text.encode()).decode() for name, text in (("crt", certificate), ("key", key))}
    world.more |= {f"client-key-data-{at}": coded["key"][at : at + 60] for at in range(60, len(coded["key"]) - 60, 60)}
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "interactiveMode": "Never",
        "env": [{"name": "LOGIN", "value": PLANTED["plugin-environment"]}],
    }
    fails = world.plant(world.folder / "fails", plugin_script("exit 3"), 0o700)
    works = world.plant(
        world.folder / "works", plugin_script(f"echo '{credential(PLANTED['kubeconfig-token'])}'"), 0o700
    )
    users: list[tuple[bool, dict[str, Any]]] = [
        (True, {"token": PLANTED["kubeconfig-token"]}),
        (True, {"client-certificate-data": coded["crt"], "client-key-data": coded["key"]}),
        (True, {"exec": {**plugin, "command": str(works)}}),
        (False, {"token": PLANTED["kubeconfig-wrong"]}),
        (False, {"username": "admin", "password": PLANTED["kubeconfig-password"]}),
        (False, {"exec": {**plugin, "command": str(fails)}}),
    ]
    with KubeApi(outside, flags, tokens=[PLANTED["kubeconfig-token"]]) as server:
        sample.create(server)
        for number, (right, user) in enumerate(users):
            path = server.kubeconfig(world.folder / f"kubeconfig-{number}", credentials=user)
            world.plant(path, path.read_text())
            world.site.settings(cluster={"source": "live", "kubeconfig": str(path)})
            assert world.run("desired") == (0 if right else 1), world.said()
            assert ("10.43.0.0/16" in world.said()) is right
            codes = (0, 2, 3) if right else (1,)
            assert world.run("plan", "--format", "html", "--out", str(world.folder / f"work/{number}.plan")) in codes
            if "token" in user:
                assert world.run("doctor") in (0, 1)
            seen = "all watches are synced" if right else '"logger": "k8s_ecmp.kube'
            with world.started(*world.command("run", "--log-level", "debug", "--listen", "none")) as process:
                log = world.folder / f"output/{world.count}.err"
                if "exec" in user and not right:
                    seen = f"{fails} failed: exec: process returned 3"
                wait_for(lambda log=log, seen=seen: seen in log.read_text(), seen, timeout=60)
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=60) == 0


def plugin_script(end: str) -> str:
    """A credential plugin that says too much."""
    return f'#!/bin/sh\necho "$LOGIN: refreshing {PLANTED["plugin-stderr"]}" >&2\n{end}\n'


def credential(token: str) -> str:
    """What a plugin answers."""
    kind = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    return json.dumps({**kind, "status": {"token": token}})


def client_certificate() -> tuple[str, str, str]:
    """An authority's certificate, and one for an administrator with its key, as PEM."""
    now = datetime.now(UTC)
    keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "clients")])
    admin = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
            x509.NameAttribute(NameOID.COMMON_NAME, "admin"),
        ]
    )
    made = [
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=name is issuer, path_length=None), critical=True)
        .sign(keys[0], hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
        for name, key in ((issuer, keys[0]), (admin, keys[1]))
    ]
    secret = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made[0], made[1], secret.decode()


def daemon(world: World) -> None:
    world.wants_more("node1")
    running = Running(world.site)
    old = dict(os.environ)
    os.environ.clear()
    os.environ.update(world.environment)
    try:
        running.start("--log-level", "debug")
        running.until(lambda d: d["ready"], "every router was read and written")
        hops = {name: device.routes() for name, device in world.devices.items()}
        rewrite(world.site, lambda: world.wants_more("node2"))
        running.until(
            lambda d: any(n["name"] == "node2" and n["standing"] == "out" for n in d["nodes"]), "node2 is out"
        )
        wait_for(
            lambda: all(device.routes() != hops[name] for name, device in world.devices.items()),
            "the routers follow",
            timeout=60,
        )
        running.until(in_sync, "the change is done")
        for page in ("status", "metrics", "readyz", "livez"):
            (world.folder / f"output/{page}").write_text(running.page(f"/{page}")[1])
        url = f"http://127.0.0.1:{running.port}"
        assert world.run("status", "--url", url) in (0, 1)
        assert running.stop() == 0
        world.logins(right=False)
        os.environ.update(world.environment)
        running.start("--log-level", "debug")
        running.until(lambda d: not d["ready"] and "the login:" in str(d["routers"]), "logins are refused")
        (world.folder / "output/status-refused").write_text(running.page("/status")[1])
        assert world.run("status", "--url", f"http://127.0.0.1:{running.port}") in (0, 1, 3)
        assert running.stop() == 0
    finally:
        running.kill()
        os.environ.clear()
        os.environ.update(old)


@pytest.mark.world
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "runs",
    [
        read_and_write,
        refused_logins,
        failed_commits,
        killed,
        cluster_refuses,
        pytest.param(the_api_server, marks=pytest.mark.kubeworld),
        daemon,
    ],
)
def test_nothing_that_is_left_holds_a_secret(world: World, runs: Callable[[World], None]) -> None:
    runs(world)
    assert world.found() == []
    assert len(world.written()) > 2 * world.count
    assert sum(path.stat().st_size for path in world.written()) > 10_000


SCRIPT = """
import logging, sys
from nornir import InitNornir
from k8s_ecmp.routers.tasks import read_routes, run
from k8s_ecmp.settings import CredentialSettings

site, logins, debug = sys.argv[1:]
nornir = InitNornir(
    inventory={"plugin": "SimpleInventory", "options": {"host_file": f"{site}/inventories/demo/hosts.yaml"}},
    logging={"log_file": "nornir.log", "level": "DEBUG", "loggers": ["nornir", *debug.split()]},
)
nornir.config.user_defined["k8s_ecmp_credentials"] = CredentialSettings(sources=("env", "netrc", "file"), file=logins)
results = run(nornir, read_routes)
print({name: repr(multi) + repr(multi.exception) + str(multi[0].result) for name, multi in results.items()})
"""


def script(world: World, debug: str) -> int:
    """Somebody else's Nornir script, with a log file of Nornir's."""
    words = [sys.executable, "-c", SCRIPT, str(world.site.folder), str(world.folder / "logins.yaml"), debug]
    with world.started(*words) as process:
        return process.wait(timeout=120)


@pytest.mark.world
@pytest.mark.slow
def test_nornirs_log_holds_none_and_the_search_finds_those_in_a_librarys(world: World) -> None:
    assert script(world, "") == 0, world.said()
    world.logins(right=False)
    assert script(world, "") == 0
    world.logins()
    assert "read_routes" in (world.folder / "work/nornir.log").read_text()
    assert world.found() == []
    assert script(world, "netmiko ncclient") == 0  # a library at its own debug level writes what routers say
    places = {text.partition(" in ")[0] for text in world.found()}
    assert {"ios-community", "ios-bgp-md5", "ios-user", "junos-community"} <= places


@pytest.mark.parametrize("place", PLACES)
def test_the_search_finds_every_way_of_writing(place: str, tmp_path: Path) -> None:
    secret = PLANTED[place]
    for text in (
        f"x{secret}x",
        f"a=1&p={quote_plus(secret)}",
        base64.b64encode(f"user:{secret}".encode()).decode(),
        base64.b64encode(f"ab{secret}cd".encode()).decode(),
        base64.b64encode(f"c{secret}".encode()).decode(),
    ):
        assert any(form in text.encode() for form in forms(secret)), text
    others = [form for other, value in PLANTED.items() if other != place for form in forms(value)]
    assert not any(form in secret.encode() for form in others)
