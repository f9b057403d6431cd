"""The deployment on a real API server with RBAC on: what it may do, that it is enough, and that it is no more."""

import contextlib
import json
import logging
import queue
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s_ecmp.errors import ClusterRefused
from k8s_ecmp.journal.files import _FILE_BYTES
from k8s_ecmp.kube import drain as drains
from k8s_ecmp.kube.drain import DRAINED_ANNOTATION, Ack, LeaseWatch, encode_acks
from k8s_ecmp.kube.events import Recorder
from k8s_ecmp.kube.follow import Follow
from k8s_ecmp.kube.lease import Elector
from k8s_ecmp.kube.lease_object import lease_name
from k8s_ecmp.kube.live import load_live
from k8s_ecmp.kube.updates import Listed, ServiceCIDRsKnown, Update, WatchState
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.settings import LeaseSettings, Settings, load_settings
from tests.daemon.running import Running, in_sync
from tests.deploy.conftest import KUBELET, OVERLAY, Deployed
from tests.site import COMMAND, REPO, new_site
from tests.world.kube import build, sample
from tests.world.netns import wait_for

pytestmark = pytest.mark.kubeworld

OPERATOR = "token-of-reader"
LEASE = LeaseSettings(namespace="k8s-ecmp", name="k8s-ecmp", retry_s=0.1, identity="pod-1")
FOLLOWED = {
    ("", "nodes"),
    ("", "services"),
    ("discovery.k8s.io", "endpointslices"),
    ("networking.k8s.io", "servicecidrs"),
}
Rules = set[tuple[str, str, str, str]]


def rendered(folder: Path) -> list[dict[str, Any]]:
    text = subprocess.run(
        [build.binary("kubectl"), "kustomize", str(folder)], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return list(yaml.safe_load_all(text))


def only(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    found = [document for document in documents if document["kind"] == kind]
    assert len(found) == 1
    return found[0]


def laid_out(documents: list[dict[str, Any]], folder: Path) -> Settings:
    """The settings as the container finds them."""
    content = only(documents, "ConfigMap")
    volumes = only(documents, "Deployment")["spec"]["template"]["spec"]["volumes"]
    settings = next(volume["configMap"] for volume in volumes if volume["name"] == "settings")
    assert settings["name"] == content["metadata"]["name"]
    for item in settings["items"]:
        path = folder / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content["data"][item["key"]])
    return load_settings(folder / "k8s-ecmp.yaml")


# --- what it is made of


@pytest.mark.parametrize("place", ["deploy/kustomize/base", "deploy/kustomize/overlays/example"])
def test_settings_inventory_and_roles_belong_together(tmp_path: Path, place: str) -> None:
    documents = rendered(REPO / place)
    settings = laid_out(documents, tmp_path)
    assert init_nornir(settings, tmp_path).inventory.hosts
    lease = settings.daemon.lease
    roles = [document for document in documents if document["kind"] == "Role"]
    named = {
        (role["metadata"]["namespace"], name)
        for role in roles
        for rule in role["rules"]
        if rule["resources"] == ["leases"]
        for name in rule.get("resourceNames", [])
    }
    assert named == {(lease.namespace, lease_name(lease, settings.owner))}


def test_nothing_is_written_before_somebody_says_so(tmp_path: Path) -> None:
    assert laid_out(rendered(REPO / "deploy/kustomize/base"), tmp_path).mode == "observe"


@pytest.mark.parametrize("place", ["deploy/kustomize/base", "deploy/kustomize/overlays/example"])
def test_the_journal_is_on_a_volume_that_holds_it(tmp_path: Path, place: str) -> None:
    documents = rendered(REPO / place)
    settings = laid_out(documents, tmp_path)
    spec = only(documents, "Deployment")["spec"]["template"]["spec"]
    (volume,) = (mount["name"] for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "state")
    mount = next(mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == volume)
    assert Path(settings.journal).parent == Path(mount["mountPath"])
    assert not mount.get("readOnly")
    limit = next(volume["emptyDir"]["sizeLimit"] for volume in spec["volumes"] if volume["name"] == "state")
    assert settings.daemon.journal_files is not None
    # One more than is kept: the oldest goes when the next has been begun.
    assert (settings.daemon.journal_files + 1) * _FILE_BYTES <= int(limit.removesuffix("Mi")) * 2**20


def test_the_pod(deployed: Deployed) -> None:
    """Admitted under the restricted Pod Security Standard, which the namespace enforces."""
    found = deployed.get("/apis/apps/v1/namespaces/k8s-ecmp/deployments/k8s-ecmp")
    assert found["spec"]["replicas"] == 2
    template = found["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "p"},
        "spec": template["spec"],
    }
    path = "/api/v1/namespaces/k8s-ecmp/pods?dryRun=All"
    made = deployed.kube.request("POST", path, pod)
    container = made["spec"]["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    secret = next(volume["secret"] for volume in made["spec"]["volumes"] if volume["name"] == "ssh")
    assert secret["defaultMode"] == 0o400
    weaker = json.loads(json.dumps(pod))
    weaker["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(Exception, match="violates PodSecurity"):
        deployed.kube.request("POST", path, weaker)


def test_applying_again_changes_nothing(deployed: Deployed) -> None:
    before = deployed.get("/apis/apps/v1/namespaces/k8s-ecmp/deployments/k8s-ecmp")["metadata"]["generation"]
    deployed.kube.kubectl("apply", "--server-side", "--validate=strict", "-k", str(OVERLAY))
    after = deployed.get("/apis/apps/v1/namespaces/k8s-ecmp/deployments/k8s-ecmp")["metadata"]["generation"]
    assert before == after == 1


# --- what the daemon may do


def rules_of(deployed: Deployed, folder: Path, namespace: str, token: str | None = None) -> Rules:
    """Everything that its roles grant there, but for asking about oneself, which everybody may."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    answer = json.loads(deployed.writer(folder, token).create(path, review))
    return {
        (group, resource, name, verb)
        for rule in answer["status"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
        if group not in ("authorization.k8s.io", "authentication.k8s.io")
    }


EVERYWHERE: Rules = {
    *((group, resource, "", verb) for group, resource in FOLLOWED for verb in ("get", "list", "watch")),
    ("", "events", "", "create"),
    ("", "events", "", "patch"),
}
BY_NAMESPACE: dict[str, Rules] = {
    "default": set(),
    "k8s-ecmp": {
        ("coordination.k8s.io", "leases", "", "create"),
        *(("coordination.k8s.io", "leases", "k8s-ecmp", verb) for verb in ("get", "update", "patch")),
    },
    "kube-system": {
        ("", "configmaps", "kubeadm-config", "get"),
        ("", "configmaps", "kube-proxy", "get"),
        *(("apps", "daemonsets", "kured", verb) for verb in ("get", "list", "watch")),
    },
}


@pytest.mark.parametrize("namespace", list(BY_NAMESPACE))
def test_exactly_these_rights(deployed: Deployed, tmp_path: Path, namespace: str) -> None:
    assert rules_of(deployed, tmp_path, namespace) == EVERYWHERE | BY_NAMESPACE[namespace]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/secrets"),
        ("GET", "/api/v1/namespaces/k8s-ecmp/secrets/k8s-ecmp-ssh"),
        ("GET", "/api/v1/pods"),
        ("GET", "/api/v1/namespaces/kube-system/configmaps"),
        ("GET", "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"),
        ("GET", "/apis/apps/v1/namespaces/kube-system/daemonsets"),
        ("GET", "/apis/coordination.k8s.io/v1/namespaces/k8s-ecmp/leases"),
        ("GET", "/apis/coordination.k8s.io/v1/namespaces/k8s-ecmp/leases/another"),
        ("GET", "/apis/coordination.k8s.io/v1/namespaces/default/leases/k8s-ecmp"),
        ("PATCH", "/api/v1/nodes/n2"),
        ("PATCH", "/api/v1/namespaces/default/services/web"),
        ("PATCH", "/apis/coordination.k8s.io/v1/namespaces/k8s-ecmp/leases/another"),
        ("POST", "/api/v1/namespaces/k8s-ecmp/pods"),
    ],
)
def test_real_requests_that_are_refused(deployed: Deployed, tmp_path: Path, method: Any, path: str) -> None:
    writer = deployed.writer(tmp_path)
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    with pytest.raises(ClusterRefused) as raised:
        writer.send(method, path, None if method == "GET" else {"metadata": {"name": "x"}}, content_type=kind)
    assert raised.value.status == 403


def test_the_lease_with_these_rights(deployed: Deployed, tmp_path: Path) -> None:
    elector = Elector(deployed.cluster(tmp_path), LEASE, "prod-eu1")
    elector.start()
    try:
        wait_for(lambda: elector.refusal() is None, "it leads")
        elector.annotate(DRAINED_ANNOTATION, "{}")
        wait_for(lambda: elector.annotations() == {DRAINED_ANNOTATION: "{}"}, "it annotates")
    finally:
        elector.stop()
    lease = deployed.get("/apis/coordination.k8s.io/v1/namespaces/k8s-ecmp/leases/k8s-ecmp")
    assert lease["spec"]["holderIdentity"] == ""


def test_events_with_these_rights(deployed: Deployed, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(deployed.cluster(tmp_path), suppress_s=0)
    recorder.start()
    with caplog.at_level(logging.WARNING, "k8s_ecmp.kube.events"):
        for _ in range(2):
            recorder.emit("Node", None, "n2", None, "Normal", "Tested", "on the node")
        recorder.emit("Service", "kube-system", "kube-dns", None, "Warning", "Tested", "on the service")

        def counts(namespace: str) -> list[int]:
            items = deployed.get(f"/api/v1/namespaces/{namespace}/events")["items"]
            return [item["count"] for item in items if item["reason"] == "Tested" and item["involvedObject"].get("uid")]

        wait_for(lambda: (counts("default"), counts("kube-system")) == ([2], [1]), "they are written")
    recorder.stop()
    assert not caplog.records


def test_following_with_these_rights(deployed: Deployed, tmp_path: Path) -> None:
    """Every watch comes into order, kured's lock too."""
    heard: queue.SimpleQueue[Update] = queue.SimpleQueue()
    follow = Follow(deployed.cluster(tmp_path), heard.put)
    states: dict[str, WatchState] = {}
    listed: dict[str, int] = {}
    cidrs: list[str] = []

    def all_in_order() -> bool:
        while not heard.empty():
            update = heard.get()
            if isinstance(update, WatchState):
                states[update.kind] = update
            elif isinstance(update, Listed):
                listed[update.kind] = len(update.objects)
            elif isinstance(update, ServiceCIDRsKnown):
                cidrs[:] = [str(cidr.prefix) for cidr in update.cidrs]
        return len(states) == 5 and all(state.synced for state in states.values())

    follow.start()
    try:
        wait_for(all_in_order, "all watches are in order", timeout=30)
    finally:
        follow.stop()
    assert {kind: state.reason for kind, state in states.items()} == dict.fromkeys(states)
    assert listed["Node"] == 3
    assert cidrs


def test_a_single_run_with_these_rights(deployed: Deployed, tmp_path: Path) -> None:
    state = load_live(deployed.cluster(tmp_path))
    assert len(state.nodes) == 3
    assert state.warnings == ()


@pytest.mark.slow
def test_the_daemon_with_these_rights(deployed: Deployed, tmp_path: Path) -> None:
    """With the deployed Lease: it leads, writes routes and Events, and is refused nothing."""
    before = refusals(deployed)
    site = new_site(tmp_path / "site")
    site.edit("inventories/demo/groups.yaml", lambda groups: groups["edge"]["data"]["k8s_ecmp"].pop("next_hops"))
    site.settings(
        cluster={"source": "live", "kubeconfig": deployed.cluster(tmp_path).kubeconfig},
        daemon={
            "lease": yaml.safe_load(only(rendered(OVERLAY), "ConfigMap")["data"]["k8s-ecmp.yaml"])["daemon"]["lease"]
        },
        nodes={"hold_down_s": 0, "hold_up_s": 0},
        guards={"max_withdrawn_fraction": 1},
    )
    running = Running(site)
    with contextlib.ExitStack() as undo:
        undo.callback(running.kill)
        running.start("--identity", "pod-1")
        document = running.until(in_sync, "the routers are in sync")
        assert (document["leading"], holder(deployed)) == (True, "pod-1")
        assert {(watch["kind"], watch["synced"]) for watch in document["watches"]} == {
            (kind, True) for kind in ("Node", "Service", "EndpointSlice", "ServiceCIDR", "Drain")
        }
        route = "ip route 10.43.0.0/16 10.0.0.13"
        assert route in site.config("edge1").read_text()
        deployed.kube.create(sample.service("loud", externalIPs=["192.0.2.200"]))
        undo.callback(deployed.kube.delete, "Service", "loud")
        undo.callback(set_ready, deployed, "n3", "True")
        set_ready(deployed, "n3", "False")
        expected = {("Service", "NotRouted"), ("Node", "RoutesWithdrawn")}
        wait_for(lambda: expected <= events_of(deployed), "its Events are there")
        wait_for(lambda: route not in site.config("edge1").read_text(), "the router has followed")
        assert running.stop() == 0
    assert holder(deployed) == ""
    assert refusals(deployed) == before
    said = running.log.read_text()
    assert "403" not in said
    assert "forbid" not in said


def refusals(deployed: Deployed) -> float:
    """Requests that the API server has found nobody to allow."""
    lines = deployed.kube.get("/metrics", text=True).splitlines()
    found = [line for line in lines if line.startswith("authorization_attempts_total{")]
    assert found
    return sum(float(line.rpartition(" ")[2]) for line in found if 'result="allowed"' not in line)


def holder(deployed: Deployed) -> str:
    lease = deployed.get("/apis/coordination.k8s.io/v1/namespaces/k8s-ecmp/leases/k8s-ecmp")
    return str(lease["spec"]["holderIdentity"])


def set_ready(deployed: Deployed, name: str, status: str) -> None:
    path = f"/api/v1/nodes/{name}"
    others = [item for item in deployed.get(path)["status"]["conditions"] if item["type"] != "Ready"]
    deployed.kube.patch(f"{path}/status", {"status": {"conditions": [*others, {"type": "Ready", "status": status}]}})


def events_of(deployed: Deployed) -> set[tuple[str, str]]:
    """Kind of the object and reason, of those that a daemon has written."""
    items = deployed.get("/api/v1/namespaces/default/events")["items"]
    return {
        (item["involvedObject"]["kind"], item["reason"])
        for item in items
        if item["source"].get("component") == "k8s-ecmp"
    }


# --- who drains


def confirmed(deployed: Deployed, folder: Path, token: str, name: str) -> bool:
    """The whole way of `drain --wait`, with the rights of a token, against a leader with the daemon's rights."""
    own = folder / "daemon"
    own.mkdir()
    elector = Elector(deployed.cluster(own), LEASE, "prod-eu1")
    elector.start()
    try:
        wait_for(lambda: elector.leading, "the daemon leads")
        writer = deployed.writer(folder, token)
        watch = LeaseWatch(writer, LEASE, "prod-eu1")
        asked = drains.ask_to_drain(writer, drains.read_node(writer, name))
        watch.look()
        assert watch.holder == "pod-1"
        assert watch.ack(asked) is None
        elector.annotate(DRAINED_ANNOTATION, encode_acks({name: Ack(asked.drain_id, asked.uid, "t")}))

        def answer() -> Ack | None:
            watch.look()
            return watch.ack(asked)

        wait_for(answer, "it is confirmed")
        return not drains.take_back(writer, asked).asked
    finally:
        elector.stop()


def test_an_operator_drains_any_node_and_no_more(deployed: Deployed, tmp_path: Path) -> None:
    assert confirmed(deployed, tmp_path, OPERATOR, "n3")
    nodes = {("", "nodes", "", "get"), ("", "nodes", "", "patch")}
    assert rules_of(deployed, tmp_path, "default", OPERATOR) == nodes
    lease = {("coordination.k8s.io", "leases", "k8s-ecmp", "get")}
    assert rules_of(deployed, tmp_path, "k8s-ecmp", OPERATOR) == nodes | lease


def test_a_kubelets_credentials_drain_its_own_node_alone(deployed: Deployed, tmp_path: Path) -> None:
    assert confirmed(deployed, tmp_path, KUBELET, "n2")
    writer = deployed.writer(tmp_path, KUBELET)
    other = drains.DrainedNode(name="n3", uid="", asked=False, drain_id="", marked=False)
    with pytest.raises(ClusterRefused, match="403"):
        drains.ask_to_drain(writer, other)


def test_the_pods_command_is_one_that_there_is() -> None:
    container = only(rendered(OVERLAY), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    program, config, path, command, *options = container["command"]
    assert (program, config, path) == ("k8s-ecmp", "--config", "/etc/k8s-ecmp/k8s-ecmp.yaml")
    shown = subprocess.run([*COMMAND, command, "--help"], capture_output=True, text=True, check=True).stdout
    assert options == ["--listen", "0.0.0.0:9637"]
    assert options[0] in shown
