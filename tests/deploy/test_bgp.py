"""The pods with an ExaBGP beside the daemon, on a real API server; and the systemd units of the same two processes."""

import copy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.routers.hosts import router_settings
from k8s_ecmp.routers.inventory import init_nornir
from tests.deploy.conftest import Deployed
from tests.deploy.test_kustomize import laid_out, only, rendered
from tests.site import COMMAND, REPO

OVERLAY = REPO / "deploy/kustomize/overlays/bgp"
UNITS = sorted((REPO / "deploy/systemd").glob("*.service"))


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return rendered(OVERLAY)


def container(documents: list[dict[str, Any]], name: str) -> dict[str, Any]:
    spec = only(documents, "Deployment")["spec"]["template"]["spec"]
    (found,) = (one for one in spec["containers"] if one["name"] == name)
    return dict(found)


def mounted(one: dict[str, Any], volume: str) -> str:
    (path,) = (mount["mountPath"] for mount in one["volumeMounts"] if mount["name"] == volume)
    return str(path)


@pytest.mark.kubeworld
def test_both_containers_share_the_folder_and_the_user(documents: list[dict[str, Any]]) -> None:
    daemon, exabgp = container(documents, "k8s-ecmp"), container(documents, "exabgp")
    assert mounted(daemon, "bgp") == mounted(exabgp, "bgp")
    assert daemon["image"] == exabgp["image"]
    assert "securityContext" in exabgp
    assert daemon["securityContext"] == exabgp["securityContext"], "of one user, and with no right at all"
    assert exabgp["securityContext"]["readOnlyRootFilesystem"]
    spec = only(documents, "Deployment")["spec"]["template"]["spec"]
    (volume,) = (volume for volume in spec["volumes"] if volume["name"] == "bgp")
    assert "emptyDir" in volume
    assert [mount["name"] for mount in daemon["volumeMounts"] if "bgp-key" in mount["name"]] == []


@pytest.mark.kubeworld
def test_its_inventory_is_one_that_exabgp_takes(documents: list[dict[str, Any]], tmp_path: Path) -> None:
    """The container's command with `check` for `start`, its mounted folders moved."""
    exabgp = container(documents, "exabgp")
    key = tmp_path / "key"
    key.mkdir()
    (key / "password").write_text("an-md5-key")
    (key / "password").chmod(0o400)
    settings = laid_out(documents, tmp_path / "settings")
    deployment = only(documents, "Deployment")["spec"]
    for host in init_nornir(settings, tmp_path).inventory.hosts.values():
        found = router_settings(host).bgp
        assert len(found.replicas) == deployment["replicas"] == 2
        assert found.hand_over_s < deployment["minReadySeconds"]
    groups = tmp_path / "settings/inventory/groups.yaml"
    text = groups.read_text()
    for place, moved in ((mounted(exabgp, "bgp-key"), key), (mounted(exabgp, "bgp") + "/", f"{tmp_path}/")):
        assert place in text
        text = text.replace(place, str(moved))
    groups.write_text(text)
    program, config, path, *command = exabgp["command"]
    assert (program, config, path, command) == ("k8s-ecmp", "--config", "/etc/k8s-ecmp/k8s-ecmp.yaml", ["bgp", "start"])
    for replica in ("1", "2"):
        argv = [*COMMAND, config, str(tmp_path / "settings/k8s-ecmp.yaml"), "bgp", "check", "--replica", replica]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.kubeworld
def test_the_api_server_takes_it(deployed: Deployed) -> None:
    said = deployed.kube.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-k", str(OVERLAY))
    assert "deployment.apps/k8s-ecmp serverside-applied" in said


@pytest.mark.kubeworld
def test_nothing_but_the_nodes_network_is_beyond_the_restricted_standard(
    deployed: Deployed, documents: list[dict[str, Any]]
) -> None:
    """The namespace of the example enforces the restricted one: without that network the pod is admitted there."""
    template = only(documents, "Deployment")["spec"]["template"]
    inside = copy.deepcopy(template["spec"])
    del inside["hostNetwork"]
    for probe in ("livenessProbe", "readinessProbe"):
        del inside["containers"][0][probe]["httpGet"]["host"]  # the page is for the node alone
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], "name": "p"}, "spec": inside}
    path = "/api/v1/namespaces/k8s-ecmp/pods?dryRun=All"
    assert len(deployed.kube.request("POST", path, pod)["spec"]["containers"]) == 2
    pod["spec"] = template["spec"]
    with pytest.raises(Exception, match="host namespaces"):
        deployed.kube.request("POST", path, pod)
    namespace = only(documents, "Namespace")
    namespace["metadata"]["name"] = "k8s-ecmp-bgp"
    account = {**only(documents, "ServiceAccount")}
    account["metadata"] = {"name": "k8s-ecmp", "namespace": "k8s-ecmp-bgp"}
    deployed.kube.request("POST", "/api/v1/namespaces", namespace)
    deployed.kube.request("POST", "/api/v1/namespaces/k8s-ecmp-bgp/serviceaccounts", account)
    made = deployed.kube.request("POST", "/api/v1/namespaces/k8s-ecmp-bgp/pods?dryRun=All", pod)
    assert made["spec"]["hostNetwork"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_in_order_and_closed(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    placed = tmp_path / unit.name
    placed.write_text(unit.read_text().replace("/opt/k8s-ecmp/bin/k8s-ecmp", COMMAND[0]))
    for command in (
        ["verify", "--man=no", "--recursive-errors=no"],
        ["security", "--offline=true", "--no-pager", "--threshold=20"],  # exposure at most 2.0 of 10
    ):
        done = subprocess.run(["systemd-analyze", *command, str(placed)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""


def test_the_units_are_of_one_user_and_neither_ends_the_other() -> None:
    assert [unit.name for unit in UNITS] == ["k8s-ecmp-bgp.service", "k8s-ecmp.service"]
    texts = [unit.read_text().splitlines() for unit in UNITS]
    for text in texts:
        assert {"User=k8s-ecmp", "UMask=0077", "StateDirectory=k8s-ecmp", "Restart=always"} <= set(text)
        assert not [line for line in text if line.startswith(("Requires=", "BindsTo=", "PartOf="))]
    commands = {word for text in texts for line in text if line.startswith("Exec") for word in [line.split(" ", 3)[3]]}
    assert commands == {"bgp start", "bgp reload", "run"}
