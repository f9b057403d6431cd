"""Options that hosts share must never lead one host's session to another's device."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from k8s_ecmp.errors import SettingsError, UnsupportedPlatform
from k8s_ecmp.routers.connection import connect
from k8s_ecmp.routers.hosts import CONNECTION, router_settings
from k8s_ecmp.routers.inventory import init_nornir, select
from k8s_ecmp.routers.plugin import driver_class
from k8s_ecmp.routers.tasks import read_routes, run
from k8s_ecmp.settings import Settings

REPO = Path(__file__).parents[2]


class Greedy:
    """A driver as the worst of NAPALM's: takes keys out of its options and keeps the dictionary."""

    seen: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, hostname: str, optional_args: dict[str, Any], **_: Any) -> None:
        type(self).seen[hostname] = dict(optional_args)
        optional_args["port"] = 0
        optional_args.pop("transport")

    def open(self) -> None: ...
    def close(self) -> None: ...


def inventory(folder: Path, hosts: dict[str, Any], groups: dict[str, Any] | None = None) -> Settings:
    (folder / "hosts.yaml").write_text(yaml.safe_dump(hosts))
    if groups is not None:
        (folder / "groups.yaml").write_text(yaml.safe_dump(groups))
    return Settings(owner="x", tag=4201, inventory=str(folder))


def test_shared_group_options_and_a_port_for_each_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = {f"r{n}": {"hostname": f"r{n}", "port": 2000 + n, "groups": ["all"]} for n in range(8)}
    options = {"napalm": {"extras": {"timeout": 5, "optional_args": {"transport": "https"}}}}
    nornir = init_nornir(inventory(tmp_path, hosts, {"all": {"platform": "eos", "connection_options": options}}))
    monkeypatch.setattr("k8s_ecmp.routers.plugin.driver_class", lambda _: Greedy)
    Greedy.seen.clear()
    for _ in range(2):
        for host in nornir.inventory.hosts.values():
            connect(host, nornir.config)
            host.close_connection(CONNECTION)
        assert {name: seen["port"] for name, seen in Greedy.seen.items()} == {f"r{n}": 2000 + n for n in range(8)}
        assert all(seen["transport"] == "https" for seen in Greedy.seen.values())


def test_napalms_drivers_are_found_by_their_names() -> None:
    from napalm.eos import EOSDriver

    assert type(driver_class("eos")("r1", "netops", "").device) is EOSDriver
    with pytest.raises(UnsupportedPlatform, match="frr"):
        driver_class("vrp")
    with pytest.raises(UnsupportedPlatform, match="no platform"):
        driver_class(None)


def test_a_failed_host_is_asked_again_by_the_next_run(tmp_path: Path) -> None:
    options = {"optional_args": {"syntax": "frr", "path": "r1.cfg"}}
    hosts = {"r1": {"platform": "file", "connection_options": {"napalm": {"extras": options}}}}
    nornir = init_nornir(inventory(tmp_path, hosts), tmp_path)
    assert run(nornir, read_routes)["r1"].failed
    (tmp_path / "r1.cfg").write_text("hostname r1\nip route 10.96.0.0/12 10.0.0.1 tag 4201\n")
    again = run(nornir, read_routes)
    assert not again["r1"].failed
    assert len(again["r1"][0].result) == 1


def test_router_data_is_merged_key_by_key_host_over_group_over_defaults(tmp_path: Path) -> None:
    hosts = {"r1": {"groups": ["rack"], "data": {"k8s_ecmp": {"max_paths": 8, "next_hops": {"minimum": 3}}}}}
    groups = {
        "rack": {"data": {"k8s_ecmp": {"max_paths": 16, "vrf": "red", "next_hops": {"subnets": ["10.0.0.0/24"]}}}}
    }
    settings = inventory(tmp_path, hosts, groups)
    (tmp_path / "defaults.yaml").write_text(yaml.safe_dump({"data": {"k8s_ecmp": {"vrf": "blue", "distance": 9}}}))
    found = router_settings(init_nornir(settings).inventory.hosts["r1"])
    assert (found.max_paths, found.vrf, found.distance) == (8, "red", 9)
    assert (found.next_hops.minimum, found.next_hops.subnets) == (3, ("10.0.0.0/24",))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"k8s_ecmp": {"max_path": 8}}, "max_path"),
        ({"k8s_ecmp": {"next_hops": {"subnets": ["10.0.0.1/24"]}}}, "10.0.0.0/24"),
        ({"k8s_ecmp": []}, "mapping"),
    ],
)
def test_wrong_router_data_names_the_host(tmp_path: Path, data: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        init_nornir(inventory(tmp_path, {"r7": {"data": data}}))
    assert "r7" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "Parser"),
        ("- a\n", "must be mappings"),
        ("r1: {hostname: [1}\n", "Parser"),
        ("r1: {groups: [nope]}\n", "the group 'nope'"),
        ("", "no hosts"),
    ],
)
def test_a_broken_inventory_is_one_settings_error(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "hosts.yaml").write_text(text)
    with pytest.raises(SettingsError, match=says) as caught:
        init_nornir(Settings(owner="x", tag=4201, inventory=str(tmp_path)))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_connections_platform_stands_over_the_hosts(tmp_path: Path) -> None:
    (tmp_path / "r1.cfg").write_text("hostname r1\nip route 10.96.0.0/12 10.0.0.1 tag 4201\n")
    extras = {"optional_args": {"syntax": "frr", "path": "r1.cfg"}}
    hosts = {
        "r1": {"platform": "cisco_ios", "connection_options": {"napalm": {"platform": "file", "extras": extras}}},
        "r2": {"platform": "file", "connection_options": {"napalm": {"extras": {"optional_args": ["a"]}}}},
        "r3": {"platform": "frr", "connection_options": {"napalm": {"extras": {"transport": "ssh"}}}},
        "r4": {},
    }
    results = run(init_nornir(inventory(tmp_path, hosts), tmp_path), read_routes)
    assert len(results["r1"][0].result) == 1
    errors = {name: str(results[name][0].exception) for name in ("r2", "r3", "r4")}
    assert "optional_args must be a mapping" in errors["r2"]
    assert "transport" in errors["r3"]
    assert "names no platform" in errors["r4"]


def test_raise_on_error_of_a_nornir_file_does_not_cost_the_others(tmp_path: Path) -> None:
    options = {"optional_args": {"syntax": "frr", "path": "r1.cfg"}}
    (tmp_path / "r1.cfg").write_text("hostname r1\n")
    hosts = {
        "r1": {"platform": "file", "connection_options": {"napalm": {"extras": options}}},
        "r2": {"platform": "vrp"},
    }
    inventory(tmp_path, hosts)
    plugin = {"plugin": "SimpleInventory", "options": {"host_file": str(tmp_path / "hosts.yaml")}}
    (tmp_path / "nornir.yaml").write_text(yaml.safe_dump({"core": {"raise_on_error": True}, "inventory": plugin}))
    results = run(
        init_nornir(Settings(owner="x", tag=4201, inventory=str(tmp_path / "nornir.yaml")), tmp_path), read_routes
    )
    assert (results["r1"].failed, results["r2"].failed) == (False, True)


@pytest.mark.parametrize("name", ["demo", "lab", "datacenter"])
def test_the_shipped_inventories_are_valid(name: str) -> None:
    nornir = init_nornir(Settings(owner="x", tag=4201, inventory=str(REPO / "inventories" / name)))
    assert len(nornir.inventory.hosts) >= 2
    assert all(router_settings(host) for host in nornir.inventory.hosts.values())


def test_filters(tmp_path: Path) -> None:
    hosts = {
        "r1": {"platform": "frr", "groups": ["edge"], "data": {"site": "a"}},
        "r2": {"platform": "frr", "data": {"site": "b"}},
    }
    nornir = init_nornir(inventory(tmp_path, hosts, {"edge": {}}))
    for filters, expected in ((["site=b"], ["r2"]), (["group=edge"], ["r1"]), (["platform=frr", "name=r2"], ["r2"])):
        assert list(select(nornir, [], filters).inventory.hosts) == expected
    for filters in (["site"], ["site=c"]):
        with pytest.raises(SettingsError):
            select(nornir, [], filters)
