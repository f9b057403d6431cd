"""What is followed beside nodes, services and slices, against answers that are prepared: service CIDRs and drains."""

import dataclasses
import json
from datetime import UTC, datetime

import pytest

from k8s_ecmp.kube.updates import DrainsKnown
from k8s_ecmp.model import Skipped
from tests.kube.build import at, cidr, kubeadm, kured
from tests.kube.recorder import QUICK, following
from tests.kube.teller import Answer, Teller, line, listing, refusal, stream
from tests.world.netns import wait_for


class TestServiceCIDRs:
    V1, BETA = "/apis/networking.k8s.io/v1/servicecidrs", "/apis/networking.k8s.io/v1beta1/servicecidrs"
    CONFIG = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config"
    PODS = "/api/v1/namespaces/kube-system/pods"
    SLOW = dataclasses.replace(QUICK, ask_again_s=0.1)

    def test_of_the_version_before(self, teller: Teller) -> None:
        teller.prepare(self.V1, "stream", refusal(404))
        made = cidr("kubernetes", "10.96.0.0/12", apiVersion="networking.k8s.io/v1beta1")
        teller.prepare(self.BETA, "stream", listing(made))
        with following(teller.config, drains=False) as seen:
            seen.wait_synced("ServiceCIDR")
            assert seen.cidrs == ["10.96.0.0/12"]
            assert seen.states_of("ServiceCIDR") == [(True, None)]
            assert not teller.queries(self.CONFIG)

    def test_an_older_cluster(self, teller: Teller) -> None:
        """kubeadm's word stands in, and is asked for until there is one."""
        for path in (self.V1, self.BETA):
            teller.prepare(path, "stream", refusal(404))
        teller.prepare(self.CONFIG, "list", refusal(404))
        with following(teller.config, drains=False, pace=dataclasses.replace(self.SLOW, refused_pause_s=1000)) as seen:
            seen.wait_synced("ServiceCIDR")
            assert seen.cidrs == []
            wait_for(lambda: len(teller.queries(self.PODS)) > 2, "it is asked again")
            config = kubeadm("10.96.0.0/12")
            teller.prepare(self.CONFIG, "list", Answer(200, (json.dumps(config).encode(),)))
            wait_for(lambda: seen.cidrs == ["10.96.0.0/12"], "it is known")
            assert seen.states_of("ServiceCIDR") == [(True, None)]

    def test_objects_win_when_they_come(self, teller: Teller) -> None:
        made = at("9", cidr("kubernetes", "10.0.0.0/16"))
        config = json.dumps(kubeadm("10.96.0.0/12")).encode()
        teller.prepare(self.CONFIG, "list", Answer(200, (config,)))
        teller.prepare(self.V1, "stream", listing(end="end"))
        with following(teller.config, drains=False) as seen:
            wait_for(lambda: seen.cidrs == ["10.96.0.0/12"], "kubeadm's is known")
            teller.prepare(self.V1, "watch", stream(line("ADDED", made)))
            teller.cut()
            wait_for(lambda: seen.cidrs == ["10.0.0.0/16"], "the object's is known")

    def test_what_is_forbidden_beside_them_is_a_warning(self, teller: Teller, caplog: pytest.LogCaptureFixture) -> None:
        for path in (self.CONFIG, self.PODS):
            teller.prepare(path, "list", refusal(403))
        with following(teller.config, drains=False, pace=self.SLOW) as seen:
            seen.wait_synced("ServiceCIDR")
            wait_for(lambda: len(teller.queries(self.PODS)) > 2, "it is asked again")
            assert seen.cidrs == []
        assert caplog.text.count("service CIDRs: ") == 2

    def test_forbidden_objects_are_said(self, teller: Teller) -> None:
        teller.prepare(self.V1, "stream", refusal(403))
        with following(teller.config, drains=False) as seen:
            wait_for(lambda: "(403)" in seen.reason("ServiceCIDR"), "it is said")
            assert seen.states["ServiceCIDR"].essential
            assert seen.cidrs is None

    def test_broken_ones_are_named(self, teller: Teller) -> None:
        broken = cidr("bad", "10.1.0.0/16", spec={"cidrs": 5})
        teller.prepare(self.V1, "stream", listing(cidr("kubernetes", "10.96.0.0/12"), broken, cidr("x", ready=None)))
        with following(teller.config, drains=False) as seen:
            seen.wait_synced("ServiceCIDR")
            assert seen.cidrs == ["10.96.0.0/12"]
            assert seen.cidrs_skipped == (
                Skipped("ServiceCIDR x", "not Ready"),
                Skipped("ServiceCIDR bad", "spec.cidrs: 5 is not a list"),
            )


class TestDrains:
    PATH = "/apis/apps/v1/namespaces/kube-system/daemonsets"

    @pytest.mark.slow
    def test_a_lock_that_expires(self, teller: Teller) -> None:
        """Seen before: of one that holds for an hour. Then it holds for a second, which may be over when it comes."""
        lock = {"nodeID": "n1", "created": datetime.now(UTC).isoformat(), "TTL": 3600 * 10**9}
        ends = line("MODIFIED", at("9", kured({**lock, "TTL": 10**9})))
        teller.prepare(self.PATH, "stream", listing(kured(lock), after=[ends]))
        with following(teller.config, cidrs=("10.96.0.0/12",)) as seen:
            wait_for(
                lambda: {"n1": "draining: kured's lock"} in [told.reasons for told in seen.of(DrainsKnown)], "locked"
            )
            wait_for(lambda: seen.drains == {}, "the lock has expired")
            assert teller.queries(self.PATH)[0]["fieldSelector"] == "metadata.name=kured"

    @pytest.mark.parametrize("status", [403, 404])
    def test_it_may_not_be_read(self, teller: Teller, status: int, caplog: pytest.LogCaptureFixture) -> None:
        teller.prepare(self.PATH, "stream", refusal(status))
        with following(teller.config, cidrs=("10.96.0.0/12",)) as seen:
            wait_for(lambda: len(teller.queries(self.PATH)) > 3, "it is tried again")
            assert not seen.states["Drain"].essential
            assert seen.states["Drain"].synced is (status == 404)
            seen.wait_synced()
        assert caplog.text.count("DaemonSet objects are not followed") == (1 if status == 403 else 0)
