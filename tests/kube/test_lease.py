"""The elector against a real API server: one writer at a time, whatever stands still, jumps or is lost."""

import itertools
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.kube.lease import Clocks, Elector
from k8s_ecmp.kube.lease_object import lease_name
from k8s_ecmp.settings import ClusterSettings, LeaseSettings
from tests.kube.relay import PutOff, Relay
from tests.site import REPO
from tests.world.kube.server import ADMIN, READER, Failed, KubeApi
from tests.world.netns import wait_for

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
CALM: dict[str, Any] = {"duration_s": 30, "renew_deadline_s": 20, "retry_s": 0.2}
# For those that wait for an expiry.
FAST: dict[str, Any] = {"duration_s": 5, "renew_deadline_s": 3.5, "retry_s": 0.2}
# Nothing happens by itself within a test's time.
SLOW: dict[str, Any] = {"duration_s": 300, "renew_deadline_s": 200, "retry_s": 100}

Make = Callable[..., Elector]


class World:
    """Electors for one Lease, all stopped at the end."""

    def __init__(self, kube: KubeApi, folder: Path, owner: str) -> None:
        self.kube = kube
        self.folder = folder
        self.owner = owner
        self.config = kube.kubeconfig(folder / "config")
        self.electors: list[Elector] = []
        self.processes: list[subprocess.Popen[str]] = []

    def elector(self, *, config: Path | None = None, start: bool = True, **options: Any) -> Elector:
        """`options` are the Lease's settings, and the elector's `on_change` and `clocks`."""
        own = {key: options.pop(key) for key in ("on_change", "clocks") if key in options}
        settings = LeaseSettings(**{**CALM, **options})
        made = Elector(ClusterSettings(kubeconfig=str(config or self.config)), settings, self.owner, **own)
        self.electors.append(made)
        if start:
            made.start()
        return made

    def leader(self, **options: Any) -> Elector:
        made = self.elector(**options)
        wait_for(lambda: made.leading, "the elector leads")
        return made

    def process(self, identity: str) -> "Candidate":
        return Candidate(self, identity)

    @property
    def path(self) -> str:
        return f"{LEASES}/k8s-ecmp-{self.owner}"

    def lease(self) -> Any:
        return self.kube.get(self.path)

    def held_by(self, holder: str, **spec: Any) -> None:
        """Writes a Lease as a daemon of that name would have."""
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": f"k8s-ecmp-{self.owner}"},
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": 3600,
                "acquireTime": "2026-01-01T00:00:00.000000Z",
                "renewTime": "2026-01-01T00:00:00.000000Z",
                **spec,
            },
        }
        self.kube.request("POST", LEASES, body)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for elector in self.electors:
            elector.stop()
        try:
            self.kube.request("DELETE", self.path)
        except Failed as error:
            if "404" not in str(error):
                raise


class Candidate:
    """A competing process and everything it has answered so far."""

    def __init__(self, world: World, identity: str) -> None:
        times = [str(FAST[name]) for name in ("duration_s", "renew_deadline_s", "retry_s")]
        command = [sys.executable, "-m", "tests.kube.candidate", str(world.config), world.owner, *times, identity]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPO)
        world.processes.append(self.process)
        self.answers: list[tuple[float, str]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            when, _, answer = line.rstrip("\n").partition(" ")
            self.answers.append((float(when), answer))

    def writes(self) -> bool:
        return bool(self.answers) and self.answers[-1][1].endswith(" write")

    def before(self, moment: float) -> list[str]:
        """What it answered when it was asked before that; all of it, once it has answered since."""
        return [answer for when, answer in list(self.answers) if when < moment]

    def since(self, moment: float) -> list[str]:
        return [answer for when, answer in list(self.answers) if when >= moment]

    @staticmethod
    def terms(answers: Sequence[str]) -> list[int]:
        """In which it might write, one for each answer that says that it may."""
        return [int(answer.removesuffix(" write")) for answer in answers if answer.endswith(" write")]


@pytest.fixture
def world(kube_api: KubeApi, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(kube_api, tmp_path, f"t{abs(hash(request.node.name)) % 10**8}")
    yield made
    made.close()


def test_names() -> None:
    assert lease_name(LeaseSettings(), "prod") == "k8s-ecmp-prod"
    assert lease_name(LeaseSettings(name="mine"), "prod") == "mine"
    # A shard of one owner is never another owner's Lease.
    assert lease_name(LeaseSettings(), "prod", 1) != lease_name(LeaseSettings(), "prod-1")


@pytest.mark.kubeworld
def test_the_first_one_leads(world: World) -> None:
    changes: list[bool] = []
    elector: Elector = world.elector(identity="first", on_change=lambda: changes.append(elector.leading), start=False)
    assert elector.refusal() is not None
    assert (elector.leader, elector.term) == (None, 0)
    elector.start()
    wait_for(lambda: elector.leading, "the elector leads")
    assert elector.refusal() is None
    assert (elector.leader, elector.term) == ("first", 1)
    spec = world.lease()["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("first", 30)
    wait_for(lambda: world.lease()["spec"]["renewTime"] != spec["renewTime"], "it is renewed")
    assert elector.term == 1
    elector.stop()
    assert [leading for leading, _ in itertools.groupby(changes)] == [True, False]
    assert world.lease()["spec"]["holderIdentity"] == ""
    assert not elector.leading
    assert elector.refusal() is not None


@pytest.mark.kubeworld
def test_an_identity_of_its_own_by_default(world: World) -> None:
    names = {world.elector(start=False).identity for _ in range(3)}
    assert len(names) == 3


@pytest.mark.kubeworld
def test_a_released_lease_is_taken_before_it_expires(world: World) -> None:
    first = world.leader(identity="first", duration_s=300, renew_deadline_s=200, retry_s=0.1)
    second = world.elector(identity="second", duration_s=300, renew_deadline_s=200, retry_s=0.1)
    wait_for(lambda: second.leader == "first", "the standby sees the leader")
    assert "first" in str(second.refusal())
    first.stop()
    wait_for(lambda: second.leading, "the standby leads")
    assert world.lease()["spec"]["leaseTransitions"] == 1


@pytest.mark.kubeworld
def test_a_killed_leader_is_replaced(world: World) -> None:
    first = world.process("first")
    wait_for(first.writes, "the process leads")
    second = world.elector(identity="second")
    wait_for(lambda: second.leader == "first", "the standby sees it")
    first.process.kill()
    wait_for(lambda: second.leading, "the standby leads")


@pytest.mark.kubeworld
def test_a_standby_looks_oftener_than_a_leader_renews(world: World) -> None:
    """It counts the time from when it has seen a renewal."""
    retry_s, looks = 0.5, 12
    world.held_by("other")
    relay = Relay(world.kube, world.folder)
    try:
        elector = world.elector(config=relay.config, retry_s=retry_s)
        wait_for(lambda: elector.leader == "other", "it has looked")
        begun, before = time.monotonic(), relay.count("GET")
        wait_for(lambda: relay.count("GET") >= before + looks, "it looks again")
        assert time.monotonic() - begun < (looks - 1) * 0.8 * retry_s, "as often as it would renew at most"
    finally:
        relay.close()


@pytest.mark.kubeworld
def test_a_process_that_stood_still_does_not_write_when_it_wakes(world: World) -> None:
    first = world.process("first")
    wait_for(first.writes, "the process leads")
    second = world.elector(identity="second")
    wait_for(lambda: second.leader == "first", "the standby sees it")
    first.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: second.leading, "the standby leads")
    woken = time.monotonic()
    first.process.send_signal(signal.SIGCONT)
    wait_for(lambda: any("second has it" in answer for answer in first.since(woken)), "it sees who leads now")
    assert not first.terms(first.since(woken))
    assert second.refusal() is None


@pytest.mark.kubeworld
def test_a_process_that_stood_still_alone_renews_first_and_reads_everything_again(world: World) -> None:
    first = world.process("first")
    wait_for(first.writes, "the process leads")
    first.process.send_signal(signal.SIGSTOP)
    begun = Clocks.now().monotonic
    wait_for(lambda: Clocks.now().monotonic - begun > FAST["renew_deadline_s"], "the deadline has passed")
    frozen = world.lease()["spec"]["renewTime"]
    woken = time.monotonic()
    first.process.send_signal(signal.SIGCONT)
    wait_for(lambda: first.since(woken), "it goes on")
    former = first.terms(first.before(woken))[-1]  # more than 1 where a renewal came too late
    wait_for(lambda: max(first.terms(first.since(woken)), default=0) > former, "it leads in a new term")
    assert former not in first.terms(first.since(woken))
    assert world.lease()["spec"]["renewTime"] > frozen


@pytest.mark.kubeworld
@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 5.0])
def test_a_clock_that_jumps_stops_writing_until_the_lease_is_renewed(world: World, jump_s: float) -> None:
    shift = [0.0]

    def clocks() -> Clocks:
        now = Clocks.now()
        return Clocks(now.monotonic, now.wall + shift[0])

    elector = world.leader(identity="first", clocks=clocks, **SLOW)
    assert elector.refusal() is None
    shift[0] = jump_s
    assert "wall clock" in str(elector.refusal())
    # Far sooner than it would renew by itself.
    wait_for(lambda: elector.refusal() is None, "it renews at once")
    assert elector.term == 2


@pytest.mark.kubeworld
def test_an_api_server_that_is_silent_ends_the_right_and_gives_it_back(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "k8s_ecmp.kube.lease")
    changes: list[tuple[bool, int]] = []
    elector: Elector = world.elector(
        on_change=lambda: changes.append((elector.leading, elector.term)), start=False, **FAST
    )
    elector.start()
    wait_for(lambda: changes and changes[-1][0], "it leads")
    with world.kube.frozen():
        wait_for(lambda: elector.refusal() is not None, "it may not write any more")
        wait_for(lambda: not changes[-1][0], "who follows it is told")
        lost = changes[-1][1]  # more than 1 where a renewal came too late before
    wait_for(lambda: elector.refusal() is None, "it leads again")
    wait_for(lambda: changes[-1][0] and changes[-1][1] > lost, "who follows it is told")
    said = [text for text in caplog.messages if "does not answer" in text or "and written again" in text]
    assert "does not answer" in said[0]
    assert not any("does not answer" in later for sooner, later in itertools.pairwise(said) if later == sooner)


@pytest.mark.kubeworld
def test_what_is_forbidden_is_named_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    config = world.kube.kubeconfig(world.folder / "reader", READER)
    elector = world.elector(config=config, retry_s=0.02)
    with caplog.at_level(logging.INFO, "k8s_ecmp.kube.lease"):
        wait_for(lambda: elector._failures > 3, "it tries again")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert f"get leases default/k8s-ecmp-{world.owner}" in said[0]
    assert "leases.coordination.k8s.io" in said[0]
    world.kube.allow(READER, ("coordination.k8s.io", "leases", "get,create,patch"))
    wait_for(lambda: elector.leading, "it leads once it may")


@pytest.mark.kubeworld
def test_a_namespace_that_is_not_there_is_named(world: World, caplog: pytest.LogCaptureFixture) -> None:
    elector = world.elector(namespace="absent", retry_s=0.05)
    with caplog.at_level(logging.WARNING, "k8s_ecmp.kube.lease"):
        wait_for(lambda: elector._failures > 1, "it tries again")
    assert 'namespaces "absent" not found' in caplog.text


@pytest.mark.kubeworld
def test_never_two(world: World) -> None:
    """Many that come and go: at no sampled moment may two of them write."""
    electors = [world.elector(identity=f"e{number}", retry_s=0.02) for number in range(6)]
    wait_for(lambda: any(elector.leading for elector in electors), "one leads")
    alive = list(electors)
    while len(alive) > 1:
        leading = wait_for(lambda: [elector for elector in alive if elector.refusal() is None], "one leads", 30)
        assert len(leading) == 1
        leading[0].stop()
        alive.remove(leading[0])
        assert leading[0].refusal() is not None


@pytest.mark.kubeworld
def test_annotations_stay_beside_renewals(world: World) -> None:
    elector = world.leader(identity="first", retry_s=0.02)
    elector.annotate("k8s-ecmp.io/drained", '{"n1": 1}')
    wait_for(lambda: elector.annotations() == {"k8s-ecmp.io/drained": '{"n1": 1}'}, "it is written")
    assert world.lease()["metadata"]["annotations"] == {"k8s-ecmp.io/drained": '{"n1": 1}'}
    # Somebody else writes to the same object: neither is lost, and the leader stays the leader.
    world.kube.patch(world.path, {"metadata": {"annotations": {"example.com/theirs": "yes"}}})
    elector.annotate("k8s-ecmp.io/drained", None)
    wait_for(lambda: elector.annotations() == {"example.com/theirs": "yes"}, "it is taken away")
    assert world.lease()["metadata"]["annotations"] == {"example.com/theirs": "yes"}
    assert (elector.term, elector.refusal()) == (1, None)


@pytest.mark.kubeworld
def test_an_annotation_is_written_at_once_and_only_by_the_leader(world: World) -> None:
    first = world.leader(identity="first", **SLOW)
    second = world.elector(identity="second", **{**SLOW, "retry_s": 0.05})
    wait_for(lambda: second.leader == "first", "the standby sees it")
    second.annotate("k8s-ecmp.io/drained", "second's")
    first.annotate("k8s-ecmp.io/drained", "first's")
    wait_for(lambda: second.annotations().get("k8s-ecmp.io/drained") == "first's", "it is written")
    first.stop()
    wait_for(lambda: second.leading, "the standby leads")
    assert second.annotations() == {"k8s-ecmp.io/drained": "first's"}


@pytest.mark.kubeworld
def test_a_lease_that_vanishes_is_made_anew(world: World) -> None:
    elector = world.leader(identity="first")
    world.kube.request("DELETE", world.path)
    wait_for(lambda: elector.term == 2, "a new term begins")
    assert world.lease()["spec"]["holderIdentity"] == "first"
    wait_for(lambda: elector.refusal() is None, "it leads")


@pytest.mark.kubeworld
def test_a_lease_that_somebody_takes_is_lost(world: World) -> None:
    elector = world.leader(identity="first")
    taken = {"holderIdentity": "thief", "leaseDurationSeconds": 3600, "renewTime": "2026-01-01T00:00:00.000000Z"}
    world.kube.patch(world.path, {"spec": taken})
    wait_for(lambda: "thief has it" in str(elector.refusal()), "it sees who leads")
    world.kube.patch(world.path, {"spec": {"leaseDurationSeconds": 1}})
    wait_for(lambda: elector.term == 2, "it leads again once that has expired")


@pytest.mark.kubeworld
def test_two_of_one_identity_are_still_two(world: World) -> None:
    first = world.leader(identity="same", retry_s=0.02)
    second = world.elector(identity="same", retry_s=0.02)
    wait_for(lambda: second.annotations() == first.annotations() and second._seen, "the second has looked")
    renewed = world.lease()["spec"]["renewTime"]
    wait_for(lambda: world.lease()["spec"]["renewTime"] != renewed, "the first renews")
    assert second.refusal() is not None
    first.stop()
    wait_for(lambda: second.refusal() is None, "the second leads")


@pytest.mark.kubeworld
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_an_answer_that_is_lost_costs_nothing(world: World, method: str) -> None:
    relay = Relay(world.kube, world.folder)
    try:
        if method == "PATCH":
            world.leader(identity="before").stop()
        relay.lose = method
        elector = world.elector(config=relay.config, identity="first", duration_s=300, renew_deadline_s=200)
        # It would take until the Lease expires if it did not know its own handwriting.
        wait_for(lambda: elector.leading, "it leads")
        relay.lose = "PATCH"
        wait_for(lambda: relay.lose is None, "a renewal's answer is lost")
        made = relay.count("PATCH")
        wait_for(lambda: relay.count("PATCH") > made + 2, "it goes on renewing")
        assert (elector.refusal(), elector.term) == (None, 1)
    finally:
        relay.close()


@pytest.mark.kubeworld
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_a_busy_server_is_left_in_peace_for_as_long_as_it_asks(world: World, method: str) -> None:
    """Whether it looks, begins to lead, or leads."""
    relay = Relay(world.kube, world.folder)
    try:
        relay.put_off = PutOff(method, retry_after="1")
        elector = world.elector(config=relay.config, retry_s=0.02)
        wait_for(lambda: relay.put_off is None, "it is put off")
        assert wait_for(lambda: relay.stayed_away_s(method), "it comes again") >= 1
        wait_for(lambda: elector.refusal() is None, "it leads")
        assert elector.term == 1
    finally:
        relay.close()


@pytest.mark.kubeworld
def test_a_leader_that_is_put_off_for_long_renews_in_time(world: World) -> None:
    relay = Relay(world.kube, world.folder)
    try:
        elector = world.leader(config=relay.config, duration_s=7, renew_deadline_s=4.5, retry_s=0.02)
        relay.put_off = PutOff("PATCH", retry_after="3600")
        wait_for(lambda: relay.put_off is None, "it is put off")
        renewed = world.lease()["spec"]["renewTime"]
        wait_for(lambda: world.lease()["spec"]["renewTime"] > renewed, "it renews")
        assert (elector.refusal(), elector.term) == (None, 1)
    finally:
        relay.close()


@pytest.mark.kubeworld
@pytest.mark.parametrize("year", [2000, 2100])
def test_the_other_ones_clock_is_not_believed(world: World, year: int) -> None:
    """A Lease that looks long expired, or fresh for ever: what counts is whether it is seen to change."""
    world.held_by("other", renewTime=f"{year}-01-01T00:00:00.000000Z", leaseDurationSeconds=3600)
    relay = Relay(world.kube, world.folder)
    try:
        elector = world.elector(config=relay.config, retry_s=0.02)
        wait_for(lambda: relay.count("GET") > 5, "it looks again and again")
        assert elector.refusal() is not None
        assert elector.leader == "other"
        world.kube.patch(world.path, {"spec": {"leaseDurationSeconds": 1}})
        wait_for(lambda: elector.leading, "it leads when it has seen it unchanged for its duration")
    finally:
        relay.close()


@pytest.mark.kubeworld
def test_a_server_that_is_not_there_yet(kube_api: KubeApi, world: World, free_port: int) -> None:
    config = kube_api.kubeconfig(world.folder / "later", ADMIN, server=f"https://127.0.0.1:{free_port}")
    elector = world.elector(config=config, retry_s=0.02)
    wait_for(lambda: elector._failures > 2, "it goes on trying")
    assert elector.refusal() is not None
    elector.stop()
    assert not elector._thread.is_alive()
