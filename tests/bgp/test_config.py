"""ExaBGP's configuration from the inventory: what is in it, what never is shown, what is refused. Read by ExaBGP."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s_ecmp.bgp.config import Peer, render, write
from k8s_ecmp.bgp.peers import read_config
from k8s_ecmp.errors import SettingsError
from k8s_ecmp.router_settings import load_router_settings
from tests.site import REPO, Outcome, Site

LEAST = {"local_as": 65010, "peer_as": 65001, "local_addresses": ["192.0.2.11"]}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "k8s-ecmp.yaml").write_text(yaml.safe_dump({"owner": "prod", "tag": 4201, "inventory": "inventory"}))
    (tmp_path / "inventory").mkdir()
    return Site(tmp_path)


def hosts(site: Site, **peers: dict[str, Any]) -> None:
    document = {
        name: {
            "hostname": f"192.0.2.{number}",
            "platform": "eos",
            "data": {"k8s_ecmp": {"mode": "bgp", "bgp": {"folder": str(site.folder / "exa"), **LEAST, **bgp}}},
        }
        for number, (name, bgp) in enumerate(peers.items(), 1)
    }
    (site.folder / "inventory/hosts.yaml").write_text(yaml.safe_dump(document))


def checked(site: Site) -> Outcome:
    """`bgp check`: ExaBGP itself reads what is made of the inventory."""
    return site.run_here("bgp", "check")


def peer(folder: Path, **bgp: Any) -> Peer:
    data = {"mode": "bgp", "bgp": {"folder": str(folder), **LEAST, **bgp}}
    return Peer("edge", "192.0.2.1", load_router_settings(data, "host edge"))


def test_everything_at_once_is_taken_by_exabgp(site: Site) -> None:
    password = site.folder / "md5"
    password.write_text("s3cr3t-of-edge1\n")
    password.chmod(0o600)
    hosts(
        site,
        edge1={"password_file": str(password), "ttl_security": True, "med": 100, "communities": ["65010:1", "1:2:3"]},
        edge2={"local_addresses": ["192.0.2.11", "192.0.2.12"], "ttl": 4, "port": 1790, "graceful_restart_s": 0},
        edge3={"peer_address": "2001:db8::1", "local_addresses": ["2001:db8::b"], "router_id": "192.0.2.11"},
    )
    done = checked(site)
    assert (done.code, done.out) == (0, f"{site.folder}/exa: in order\n"), done.err
    shown = site.run_here("bgp", "config")
    assert shown.code == 0
    assert "s3cr3t" not in shown.out + shown.err
    assert 'md5-password "(hidden)"' in shown.out
    assert shown.out.count("\nneighbor ") == 4
    assert shown.out.count("add-path send") == 2, "several sessions carry a path each"


def test_files_are_for_their_owner_alone_and_hold_the_password_once(site: Site) -> None:
    password = site.folder / "md5"
    password.write_text("s3cr3t-of-edge1\n")
    password.chmod(0o600)
    hosts(site, edge1={"password_file": str(password)})
    done = site.run_here("bgp", "config", "--write")
    assert done.code == 0, done.err
    folder = site.folder / "exa"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in folder.iterdir())
    assert 'md5-password "s3cr3t-of-edge1"' in (folder / "exabgp.conf").read_text()
    assert "s3cr3t" not in (folder / "bridge.json").read_text()


def test_a_password_that_others_can_read_is_refused(site: Site) -> None:
    password = site.folder / "md5"
    password.write_text("s3cr3t\n")
    password.chmod(0o644)
    hosts(site, edge1={"password_file": str(password)})
    done = checked(site)
    assert done.code == 1
    assert "chmod 600" in done.err


@pytest.mark.parametrize("text", ["", "two\nlines", 'quo"te', "quo'te", "semi;colon", "x" * 81, "grüße"])
def test_a_password_that_cannot_be_written_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    password = tmp_path / "md5"
    password.write_text(text)
    password.chmod(0o600)
    with pytest.raises(SettingsError) as caught:
        render(tmp_path, [peer(tmp_path, password_file=str(password))])
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("key", ["s3cr3t-of-edge1", "lowercase", "two words"])
@pytest.mark.parametrize("command", ["check", "start", "reload"])
def test_what_exabgp_quotes_holds_no_password(site: Site, command: str, key: str) -> None:
    """Whatever stands in the line: some values are too usual to be found in a text again."""
    password = site.folder / "md5"
    password.write_text(key)
    password.chmod(0o600)
    hosts(site, edge1={"password_file": str(password)})
    shipped = (REPO / "templates/exabgp.conf.j2").read_text()
    (site.folder / "templates").mkdir()
    broken = shipped.replace('"{{ s.password }}";', '"{{ s.password }}"\n    wrong-word 1;')
    (site.folder / "templates/exabgp.conf.j2").write_text(broken)
    site.settings(templates="templates")
    done = site.run_here("bgp", command)
    assert done.code == 1
    said = done.out + done.err
    assert not any(word in said for word in key.split())
    if command != "reload":  # which finds nothing that runs
        assert "(15, 4, 'md5-password'), (15, 18, '(hidden)')" in " ".join(said.split())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_an_uid_without_a_name_is_not_named_to_exabgp() -> None:
    program = (
        "import os; from k8s_ecmp.bgp.speaker import environment\n"
        "os.setgid(65532); os.setuid(65532)\n"
        "print('exabgp_daemon_user' in environment(), environment()['exabgp_daemon_drop'])"
    )
    nameless = {word: text for word, text in os.environ.items() if word not in ("USER", "USERNAME", "LOGNAME", "LNAME")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=nameless, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "False false\n"), done.stderr


@pytest.mark.parametrize(
    ("bgp", "words"),
    [
        ({"local_as": None}, "bgp.local_as"),
        ({"local_addresses": []}, "bgp.local_addresses"),
        ({"local_addresses": ["2001:db8::b"]}, "bgp.router_id"),
        ({"router_id": "2001:db8::b"}, "bgp.router_id"),
        ({"ttl_security": True, "ttl": 3}, "bgp.ttl"),
        ({"families": []}, "bgp.families"),
        ({"communities": ["65010:1] nlri 0.0.0.0/0"]}, "bgp.communities"),
        ({"peer_as": 0}, "bgp.peer_as"),
        ({"folder_": "x"}, "bgp.folder_"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, bgp: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        peer(tmp_path, **bgp)


@pytest.mark.parametrize(("key", "value"), [("vrf", "red"), ("distance", 30)])
def test_what_the_session_decides_is_refused(key: str, value: object) -> None:
    with pytest.raises(SettingsError, match=key):
        load_router_settings({"mode": "bgp", key: value, "bgp": LEAST}, "host edge")


def test_two_routers_with_one_session_are_refused(site: Site) -> None:
    hosts(site, edge1={"peer_address": "192.0.2.9"}, edge2={"peer_address": "192.0.2.9"})
    done = checked(site)
    assert done.code == 1
    assert "edge1 and edge2" in done.err


def test_a_name_that_is_no_address_needs_a_peer_address(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="peer_address"):
        render(tmp_path, [peer(tmp_path)._replace(hostname="edge1.example.net")])


@pytest.mark.parametrize("name", ["a b", 'x"; } process p { run /bin/sh', "zürich"])
def test_a_router_name_never_becomes_configuration(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="cannot have that name"):
        render(tmp_path, [peer(tmp_path)._replace(name=name)])


def test_a_template_of_the_user(site: Site) -> None:
    hosts(site, edge1={})
    (site.folder / "templates").mkdir()
    (site.folder / "templates/exabgp.conf.j2").write_text("{% for s in sessions %}# of {{ s.peer }}\n{% endfor %}")
    site.settings(templates="templates")
    assert site.run_here("bgp", "config").out.endswith("# of edge1\n")


def test_the_bridge_reads_what_is_written_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "exa"
    write(render(folder, [peer(folder, local_addresses=["192.0.2.11", "192.0.2.12"], med=5, families=["ipv6"])]))
    config = read_config(folder / "bridge.json")
    (found,) = config.peers
    assert (found.name, found.add_path, found.max_paths, found.families) == ("edge", False, 2, (6,))
    assert (found.attributes, config.folder) == ("med 5", folder)
    assert json.loads((folder / "bridge.json").read_text())["peers"][0]["name"] == "edge"


def test_sessions_that_carry_one_path_each_cut_the_next_hops(tmp_path: Path) -> None:
    data = {"mode": "bgp", "bgp": {**LEAST, "local_addresses": ["192.0.2.11", "192.0.2.12"]}}
    assert load_router_settings(data, "host edge").carried_paths == 2
    assert load_router_settings({"mode": "bgp", "bgp": LEAST}, "host edge").carried_paths == 64


def test_commands_without_a_peer_or_without_exabgp_say_what_to_do(site: Site) -> None:
    (site.folder / "inventory/hosts.yaml").write_text(yaml.safe_dump({"r1": {"platform": "frr", "hostname": "r1"}}))
    done = site.run_here("bgp", "status")
    assert done.code == 1
    assert "mode: bgp" in done.err
    hosts(site, edge1={})
    done = site.run_here("bgp", "status")
    assert done.code == 1
    assert "k8s-ecmp bgp start" in done.err


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "bridge.json")
    with pytest.raises(SettingsError, match=r"bridge\.json is no regular file, and is left as it is"):
        write(render(tmp_path, [peer(tmp_path)]))
    assert [path.name for path in tmp_path.iterdir()] == ["bridge.json"]
    assert not (tmp_path / "bridge.json").is_file()
