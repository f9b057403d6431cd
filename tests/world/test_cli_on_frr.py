"""The command against real FRR routers over SSH: the whole way, bad logins, a kill at any moment, what cannot hold."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp import runs
from k8s_ecmp.routers.inventory import init_nornir, select
from k8s_ecmp.routers.rollout import roll_out
from k8s_ecmp.routers.tasks import plan_routes, run
from k8s_ecmp.routers.transaction import Transaction
from k8s_ecmp.settings import load_settings
from tests.site import COMMAND, Outcome, Site, new_site
from tests.world import frr_release
from tests.world.edge import FOREIGN, LINKS
from tests.world.frr import FrrRouter
from tests.world.netns import wait_for

pytestmark = [pytest.mark.world, pytest.mark.long]

TAG = 4201
OURS = re.compile(rf"^ip(v6)? route .* tag {TAG}$", re.MULTILINE)


@dataclass
class World:
    routers: list[FrrRouter]
    site: Site
    clean: dict[str, str]

    def run(self, *arguments: str) -> Outcome:
        return self.site.run(*arguments)

    def ours(self, router: FrrRouter) -> set[str]:
        return {match.group() for match in OURS.finditer(router.running_config())}

    def remove_ours(self) -> None:
        for router in self.routers:
            if ours := self.ours(router):
                router.configure("\n".join(f"no {line}" for line in sorted(ours)))

    def foreign(self, router: FrrRouter) -> str:
        return "\n".join(line for line in router.running_config().splitlines() if not OURS.match(line))

    def reset(self) -> None:
        """Takes our routes away by hand and makes the logins right again."""
        for router in self.routers:
            if not router.processes("sshd"):
                router.start_sshd()
        self.remove_ours()
        for router in self.routers:
            assert router.running_config() == self.clean[router.name]
        self.hosts()
        self.site.settings(rollout={"confirm_within_s": 120})

    def hosts(self, **changes: dict[str, Any]) -> None:
        """The inventory; `changes` by router name are those of `FrrRouter.host`."""
        self.site.hosts(**{router.name: router.host(**changes.get(router.name, {})) for router in self.routers})
        (self.site.folder / "inventories/demo/hosts.yaml").chmod(0o600)


@pytest.fixture(scope="module", params=[frr_release.NEWEST], ids=lambda release: f"with-{release}")
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[FrrRouter]]:
    """An old FRR and a new one, in one fleet."""
    newest = frr_release.wanted(request)
    folder = tmp_path_factory.mktemp("routers")
    with (
        FrrRouter("r1", folder, links=LINKS, config=FOREIGN) as first,
        FrrRouter("r2", folder, links=LINKS, config=FOREIGN, release=newest) as second,
    ):
        yield [first, second]


@pytest.fixture
def world(started: list[FrrRouter], tmp_path: Path) -> Iterator[World]:
    made = World(started, new_site(tmp_path / "site"), {router.name: router.running_config() for router in started})
    made.hosts()
    yield made
    made.reset()


def test_plan_apply_verify_and_again_nothing(world: World) -> None:
    before = {router.name: world.foreign(router) for router in world.routers}
    planned = world.run("plan", "--format", "json")
    assert planned.code == 2, planned.err
    done = world.run("apply", "--yes")
    assert done.code == 0, done.out + done.err
    for router, document in zip(world.routers, planned.json()["routers"], strict=True):
        assert world.ours(router) == set(document["commands"])
        assert world.foreign(router) == before[router.name]
        for change in document["changes"]:
            assert router.fib(change["prefix"]) == set(change["next_hops"])
    again = world.run("plan", "--format", "json")
    assert (again.code, [r["status"] for r in again.json()["routers"]]) == (0, ["in-sync", "in-sync"])
    assert world.run("verify").code == 0


def test_a_way_back_restores_a_pair_with_two_distances_and_a_hop_through_an_interface(world: World) -> None:
    router = world.routers[0]
    assert world.run("apply", "--yes").code == 0
    aggregate, host = "ip route 10.96.0.0/12", "ip route 198.51.100.10/32"
    pair = f"{aggregate} 10.192.0.1 tag {TAG} 10\n{aggregate} 10.192.0.3 tag {TAG} 200"
    via = f"{host} 10.192.0.9 rack tag {TAG}"
    router.configure("\n".join([*(f"no {aggregate} 10.192.0.{number}" for number in (1, 2, 3)), pair, via]))
    before = router.running_config()
    assert {*pair.splitlines(), via} <= {*before.splitlines()}
    applied = world.run("apply", "--yes")
    assert applied.code == 0, applied.out + applied.err
    assert router.running_config() != before
    number = str(world.run("history", "--format", "json").json()["entries"][-1]["id"])
    back = str(world.site.folder / "back.plan")
    planned = world.run("history", "undo", number, "--out", back, "--override", "mass-withdrawal")
    assert planned.code == 2, planned.out + planned.err
    done = world.run("apply", back, "--override", "mass-withdrawal")
    assert done.code == 0, done.out + done.err
    assert router.running_config() == before
    assert world.run("apply", "--yes").code == 0


def test_a_failed_node_leaves_and_a_foreign_route_is_a_conflict(world: World) -> None:
    world.run("apply", "--yes")
    world.site.not_ready("node2")
    assert world.run("apply", "--yes").code == 0
    first = world.routers[0]
    assert first.fib("10.96.0.0/12") == {"10.192.0.1", "10.192.0.3"}
    first.configure("no ip route 10.97.10.1/32 10.192.0.1\nip route 10.97.10.1/32 192.0.2.77")
    planned = world.run("plan", "--format", "json")
    assert planned.code == 3
    assert [c["prefix"] for c in planned.json()["routers"][0]["conflicts"]] == ["10.97.10.1/32"]
    assert planned.json()["routers"][1]["status"] == "in-sync"
    assert world.run("apply", "--yes").code == 3
    wait_for(lambda: first.fib("10.97.10.1/32") == {"192.0.2.77"}, "the kernel has what was typed")
    first.configure("no ip route 10.97.10.1/32 192.0.2.77")
    assert world.run("apply", "--yes").code == 0
    assert first.fib("10.97.10.1/32") == {"10.192.0.1"}


def test_a_route_of_others_is_adopted_or_put_back_as_it_was(world: World) -> None:
    """FRR has one tag a prefix: theirs has another, and a distance, and comes back with both."""
    router = world.routers[0]
    theirs = "ip route 10.97.10.1/32 192.0.2.77 tag 900\nip route 10.97.10.1/32 10.192.0.1 tag 900 200"
    router.configure(theirs)
    before = router.running_config()
    file = str(world.site.folder / "adopt.plan")
    planned = world.run("adopt", "10.97.10.1/32", "--router", "r1", "--out", file)
    assert planned.code == 2, planned.out + planned.err
    router.ip("address", "add", "10.97.10.1/32", "dev", "uplink")
    try:
        wait_for(lambda: '"connected"' in router.vtysh("show ip route 10.97.10.1/32 json"), "the connected route")
        world.site.settings(rollout={"verify_timeout_s": 1})
        done = world.run("apply", file)
    finally:
        router.ip("address", "del", "10.97.10.1/32", "dev", "uplink")
    assert done.code == 1, done.out + done.err
    assert "taken back" in done.out
    assert router.running_config() == before
    world.site.settings(rollout={"verify_timeout_s": 60})
    done = world.run("apply", file)
    assert done.code == 0, done.out + done.err
    assert world.ours(router) == {f"ip route 10.97.10.1/32 10.192.0.{node} tag 4201" for node in (1, 2)}
    assert world.foreign(router) == world.clean["r1"].rstrip("\n")
    assert world.ours(world.routers[1]) == set()


def test_drift_in_the_tables_is_seen_by_verify(world: World) -> None:
    world.run("apply", "--yes")
    router = world.routers[0]
    router.configure("no ip route 10.97.10.1/32 10.192.0.1")
    wait_for(lambda: "10.192.0.1" not in router.fib("10.97.10.1/32"), "the kernel follows")
    found = world.run("verify")
    assert found.code == 2
    assert "10.97.10.1/32" in found.out


LOGINS: dict[str, tuple[dict[str, Any], str]] = {
    "wrong host key": ({"optional_args": {"alt_key_file": "OTHER"}}, "host key"),
    "unknown host key": ({"optional_args": {"alt_key_file": "EMPTY"}}, "host key"),
    "unknown user": ({"username": "nobody-here"}, "nobody-here"),
    "wrong password": ({"password": "S3cret-wrong", "optional_args": {"use_keys": False, "key_file": None}}, "netops"),
    "missing key file": ({"optional_args": {"key_file": "/nonexistent/key"}}, "/nonexistent/key"),
    "router down": ({"optional_args": {"ssh_config_file": "DOWN"}}, "r1"),
}


@pytest.mark.parametrize("fault", LOGINS)
def test_a_login_that_fails_is_one_clear_line_and_the_other_router_is_done(
    world: World, tmp_path: Path, fault: str
) -> None:
    change, says = LOGINS[fault]
    (tmp_path / "EMPTY").write_text("")
    other = world.routers[1].known_hosts.read_text().replace("r2", "r1")
    (tmp_path / "OTHER").write_text(other)
    (tmp_path / "DOWN").write_text("Host r1\n  ProxyCommand false\n")
    options = dict(change.get("optional_args", {}))
    for key, value in options.items():
        if value in ("EMPTY", "OTHER", "DOWN"):
            options[key] = str(tmp_path / value)
    world.hosts(r1={**change, "optional_args": options})
    planned = world.run("plan", "--format", "json")
    assert planned.code == 1
    assert "Traceback" not in planned.err
    assert planned.err == ""
    error = planned.json()["routers"][0]["error"]
    assert says in error
    assert "\n" not in error
    assert "S3cret" not in planned.out
    done = world.run("apply", "--yes")
    assert done.code == 1
    assert "S3cret" not in done.out + done.err
    assert world.ours(world.routers[0]) == set()
    assert len(world.ours(world.routers[1])) == 16


def test_a_next_hop_that_does_not_resolve_is_held_back_and_the_rest_goes_on(world: World) -> None:
    def move(item: Any) -> None:
        item["status"]["addresses"][0]["address"] = "10.99.0.3"

    world.site.node("node3", move)
    planned = world.run("plan", "--format", "json")
    assert planned.code == 2
    assert any("10.99.0.3" in skip["reason"] and skip["object"] == "router r1" for skip in planned.json()["skipped"])
    assert world.run("apply", "--yes").code == 0
    assert world.routers[0].fib("10.96.0.0/12") == {"10.192.0.1", "10.192.0.2"}
    assert not any("10.99.0.3" in line for line in world.ours(world.routers[0]))


def test_what_the_tables_do_not_show_is_taken_back(world: World) -> None:
    """A connected route at a service address wins over ours: configured, but never in the forwarding table."""
    router = world.routers[0]
    before = router.running_config()
    router.ip("address", "add", "10.97.10.1/32", "dev", "uplink")
    try:
        wait_for(lambda: '"connected"' in router.vtysh("show ip route 10.97.10.1/32 json"), "the connected route")
        world.site.settings(rollout={"verify_timeout_s": 1})
        done = world.run("apply", "--yes")
    finally:
        router.ip("address", "del", "10.97.10.1/32", "dev", "uplink")
    assert done.code == 1, done.out
    assert "10.97.10.1/32" in done.out
    assert "taken back" in done.out
    assert "not-attempted" in done.out
    assert router.running_config() == before
    assert world.ours(world.routers[1]) == set()


def settled_at_once(router: FrrRouter) -> bool:
    """As if the time to confirm were over."""
    return not router.end_timers() and router.settled()


def test_kill_9_at_any_moment_ends_old_or_new_and_the_next_run_heals(world: World) -> None:
    """Killed before the confirm, the router takes the change back by itself; killed after it, the change stays."""
    world.site.settings(rollout={"confirm_within_s": 120, "canary": 0})
    planned = world.run("plan", "--format", "json").json()
    wanted = {router["name"]: set(router["commands"]) for router in planned["routers"]}
    foreign = {router.name: world.foreign(router) for router in world.routers}
    began = time.monotonic()
    assert world.run("apply", "--yes").code == 0
    whole_s = time.monotonic() - began
    world.remove_ours()
    seen: set[bool] = set()
    for step in range(42):
        if step >= 14 and seen == {False, True}:
            break
        moment = 0.3 + 0.06 * (step % 14)
        began = time.monotonic()
        with subprocess.Popen(
            [*COMMAND, "--config", str(world.site.folder / "k8s-ecmp.yaml"), "apply", "--yes"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                process.wait(whole_s * moment)
                whole_s = time.monotonic() - began  # as long as it takes now: the machine has other work at times
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                whole_s *= max(1, moment)
        for router in world.routers:
            router.await_unlocked()
        for router in world.routers if step % 2 else ():  # else the next run heals what is still under way
            name = router.name
            wait_for(lambda router=router: settled_at_once(router), f"{name} has no change pending")
            ours = world.ours(router)
            assert ours in (set(), wanted[name]), f"step {step}: {name} is between old and new: {sorted(ours)}"
            assert world.foreign(router) == foreign[name]
            seen.add(bool(ours))
        healed = world.run("apply", "--yes")
        assert healed.code == 0, healed.out + healed.err
        for router in world.routers:
            assert world.ours(router) == wanted[router.name]
        world.remove_ours()
    assert seen == {False, True}, "the moments of the kills were not spread over the whole run"


def test_a_foreign_route_that_comes_while_we_stage_stops_the_change(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = world.routers[0]
    foreign = "ip route 10.97.10.1/32 192.0.2.77"
    settings = load_settings(world.site.folder / "k8s-ecmp.yaml")
    nornir = select(init_nornir(settings, world.site.folder), [router.name], [])
    intent = runs.observe(settings)
    plan = runs.assemble(intent, run(nornir, plan_routes, intent=intent))
    stage = Transaction.stage

    def interrupted(self: Transaction, *arguments: Any, **options: Any) -> Any:
        staged = stage(self, *arguments, **options)
        router.configure(foreign)
        return staged

    monkeypatch.setattr(Transaction, "stage", interrupted)
    try:
        (result,) = list(roll_out(nornir, settings, plan.routers))
        assert result.outcome == "refused"
        assert "while the plan was being staged" in str(result.error)
        assert world.ours(router) == set()
        assert foreign in router.running_config().splitlines()
    finally:
        router.configure(f"no {foreign}")


DIE_BEFORE_CONFIRM = """
import json, os, signal, sys
from k8s_ecmp.routers.drivers.frr import FrrDriver
driver = FrrDriver(**json.loads(sys.argv[1]))
driver.open()
driver.load_merge_candidate(config=sys.argv[2])
driver.commit_config(revert_in=600)
print("committed", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_change_that_a_dead_run_left_is_told_by_plan_and_taken_back_by_apply(world: World) -> None:
    router = world.routers[0]
    lines = "ip route 10.99.0.0/16 10.192.0.1 tag 4201\n"
    python = str(Path(COMMAND[0]).parent / "python")
    done = subprocess.run(
        [python, "-c", DIE_BEFORE_CONFIRM, json.dumps(router.login()), lines],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-9, "committed\n"), done.stderr
    assert lines.strip() in world.ours(router)
    for command in ("plan", "verify"):
        found = world.run(command)
        assert found.code == 1
        assert "waits for its confirm" in found.out
    router.await_unlocked()
    assert world.run("apply", "--yes").code == 0
    assert lines.strip() not in world.ours(router)
    assert len(world.ours(router)) == 16
    assert world.run("plan").code == 0


def test_plan_files_name_the_stale_router(world: World) -> None:
    path = world.site.folder / "today.plan"
    assert world.run("plan", "--out", str(path)).code == 2
    world.routers[1].configure("ip route 10.97.10.2/32 10.192.0.3 tag 4201")
    done = world.run("apply", str(path))
    assert done.code == 3
    assert "r2" in done.err
    assert world.ours(world.routers[0]) == set()
    world.routers[1].configure("no ip route 10.97.10.2/32 10.192.0.3")
    assert world.run("apply", str(path)).code == 0
    assert json.loads(path.read_text())["routers"][1]["commands"]
