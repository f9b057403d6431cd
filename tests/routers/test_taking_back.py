"""The way back on a router that has none of its own: the inverse patch, and what somebody else has changed meanwhile."""

from pathlib import Path

import pytest
import yaml

from k8s_ecmp.errors import CommitFailed
from k8s_ecmp.model import NextHop, RouteChange
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
