"""Following a real API server: what it says arrives, through whatever befalls the server."""

from pathlib import Path

import pytest

from k8s_ecmp.kube.updates import Changed, Listed, WatchState
from tests.kube.build import cidr, kured, node, piece, service
from tests.kube.recorder import KINDS, following
from tests.world.kube import sample
from tests.world.kube.server import READER, SERVICE_CIDRS, KubeApi
from tests.world.netns import wait_for

pytestmark = pytest.mark.kubeworld

CIDRS = ("10.43.0.0/16",)
EVERYTHING = (
    ("", "nodes", "get,list,watch"),
    ("", "services", "get,list,watch"),
    ("discovery.k8s.io", "endpointslices", "get,list,watch"),
    ("networking.k8s.io", "servicecidrs", "get,list,watch"),
    ("apps", "daemonsets", "get,list,watch"),
)


@pytest.fixture
def config(kube_api: KubeApi, tmp_path: Path) -> Path:
    return kube_api.kubeconfig(tmp_path / "config")


class TestInOrder:
    def test_everything_is_listed_first(self, kube_api: KubeApi, config: Path) -> None:
        sample.create(kube_api)
        with following(config) as seen:
            seen.wait_synced(*KINDS, "ServiceCIDR", "Drain")
            for kind in KINDS:
                first, second = [u for u in seen.updates if getattr(u, "kind", None) == kind][:2]
                assert isinstance(first, Listed)
                assert second == WatchState(kind, synced=True)
            assert seen.keys("Node") == ["n1", "n2", "n3"]
            assert "default/web" in seen.keys("Service")
            assert {made.service for made in seen.objects["EndpointSlice"].values()} >= {"default/web"}
            assert seen.cidrs == list(SERVICE_CIDRS)
            assert seen.drains == {}
            assert not seen.states["Drain"].essential

    def test_each_event(self, kube_api: KubeApi, config: Path) -> None:
        with following(config, cidrs=CIDRS) as seen:
            seen.wait_synced()
            kube_api.create(node("n1"))
            wait_for(lambda: seen.keys("Node") == ["n1"], "the node is there")
            kube_api.patch("/api/v1/nodes/n1", {"spec": {"unschedulable": True}})
            wait_for(lambda: seen.objects["Node"]["n1"].unschedulable, "the node is cordoned")
            kube_api.create(service("s", clusterIP="10.43.0.7", ports=[{"port": 80}]))
            wait_for(lambda: "default/s" in seen.keys("Service"), "the service is there")
            kube_api.patch("/api/v1/namespaces/default/services/s", {"spec": {"internalTrafficPolicy": "Local"}})
            wait_for(lambda: seen.objects["Service"]["default/s"].internal_local, "its policy is Local")
            kube_api.create(piece("s-1"))
            wait_for(lambda: seen.keys("EndpointSlice") == ["default/s-1"], "the slice is there")
            path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/s-1"
            endpoint = {"addresses": ["10.244.1.5"], "conditions": {"ready": False}, "nodeName": "n1"}
            kube_api.patch(path, {"endpoints": [endpoint]})
            wait_for(lambda: not seen.objects["EndpointSlice"]["default/s-1"].endpoints[0].ready, "it is not ready")
            kube_api.delete("EndpointSlice", "s-1")
            kube_api.delete("Service", "s")
            kube_api.delete("Node", "n1")
            wait_for(
                lambda: not any("s" in key.split("/")[-1][:1] for key in seen.keys("EndpointSlice")),
                "the slice is gone",
            )
            wait_for(lambda: seen.keys("Node") == [], "the node is gone")
            wait_for(lambda: "default/s" not in seen.keys("Service"), "the service is gone")
            assert len(seen.of(Listed)) == len(KINDS)

    def test_a_heartbeat_is_no_news(self, kube_api: KubeApi, config: Path) -> None:
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-03-01T10:00:00Z"}
        kube_api.create(node("n1", status={"conditions": [ready], "addresses": []}))
        with following(config, cidrs=CIDRS) as seen:
            seen.wait_synced()
            for second in range(5):
                beat = {**ready, "lastHeartbeatTime": f"2026-03-01T10:00:0{second}Z"}
                kube_api.patch("/api/v1/nodes/n1/status", {"status": {"conditions": [beat]}})
            kube_api.patch("/api/v1/nodes/n1", {"metadata": {"labels": {"rack": "a"}}})
            wait_for(lambda: seen.objects["Node"]["n1"].labels.get("rack"), "the label is there")
            assert len(seen.of(Changed, "Node")) == 1

    def test_the_settings_cidrs_ask_nobody(self, config: Path) -> None:
        with following(config, cidrs=CIDRS, drains=False) as seen:
            assert seen.cidrs == list(CIDRS)
            assert seen.states["ServiceCIDR"] == WatchState("ServiceCIDR", synced=True, essential=False)
            seen.wait_synced()
            assert set(seen.states) == {*KINDS, "ServiceCIDR"}


class TestServiceCIDRs:
    PATH = "/apis/networking.k8s.io/v1/servicecidrs"

    def ready(self, kube: KubeApi, name: str, status: str) -> None:
        since = "2026-03-01T10:00:00Z"
        condition = {"type": "Ready", "status": status, "lastTransitionTime": since, "reason": "", "message": ""}
        kube.patch(f"{self.PATH}/{name}/status", {"status": {"conditions": [condition]}})

    def test_one_more_and_one_less(self, kube_api: KubeApi, config: Path) -> None:
        with following(config) as seen:
            seen.wait_synced("ServiceCIDR")
            made = cidr("test-more", "10.44.0.0/24")
            del made["status"]
            kube_api.create(made)
            wait_for(lambda: "test-more" in str(seen.cidrs_skipped), "it is seen, though not Ready")
            assert seen.cidrs == list(SERVICE_CIDRS)
            self.ready(kube_api, "test-more", "True")
            wait_for(lambda: seen.cidrs == [*SERVICE_CIDRS, "10.44.0.0/24"], "it is Ready")
            self.ready(kube_api, "test-more", "False")
            wait_for(lambda: seen.cidrs == [*SERVICE_CIDRS], "it is no longer Ready")
            self.ready(kube_api, "test-more", "True")
            wait_for(lambda: seen.cidrs == [*SERVICE_CIDRS, "10.44.0.0/24"], "it is Ready again")
            kube_api.delete("ServiceCIDR", "test-more")
            wait_for(lambda: seen.cidrs == [*SERVICE_CIDRS], "it is gone")


class TestKured:
    LOCK = "/apis/apps/v1/namespaces/kube-system/daemonsets/kured"

    def lock(self, kube: KubeApi, text: str | None) -> None:
        kube.patch(self.LOCK, {"metadata": {"annotations": {"weave.works/kured-node-lock": text}}})

    def test_lock_and_release(self, kube_api: KubeApi, config: Path) -> None:
        with following(config, cidrs=CIDRS) as seen:
            seen.wait_synced("Drain")
            assert seen.drains == {}
            kube_api.create(kured())
            self.lock(kube_api, '{"nodeID":"n2","metadata":{},"created":"2026-03-01T10:00:00.123456789Z","TTL":0}')
            wait_for(lambda: seen.drains == {"n2": "draining: kured's lock"}, "n2 is drained")
            self.lock(kube_api, None)
            wait_for(lambda: seen.drains == {}, "the lock is released")
            self.lock(kube_api, '{"maxOwners":2,"locks":[{"nodeID":"n1"},{"nodeID":"n3"}]}')
            wait_for(lambda: sorted(seen.drains or ()) == ["n1", "n3"], "two are drained")
            kube_api.delete("DaemonSet", "kured", "kube-system")
            wait_for(lambda: seen.drains == {}, "kured is gone")

    def test_other_daemonsets_are_not_its_lock(self, kube_api: KubeApi, config: Path) -> None:
        other = kured({"nodeID": "n1"})
        other["metadata"]["name"] = "kured-not"
        kube_api.create(other)
        with following(config, cidrs=CIDRS) as seen:
            seen.wait_synced("Drain")
            assert seen.drains == {}


class TestRights:
    def test_one_kind_is_forbidden(self, kube_api: KubeApi, tmp_path: Path) -> None:
        """The others go on, and it comes as soon as it is allowed."""
        kube_api.allow(READER, *(rule for rule in EVERYTHING if rule[1] not in ("services", "daemonsets")))
        config = kube_api.kubeconfig(tmp_path / "config", READER)
        with following(config) as seen:
            seen.wait_synced("Node", "EndpointSlice", "ServiceCIDR")
            wait_for(lambda: 'cannot watch resource "services"' in seen.reason("Service"), "it says why")
            wait_for(lambda: 'cannot watch resource "daemonsets"' in seen.reason("Drain"), "it says why")
            assert seen.states["Service"].essential
            assert not seen.states["Drain"].essential
            kube_api.create(node("n1"))
            wait_for(lambda: seen.keys("Node") == ["n1"], "the node is there")
            rules = [
                {"apiGroups": [group], "resources": [resource], "verbs": verbs.split(",")}
                for group, resource, verbs in EVERYTHING
            ]
            kube_api.patch(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/test-{READER}", {"rules": rules})
            seen.wait_synced(*KINDS, "ServiceCIDR", "Drain")
            assert seen.keys("Service") == ["default/kubernetes"]

    def test_a_wrong_token(self, kube_api: KubeApi, tmp_path: Path) -> None:
        config = kube_api.kubeconfig(tmp_path / "config", token="a-wrong-secret")
        with following(config) as seen:
            for kind in KINDS:
                wait_for(lambda kind=kind: "does not accept the credentials (401)" in seen.reason(kind), "it says why")
            assert "a-wrong-secret" not in str(seen.updates)
            kube_api.kubeconfig(config)
            seen.wait_synced()


class TestCredentials:
    def test_a_token_file_that_is_replaced(self, kube_api: KubeApi, tmp_path: Path) -> None:
        token = tmp_path / "token"
        token.write_text("not-yet\n")
        config = kube_api.kubeconfig(tmp_path / "config", credentials={"tokenFile": "token"})
        with following(config, cidrs=CIDRS) as seen:
            wait_for(lambda: "(401)" in seen.reason("Node"), "the token is refused")
            fresh = tmp_path / "fresh"
            fresh.write_text("token-of-admin\n")
            fresh.rename(token)
            seen.wait_synced()

    def test_a_credential_plugin(self, kube_api: KubeApi, tmp_path: Path) -> None:
        """It runs once for all watches, again after a 401, and why it fails is said, at the start too."""
        answer = (
            '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "%s"}}'
        )
        program, runs, token = tmp_path / "plugin", tmp_path / "runs", tmp_path / "token"
        token.write_text("token-of-admin")
        program.write_text(
            f"#!/bin/sh\necho run >>{runs}\n[ -s {token} ] || {{ echo login expired >&2; exit 3; }}\n"
            f"printf '{answer}' \"$(cat {token})\"\n"
        )
        program.chmod(0o755)
        plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program), "interactiveMode": "Never"}
        config = kube_api.kubeconfig(tmp_path / "config", credentials={"exec": plugin})
        why = f"the credential plugin {program} failed: exec: process returned 3"
        with following(config) as seen:
            seen.wait_synced(*KINDS, "ServiceCIDR", "Drain")
            assert runs.read_text().splitlines() == ["run"]
        token.write_text("refused")
        with following(config) as seen:
            wait_for(lambda: "(401)" in seen.reason("Node"), "its token is refused")
            token.write_text("")
            wait_for(lambda: why in seen.reason("Node"), "it says why")
            token.write_text("token-of-admin")
            seen.wait_synced()
        token.write_text("")
        with following(config) as seen:
            wait_for(lambda: why in seen.reason("Node"), "it says why")
            token.write_text("token-of-admin")
            seen.wait_synced()

    def test_a_credential_plugin_that_hangs(
        self, kube_api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every watch says so, and the end waits for nobody."""
        monkeypatch.setattr("k8s_ecmp.kube.plugin.at_terminal", lambda: False)
        monkeypatch.setattr("k8s_ecmp.kube.plugin.LONGEST_S", 1.0)
        program, hangs, pid = tmp_path / "plugin", tmp_path / "hangs", tmp_path / "pid"
        answer = '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "refused"}}'
        program.write_text(
            f"#!/bin/sh\nif [ -e {hangs} ]; then echo $$ >{pid}; exec sleep 600; fi\nprintf '{answer}'\n"
        )
        program.chmod(0o755)
        plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program), "interactiveMode": "Never"}
        config = kube_api.kubeconfig(tmp_path / "config", credentials={"exec": plugin})
        with following(config) as seen:
            wait_for(lambda: "(401)" in seen.reason("Node"), "its token is refused")
            hangs.touch()
            why = "exec: no answer within 1 s"
            wait_for(lambda: all(why in seen.reason(kind) for kind in KINDS), "every watch says why")
            hangs.unlink()
            wait_for(lambda: "(401)" in seen.reason("Node"), "it is asked again")
            monkeypatch.setattr("k8s_ecmp.kube.plugin.LONGEST_S", 600.0)
            pid.unlink()
            hangs.touch()
            wait_for(lambda: pid.exists() and pid.read_text().strip(), "it hangs again")
            hanging = Path(f"/proc/{pid.read_text().strip()}")
            assert seen.follow is not None
            assert seen.follow.stop(20)
            assert not hanging.exists()
