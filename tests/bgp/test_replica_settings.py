"""Two replicas in the inventory: which of them a machine is, what tells them apart, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s_ecmp.bgp.announced import Announced
from k8s_ecmp.bgp.config import Files, Peer, render, write
from k8s_ecmp.bgp.peer import Peer as Told
from k8s_ecmp.bgp.peers import read_config
from k8s_ecmp.errors import SettingsError
from k8s_ecmp.router_settings import load_router_settings
from tests.site import Site

LEAST: dict[str, Any] = {"local_as": 65010, "peer_as": 65001}
FIRST, SECOND = "192.0.2.11", "192.0.2.12"
HERE = "127.0.0.1"


def peer(folder: Path, *members: Any, peer_address: str = "192.0.2.1", **keys: Any) -> Peer:
    replicas = [member if isinstance(member, dict) else {"local_addresses": [member]} for member in members]
    bgp = {**LEAST, "folder": str(folder), "peer_address": peer_address, "replicas": replicas, **keys}
    return Peer("edge", None, load_router_settings({"mode": "bgp", "bgp": bgp}, "host edge"))


def bridge(files: Files) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files.bridge)["peers"][0]
    return found


@pytest.mark.parametrize(("number", "med", "behind", "restart_s"), [(1, 100, 300, 0), (2, 200, 400, 120)])
def test_they_differ_in_address_med_and_graceful_restart(
    tmp_path: Path, number: int, med: int, behind: int, restart_s: int
) -> None:
    files = render(tmp_path, [peer(tmp_path, FIRST, SECOND, communities=["65010:1"])], replica=number)
    told = bridge(files)
    assert told["sessions"] == [{"local": (FIRST, SECOND)[number - 1], "peer": "192.0.2.1"}]
    assert (told["attributes"], told["attributes_behind"]) == (
        f"med {med} community [65010:1]",
        f"med {behind} community [65010:1]",
    )
    assert told["restart_s"] == restart_s
    assert ("graceful-restart 120;" in files.exabgp) == bool(restart_s)
    assert f"router-id {(FIRST, SECOND)[number - 1]};" in files.exabgp


def test_med_is_where_they_begin(tmp_path: Path) -> None:
    made = [
        bridge(render(tmp_path, [peer(tmp_path, FIRST, SECOND, "192.0.2.13", med=7)], replica=n)) for n in (1, 2, 3)
    ]
    assert [told["attributes"] for told in made] == ["med 7", "med 107", "med 207"]
    assert [told["attributes_behind"] for told in made] == ["med 307", "med 407", "med 507"]


def test_a_machine_is_the_one_whose_addresses_it_has(tmp_path: Path) -> None:
    made = bridge(render(tmp_path, [peer(tmp_path, FIRST, HERE, peer_address="127.0.0.2")]))
    assert made["sessions"] == [{"local": HERE, "peer": "127.0.0.2"}]
    for members, words in (((FIRST, SECOND), "none"), ((HERE, "127.0.0.3"), "several")):
        with pytest.raises(SettingsError, match=f"{words} of the replicas of router edge") as error:
            render(tmp_path, [peer(tmp_path, *members, peer_address="127.0.0.2")])
        assert "--replica" in str(error.value.remedy)
    with pytest.raises(SettingsError, match="no replica 3"):
        render(tmp_path, [peer(tmp_path, FIRST, SECOND)], replica=3)


@pytest.mark.parametrize(
    ("members", "keys", "problem"),
    [
        ((FIRST,), {}, "two or more"),
        ((FIRST, FIRST), {}, "must not share"),
        ((FIRST, {"local_addresses": [SECOND, "192.0.2.13"]}), {}, "as many local_addresses"),
        ((FIRST, SECOND), {"local_addresses": [FIRST]}, "not beside them"),
        ((FIRST, SECOND), {"router_id": FIRST}, "not beside them"),
        ((FIRST, {"local_addresses": []}), {}, r"replicas\[1\].local_addresses"),
        (("fd00::1", {"local_addresses": ["fd00::2"], "router_id": FIRST}), {}, r"replicas\[0\].router_id"),
        ((FIRST, SECOND), {"med": 4294967295}, "leaves no room"),
        ((FIRST, SECOND), {"dead_man_s": 0}, "bgp.dead_man_s"),
        ((FIRST, SECOND), {"hand_over_s": 0}, "bgp.hand_over_s"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, members: Any, keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        peer(tmp_path, *members, **keys)


def test_several_sessions_of_each_replica_cut_the_paths(tmp_path: Path) -> None:
    found = peer(tmp_path, {"local_addresses": [FIRST, SECOND]}, {"local_addresses": ["192.0.2.21", "192.0.2.22"]})
    assert found.settings.carried_paths == 2
    assert not bridge(render(tmp_path, [found], replica=2))["add_path"]


def test_a_replica_of_which_nobody_has_said_that_it_is_current_stands_back(tmp_path: Path) -> None:
    write(render(tmp_path / "exa", [peer(tmp_path / "exa", FIRST, SECOND)], replica=1))
    config = read_config(tmp_path / "exa/bridge.json")
    told = Told(config.peers[0], Announced(config.database))
    told.set({"10.96.0.1/32": [("10.9.0.1", 1, "prod")]})
    assert [" med 300 " in line for block in told.announce(told.links[0]) for line in block] == [True]
    told.behind = False
    assert [" med 100 " in line for block in told.announce(told.links[0]) for line in block] == [True]


def test_the_inventory_can_be_checked_on_any_machine(tmp_path: Path) -> None:
    (tmp_path / "k8s-ecmp.yaml").write_text(yaml.safe_dump({"owner": "prod", "tag": 4201, "inventory": "inventory"}))
    (tmp_path / "inventory").mkdir()
    replicas = [{"local_addresses": [FIRST]}, {"local_addresses": [SECOND]}]
    bgp = {**LEAST, "folder": str(tmp_path / "exa"), "replicas": replicas}
    document = {"edge": {"hostname": "192.0.2.1", "data": {"k8s_ecmp": {"mode": "bgp", "bgp": bgp}}}}
    (tmp_path / "inventory/hosts.yaml").write_text(yaml.safe_dump(document))
    site = Site(tmp_path)
    done = site.run_here("bgp", "check")
    assert (done.code, "--replica" in done.err) == (1, True)
    for number, local in ((1, FIRST), (2, SECOND)):
        assert site.run_here("bgp", "check", "--replica", str(number)).code == 0
        assert f"local-address {local};" in site.run_here("bgp", "config", "--replica", str(number)).out
    assert "k8s-ecmp bgp start" in site.run_here("bgp", "status").err
