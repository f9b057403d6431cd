"""Where a login comes from: the order of sources, whom each is asked for, and what they say when there is none."""

import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
import yaml
from keyring.backend import KeyringBackend
from nornir.core import Nornir
from nornir.core.inventory import Host
from nornir.core.plugins.inventory import TransformFunctionRegister

from k8s_ecmp.errors import CredentialsUnusable
from k8s_ecmp.routers.credentials import Resolved, resolve
from k8s_ecmp.routers.hosts import OPTIONS, optional_args
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.settings import CredentialSettings, CredentialSource, Settings

GROUPS: dict[str, dict[str, Any]] = {"edge": {"data": {}}, "dc1": {"data": {}}}


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user who runs the tests."""
    for name in [*os.environ]:
        if name.startswith("K8S_ECMP_") or name in ("NETRC", "SSH_AUTH_SOCK"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def inventory(folder: Path, **host: Any) -> Nornir:
    entry = {"hostname": "192.0.2.1", "platform": "frr", "groups": ["edge", "dc1"], **host}
    (folder / "hosts.yaml").write_text(yaml.safe_dump({"leaf-1.dc": entry}))
    (folder / "groups.yaml").write_text(yaml.safe_dump(GROUPS))
    return init_nornir(Settings(owner="x", tag=4201, inventory=str(folder)))


def ask(folder: Path, sources: list[CredentialSource], host: dict[str, Any] | None = None, **paths: Any) -> Resolved:
    (found,) = inventory(folder, **(host or {})).inventory.hosts.values()
    options = found.get_connection_parameters(OPTIONS)
    parameters = {name: getattr(options, name) for name in ("hostname", "username", "password", "platform")}
    return resolve(found, parameters, optional_args(options.extras), CredentialSettings(sources=(*sources,), **paths))


def private(path: Path, text: str, mode: int = 0o600) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


# --- the inventory ---


def test_what_the_inventory_says_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8S_ECMP_PASSWORD", "from-env")
    found = ask(tmp_path, ["env"], {"username": "netops", "password": "from-inventory"})
    assert (found.login.username, found.login.password) == ("netops", "from-inventory")
    assert found.said == "inventory has a username, a password"


def test_a_router_in_a_file_is_asked_for_nothing(tmp_path: Path) -> None:
    assert ask(tmp_path, ["keyring", "file"], {"platform": "file"}, file="/nowhere").said == ""


def test_a_transform_function_of_nornirs_still_gives_logins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8S_ECMP_PASSWORD", "from-env")

    def transform(host: Host, **_: Any) -> None:
        host.password = "from-vault"

    TransformFunctionRegister.register("vault", transform)
    try:
        inventory(tmp_path)
        config = {
            "inventory": {
                "plugin": "SimpleInventory",
                "options": {"host_file": f"{tmp_path}/hosts.yaml", "group_file": f"{tmp_path}/groups.yaml"},
                "transform_function": "vault",
            }
        }
        (tmp_path / "nornir.yaml").write_text(yaml.safe_dump(config))
        nornir = init_nornir(Settings(owner="x", tag=4201, inventory=str(tmp_path / "nornir.yaml")))
        (host,) = nornir.inventory.hosts.values()
        parameters = {"hostname": "r", "username": "u", "password": host.password, "platform": "frr"}
        assert resolve(host, parameters, {}, CredentialSettings()).login.password == "from-vault"
    finally:
        TransformFunctionRegister.deregister("vault")


# --- env ---


@pytest.mark.parametrize(
    ("variables", "password"),
    [
        ({"K8S_ECMP_PASSWORD": "all"}, "all"),
        ({"K8S_ECMP_PASSWORD": "all", "K8S_ECMP_DC1_PASSWORD": "second"}, "second"),
        ({"K8S_ECMP_DC1_PASSWORD": "second", "K8S_ECMP_EDGE_PASSWORD": "first"}, "first"),
        ({"K8S_ECMP_EDGE_PASSWORD": "first", "K8S_ECMP_LEAF_1_DC_PASSWORD": "own"}, "own"),
        ({"K8S_ECMP_LEAF_1_DC_PASSWORD": "", "K8S_ECMP_PASSWORD": "all"}, "all"),
    ],
)
def test_the_nearest_variable_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], password: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ask(tmp_path, ["env"]).login.password == password


def test_each_field_has_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USERNAME", "PASSWORD", "ENABLE_SECRET", "KEY_PASSPHRASE"):
        monkeypatch.setenv(f"K8S_ECMP_{name}", name.lower())
    ios = ask(tmp_path, ["env"], {"platform": "ios"})
    assert (ios.login.username, ios.login.password) == ("username", "password")
    assert ios.options == {"secret": "enable_secret", "passphrase": "key_passphrase"}
    assert ask(tmp_path, ["env"], {"platform": "eos"}).options["enable_password"] == "enable_secret"


def test_netconf_opens_a_key_by_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8S_ECMP_KEY_PASSPHRASE", "opens-the-key")
    extras = {"napalm": {"extras": {"optional_args": {"key_file": "/key"}}}}
    found = ask(tmp_path, ["env"], {"platform": "junos", "username": "a", "connection_options": extras})
    assert found.login.password == "opens-the-key"
    assert "passphrase" not in found.options


# --- netrc ---

NETRC = "machine 192.0.2.1 login netops password by-address\ndefault login anyone password for-everybody\n"


@pytest.mark.parametrize(
    ("text", "username", "password"),
    [
        (NETRC, "netops", "by-address"),
        (NETRC.replace("192.0.2.1", "leaf-1.dc"), "netops", "by-address"),
        (NETRC.replace("192.0.2.1", "192.0.2.9"), "anyone", "for-everybody"),
        ("machine 192.0.2.9 login netops password x\n", None, None),
    ],
)
def test_a_machine_is_found_by_address_then_name_then_default(
    tmp_path: Path, text: str, username: str | None, password: str | None
) -> None:
    found = ask(tmp_path, ["netrc"], netrc=private(tmp_path / "netrc", text))
    assert (found.login.username, found.login.password) == (username, password)
    assert ("has no machine 192.0.2.1" in found.said) == (password is None)


def test_another_users_password_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8S_ECMP_PASSWORD", "next-source")
    path = private(tmp_path / "netrc", NETRC)
    found = ask(tmp_path, ["netrc", "env"], {"username": "alice"}, netrc=path)
    assert (found.login.username, found.login.password) == ("alice", "next-source")
    assert "for another user" in found.said


def test_the_netrc_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"there is no {tmp_path}/home/.netrc" in ask(tmp_path, ["netrc"]).said
    monkeypatch.setenv("NETRC", private(tmp_path / "mine", NETRC))
    assert ask(tmp_path, ["netrc"]).login.password == "by-address"


def test_a_broken_netrc_is_not_quoted(tmp_path: Path) -> None:
    path = private(tmp_path / "netrc", "machine r1 login a password two words-of-a-password\n")
    with pytest.raises(CredentialsUnusable, match=r"netrc:\d+: not understood") as caught:
        ask(tmp_path, ["netrc"], netrc=path)
    shown = [line for line in traceback.format_exception(caught.value) if not line.startswith("  File")]
    assert shown
    assert "words-of" not in "".join(shown)


# --- file and folder ---

FILE = """
hosts: {leaf-1.dc: {password: own}}
groups: {edge: {username: of-edge, password: of-edge}, dc1: {username: of-dc1, enable_secret: of-dc1}}
defaults: {username: everybody, key_passphrase: everywhere}
"""


def test_host_then_groups_then_defaults(tmp_path: Path) -> None:
    found = ask(tmp_path, ["file"], {"platform": "ios"}, file=private(tmp_path / "logins.yaml", FILE))
    assert (found.login.username, found.login.password) == ("of-edge", "own")
    assert found.options == {"secret": "of-dc1", "passphrase": "everywhere"}
    assert found.said.endswith(f"hosts.leaf-1.dc, groups.edge, groups.dc1, defaults in {tmp_path}/logins.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hosts: {r1: {password: 123456789}}", r"Expected `str \| null`, got `int` at `\$.hosts"),
        ("hosts: {r1: {password hunter-two: x}}", "an unknown key at"),
        ("hosts: [hunter-two", r":1: no valid YAML"),
        ("passwords: hunter-two", "an unknown key at the top"),
        ("- hunter-two", "Expected `object`, got `array`"),
        ("hosts: {r1: hunter-two}", "Expected `object`, got `str`"),
    ],
)
def test_a_broken_file_is_not_quoted(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CredentialsUnusable, match=message) as caught:
        ask(tmp_path, ["file"], file=private(tmp_path / "logins.yaml", text))
    assert "hunter-two" not in str(caught.value)
    assert "123456789" not in str(caught.value)


@pytest.mark.parametrize("source", ["file", "netrc"])
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o660, 0o620])
def test_a_file_that_others_may_read_or_write_is_refused(
    tmp_path: Path, source: CredentialSource, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = private(tmp_path / "logins", "", mode)
    with pytest.raises(CredentialsUnusable, match=f"mode {mode:04o}") as caught:
        ask(tmp_path, [source], file=path if source == "file" else None, netrc=path)
    assert f"chmod 600 {path}" in str(caught.value)
    assert "inventory has no login" in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = private(tmp_path / "logins", FILE)
    os.chown(path, 54321, -1)
    with pytest.raises(CredentialsUnusable, match=r"belongs to user 54321.*chown 0"):
        ask(tmp_path, ["file"], file=path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files of root's")
@pytest.mark.parametrize("mode", [0o400, 0o440, 0o640])
def test_the_group_may_read_a_file_of_roots(tmp_path: Path, mode: int) -> None:
    assert ask(tmp_path, ["file"], file=private(tmp_path / "logins", FILE, mode)).login.password == "own"


def mounted(folder: Path, generation: str, files: dict[str, str], mode: int = 0o400) -> str:
    """A Secret as the kubelet mounts it: links through ..data, which is moved at once."""
    (folder / generation).mkdir(parents=True)
    for name, text in files.items():
        private(folder / generation / name, text, mode)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..tmp").symlink_to(generation)
    (folder / "..tmp").rename(folder / "..data")
    return str(folder)


def test_a_mounted_secret_is_read_anew_each_time(tmp_path: Path) -> None:
    folder = tmp_path / "secret"
    path = mounted(folder, "..1", {"username": "netops\n", "password": "first\n", "edge.enable-secret": "e"})
    found = ask(tmp_path, ["file"], {"platform": "ios"}, file=path)
    assert (found.login.username, found.login.password, found.options["secret"]) == ("netops", "first", "e")
    assert found.said.endswith(f"edge.enable-secret, username, password in {folder}")
    mounted(folder, "..2", {"username": "netops", "password": "second", "leaf-1.dc.password": "own"})
    assert ask(tmp_path, ["file"], file=path).login.password == "own"


def test_a_secret_mounted_for_everybody_is_refused(tmp_path: Path) -> None:
    path = mounted(tmp_path / "secret", "..1", {"password": "first"}, 0o644)
    with pytest.raises(CredentialsUnusable, match="defaultMode: 0400"):
        ask(tmp_path, ["file"], file=path)


def test_an_empty_folder_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    assert "has no leaf-1.dc.password" in ask(tmp_path, ["file"], file=str(tmp_path / "secret")).said


# --- keyring ---


class InMemory(KeyringBackend):
    """A keyring without a desktop."""

    priority = 1
    kept: dict[tuple[str, str], str]

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def ring() -> Iterator[InMemory]:
    before, ring = keyring.get_keyring(), InMemory()
    ring.kept = {}
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


def test_the_keyring_by_router_group_and_all(tmp_path: Path, ring: InMemory) -> None:
    host = {"username": "netops", "platform": "ios"}
    assert "has no netops in any of k8s-ecmp/leaf-1.dc" in ask(tmp_path, ["keyring"], host).said
    for service, password in (("k8s-ecmp", "all"), ("k8s-ecmp/edge", "edge"), ("k8s-ecmp/leaf-1.dc", "own")):
        keyring.set_password(service, "netops", password)
        assert ask(tmp_path, ["keyring"], host).login.password == password
    keyring.set_password("k8s-ecmp/edge", "enable-secret", "e")
    assert ask(tmp_path, ["keyring"], host).options["secret"] == "e"
    assert ask(tmp_path, ["keyring"]).said.endswith("needs a username for the password, and nobody has said one")


def test_no_keyring_on_this_machine(tmp_path: Path) -> None:
    from keyring.backends.fail import Keyring

    before = keyring.get_keyring()
    keyring.set_keyring(Keyring())
    try:
        with pytest.raises(CredentialsUnusable, match="the keyring cannot be asked: No recommended backend"):
            ask(tmp_path, ["keyring"], {"username": "netops"})
    finally:
        keyring.set_keyring(before)


def test_the_keyrings_library_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(CredentialsUnusable, match=r"pip install 'k8s-ecmp\[keyring\]'"):
        ask(tmp_path, ["keyring"], {"username": "netops"})


# --- SSH ---


def test_agent_and_keys_are_options_of_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ask(tmp_path, ["agent", "keys"])
    assert found.options == {"allow_agent": True, "use_keys": True}
    assert "agent: SSH_AUTH_SOCK is not set" in found.said
    assert ask(tmp_path, ["keys"], {"platform": "iosxr_netconf"}).options == {"look_for_keys": True}
    assert ask(tmp_path, ["agent"], {"platform": "eos"}).options == {}
    extras = {"napalm": {"extras": {"optional_args": {"allow_agent": False}}}}
    refused = ask(tmp_path, ["agent"], {"connection_options": extras})
    assert refused.options == {"allow_agent": False}
    assert "the inventory says allow_agent: false" in refused.said


# --- what is said of it ---


def test_a_login_shows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USERNAME", "PASSWORD", "ENABLE_SECRET", "KEY_PASSPHRASE"):
        monkeypatch.setenv(f"K8S_ECMP_{name}", f"planted-{name}")
    found = ask(tmp_path, ["env"])
    assert "planted" not in repr(found.login).replace("planted-USERNAME", "")
    assert "planted" not in found.said


def test_all_sources_say_what_they_lack(tmp_path: Path, ring: InMemory) -> None:
    said = ask(tmp_path, ["env", "netrc", "keyring", "agent"], {"username": "netops"}).said.split("; ")
    assert [text.partition(":")[0] for text in said] == ["inventory has a username", "env", "netrc", "keyring", "agent"]
    assert "none of K8S_ECMP_LEAF_1_DC_PASSWORD, K8S_ECMP_EDGE_PASSWORD" in said[1]
