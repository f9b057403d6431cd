"""The way back on a router that has none of its own: the inverse patch, and what somebody else has changed meanwhile."""

import contextlib
from pathlib import Path

import pytest
import yaml

from k8s_ecmp.errors import CommitFailed, RouterError, VerifyFailed
from k8s_ecmp.model import NextHop, RouteChange
from k8s_ecmp.routers.applying import taken_back_on_error
from k8s_ecmp.routers.connection import connect
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.port import Port
from k8s_ecmp.routers.transaction import Transaction
from k8s_ecmp.settings import Settings
from tests.core.build import OWNER, TAG, p
from tests.routers.vendors.rack import Rack
from tests.site import new_site
from tests.world.emulators import emulator

pytestmark = pytest.mark.slow

HOP = NextHop("10.192.0.1", tag=TAG, name=OWNER)
FIRST, SECOND = "10.96.1.0/24", "10.96.2.0/24"


@pytest.mark.parametrize("foreign", [None, SECOND])
def test_what_others_changed_is_left_alone_and_the_rest_is_taken_back(tmp_path: Path, foreign: str | None) -> None:
    with emulator("nxos")(tmp_path) as device:
        (tmp_path / "hosts.yaml").write_text(yaml.safe_dump({"r1": device.host()}))
        settings = Settings(owner=OWNER, tag=TAG, inventory=str(tmp_path))
        nornir = init_nornir(settings, tmp_path)
        host = nornir.inventory.hosts["r1"]
        session = Transaction(connect(host, nornir.config), Port.of(host))
        before = device.running()
        session.begin()
        changes = [RouteChange.between("default", p(prefix), (), (HOP,)) for prefix in (SECOND, FIRST)]
        session.stage(changes, session.read())
        session.commit(0, 2)
        assert {FIRST, SECOND} <= {prefix for _, prefix in device.routes()}
        if foreign is None:
            session.rollback()
            assert device.running() == before
        else:
            device.type(f"ip route {foreign} 10.192.0.66")
            with pytest.raises(CommitFailed, match=rf"{foreign} was changed by somebody else.*everything else"):
                session.rollback()
            assert ("default", FIRST) not in device.routes()
            assert device.routes()["default", foreign] == {"10.192.0.1", "10.192.0.66"}
        session.discard()
        nornir.close_connections()


def test_a_way_back_beside_others_that_is_not_saved_says_so(tmp_path: Path) -> None:
    with emulator("nxos")(tmp_path) as device:
        (tmp_path / "hosts.yaml").write_text(yaml.safe_dump({"r1": device.host()}))
        nornir = init_nornir(Settings(owner=OWNER, tag=TAG, inventory=str(tmp_path)), tmp_path)
        host = nornir.inventory.hosts["r1"]
        session = Transaction(connect(host, nornir.config), Port.of(host))
        session.begin()
        changes = [RouteChange.between("default", p(prefix), (), (HOP,)) for prefix in (SECOND, FIRST)]
        session.stage(changes, session.read())
        session.commit(0, 2)
        device.type(f"ip route {SECOND} 10.192.0.66")
        device.faults.full_disk = True
        with pytest.raises(CommitFailed, match=rf"{SECOND} was changed.*not in the startup configuration"):
            session.rollback()
        session.discard()
        nornir.close_connections()


def test_who_overrides_foreign_lines_overrides_them_for_the_way_back(tmp_path: Path) -> None:
    """Somebody types beside each session of ours: on the switch whose neighbour in the wave fails."""
    with contextlib.ExitStack() as stack:
        switches = {}
        for name in ("eos", "nxos"):
            (tmp_path / name).mkdir()
            switches[name] = stack.enter_context(emulator(name)(tmp_path / name))
        eos = switches["eos"]
        switches["nxos"].faults.hide = {"10.97.10.1/32"}
        rack = Rack(new_site(tmp_path / "site"), switches)
        sessions: list[str] = []

        def beside() -> None:
            words = eos.transcript[-1].split() if eos.transcript else []
            if words[:2] == ["configure", "session"] and words[2] not in sessions:
                sessions.append(words[2])
                eos.type(f"ip route 10.8.{len(sessions)}.0/24 10.192.0.9")

        eos.watchers.append(beside)
        done = rack.run("apply", "--yes", "--override", "foreign-lines", "--on-failure", "rollback-wave")
        assert done.code == 1, done.out + done.err
        assert "taken back with its wave" in rack.said(done)["eos"]
        assert "rolled-back" in rack.said(done)["eos"]
        assert len(sessions) > 1
        assert rack.ours("eos") == {}


def test_what_the_router_warns_of_goes_along_with_a_way_back_that_fails(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        switches = {}
        for name in ("junos", "nxos"):
            (tmp_path / name).mkdir()
            switches[name] = stack.enter_context(emulator(name)(tmp_path / name))
        junos = switches["junos"]
        switches["nxos"].faults.hide = {"10.97.10.1/32"}
        rack = Rack(new_site(tmp_path / "site"), switches)

        def damage() -> None:
            if rack.ours("junos") and not junos.pending():
                junos.faults.warning, junos.faults.warns_at = "requires 'bgp' license", frozenset({"load"})
                junos.faults.full_disk = True

        junos.watchers.append(damage)
        done = rack.run("apply", "--yes", "--on-failure", "rollback-wave")
        assert done.code == 1, done.out + done.err
        assert "taken back with its wave" in rack.said(done)["junos"]
        assert "but that failed" in rack.said(done)["junos"]
        assert "the router warns: " in rack.said(done)["junos"]


@pytest.mark.parametrize("lost", [False, True])
def test_what_was_typed_and_cannot_be_found_is_never_said_to_be_taken_back(
    tmp_path: Path, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The switch shows nothing of a change that is in force; after a lost connection, too."""
    with emulator("nxos_ssh" if lost else "nxos")(tmp_path) as device:
        (tmp_path / "hosts.yaml").write_text(yaml.safe_dump({"r1": device.host()}))
        settings = Settings(owner=OWNER, tag=TAG, inventory=str(tmp_path))
        nornir = init_nornir(settings, tmp_path)
        host = nornir.inventory.hosts["r1"]
        driver = connect(host, nornir.config)
        session = Transaction(driver, Port.of(host))
        before = device.running()
        session.begin()
        session.stage([RouteChange.between("default", p(FIRST), (), (HOP,))], session.read())
        session.commit(0, 1)
        monkeypatch.setattr(device, "_printed", lambda *_: before)
        if lost:
            driver.close()
        with pytest.raises(RouterError, match="nothing of it stands in what was read"), taken_back_on_error(session):
            raise VerifyFailed("a hop lacks")
        assert ("default", FIRST) in device.routes()
        session.discard()
