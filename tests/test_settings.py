from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.errors import SettingsError
from k8s_ecmp.router_settings import RouterSettings, load_router_settings
from k8s_ecmp.settings import Settings, load_settings, settings_path
from k8s_ecmp.strict.kinds import parse_listen

REQUIRED = "owner: prod-eu1\ntag: 4201\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "k8s-ecmp.yaml"


def load(file: Path, text: str | bytes) -> Settings:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_settings(file)


def refused(file: Path, text: str | bytes) -> str:
    with pytest.raises(SettingsError) as caught:
        load(file, text)
    return str(caught.value)


def test_defaults_are_those_of_the_contract(file):
    settings = load(file, REQUIRED)
    assert msgspec.to_builtins(settings) == {
        "owner": "prod-eu1",
        "tag": 4201,
        "inventory": str(file.parent / "inventories/demo"),
        "credentials": {"sources": ("env",), "netrc": None, "file": None},
        "cluster": {"source": "live", "kubeconfig": None, "context": None, "service_cidrs": ()},
        "services": {
            "aggregate": True,
            "cluster_ips": "local",
            "external_ips": {"cidrs": (), "aggregate": True, "host_routes": "local"},
            "load_balancer_ips": {"cidrs": (), "aggregate": True, "host_routes": "local"},
            "selector": "",
            "discard_unserved": False,
            "terminating": "last-resort",
            "add_delay_s": 1,
        },
        "pod_cidrs": False,
        "nodes": {
            "selector": "",
            "withdraw_on_cordon": False,
            "hold_down_s": 5,
            "hold_up_s": 30,
            "probe": {"enabled": False, "port": 10256, "path": "/healthz", "interval_s": 1, "failures": 3},
        },
        "guards": {
            "max_withdrawn_fraction": 0.5,
            "max_not_ready_fraction": 0.5,
            "max_changes": None,
            "window_s": 60,
            "freeze_file": None,
            "freeze_windows": (),
        },
        "rollout": {
            "canary": 1,
            "parallel": 10,
            "confirm_within_s": 120,
            "verify_timeout_s": 30,
            "new_connection": "apply",
            "on_failure": "stop",
            "pause_s": 0,
        },
        "plan": {"expires_s": 3600},
        "daemon": {
            "listen": "127.0.0.1:9637",
            "coalesce_s": 0.05,
            "resync_s": 300,
            "journal_files": 16,
            "shards": 1,
            "lease": {
                "enabled": True,
                "namespace": "default",
                "name": None,
                "duration_s": 15,
                "renew_deadline_s": 10,
                "retry_s": 2,
                "identity": None,
            },
        },
        "mode": "full",
        "policy": "sync",
        "journal": str(Path("~/.local/state/k8s-ecmp/journal.sqlite").expanduser()),
        "templates": None,
    }


def test_everything_set(file):
    settings = load(
        file,
        REQUIRED
        + """
cluster: {source: "-", kubeconfig: kube/config, context: lab, service_cidrs: [10.96.0.0/12, "FD00:0::/108"]}
inventory: /etc/k8s-ecmp/inventory
services:
  external_ips: {cidrs: [198.51.100.0/24, 203.0.113.7/32], host_routes: all}
  selector: "tier in (edge),!internal"
  terminating: never
nodes: {selector: "!spot", hold_down_s: 0, probe: {enabled: true, failures: 1}}
guards:
  freeze_file: freeze
  freeze_windows:
    - {start: "0 22 * * FRI", duration_s: 216000, time_zone: Europe/Berlin, freeze_all: true}
daemon: {listen: "[::1]:9637", lease: {name: ecmp.prod, namespace: kube-system}}
mode: withdraw-only
policy: create-only
templates: ~/templates
journal: j.sqlite
""",
    )
    folder = file.parent
    assert settings.cluster.source == "-"
    assert settings.cluster.kubeconfig == str(folder / "kube/config")
    assert settings.cluster.service_cidrs == ("10.96.0.0/12", "fd00::/108")
    assert settings.inventory == "/etc/k8s-ecmp/inventory"
    assert settings.services.external_ips.cidrs == ("198.51.100.0/24", "203.0.113.7/32")
    assert settings.guards.freeze_file == str(folder / "freeze")
    assert settings.guards.freeze_windows[0].time_zone == "Europe/Berlin"
    assert settings.daemon.listen == "[::1]:9637"
    assert settings.templates == str(Path("~/templates").expanduser())
    assert settings.journal == str(folder / "j.sqlite")


def test_a_section_without_content_has_its_defaults(file):
    assert load(file, REQUIRED + "services:\nnodes:\n  probe:\n") == load(file, REQUIRED)


@pytest.mark.parametrize(("source", "expected"), [("live", "live"), ("'-'", "-"), ("state.json", None)])
def test_source_is_a_word_or_a_path(file, source, expected):
    settings = load(file, f"{REQUIRED}cluster: {{source: {source}}}\n")
    assert settings.cluster.source == (expected or str(file.parent / "state.json"))


def test_the_folder_of_a_linked_file_is_the_link_s(file, tmp_path):
    (tmp_path / "data").mkdir()
    real = tmp_path / "data" / "settings.yaml"
    real.write_text(REQUIRED)
    file.symlink_to(real)
    assert load_settings(file).inventory == str(tmp_path / "inventories/demo")


def test_which_file(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("K8S_ECMP_CONFIG", raising=False)
    (tmp_path / "k8s-ecmp.yaml").write_text("owner: here\ntag: 3\n")
    (tmp_path / "other.yaml").write_text("owner: there\ntag: 3\n")
    assert load_settings(None).owner == "here"
    monkeypatch.setenv("K8S_ECMP_CONFIG", "other.yaml")
    assert load_settings(None).owner == "there"
    assert load_settings("k8s-ecmp.yaml").owner == "here"
    assert settings_path(None) == Path("other.yaml")


@pytest.mark.parametrize(
    ("line", "key", "told"),
    [
        ("tag: 210", "tag", "210 is used by other software"),
        ("tag: 2", "tag", "from 3 to 4294967295 except 210, not 2"),
        ("tag: 4294967296", "tag", "not 4294967296"),
        ('tag: "4201"', "tag", "write 4201 without quotes"),
        ("tag: 4201.0", "tag", "whole number"),
        ("tag: true", "tag", "not true"),
        ("tag: 010", "tag", "YAML reads 010 as the octal number 8"),
        ("tag: 12:30", "tag", "YAML reads 12:30 as the base-60 number 750"),
        ("tag:", "tag", "has no value"),
        ("owner: 123", "owner", 'put it in quotes: "123"'),
        ("owner: Prod", "owner", "1 to 40 of a-z, 0-9 and -, not 'Prod'"),
        ('owner: "a\\n"', "owner", "1 to 40"),
        ("owner: no", "owner", "YAML reads no as false"),
        ("owner: " + "a" * 41, "owner", "1 to 40"),
        ("mode: off", "mode", "withdraw-only, not off; YAML reads off as false"),
        ("mode: obsreve", "mode", "did you mean observe?"),
        ("pod_cidrs: 1", "pod_cidrs", "true or false, not 1"),
        ('pod_cidrs: "true"', "pod_cidrs", "write true without quotes"),
        ("service: {}", "service", "did you mean services?"),
        ("external_ips: {}", "external_ips", "did you mean services.external_ips?"),
        ("selector: a", "selector", "did you mean services.selector or nodes.selector?"),
        ("zzz: 1", "zzz", "unknown key; allowed here: owner, tag,"),
        ("on: 1", "on", "unknown key"),
        ("services: {external_ips: {hostRoutes: all}}", "services.external_ips.hostRoutes", "host_routes?"),
        ("services: {external_ips: {host-routes: all}}", "services.external_ips.host-routes", "host_routes?"),
        ("nodes: {hold_down: 3}", "nodes.hold_down", "did you mean nodes.hold_down_s?"),
        ("nodes: {hold_down_s: -1}", "nodes.hold_down_s", "from 0 to"),
        ("nodes: {hold_down_s: .nan}", "nodes.hold_down_s", "from 0 to"),
        ("nodes: {hold_down_s: 5s}", "nodes.hold_down_s", "a number from 0 to 31622400, not '5s'"),
        ("nodes: {hold_down_s: 1e1}", "nodes.hold_down_s", "write 10 without quotes"),
        ("nodes: 5", "nodes", "a mapping with the keys selector, withdraw_on_cordon"),
        ("nodes: {selector: 'a b'}", "nodes.selector", "position 3: found 'b'"),
        ("nodes: {probe: {path: healthz}}", "nodes.probe.path", "starts with /"),
        ("cluster: {service_cidrs: [10.96.0.1/12]}", "cluster.service_cidrs[0]", "the prefix is 10.96.0.0/12"),
        ("cluster: {service_cidrs: [10.96.0.0/33]}", "cluster.service_cidrs[0]", "over 32"),
        ("cluster: {service_cidrs: [10.96/16]}", "cluster.service_cidrs[0]", "is not an IP address"),
        ("cluster: {service_cidrs: [10.96.0.0]}", "cluster.service_cidrs[0]", "write 10.96.0.0/32"),
        ("cluster: {service_cidrs: 10.96.0.0/12}", "cluster.service_cidrs", "write ['10.96.0.0/12']"),
        ("cluster: {service_cidrs: }", "cluster.service_cidrs", "write []"),
        ("cluster: {service_cidrs: [[10.96.0.0/12]]}", "cluster.service_cidrs[0]", "not a list"),
        ("cluster: {service_cidrs: ['::/0']}", "cluster.service_cidrs", "default route"),
        ("cluster: {source: ''}", "cluster.source", "is no path"),
        ("services: {load_balancer_ips: {cidrs: [0.0.0.0/0]}}", "services.load_balancer_ips.cidrs", "aggregate: false"),
        ("guards: {max_withdrawn_fraction: 50}", "guards.max_withdrawn_fraction", "a number from 0 to 1, not 50"),
        (
            "guards: {freeze_windows: [{start: 0 25 * * *, duration_s: 9}]}",
            "guards.freeze_windows[0].start",
            "bad hour",
        ),
        ("guards: {freeze_windows: [{start: 0 0 0 * * *, duration_s: 9}]}", "guards.freeze_windows[0].start", "five"),
        (
            "guards: {freeze_windows: [{start: 0 0 30 2 *, duration_s: 9}]}",
            "guards.freeze_windows[0].start",
            "no cron expression",
        ),
        (
            "guards: {freeze_windows: [{start: 0 0 * * *, duration_s: 9, time_zone: Mars/Olympus}]}",
            "guards.freeze_windows[0].time_zone",
            "no time zone",
        ),
        ("guards: {freeze_windows: [{start: 0 0 * * *}]}", "guards.freeze_windows[0].duration_s", "is missing"),
        ("plan: {expires_s: 0}", "plan.expires_s", "a whole number from 1 to 31622400, not 0"),
        ("daemon: {listen: 9637}", "daemon.listen", "must be HOST:PORT"),
        ("daemon: {listen: localhost}", "daemon.listen", "is not HOST:PORT"),
        ("daemon: {listen: '127.0.0.1:70000'}", "daemon.listen", "is not HOST:PORT"),
        ("daemon: {lease: {renew_deadline_s: 15}}", "daemon.lease.renew_deadline_s", "must be less than duration_s"),
        ("daemon: {lease: {namespace: Default}}", "daemon.lease.namespace", "namespace"),
        ("journal: ~nobody-of-that-name/j", "journal", "home folder"),
    ],
)
def test_a_mistake_is_named_with_line_key_and_what_is_allowed(file, line, key, told):
    kept = "\n".join(required for required in REQUIRED.splitlines() if required.split(":")[0] != line.split(":")[0])
    message = refused(file, f"{kept}\n\n{line}\n")
    number = len(kept.splitlines()) + 2
    assert message.startswith(f"{file}:{number}: {key}: ")
    assert told in message
    assert len(message.splitlines()) == 1


def test_all_mistakes_come_at_once_by_line(file):
    message = refused(file, REQUIRED + "mode: full-auto\nnodes:\n  hold_down_s: -1\n  hold_upp_s: 3\n")
    assert [line.split(": ")[0] for line in message.splitlines()] == [f"{file}:3", f"{file}:5", f"{file}:6"]


def test_more_mistakes_than_anyone_reads_are_counted(file):
    message = refused(file, REQUIRED + "".join(f"key{i}: 1\n" for i in range(30)))
    assert message.splitlines()[-1] == f"{file}: 20 more mistakes"


def test_unknown_keys_do_not_show_their_value(file):
    assert "hunter2" not in refused(file, REQUIRED + "password: hunter2\n")


@pytest.mark.parametrize("text", ["mode: full\n", "pod_cidrs: true\n"])
def test_missing_owner_and_tag_are_both_told_with_an_example(file, text):
    message = refused(file, text)
    assert "owner: is missing" in message
    assert "tag: is missing" in message
    assert message.endswith("\n  owner: prod-eu1\n  tag: 4201")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- owner\n", ":1: must be a mapping"),
        ("owner\n", ":1: must be a mapping"),
        (b"owner: a\ntag: \xff\n", ":2: byte 0xff is not UTF-8"),
        ("owner: a\n\ttag: 3\n", "YAML wants blanks, not tabs"),
        ("owner: [a\n", "is not YAML"),
        ("owner: a\ntag: 3\n---\nowner: b\n", "expected a single document"),
        ("owner: a\ntag: 3\nowner: b\n", ":3: owner: duplicate key, the first one is in line 1"),
        ("owner: a\nnodes: {hold_up_s: 1, hold_up_s: 2}\n", ":2: hold_up_s: duplicate key"),
        ("a: &a [*a]\n", "nested deeper"),
        ("[" * 5000 + "]" * 5000, "nested deeper"),
        ("owner: *x\n", "found undefined alias"),
        ("owner: a\nstart: * * *\n", "put the value in quotes"),
        ("owner: !!int x\n", "is not what YAML takes it for"),
        ("owner: !!timestamp x\n", "is not what YAML takes it for"),
        ("owner: !!python/name:os.system x\n", "could not determine a constructor"),
        ("owner: a\ntag: \x07\n", ":2: is not YAML: the character '\\x07'"),
        ("? {a: b}\n: c\n", "a key must be text"),
    ],
)
def test_what_is_no_settings_file(file, text, told):
    message = refused(file, text)
    assert message.startswith(str(file))
    assert told in message


def test_a_byte_order_mark_is_no_mistake(file):
    assert load(file, b"\xef\xbb\xbf" + REQUIRED.encode()).tag == 4201


def test_merge_keys_work_and_own_keys_win(file):
    settings = load(file, REQUIRED + "<<: {mode: observe, pod_cidrs: true}\nmode: propose\n")
    assert (settings.mode, settings.pod_cidrs) == ("propose", True)


def test_files_that_cannot_be_read(tmp_path, file):
    with pytest.raises(SettingsError, match=r"there is no settings file .*k8s-ecmp\.yaml .*--config"):
        load_settings(file)
    with pytest.raises(SettingsError, match="is a folder"):
        load_settings(tmp_path)
    file.write_text(REQUIRED)
    with pytest.raises(SettingsError, match="cannot be read: Not a directory"):
        load_settings(file / "below")


# --- routers -----------------------------------------------------------------------------------------------------

WHERE = "host r1 (inventories/lab/hosts.yaml)"


def test_router_defaults():
    assert load_router_settings({}, WHERE) == RouterSettings()


def test_router_settings():
    settings = load_router_settings(
        {"vrf": "red", "distance": 5, "next_hops": {"subnets": ["10.0.0.0/24"], "node_selector": "rack=1"}}, WHERE
    )
    assert (settings.vrf, settings.distance, settings.next_hops.subnets) == ("red", 5, ("10.0.0.0/24",))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"max_path": 3}, "max_path: unknown key; did you mean max_paths?"),
        ({"subnets": []}, "subnets: unknown key; did you mean next_hops.subnets?"),
        ({"next_hops": {"subnets": ["10.0.0.1/24"]}}, "next_hops.subnets[0]: '10.0.0.1/24' has host bits set"),
        ({"next_hops": {"node_selector": "a b"}}, "next_hops.node_selector: 'a b' is no label selector: position 3"),
        ({"distance": 0}, "distance: must be a whole number from 1 to 255, not 0"),
        ({"distance": True}, "not true"),
        ({"vrf": "a b"}, "vrf: must be one word"),
        ({"mode": "statik"}, "did you mean static?"),
        ({"max_paths": "64"}, "write 64 without quotes"),
        ({"next_hops": ["10.0.0.0/24"]}, "next_hops: must be a mapping"),
    ],
)
def test_router_mistakes(data, told):
    with pytest.raises(SettingsError) as caught:
        load_router_settings(data, WHERE)
    assert str(caught.value).startswith(f"{WHERE}: ")
    assert told in str(caught.value)


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=6), below, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["mode", "vrf", "distance", "max_paths", "failure_domain", "next_hops"]), _JUNK))
def test_any_data_is_settings_or_a_settings_error(data):
    told = WHERE
    try:
        load_router_settings(data, WHERE)
    except SettingsError as error:
        told = str(error)
    assert told.startswith(WHERE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9637", ("127.0.0.1", 9637)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:80", ("localhost", 80)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)
def test_listen(text, expected):
    assert parse_listen(text) == expected


@pytest.mark.parametrize("text", ["", ":80", "::1:80", "1.2.3:80", "a:b", "[1.2.3.4]:80", "h:-1", "h:080000", "a b:1"])
def test_bad_listen(text):
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        parse_listen(text)
