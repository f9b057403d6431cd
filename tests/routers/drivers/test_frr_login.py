"""Logging in: every refusal is one clear error that names the router and what to do."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from k8s_ecmp.errors import AuthenticationFailed, HostKeyRejected, RouterError, SettingsError, Unreachable
from k8s_ecmp.routers.drivers.frr import FrrDriver
from tests.routers.drivers.conftest import Connect
from tests.world.frr import PASSWORD, FrrRouter, ManagementNetwork
from tests.world.netns import run, wait_for

pytestmark = pytest.mark.world


def test_key(connect: Connect) -> None:
    assert connect().is_alive() == {"is_alive": True}


def test_password(router: FrrRouter, connect: Connect) -> None:
    login = router.login(key_file=None, use_keys=False)
    assert connect(**{**login, "password": PASSWORD}).is_alive() == {"is_alive": True}


def test_wrong_password(router: FrrRouter, connect: Connect) -> None:
    login = router.login(key_file=None, use_keys=False)
    with pytest.raises(AuthenticationFailed) as caught:
        connect(**{**login, "password": "s3cret-but-wrong"})
    assert "router r1" in str(caught.value)
    assert "'netops' by password" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_wrong_user(connect: Connect) -> None:
    with pytest.raises(AuthenticationFailed, match="user 'nobody-here' by key"):
        connect(username="nobody-here")


def test_wrong_key(router: FrrRouter, connect: Connect, tmp_path: Path) -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other"))
    with pytest.raises(AuthenticationFailed, match="refused the login"):
        connect(**router.login(key_file=str(tmp_path / "other")))


def test_encrypted_key(router: FrrRouter, connect: Connect, tmp_path: Path) -> None:
    key = tmp_path / "encrypted"
    key.write_bytes(router.key_file.read_bytes())
    key.chmod(0o600)
    run("ssh-keygen", "-q", "-p", "-P", "", "-N", "pass phrase", "-f", str(key))
    with pytest.raises(AuthenticationFailed, match="set passphrase"):
        connect(**router.login(key_file=str(key)))
    assert connect(**router.login(key_file=str(key), passphrase="pass phrase")).is_alive() == {"is_alive": True}


@pytest.mark.parametrize(("content", "message"), [(None, "No such file"), ("no key\n", "key file")])
def test_broken_key_file(
    router: FrrRouter, connect: Connect, tmp_path: Path, content: str | None, message: str
) -> None:
    key = tmp_path / "broken"
    if content is not None:
        key.write_text(content)
    with pytest.raises(AuthenticationFailed, match=message):
        connect(**router.login(key_file=str(key)))


def test_unknown_host_key(router: FrrRouter, connect: Connect, tmp_path: Path) -> None:
    empty = tmp_path / "known_hosts"
    empty.write_text("")
    with pytest.raises(HostKeyRejected, match="is not known") as caught:
        connect(**router.login(alt_key_file=str(empty)))
    for remedy in ("ssh-keyscan -p 22", "alt_key_file", "ssh_strict: false"):
        assert remedy in str(caught.value)


def test_changed_host_key(router: FrrRouter, connect: Connect, tmp_path: Path) -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other"))
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    known = tmp_path / "known_hosts"
    known.write_text(f"127.0.0.1 {other}\nr1 {other}\n")
    with pytest.raises(HostKeyRejected, match=r"not the known one .it is ssh-ed25519 SHA256:"):
        connect(**router.login(alt_key_file=str(known)))
    assert connect(**router.login(alt_key_file=str(known), ssh_strict=False)).is_alive() == {"is_alive": True}


def test_missing_known_hosts_file(router: FrrRouter, connect: Connect, tmp_path: Path) -> None:
    with pytest.raises(HostKeyRejected, match=r"alt_key_file .*nowhere: No such file"):
        connect(**router.login(alt_key_file=str(tmp_path / "nowhere")))


def test_known_hosts_of_the_ssh_configuration(router: FrrRouter, connect: Connect, tmp_path: Path) -> None:
    config = tmp_path / "ssh_config"
    config.write_text(
        router.ssh_config.read_text() + f"  User netops\n  IdentityFile {router.key_file}\n"
        f"  UserKnownHostsFile {router.known_hosts}\n"
    )
    login = router.login(ssh_config_file=str(config), alt_host_keys=False, alt_key_file=None, key_file=None)
    assert connect(**{**login, "username": ""}).is_alive() == {"is_alive": True}


def test_closed_port(tmp_path: Path, router: FrrRouter) -> None:
    driver = FrrDriver("127.0.0.1", "netops", "x", optional_args={"port": 1, "ssh_strict": False})
    with pytest.raises(Unreachable, match=r"127.0.0.1 port 1: Connection refused"):
        driver.open()


def test_unknown_name() -> None:
    with pytest.raises(Unreachable, match=r"router r9\.invalid"):
        FrrDriver("r9.invalid", "netops", "x", optional_args={"conn_timeout": 3}).open()


def test_dead_proxy(router: FrrRouter, connect: Connect, tmp_path: Path) -> None:
    config = tmp_path / "ssh_config"
    config.write_text("Host r1\n  ProxyCommand false\n")
    with pytest.raises(Unreachable, match="router r1"):
        connect(**router.login(ssh_config_file=str(config), banner_timeout=3))


def test_wrong_option_type() -> None:
    with pytest.raises(SettingsError, match=r"router r1: optional_args: .*port"):
        FrrDriver("r1", "netops", "x", optional_args={"port": "ssh"})


def test_workdir_that_cannot_be_made(router: FrrRouter, connect: Connect) -> None:
    with pytest.raises(RouterError, match="/run/elsewhere"):
        connect(**router.login(workdir="/run/elsewhere"))


def test_workdir_is_made_where_the_login_may(router: FrrRouter, connect: Connect) -> None:
    connect(**router.login("root", workdir="/run/made-once"))
    assert router.run("stat", "-c", "%a", "/run/made-once").strip() == "700"


def test_refusals_leave_no_log_and_no_process(
    router: FrrRouter, connect: Connect, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(AuthenticationFailed):
        connect(username="nobody-here")
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_a_lost_session_is_told_and_another_open_mends_it(router: FrrRouter, connect: Connect) -> None:
    driver = connect()
    try:
        router.kill_sshd()
        wait_for(lambda: not driver.is_alive()["is_alive"], "the driver notices")
        with pytest.raises(Unreachable, match="router r1"):
            driver.get_config()
        with pytest.raises(Unreachable):
            driver.load_merge_candidate(config="ip route 10.1.0.0/24 10.0.0.1\n")
        driver.close()
    finally:
        router.start_sshd()
    driver.open()
    assert driver.get_config("running")["running"] == router.running_config()


def test_not_opened() -> None:
    with pytest.raises(Unreachable, match=r"call open\(\) first"):
        FrrDriver("r1", "netops", "x").get_config()


def test_a_vtysh_that_cannot_work_is_named(tmp_path: Path) -> None:
    with FrrRouter("r8", tmp_path) as router:
        for daemon in ("staticd", "zebra"):
            os.kill(router.processes(daemon)[0], signal.SIGKILL)
            wait_for(lambda daemon=daemon: not router.processes(daemon), f"{daemon} is gone")
        with pytest.raises(RouterError, match=r"no usable shell: vtysh: .*failed to connect"):
            FrrDriver(**router.login()).open()


def test_by_address_from_a_management_network(tmp_path: Path) -> None:
    program = (
        "import sys, json; from k8s_ecmp.routers.drivers.frr import FrrDriver\n"
        "d = FrrDriver(**json.loads(sys.argv[1])); d.open(); print(d.get_facts()['hostname']); d.close()\n"
        "assert 'napalm' not in sys.modules"
    )
    import json

    with ManagementNetwork() as management, FrrRouter("r7", tmp_path, management=management) as router:
        login = {**router.login(ssh_config_file=None), "hostname": router.address}
        done = subprocess.run(
            management.argv(sys.executable, "-c", program, json.dumps(login)),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout == "r7\n"
