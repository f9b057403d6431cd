"""A change that keeps newcomers out is not confirmed: on real FRR routers, whose firewall lets one SSH session in."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s_ecmp.errors import VerifyFailed
from k8s_ecmp.routers.drivers.frr.note import Note
from k8s_ecmp.routers.drivers.frr.session import Session
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.standing import StandingSession
from k8s_ecmp.settings import NewConnection, RolloutSettings, Settings
from tests.core.build import TAG
from tests.routers.test_standing import HOST, OWNER, allowed, fib, step
from tests.site import Outcome, new_site
from tests.world.edge import FOREIGN, LINKS
from tests.world.frr import FrrRouter, Link
from tests.world.netns import wait_for
from tests.world.test_cli_on_frr import World

pytestmark = pytest.mark.world

ONE_SESSION = """
table inet gate {
  chain input {
    type filter hook input priority 0;
    tcp dport 22 ct state new ct count over 1 reject with tcp reset
  }
}
"""
"""Who is in stays in; while somebody is, nobody else gets in."""


def close(router: FrrRouter, inside: int = 0) -> None:
    """When all sessions but those `inside` have ended: the last packets of one would count as a session, and ours as
    the second."""
    wait_for(lambda: len(sessions(router)) == inside, f"no session but {inside}")
    router.netns.run("nft", "-f", "-", input=ONE_SESSION)


def sessions(router: FrrRouter) -> list[str]:
    """TCP connections at sshd's end that may still send something."""
    rows = router.netns.run("ss", "-Htan", "sport", "=", ":22").splitlines()
    return [row for row in rows if row.split()[0] not in ("LISTEN", "TIME-WAIT")]


def reopen(router: FrrRouter) -> None:
    router.netns.run("nft", "flush", "ruleset")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[FrrRouter]]:
    folder = tmp_path_factory.mktemp("routers")
    with (
        FrrRouter("r1", folder, links=LINKS, config=FOREIGN) as first,
        FrrRouter("r2", folder, links=LINKS, config=FOREIGN) as second,
    ):
        yield [first, second]


@pytest.fixture
def world(started: list[FrrRouter], tmp_path: Path) -> Iterator[World]:
    made = World(started, new_site(tmp_path / "site"), {router.name: router.running_config() for router in started})
    made.hosts()
    yield made
    for router in started:
        reopen(router)
    made.reset()


def apply(world: World, *, here: bool = False, **rollout: object) -> Outcome:
    world.site.settings(rollout={"canary": 1, "confirm_within_s": 120, "verify_timeout_s": 60, **rollout})
    return (world.site.run_here if here else world.run)("apply", "--yes")


@pytest.mark.parametrize("confirm_within_s", [120, 0])
def test_nobody_new_gets_in_and_the_change_is_taken_back(world: World, confirm_within_s: int) -> None:
    """With a timer and without one: the connection that committed lives, and has the router go back at once."""
    close(world.routers[0])
    done = apply(world, confirm_within_s=confirm_within_s, verify_timeout_s=1)
    assert done.code == 1, done.out + done.err
    assert "after the commit no new connection could be opened" in done.out
    assert "taken back, by the router, our routes are as before the commit" in done.out
    assert [len(world.ours(router)) for router in world.routers] == [0, 0]
    assert world.routers[0].running_config() == world.clean["r1"]
    rows = world.run("history", "--format", "json", "--router", "r1").json()["entries"]
    assert rows[0]["outcome"] == "rolled-back"
    reopen(world.routers[0])
    assert apply(world).code == 0
    assert world.run("verify").code == 0


@pytest.mark.parametrize("confirm_within_s", [120, 0])
def test_nothing_of_the_configuration_is_left_in_the_work_directory(world: World, confirm_within_s: int) -> None:
    assert apply(world, confirm_within_s=confirm_within_s).code == 0
    for router in world.routers:
        assert HOST not in router.run("sh", "-c", "cat /run/k8s-ecmp/*")


def test_the_connection_that_committed_verifies_where_the_settings_say_so(world: World) -> None:
    close(world.routers[0])
    done = apply(world, new_connection="never")
    assert done.code == 0, done.out + done.err
    assert world.ours(world.routers[0])


def test_the_new_connection_starts_no_vtysh(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[str] = []
    start = Session.start

    def noted(session: Session, command: str, *, errors_apart: bool = False) -> Any:
        started.append(command)
        return start(session, command, errors_apart=errors_apart)

    plan = tmp_path / "reviewed.plan"
    assert world.run("plan", "--out", str(plan)).code == 2
    monkeypatch.setattr(Session, "start", noted)
    done = world.site.run_here("apply", str(plan))
    assert done.code == 0, done.out + done.err
    assert "exec vtysh" not in started
    assert sum("cat '/run/k8s-ecmp/note'" in command for command in started) == len(world.routers)


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text.replace("k8s-ecmp-next", "k8s-ecmp-nex"),
        lambda text: re.sub(r"^ip route .* tag 4201\n", "", text, flags=re.MULTILINE),
        lambda text: re.sub(r"^\{\n", "[", text, flags=re.MULTILINE),
        lambda text: text.replace('"installed":true', '"installed":false'),
    ],
    ids=["cut off", "lines are missing", "no JSON", "not installed"],
)
def test_nothing_is_taken_back_for_what_the_router_only_wrote_down(
    world: World, written: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked again, and what it says then counts."""
    whole, spoiled = Note.answers, []

    def answers(note: Note, text: str) -> dict[str, str]:
        spoiled.append(written(text) != text)
        return whole(note, written(text))

    monkeypatch.setattr(Note, "answers", answers)
    done = apply(world, here=True)
    assert done.code == 0, done.out + done.err
    assert spoiled == [True, True]
    assert world.ours(world.routers[0])
    assert world.run("verify").code == 0


@pytest.mark.parametrize(("new_connection", "held"), [("apply", True), ("always", False)])
def test_a_session_that_stays_open_asks_for_a_new_connection_where_the_settings_say_so(
    tmp_path: Path, new_connection: NewConnection, held: bool
) -> None:
    links = [Link("lan0", ["10.0.0.254/24", "fd00::fe/64"])]
    with FrrRouter("r1", tmp_path / "frr", links=links) as router:
        session = _standing(router, tmp_path, new_connection, verify_timeout_s=60 if held else 10)
        session.commit(step(session, "n1"), allowed)
        fib(router, "10.0.0.1")
        close(router, inside=1)
        if held:
            session.commit(step(session, "n1", "n2"), allowed)
            fib(router, "10.0.0.1", "10.0.0.2")
        else:
            before = router.running_config()
            with pytest.raises(VerifyFailed, match=r"no new connection.*taken back, by the router"):
                session.commit(step(session, "n1", "n2"), allowed)
            assert router.running_config() == before
            fib(router, "10.0.0.1")
        assert HOST in router.running_config()
        session.close()


def _standing(
    router: FrrRouter, folder: Path, new_connection: NewConnection, verify_timeout_s: float
) -> StandingSession:
    inventory = folder / "inventory"
    inventory.mkdir()
    login = router.login()
    options = {"extras": {"optional_args": login["optional_args"]}}
    host = {"hostname": login["hostname"], "username": login["username"], "platform": "frr"}
    (inventory / "hosts.yaml").write_text(yaml.safe_dump({"r1": host | {"connection_options": {"napalm": options}}}))
    rollout = RolloutSettings(verify_timeout_s=verify_timeout_s, new_connection=new_connection)
    settings = Settings(owner=OWNER, tag=TAG, inventory=str(inventory), rollout=rollout)
    nornir = init_nornir(settings, folder)
    session = StandingSession(nornir.inventory.hosts["r1"], nornir.config, settings)
    session.connect()
    session.read(recover=True)
    return session
