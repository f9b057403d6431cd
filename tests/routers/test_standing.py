"""A session that stays open, on a real FRR router: fast because it remembers, safe because it notices."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import pytest
import yaml

from k8s_ecmp.core.plan import plan_prefixes
from k8s_ecmp.core.rules import Rules
from k8s_ecmp.errors import LockHeld, NotLeading, PlanRefused, RouterError, Unreachable, VerifyFailed
from k8s_ecmp.model import Prefix, RouterPlan
from k8s_ecmp.routers.drivers.frr import FrrDriver
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.standing import StandingSession
from k8s_ecmp.settings import GuardSettings, RolloutSettings, Settings
from tests.core.build import TAG, cluster, decided, endpoints, node, p, service
from tests.world.cutting import cut_in_the_next_commit, spoil_the_next_way_back
from tests.world.frr import FrrRouter, Link
from tests.world.netns import wait_for

pytestmark = pytest.mark.world

OWNER = "prod-eu1"
HOST = "10.96.0.10/32"
FREE = Rules(TAG, OWNER, GuardSettings(max_withdrawn_fraction=1))
LINE = "ip route 10.96.0.10/32 {} tag 4201"


def allowed() -> None:
    """Everybody may write."""


@pytest.fixture
def router(tmp_path: Path) -> Iterator[FrrRouter]:
    links = [Link("lan0", ["10.0.0.254/24", "fd00::fe/64"])]
    with FrrRouter("r1", tmp_path / "frr", links=links, config="ip route 172.16.0.0/24 10.0.0.200\n") as made:
        yield made


@pytest.fixture
def session(router: FrrRouter, tmp_path: Path) -> Iterator[StandingSession]:
    with contextlib.closing(standing(router, tmp_path)) as made:
        made.connect()
        made.read(recover=True)
        yield made


def standing(
    router: FrrRouter,
    tmp_path: Path,
    username: str = "netops",
    verify_timeout_s: float = 60,
    mode: Literal["full", "observe"] = "full",
) -> StandingSession:
    login = router.login(username)
    host = {
        "hostname": login["hostname"],
        "username": login["username"],
        "platform": "frr",
        "connection_options": {"napalm": {"extras": {"optional_args": login["optional_args"]}}},
    }
    inventory = tmp_path / "inventory"
    inventory.mkdir(parents=True)
    (inventory / "hosts.yaml").write_text(yaml.safe_dump({"r1": host}))
    rollout = RolloutSettings(verify_timeout_s=verify_timeout_s)
    settings = Settings(owner=OWNER, tag=TAG, inventory=str(inventory), rollout=rollout, mode=mode)
    nornir = init_nornir(settings, tmp_path)
    return StandingSession(nornir.inventory.hosts["r1"], nornir.config, settings)


def plan(session: StandingSession, *where: str, scope: tuple[str, ...] | None = (HOST,)) -> RouterPlan:
    """A Local service with endpoints on these nodes, and nothing else."""
    state = cluster(
        *(node(f"n{number}") for number in (1, 2, 3)),
        service("web", "10.96.0.10", etp="Local"),
        endpoints("web", *where),
    )
    table = session.table
    assert table is not None
    wanted: set[Prefix] | None = None if scope is None else {p(text) for text in scope}
    desired = decided(state)
    return plan_prefixes(session.view, session.port.traits, desired, table, FREE, scope=wanted)


def only(changed: RouterPlan, prefix: str = HOST) -> RouterPlan:
    return msgspec.structs.replace(changed, changes=tuple(c for c in changed.changes if c.prefix == p(prefix)))


def step(session: StandingSession, *where: str) -> RouterPlan:
    return only(plan(session, *where))


def fib(router: FrrRouter, *hops: str) -> None:
    wait_for(lambda: router.fib(HOST.removesuffix("/32")) == set(hops), f"{hops} in the FIB")


def shows(router: FrrRouter, protocol: str) -> None:
    """Returns when FRR knows of a route that somebody else gave to the kernel; what is configured before that wins."""
    wait_for(lambda: f'"{protocol}"' in router.vtysh(f"show ip route {HOST} json"), f"FRR has the {protocol} route")


def drift(session: StandingSession, *wanted: str) -> None:
    """FRR hears a little later that the kernel has taken its routes."""
    wait_for(lambda: session.drift_in_tables() == wanted, f"the drift is {wanted}")


def test_many_commits_read_the_configuration_once(router: FrrRouter, session: StandingSession) -> None:
    session.commit(step(session, "n1"), allowed)
    keeping = session._keeping
    assert keeping is not None
    reads = keeping.reads
    for where in (("n1", "n2"), ("n2", "n3"), ("n1", "n2", "n3"), ("n3",)):
        session.commit(step(session, *where), allowed)
        fib(router, *(f"10.0.0.{name[1]}" for name in where))
    assert session._keeping is keeping
    assert keeping.reads == reads
    known = session.table
    assert known is not None
    again = session.read(recover=False)
    assert (set(known.owned), known.size) == (set(again.owned), again.size)
    assert sorted(known.running.text.split("\n")) == sorted(again.running.text.split("\n"))
    assert "ip route 172.16.0.0/24 10.0.0.200\n" in router.running_config()


def test_a_hop_typed_in_by_hand_is_seen_before_ours_joins_it(router: FrrRouter, session: StandingSession) -> None:
    session.commit(step(session, "n1"), allowed)
    router.configure("ip route 10.96.0.10/32 10.0.0.99")
    fib(router, "10.0.0.1", "10.0.0.99")
    before = router.running_config()
    with pytest.raises(PlanRefused, match=r"10\.96\.0\.10/32 on router r1 was changed by somebody else"):
        session.commit(step(session, "n1", "n2"), allowed)
    assert router.running_config() == before
    assert session.table is None
    session.read(recover=True)
    assert plan(session, "n1", "n2").conflicts


def test_a_floating_route_is_kept_behind_a_better_one(router: FrrRouter, session: StandingSession) -> None:
    session.view = session.view._replace(distance=250)
    router.ip(f"route add {HOST} via 10.0.0.200")
    shows(router, "kernel")
    fib(router, "10.0.0.200")
    for where in (("n1",), ("n1", "n2"), ("n2", "n3")):
        (warning,) = session.commit(step(session, *where), allowed)
        assert warning == f"{HOST} is not in use: the router prefers kernel with distance 0, ours has 250"
        assert session.drift_in_tables() == ()
    fib(router, "10.0.0.200")
    router.configure(f"ip route {HOST} 10.0.0.99 250")
    wait_for(lambda: "10.0.0.99" in router.vtysh(f"show ip route {HOST} json"), "the table has what was typed")
    before = router.running_config()
    with pytest.raises(PlanRefused, match=r"10\.96\.0\.10/32 on router r1 was changed by somebody else"):
        session.commit(step(session, "n1", "n2", "n3"), allowed)
    assert router.running_config() == before
    router.configure(f"no ip route {HOST} 10.0.0.99 250")
    session.read(recover=True)
    router.ip(f"route del {HOST} via 10.0.0.200")
    fib(router, "10.0.0.2", "10.0.0.3")
    drift(session)


def test_a_line_without_effect_at_a_prefix_that_is_new_to_us_is_seen(
    router: FrrRouter, session: StandingSession
) -> None:
    router.configure("ip route 10.96.0.10/32 192.0.2.1")
    before = router.running_config()
    with pytest.raises(PlanRefused, match=r"10\.96\.0\.10/32 on router r1 was changed by somebody else"):
        session.commit(step(session, "n1"), allowed)
    assert router.running_config() == before


def test_a_hop_of_ours_with_an_interface_is_put_right(router: FrrRouter, session: StandingSession) -> None:
    router.configure("ip route 10.96.0.10/32 10.0.0.1 lan0 tag 4201")
    fib(router, "10.0.0.1")
    session.read(recover=True)
    drift(session)
    session.commit(step(session, "n1", "n2"), allowed)
    fib(router, "10.0.0.1", "10.0.0.2")
    assert "lan0 tag 4201" not in router.running_config()


def test_what_does_not_show_is_named(router: FrrRouter, tmp_path: Path) -> None:
    router.ip("addr", "add", "10.96.0.10/32", "dev", "lo")
    shows(router, "connected")
    with contextlib.closing(standing(router, tmp_path, verify_timeout_s=10)) as session:  # so long it takes to fail
        session.connect()
        session.read(recover=True)
        with pytest.raises(VerifyFailed, match="was taken back") as failed:
            session.commit(plan(session, "n1", scope=None), allowed)
    assert failed.value.prefixes == (p(HOST),)
    assert "tag 4201" not in router.running_config()


def test_another_session_of_this_tool_is_noticed(router: FrrRouter, session: StandingSession) -> None:
    session.commit(step(session, "n1"), allowed)
    other = FrrDriver(**router.login())
    with other:
        other.load_merge_candidate(config="no ip route 10.96.0.10/32 10.0.0.1 tag 4201\n")
        other.commit_config()
    with pytest.raises(PlanRefused, match="another session has changed router r1"):
        session.commit(step(session, "n2"), allowed)
    assert "10.96.0.10" not in router.running_config()
    session.read(recover=True)
    session.commit(step(session, "n2"), allowed)
    fib(router, "10.0.0.2")


def test_permission_is_asked_before_anything_is_written(router: FrrRouter, session: StandingSession) -> None:
    before = router.running_config()

    def refused() -> None:
        assert router.running_config() == before
        raise NotLeading("somebody else leads")

    with pytest.raises(NotLeading):
        session.commit(step(session, "n1"), refused)
    assert router.running_config() == before
    session.read(recover=True)
    session.commit(step(session, "n1"), allowed)
    fib(router, "10.0.0.1")


def test_drift_of_the_tables_is_found(router: FrrRouter, session: StandingSession) -> None:
    session.commit(step(session, "n1", "n2"), allowed)
    fib(router, "10.0.0.1", "10.0.0.2")
    assert session.drift_in_tables() == ()
    router.vtysh("configure terminal", "interface lan0", "shutdown", "end")
    wait_for(lambda: not router.fib("10.96.0.10"), "the link is down")
    # Hops that cannot be resolved are no drift: nothing that we write would mend it.
    drift(session)
    router.vtysh("configure terminal", "interface lan0", "no shutdown", "end")
    fib(router, "10.0.0.1", "10.0.0.2")
    router.configure("no ip route 10.96.0.10/32 10.0.0.2 tag 4201")
    fib(router, "10.0.0.1")
    drift(session, "10.96.0.10/32 in the routing table lacks 10.0.0.2")


def test_a_session_that_was_lost_says_so(router: FrrRouter, session: StandingSession) -> None:
    session.check()
    session._driver._remote.close()
    with pytest.raises(RouterError, match="the session was lost"):
        session.check()
    session.connect()
    assert session.table is None
    session.read(recover=True)
    session.commit(step(session, "n1"), allowed)
    fib(router, "10.0.0.1")


def test_a_session_that_is_lost_while_the_router_commits_promises_nothing(
    router: FrrRouter, session: StandingSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next reading keeps what was applied: no timer takes it back."""
    cut_in_the_next_commit(router, monkeypatch)
    with pytest.raises(Unreachable, match="whole or not at all, which the next reading finds out"):
        session.commit(step(session, "n1"), allowed)
    session.connect()
    wait_for(lambda: recovers(session), "the lost session's lock is free")
    fib(router, "10.0.0.1")


def test_a_way_back_that_the_router_could_not_go_to_its_end_promises_nothing(
    router: FrrRouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    router.ip("addr", "add", HOST, "dev", "lo")
    shows(router, "connected")
    spoil_the_next_way_back(router, monkeypatch)
    with contextlib.closing(standing(router, tmp_path, verify_timeout_s=1)) as session:
        session.connect()
        session.read(recover=True)
        with pytest.raises(RouterError, match=r"not everything could be taken back.*is not verified") as failed:
            session.commit(plan(session, "n1", scope=None), allowed)
        assert "whole or not at all" not in str(failed.value)
        assert session.table is None  # it is read before anything else is done
        router.ip("addr", "del", HOST, "dev", "lo")
        session.connect()
        session.read(recover=True)
        session.commit(step(session, "n1"), allowed)
        fib(router, "10.0.0.1")


def test_what_a_lost_session_did_not_save_is_saved_by_the_next(router: FrrRouter, tmp_path: Path) -> None:
    session = standing(router, tmp_path, "root")
    session.connect()
    session.read(recover=True)
    session.commit(step(session, "n1"), allowed)
    router.kill_sshd()
    router.start_sshd()
    with pytest.raises(RouterError):
        session.save_startup()
    session.close()
    assert LINE.format("10.0.0.1") not in router.run("cat", "/etc/frr/frr.conf")
    session.connect()
    assert session.saves_later
    session.save_startup()
    assert not session.saves_later
    assert LINE.format("10.0.0.1") in router.run("cat", "/etc/frr/frr.conf")
    session.close()


def test_what_a_process_that_died_did_not_save_is_saved_by_the_next(router: FrrRouter, tmp_path: Path) -> None:
    died = FrrDriver(**router.login("root"))
    died.open()
    died.load_merge_candidate(config=LINE.format("10.0.0.1"))
    died.commit_config()
    died._remote.close()
    router.await_unlocked()
    looks = standing(router, tmp_path / "looks", "root", mode="observe")
    looks.connect()
    assert not looks.saves_later
    looks.close()
    session = standing(router, tmp_path, "root")
    session.connect()
    assert session.saves_later
    waiting = FrrDriver(**router.login("root"))
    waiting.open()
    waiting.load_merge_candidate(config=LINE.format("10.0.0.2"))
    waiting.commit_config(revert_in=600)
    session.save_startup()
    assert session.saves_later  # what waits for its confirm is not saved
    waiting.confirm_commit()
    session.save_startup()
    assert not session.saves_later
    assert LINE.format("10.0.0.1") in router.run("cat", "/etc/frr/frr.conf")
    waiting.close()
    session.close()
    session.connect()
    assert not session.saves_later
    session.close()


def test_a_commit_of_a_lost_session_that_is_kept_is_saved(router: FrrRouter, session: StandingSession) -> None:
    lost = FrrDriver(**router.login())
    lost.open()
    lost.load_merge_candidate(config=LINE.format("10.0.0.1"))
    lost.commit_config(revert_in=600)
    lost._remote.close()
    assert not session.saves_later
    wait_for(lambda: recovers(session), "the lost session's lock is free")
    assert session.saves_later
    assert LINE.format("10.0.0.1") in router.running_config()


def recovers(session: StandingSession) -> bool:
    try:
        session.read(recover=True)
    except LockHeld:
        return False
    return True
