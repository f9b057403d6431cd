"""The whole way over file routers: plan, apply, verify, and everything that may stop it."""

import hashlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.model import Prefix
from k8s_ecmp.platforms import get_platform
from tests.site import COMMAND, Site
from tests.world.emulators import emulator
from tests.world.netns import wait_for

AGGREGATE = Prefix.parse("10.96.0.0/12")
OURS = re.compile(r".*\btag 4201\b.*\n")


def foreign(text: str) -> str:
    return OURS.sub("", text)


def test_plan_apply_verify_and_again_nothing(site: Site) -> None:
    before = {name: site.config(name).read_text() for name in ("edge1", "edge2")}
    planned = site.run("plan", "--format", "json")
    assert planned.code == 2
    assert {name: site.config(name).read_text() for name in before} == before
    document = planned.json()
    assert [router["status"] for router in document["routers"]] == ["changes", "changes"]
    assert document["summary"] == {"create": 14, "update": 0, "delete": 0, "conflict": 0, "failed": 0}
    assert site.run("apply", "--yes").code == 0
    for name, text in before.items():
        after = site.config(name).read_text()
        assert foreign(after) == text
        assert len(OURS.findall(after)) == 16
    again = site.run("plan", "--format", "json")
    assert (again.code, [r["status"] for r in again.json()["routers"]]) == (0, ["in-sync", "in-sync"])
    assert site.run("verify").code == 0


def test_the_ids_can_be_recomputed_by_anyone(site: Site) -> None:
    document = site.run_here("plan", "--format", "json").json()

    def digest(value: object) -> str:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    said = document.pop("id")
    assert said == digest(document)
    other = site.run_here("plan", "--format", "json").json()
    assert other["digest"] == document["digest"]


def test_a_node_that_fails_leaves_and_the_rest_stays(site: Site) -> None:
    site.run_here("apply", "--yes")
    site.not_ready("node2")
    planned = site.run_here("plan", "--format", "json")
    assert planned.code == 2
    changes = {change["prefix"]: change for change in planned.json()["routers"][0]["changes"]}
    aggregate = changes["10.96.0.0/12"]
    assert (aggregate["action"], aggregate["add"], aggregate["remove"]) == ("update", [], ["10.192.0.2"])
    assert aggregate["next_hops"] == ["10.192.0.1", "10.192.0.3"]
    assert any("node2" in reason and "not Ready" in reason for reason in aggregate["reasons"])
    assert site.run_here("apply", "--yes").code == 0
    assert "10.192.0.2 " not in site.config("edge1").read_text()


def test_apply_without_a_terminal_needs_yes(site: Site) -> None:
    before = site.config("edge1").read_text()
    done = site.run_here("apply")
    assert done.code == 1
    assert "--yes" in done.err
    assert site.config("edge1").read_text() == before


def test_a_conflict_is_reported_untouched_and_the_rest_goes_on(site: Site) -> None:
    path = site.config("edge1")
    line = "ip route 10.97.10.1/32 192.0.2.77\n"
    path.write_text(path.read_text().replace("ip route 172", f"{line}ip route 172"))
    done = site.run_here("apply", "--yes")
    assert done.code == 3
    assert line in path.read_text()
    assert path.read_text().count("10.97.10.1/32") == 1
    assert "10.97.10.2/32" in path.read_text()
    document = site.run_here("plan", "--format", "json")
    assert document.code == 3
    (conflict,) = document.json()["routers"][0]["conflicts"]
    assert conflict["prefix"] == "10.97.10.1/32"
    assert "has no tag" in conflict["reason"]


def test_panic_holds_everything_and_is_overridden_by_name_only(site: Site) -> None:
    site.run_here("apply", "--yes")
    before = site.config("edge1").read_text()
    site.not_ready("node1", "node2")
    stopped = site.run_here("apply", "--yes")
    assert stopped.code == 3
    assert "panic" in stopped.out
    assert site.config("edge1").read_text() == before
    wrong = site.run_here("plan", "--override", "panick")
    assert wrong.code == 1
    assert "panic" in wrong.err
    site.run_here("apply", "--yes", "--override", "panic", "--override", "mass-withdrawal")
    assert site.config("edge1").read_text() != before


def test_all_nodes_bad_at_once_says_panic_beside_every_held_prefix(site: Site) -> None:
    site.run_here("apply", "--yes")
    before = site.config("edge1").read_text()
    site.not_ready("node1", "node2", "node3")
    document = site.run_here("plan", "--format", "json").json()
    found = {(trip["guard"], trip["router"]) for trip in document["guards"]}
    assert found >= {("panic", None), ("empty-desired", None), ("last-next-hop", "edge1")}
    assert site.run_here("apply", "--yes").code == 3
    assert site.config("edge1").read_text() == before


def test_verify_sees_what_mode_and_policy_hold_back(site: Site) -> None:
    site.settings(mode="withdraw-only")
    assert site.run_here("plan").code == 0
    assert site.run_here("verify").code == 2
    site.settings(mode="full")
    site.run_here("apply", "--yes")
    path = site.config("edge1")
    text = path.read_text().replace("ip route 10.97.10.2/32 10.192.0.3 tag 4201", "ip route 10.97.10.2/32 192.0.2.77")
    path.write_text(text)
    verified = site.run_here("verify")
    assert verified.code == 3
    assert "conflict 10.97.10.2/32" in verified.out


@pytest.mark.parametrize("mode", ["observe", "propose"])
def test_modes_that_never_write(site: Site, mode: str) -> None:
    site.settings(mode=mode)
    before = site.config("edge1").read_text()
    assert site.run_here("plan").code == 2
    assert site.run_here("apply", "--yes").code == 3
    assert site.config("edge1").read_text() == before


def test_the_freeze_file_stops_all(site: Site) -> None:
    (site.folder / "FREEZE").write_text("change freeze until Monday\n")
    site.settings(guards={"freeze_file": "FREEZE"})
    stopped = site.run_here("apply", "--yes")
    assert stopped.code == 3
    assert "change freeze until Monday" in stopped.out


# --- bad input ---------------------------------------------------------------------------------------------------


def one_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line and not line.startswith("warning")]
    assert "Traceback" not in text
    assert len(lines) == 1, text
    return lines[0]


def test_broken_json_names_file_and_place(site: Site) -> None:
    (site.folder / "cluster.yaml").rename(site.folder / "cluster.json")
    (site.folder / "cluster.json").write_text('{"kind": "List", "items": [{"kind": ')
    site.settings(cluster={"source": "cluster.json", "service_cidrs": ["10.96.0.0/12"]})
    done = site.run_here("plan")
    assert done.code == 1
    assert "cluster.json" in one_line(done.err)


def test_a_wrong_setting_names_path_value_and_what_is_allowed(site: Site) -> None:
    site.settings(tag=210)
    done = site.run_here("plan")
    assert done.code == 1
    line = one_line(done.err)
    assert "tag" in line
    assert "210" in line


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (None, "no running configuration"),
        ("", "empty running configuration"),
        ("ip route 10.0.0.0/33 10.0.0.1\n", "line 1"),
        ("Building configuration...\n\nCurrent configuration:\n!\nip route 10.96.0.0/12 10.192.0.1 tag 42", ""),
    ],
)
def test_a_router_that_cannot_be_read_fails_alone(site: Site, config: str | None, says: str) -> None:
    path = site.config("edge1")
    if config is None:
        path.unlink()
    else:
        path.write_text(config)
    planned = site.run_here("plan", "--format", "json")
    assert planned.code == 1
    first, second = planned.json()["routers"]
    assert (first["status"], second["status"]) == ("failed", "changes")
    assert says in first["error"]
    assert site.run_here("apply", "--yes").code == 1
    assert len(OURS.findall(site.config("edge2").read_text())) == 16
    if config is not None:
        assert path.read_text() == config


def test_an_unknown_platform_fails_alone(site: Site) -> None:
    site.edit("inventories/demo/hosts.yaml", lambda hosts: hosts["edge1"].update(platform="vrp"))
    planned = site.run_here("plan", "--format", "json")
    assert planned.code == 1
    assert "vrp" in planned.json()["routers"][0]["error"]
    assert "frr" in planned.json()["routers"][0]["error"]


def test_a_bgp_peer_without_exabgp_fails_alone(site: Site) -> None:
    bgp = {"folder": "/nowhere", "local_as": 65010, "peer_as": 65001, "local_addresses": ["192.0.2.1"]}
    data = {"k8s_ecmp": {"mode": "bgp", "bgp": bgp}}
    site.edit("inventories/demo/hosts.yaml", lambda hosts: hosts["edge1"].update(data=data))
    planned = site.run_here("plan", "--format", "json")
    assert planned.code == 1
    assert [router["status"] for router in planned.json()["routers"]] == ["failed", "changes"]
    assert "k8s-ecmp bgp start" in planned.json()["routers"][0]["error"]


def test_a_bgp_peer_of_which_the_inventory_says_too_little(site: Site) -> None:
    site.edit("inventories/demo/hosts.yaml", lambda hosts: hosts["edge1"].update(data={"k8s_ecmp": {"mode": "bgp"}}))
    planned = site.run_here("plan")
    assert planned.code == 1
    assert "edge1" in planned.err
    assert all(f"bgp.{name}" in planned.err for name in ("local_as", "peer_as", "local_addresses"))


def test_a_router_that_is_not_in_the_inventory(site: Site) -> None:
    done = site.run_here("plan", "--router", "edge9")
    assert done.code == 1
    assert "edge1" in one_line(done.err)


def test_a_missing_settings_file(site: Site) -> None:
    (site.folder / "k8s-ecmp.yaml").unlink()
    done = site.run("plan")
    assert done.code == 1
    assert "k8s-ecmp.yaml" in one_line(done.err)


def test_a_lock_held_elsewhere_fails_that_router_and_names_the_holder(site: Site) -> None:
    code = (
        "import sys\n"
        "from k8s_ecmp.routers.drivers.file import FileDriver\n"
        "router = FileDriver(optional_args={'path': sys.argv[1], 'syntax': 'frr'})\n"
        "router.load_merge_candidate(config='')\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    python = str(Path(COMMAND[0]).parent / "python")
    with subprocess.Popen(
        [python, "-c", code, str(site.config("edge1"))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        done = site.run_here("apply", "--yes")
        assert holder.stdin is not None
        holder.stdin.close()
    assert done.code == 1
    assert f"process {holder.pid}" in done.out
    assert len(OURS.findall(site.config("edge2").read_text())) == 16
    assert site.run_here("apply", "--yes").code == 0


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_old_or_new_and_the_next_run_heals(site: Site) -> None:
    old = {name: site.config(name).read_text() for name in ("edge1", "edge2")}
    plan = site.run("plan", "--format", "json").json()
    lines = {router["name"]: set(router["commands"]) for router in plan["routers"]}
    began = time.monotonic()
    assert site.run("apply", "--yes").code == 0
    whole_s = time.monotonic() - began
    for step in range(12):
        for name, text in old.items():
            site.config(name).write_text(text)
        with subprocess.Popen(
            [*COMMAND, "--config", str(site.folder / "k8s-ecmp.yaml"), "apply", "--yes"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                process.wait(whole_s * (0.3 + 0.06 * step))
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
        for name, text in old.items():
            now = site.config(name).read_text()
            assert foreign(now) == text
            assert {line.strip() for line in OURS.findall(now)} in (set(), lines[name])
        assert site.run("apply", "--yes").code == 0
        for name in old:
            assert {line.strip() for line in OURS.findall(site.config(name).read_text())} == lines[name]


# --- looking -----------------------------------------------------------------------------------------------------


def test_desired_by_the_contract(site: Site) -> None:
    done = site.run_here("desired", "--format", "json")
    assert done.code == 0
    document = done.json()
    assert document["version"] == 1
    assert [(r["prefix"], r["kind"], r["nodes"]) for r in document["routes"]] == [
        ("10.96.0.0/12", "aggregate", ["node1", "node2", "node3"]),
        ("10.97.10.1/32", "host", ["node1", "node2"]),
        ("10.97.10.2/32", "host", ["node3"]),
        ("198.51.100.0/28", "aggregate", ["node1", "node2", "node3"]),
        ("198.51.100.10/32", "host", ["node1", "node2"]),
        ("fd96::/108", "aggregate", ["node1", "node2", "node3"]),
        ("fd96::a:1/128", "host", ["node1", "node2"]),
    ]
    assert document["routes"][1]["next_hops"] == ["10.192.0.1", "10.192.0.2"]
    assert document["routes"][1]["sources"] == ["Service shop/web clusterIP"]
    assert {"object": "Service shop/db", "reason": "headless"} in document["skipped"]


def test_the_cluster_can_come_by_stdin(site: Site) -> None:
    text = (site.folder / "cluster.yaml").read_text()
    site.settings(cluster={"source": "-", "service_cidrs": ["10.96.0.0/12", "fd96::/108"]})
    assert len(site.run("desired", "--format", "json", stdin=text).json()["routes"]) == 7


def test_no_eligible_node_is_an_empty_list_and_a_warning(site: Site) -> None:
    site.not_ready("node1", "node2", "node3")
    done = site.run_here("desired", "--format", "json")
    assert (done.code, done.json()["routes"]) == (0, [])
    assert "no node is eligible" in done.err


def test_why(site: Site) -> None:
    site.run_here("apply", "--yes")
    done = site.run_here("why", "10.97.10.1", "--router", "edge2")
    assert done.code == 0
    assert "routed to 2 nodes" in done.out
    assert "runs there: 10.192.0.1, 10.192.0.2 (ours)" in done.out
    assert site.run_here("why", "10.97.10.300").code == 1


def test_version_and_help_teach(site: Site) -> None:
    assert site.run_here("version").out.startswith("k8s-ecmp ")
    text = site.run_here("--help").out
    assert all(word in text for word in ("plan", "apply", "verify", "desired", "why", "demo", "Exit codes"))


def test_the_demo_runs(site: Site, tmp_path: Path) -> None:
    done = site.run_here("demo", str(tmp_path / "tour"))
    assert done.code == 0, done.err
    assert "conflict" in done.out


def test_an_interrupt_is_said_and_leaves_with_130(site: Site) -> None:
    site.settings(cluster={"source": "-", "service_cidrs": ["10.96.0.0/12"]})
    with subprocess.Popen(
        [*COMMAND, "--config", str(site.folder / "k8s-ecmp.yaml"), "plan"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        wait_for(lambda: _reads_stdin(process.pid), "it reads its stdin")
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
        assert "interrupted" in process.stderr.read()


def _reads_stdin(pid: int) -> bool:
    """Whether the process waits in read(0, ...)."""
    return Path(f"/proc/{pid}/syscall").read_text().startswith("0 0x0 ")


XR = "hostname edge2\nrouter static\n address-family ipv4 unicast\n  0.0.0.0/0 10.192.0.254\n !\n!\nend\n"


@pytest.mark.parametrize(
    ("owner", "distance", "said", "remedy"),
    [
        ("o" * 31, 200, "the owner o{31} has 31 characters", "take an owner of up to 30 characters"),
        ("o" * 30, 255, "distance: 255.* takes 254 at most", "set data.k8s_ecmp.distance to 254 or less"),
        ("o" * 30, 254, "", ""),
    ],
)
def test_what_ios_xr_would_refuse_is_no_plan_for_it(
    site: Site, owner: str, distance: int, said: str, remedy: str
) -> None:
    def choose(hosts: dict[str, Any]) -> None:
        hosts["edge2"]["connection_options"]["napalm"]["extras"]["optional_args"]["syntax"] = "iosxr"
        hosts["edge2"]["data"] = {"k8s_ecmp": {"distance": distance}}

    site.edit("inventories/demo/hosts.yaml", choose)
    site.config("edge2").write_text(XR)
    site.settings(owner=owner)
    done = site.run_here("apply", "--yes")
    text = " ".join((done.out + done.err).split())
    if not said:
        assert done.code == 0, text
        assert f" 254 tag 4201 description {owner}" in site.config("edge2").read_text()
        return
    assert done.code == 1, text
    assert re.search(f"router edge2.*{said}", text), text
    assert remedy in text
    assert site.config("edge2").read_text() == XR
    assert "tag 4201" in site.config("edge1").read_text()


@pytest.mark.parametrize("syntax", ["eos", "ios", "iosxr", "junos", "nxos"])
def test_a_file_router_of_every_syntax_is_changed(site: Site, syntax: str, tmp_path: Path) -> None:
    def choose(hosts: dict[str, Any]) -> None:
        hosts["edge2"]["connection_options"]["napalm"]["extras"]["optional_args"]["syntax"] = syntax

    def hops() -> set[str | None]:
        route = get_platform(syntax).parse(site.config("edge2").read_text()).get("default", AGGREGATE)
        assert route is not None
        return {hop.address for hop in route.next_hops}

    site.edit("inventories/demo/hosts.yaml", choose)
    site.config("edge2").write_text(emulator(syntax)(tmp_path).running())
    done = site.run_here("apply", "--yes", "--router", "edge2")
    assert "Apply: 1 committed" in done.out, done.out + done.err
    assert hops() == {"10.192.0.1", "10.192.0.2", "10.192.0.3"}
    site.not_ready("node3")
    done = site.run_here("apply", "--yes", "--router", "edge2")
    assert "Apply: 1 committed" in done.out, done.out + done.err
    assert hops() == {"10.192.0.1", "10.192.0.2"}
