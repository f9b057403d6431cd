"""Logins that the sources give, on devices that check them; rotation, refusals, an agent and an encrypted key."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from nornir.core import Nornir

from k8s_ecmp.errors import AuthenticationFailed, CredentialsUnusable, RouterError
from k8s_ecmp.routers.connection import connect
from k8s_ecmp.routers.hosts import CONNECTION
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.settings import CredentialSettings, Settings
from tests.world.emulators import NAMES, emulator
from tests.world.emulators.base import PASSWORD, USERNAME, Emulator
from tests.world.frr import FrrRouter, Link
from tests.world.netns import run

WRONG = "planted-and-wrong-81c2"


def nornir(folder: Path, host: dict[str, Any], **credentials: Any) -> Nornir:
    (folder / "hosts.yaml").write_text(yaml.safe_dump({"r1": host}))
    settings = CredentialSettings(**credentials)
    return init_nornir(Settings(owner="x", tag=4201, inventory=str(folder), credentials=settings))


def log_in(found: Nornir) -> None:
    """Opens a connection and closes it, as every run does."""
    (host,) = found.inventory.hosts.values()
    try:
        assert connect(host, found.config).is_alive() == {"is_alive": True}
    finally:
        if CONNECTION in host.connections:
            host.close_connection(CONNECTION)


@pytest.fixture(params=NAMES)
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Emulator]:
    with emulator(request.param)(tmp_path) as started:
        yield started


@pytest.mark.slow
def test_every_driver_logs_in_by_a_mounted_secret_that_rotates(device: Emulator, tmp_path: Path) -> None:
    host = {key: value for key, value in device.host().items() if key not in ("username", "password")}
    secret = tmp_path / "secret"
    secret.mkdir()
    for name, text in (("username", USERNAME), ("password", WRONG)):
        (secret / name).write_text(text)
        (secret / name).chmod(0o400)
    found = nornir(tmp_path, host, sources=("file",), file=str(secret))
    with pytest.raises(AuthenticationFailed) as caught:
        log_in(found)
    assert f"file: username, password in {secret}" in str(caught.value)
    assert WRONG not in str(caught.value)
    (secret / "password").unlink()
    (secret / "password").write_text(f"{PASSWORD}\n")
    (secret / "password").chmod(0o400)
    log_in(found)


@pytest.mark.slow
def test_no_source_has_a_login(tmp_path: Path) -> None:
    with emulator("eos")(tmp_path) as device:
        host = {key: value for key, value in device.host().items() if key not in ("username", "password")}
        with pytest.raises(AuthenticationFailed) as caught:
            log_in(nornir(tmp_path, host, sources=("env", "netrc"), netrc=str(tmp_path / "netrc")))
    assert "inventory has no login; env: none of K8S_ECMP_R1_PASSWORD, K8S_ECMP_PASSWORD is set" in str(caught.value)
    assert f"netrc: there is no {tmp_path}/netrc" in str(caught.value)


@pytest.mark.slow
def test_a_refused_source_ends_before_any_login(tmp_path: Path) -> None:
    file = tmp_path / "logins.yaml"
    file.write_text(f"defaults: {{username: {USERNAME}, password: {PASSWORD}}}")
    file.chmod(0o644)
    with emulator("eos")(tmp_path) as device:
        host = {key: value for key, value in device.host().items() if key not in ("username", "password")}
        with pytest.raises(CredentialsUnusable, match=f"chmod 600 {file}"):
            log_in(nornir(tmp_path, host, sources=("file",), file=str(file)))
        assert device.transcript == []


@pytest.mark.slow
def test_the_enable_secret_reaches_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8S_ECMP_R1_ENABLE_SECRET", "planted-enable-55")
    with emulator("eos")(tmp_path) as device:
        found = nornir(tmp_path, device.host())
        (host,) = found.inventory.hosts.values()
        assert connect(host, found.config).device.enablepwd == "planted-enable-55"  # type: ignore[attr-defined]
        host.close_connection(CONNECTION)


# --- FRR: keys ---


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrrRouter]:
    links = [Link("lan0", ["10.0.0.254/24"])]
    with FrrRouter("r1", tmp_path_factory.mktemp("frr"), links=links, config="") as started:
        yield started


def frr(router: FrrRouter, **options: Any) -> dict[str, Any]:
    """The inventory's entry of the router, without a means to log in but what `options` say."""
    given = {**router.ssh_options, "key_file": None, "use_keys": False, **options}
    given = {key: value for key, value in given.items() if value is not None}
    return {
        "hostname": "r1",
        "username": "netops",
        "platform": "frr",
        "connection_options": {"napalm": {"extras": {"optional_args": given}}},
    }


@pytest.fixture
def encrypted(router: FrrRouter, tmp_path: Path) -> Path:
    key = tmp_path / "encrypted"
    key.write_bytes(router.key_file.read_bytes())
    key.chmod(0o600)
    run("ssh-keygen", "-q", "-p", "-P", "", "-N", "planted-passphrase-9", "-f", str(key))
    return key


@pytest.mark.world
def test_a_passphrase_from_the_file_opens_the_key(router: FrrRouter, encrypted: Path, tmp_path: Path) -> None:
    file = tmp_path / "logins.yaml"
    file.write_text("hosts: {r1: {key_passphrase: planted-passphrase-9}}")
    file.chmod(0o600)
    host = frr(router, key_file=str(encrypted), use_keys=True)
    log_in(nornir(tmp_path, host, sources=("file",), file=str(file)))
    file.write_text("hosts: {r1: {key_passphrase: planted-but-wrong-9}}")
    with pytest.raises(RouterError) as caught:
        log_in(nornir(tmp_path, host, sources=("file",), file=str(file)))
    assert "hosts.r1 in" in str(caught.value)
    assert "planted" not in str(caught.value)


@pytest.mark.world
def test_the_agent_has_the_key(
    router: FrrRouter, encrypted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(AuthenticationFailed, match="agent: SSH_AUTH_SOCK is not set"):
        log_in(nornir(tmp_path, frr(router, allow_agent=None), sources=("agent",)))
    started = run("ssh-agent", "-s", "-a", str(tmp_path / "agent"))
    pid = int(re.search(r"SSH_AGENT_PID=(\d+)", started)[1])  # type: ignore[index]
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        run("ssh-add", "-q", str(router.key_file))
        log_in(nornir(tmp_path, frr(router, allow_agent=None), sources=("agent",)))
    finally:
        os.kill(pid, 15)


@pytest.mark.world
def test_keys_in_the_users_folder(router: FrrRouter, tmp_path: Path) -> None:
    """In a process of its own, since the library asks for the home folder once."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    (home / ".ssh/id_ed25519").write_bytes(router.key_file.read_bytes())
    (home / ".ssh/id_ed25519").chmod(0o600)
    nornir(tmp_path, frr(router, use_keys=None))
    program = (
        "from tests.routers.test_credentials_on_routers import *\n"
        f"settings = Settings(owner='x', tag=4201, inventory={str(tmp_path)!r}, "
        "credentials=CredentialSettings(sources=('keys',)))\n"
        "log_in(init_nornir(settings))"
    )
    python = [sys.executable, "-c", program]
    subprocess.run(python, env={**os.environ, "HOME": str(home)}, check=True, cwd=Path(__file__).parents[2])
