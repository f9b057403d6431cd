"""The way back on a router that has none of its own: the inverse patch, and what somebody else has changed meanwhile."""

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
