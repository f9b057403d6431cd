"""Inventories with passwords that everybody may read: who warns, and of what."""

from pathlib import Path

import pytest

from k8s_ecmp.routers.exposure import exposed
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.settings import Settings
from tests.site import new_site

HOSTS = "r1: {hostname: r1, platform: frr%s}\n"


def found(folder: Path, hosts: str, groups: str = "", mode: int = 0o644) -> list[str]:
    for name, text in (("hosts", hosts), ("groups", groups or "{}\n"), ("defaults", "{}\n")):
        (folder / f"{name}.yaml").write_text(text)
        (folder / f"{name}.yaml").chmod(mode)
    nornir = init_nornir(Settings(owner="x", tag=4201, inventory=str(folder)))
    return [file.path.name for file in exposed(nornir)]


@pytest.mark.parametrize(
    "text",
    [
        ", password: x",
        ', "password": "x"',
        ", connection_options: {napalm: {extras: {optional_args: {secret: x}}}}",
        ", connection_options: {napalm: {extras: {optional_args: {enable_password: x}}}}",
        ", connection_options: {napalm: {extras: {optional_args: {passphrase: x}}}}",
    ],
)
def test_a_secret_in_a_file_for_everybody(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, HOSTS % text) == ["hosts.yaml"]
    assert found(tmp_path, HOSTS % text, mode=0o640) == []


def test_a_group_with_a_password(tmp_path: Path) -> None:
    assert found(tmp_path, HOSTS % ", groups: [g]", "g:\n  password: x\n") == ["groups.yaml"]


@pytest.mark.parametrize("text", ["", ", password: null", ", password: ''", ", data: {password_policy: x}"])
def test_no_secret(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, HOSTS % text + "# password: x\n") == []


def test_commands_warn(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    hosts = site.folder / "inventories/demo/hosts.yaml"
    site.edit("inventories/demo/hosts.yaml", lambda content: next(iter(content.values())).update(password="x"))
    hosts.chmod(0o644)
    said = f"{hosts} has a password, and every user of this machine may read it (mode 0644)"
    assert f"warning: {said}; chmod 600 {hosts}" in site.run_here("plan").err
    assert said in " ".join(site.run_here("doctor").out.split())
    hosts.chmod(0o600)
    assert "password" not in site.run_here("plan").err
