"""A session that stays open, on every router behind one of NAPALM's drivers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from k8s_ecmp.core.plan import plan_prefixes
from k8s_ecmp.core.rules import Rules
from k8s_ecmp.errors import NotLeading, PlanRefused
from k8s_ecmp.model import RouterPlan
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.standing import StandingSession
from k8s_ecmp.settings import GuardSettings, RolloutSettings, Settings
from tests.core.build import OWNER, TAG, cluster, decided, endpoints, node, p, service
from tests.world.emulators import NAMES, emulator
from tests.world.emulators.base import Emulator
from tests.world.emulators.junos import Junos

pytestmark = [pytest.mark.slow, pytest.mark.long]

HOST = "10.96.0.10/32"
FREE = Rules(TAG, OWNER, GuardSettings(max_withdrawn_fraction=1))


@dataclass
class Standing:
    session: StandingSession
    device: Emulator

    def plan(self, *where: str) -> RouterPlan:
        """A Local service with endpoints on these nodes, and nothing else."""
        state = cluster(
            *(node(f"n{number}", f"10.192.0.{number}") for number in (1, 2, 3)),
            service("web", "10.96.0.10", etp="Local"),
            endpoints("web", *where),
        )
        table = self.session.table
        assert table is not None
        return plan_prefixes(self.session.view, self.session.port.traits, decided(state), table, FREE, scope={p(HOST)})

    def commit(self, *where: str) -> None:
        planned = self.plan(*where)
        changes = tuple(change for change in planned.changes if str(change.prefix) == HOST)
        assert changes
        self.session.commit(RouterPlan(planned.name, planned.platform, "changes", changes=changes), lambda: None)

    def hops(self) -> frozenset[str]:
        return self.device.routes().get(("default", HOST), frozenset())


@pytest.fixture(params=NAMES)
def standing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Standing]:
    folder = tmp_path / "device"
    folder.mkdir()
    with emulator(request.param)(folder) as device:
        inventory = tmp_path / "inventory"
        inventory.mkdir()
        (inventory / "hosts.yaml").write_text(yaml.safe_dump({"r1": device.host()}))
        rollout = RolloutSettings(verify_timeout_s=5, confirm_within_s=60)
        settings = Settings(owner=OWNER, tag=TAG, inventory=str(inventory), rollout=rollout)
        nornir = init_nornir(settings, tmp_path)
        session = StandingSession(nornir.inventory.hosts["r1"], nornir.config, settings)
        session.connect()
        session.read(recover=True)
        yield Standing(session, device)
        session.close()


def test_one_session_makes_many_changes(standing: Standing) -> None:
    others = standing.device.others(TAG)
    for where in (("n1",), ("n1", "n2"), ("n2", "n3")):
        standing.commit(*where)
        assert standing.hops() == {f"10.192.0.{name[1]}" for name in where}
        assert standing.session.drift_in_tables() == ()
        standing.session.check()
    known, again = standing.session.table, standing.session.read(recover=False)
    assert known is not None
    assert known.owned.keys() == again.owned.keys()
    assert not standing.device.pending()
    assert standing.device.others(TAG) == others


def test_without_permission_nothing_is_written_and_nothing_is_left_behind(standing: Standing) -> None:
    before = standing.device.running()

    def refused() -> None:
        raise NotLeading("somebody else leads")

    with pytest.raises(NotLeading):
        standing.session.commit(standing.plan("n1"), refused)
    assert standing.device.running() == before
    standing.session.read(recover=True)
    standing.commit("n1")
    assert standing.hops() == {"10.192.0.1"}


@pytest.mark.parametrize("standing", ["eos"], indirect=True)
def test_what_somebody_types_beside_a_session_is_not_lost(standing: Standing) -> None:
    """Not even where hops only go: the session would overwrite it."""
    standing.commit("n1", "n2")
    device = standing.device

    def type_beside() -> None:
        if device.transcript[-1].endswith(" diffs"):
            device.watchers.remove(type_beside)
            device.type("ip route 10.8.0.0/16 10.192.0.9")

    device.watchers.append(type_beside)
    with pytest.raises(PlanRefused, match="other lines on router r1 were changed by somebody else"):
        standing.commit("n1")
    assert ("default", "10.8.0.0/16") in device.routes()
    standing.session.read(recover=True)
    standing.commit("n1")
    assert standing.hops() == {"10.192.0.1"}
    assert ("default", "10.8.0.0/16") in device.routes()


@pytest.mark.parametrize("standing", ["junos"], indirect=True)
def test_a_connection_that_is_lost_behind_the_confirm_takes_nothing_back(standing: Standing) -> None:
    device = standing.device
    assert isinstance(device, Junos)

    def cut() -> None:
        if device.transcript[-1].startswith("unlock-configuration"):
            device.watchers.remove(cut)
            device.stop_sessions()

    device.watchers.append(cut)
    standing.commit("n1")
    assert device.watchers == []
    assert standing.hops() == {"10.192.0.1"}
    assert standing.session.table is None
    standing.session.connect()
    standing.session.read(recover=True)
    standing.commit("n1", "n2")
    assert standing.hops() == {"10.192.0.1", "10.192.0.2"}


def test_next_hops_that_do_not_answer_are_asked_for_when_it_is_told_to(standing: Standing) -> None:
    standing.device.faults.silent = {"10.192.0.2"}
    standing.commit("n1", "n2")
    told = [text.split(" does not answer ARP")[0] for text in standing.session.silent_hops()]
    shows = standing.session.port.capabilities.neighbours
    assert told == (["next hop 10.192.0.2"] if shows else [])
