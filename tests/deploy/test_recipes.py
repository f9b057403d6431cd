"""The recipes under docs/guides say what works: their files are read by the programs that they are for."""

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s_ecmp.kube import drain as drains
from k8s_ecmp.kube.drain import DRAINED_ANNOTATION, Ack, encode_acks
from k8s_ecmp.kube.lease import Elector
from k8s_ecmp.settings import LeaseSettings, load_settings
from tests.deploy.conftest import KUBELET, Deployed
from tests.site import COMMAND, REPO
from tests.world.kube import build
from tests.world.netns import wait_for

GUIDES = sorted((REPO / "docs/guides").glob("*.md"))
DRAINS = [guide for guide in GUIDES if guide.stem.startswith("drain")]
LEASE = LeaseSettings(namespace="k8s-ecmp", name="k8s-ecmp", retry_s=0.1, identity="pod-1")
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "machines.cluster.x-k8s.io"},
    "spec": {
        "group": "cluster.x-k8s.io",
        "scope": "Namespaced",
        "names": {"kind": "Machine", "plural": "machines", "singular": "machine"},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
HOOK = "pre-drain.delete.hook.machine.cluster.x-k8s.io/k8s-ecmp"


def blocks(guide: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", guide.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_links_lead_somewhere(guide: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", guide.read_text()):
        assert "://" in target or (guide.parent / target).exists(), target


def test_every_page_is_in_the_list() -> None:
    listed = re.findall(r"\((drain-[\w-]+\.md)\)", (REPO / "docs/guides/drain.md").read_text())
    assert sorted(set(listed)) == [guide.name for guide in DRAINS if guide.stem != "drain"]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_files_in_it_can_be_read(guide: Path) -> None:
    for text in blocks(guide, "yaml"):
        assert all(isinstance(document, dict) for document in yaml.safe_load_all(text))
    for text in blocks(guide, "sh"):
        subprocess.run(["sh", "-n"], input=text, text=True, check=True)


def test_options_of_the_command_exist() -> None:
    shown = subprocess.run([*COMMAND, "drain", "--help"], capture_output=True, text=True, check=True).stdout
    used = {
        option
        for guide in GUIDES
        for call in re.findall(r"k8s-ecmp (?:\S+ )*?drain [^\n`&|;]*", guide.read_text())
        for option in re.findall(r"--[a-z-]+", call.partition("drain ")[2])
    }
    assert used
    assert all(option in shown for option in used)


def test_the_unit_of_a_plain_reboot(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    (text,) = blocks(REPO / "docs/guides/drain-reboot.md", "ini")
    unit = tmp_path / "k8s-ecmp-drain.service"
    unit.write_text(text.replace("/usr/local/bin/k8s-ecmp", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.kubeworld
def test_the_settings_of_a_plain_reboot(deployed: Deployed, tmp_path: Path) -> None:
    """The unit's own commands, with a kubelet's credentials and no inventory."""
    (text,) = blocks(REPO / "docs/guides/drain-reboot.md", "yaml")
    kubeconfig = deployed.cluster(tmp_path, KUBELET).kubeconfig
    path = tmp_path / "k8s-ecmp.yaml"
    path.write_text(text.replace("/etc/kubernetes/kubelet.conf", str(kubeconfig)))
    settings = load_settings(path)
    assert (settings.daemon.lease.namespace, settings.daemon.lease.name) == (LEASE.namespace, LEASE.name)
    (unit,) = blocks(REPO / "docs/guides/drain-reboot.md", "ini")
    start, stop = (re.findall(rf"^{kind}=(.*)$", unit, re.MULTILINE)[0] for kind in ("ExecStart", "ExecStop"))
    with Confirming(deployed, tmp_path, "n2"):
        for line in (stop, start):
            words = line.replace("%H", "n2").replace("/etc/k8s-ecmp/k8s-ecmp.yaml", str(path)).split()
            done = subprocess.run([*COMMAND, *words[1:]], capture_output=True, text=True, check=False, timeout=120)
            assert done.returncode == 0, done.stderr
    assert "k8s-ecmp.io/drain" not in deployed.get("/api/v1/nodes/n2")["metadata"].get("annotations", {})


class Confirming:
    """A leader with the daemon's rights that confirms the drain of a node."""

    def __init__(self, deployed: Deployed, folder: Path, node: str) -> None:
        own = folder / "daemon"
        own.mkdir()
        self._elector = Elector(deployed.cluster(own), LEASE, "prod-eu1")
        self._writer = deployed.writer(own)
        self._node = node
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._elector.start()
        wait_for(lambda: self._elector.leading, "the daemon leads")
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._elector.stop()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            node = drains.read_node(self._writer, self._node)
            if node.asked:
                ack = Ack(node.drain_id, node.uid, "2026-01-05T08:15:30Z")
                self._elector.annotate(DRAINED_ANNOTATION, encode_acks({node.name: ack}))


@pytest.mark.kubeworld
def test_roles_of_the_upgrade_controller_are_accepted(deployed: Deployed, tmp_path: Path) -> None:
    text = blocks(REPO / "docs/guides/drain-system-upgrade-controller.md", "yaml")[1]
    file = tmp_path / "roles.yaml"
    file.write_text(text)
    shown = deployed.kube.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", str(file))
    assert len(shown.splitlines()) == 2
    for document in yaml.safe_load_all(text):
        kind = document["roleRef"]["kind"].lower()
        place = ["-n", document["metadata"]["namespace"]] if kind == "role" else []
        assert deployed.kube.kubectl("get", *place, kind, document["roleRef"]["name"])


@pytest.mark.kubeworld
def test_the_hook_of_cluster_api(deployed: Deployed, tmp_path: Path) -> None:
    """The script as it stands, against Machines on a real API server: it lets go of the one that is out, and only it."""
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    kube = deployed.kube
    kube.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)
    machines = "/apis/cluster.x-k8s.io/v1beta1/namespaces/default/machines"

    def served() -> bool:
        found = kube.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/machines.cluster.x-k8s.io")
        return any(
            condition["type"] == "Established" and condition["status"] == "True"
            for condition in (found.get("status") or {}).get("conditions") or []
        )

    wait_for(served, "Machines are served")
    for name, node in (("m2", "n2"), ("m3", "n3"), ("m4", None), ("staying", "n1")):
        machine: dict[str, Any] = {
            "apiVersion": "cluster.x-k8s.io/v1beta1",
            "kind": "Machine",
            "metadata": {"name": name, "annotations": {HOOK: ""}, "finalizers": ["machine.cluster.x-k8s.io"]},
            "status": {"nodeRef": {"name": node}} if node else {},
        }
        wait_for(lambda body=machine: created(deployed, machines, body), f"Machine {name} is there")
    for name in ("m2", "m3", "m4"):
        kube.request("DELETE", f"{machines}/{name}")
    (script,) = blocks(REPO / "docs/guides/drain-cluster-api.md", "sh")
    admin = kube.kubeconfig(tmp_path / "admin.conf")
    (tmp_path / "k8s-ecmp.yaml").write_text(
        f"owner: prod-eu1\ntag: 4201\ncluster: {{source: live, kubeconfig: {admin}}}\n"
        "daemon: {lease: {namespace: k8s-ecmp, name: k8s-ecmp}}\n"
    )
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "kubectl").symlink_to(build.binary("kubectl"))
    (programs / "k8s-ecmp").symlink_to(COMMAND[0])
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "MANAGEMENT": str(admin),
        "K8S_ECMP_CONFIG": str(tmp_path / "k8s-ecmp.yaml"),
    }
    # n3's drain is not confirmed: its Machine waits. For n2's there is time.
    patient = script.replace("--timeout 50", '--timeout "$([ "$node" = n3 ] && echo 3 || echo 200)"')
    assert patient != script
    with Confirming(deployed, tmp_path, "n2"):
        done = subprocess.run(
            ["sh"], input=patient, text=True, env=environment, capture_output=True, check=False, timeout=400
        )
    assert "n3" in done.stderr
    held = {
        item["metadata"]["name"]
        for item in kube.get(machines)["items"]
        if HOOK in item["metadata"].get("annotations", {})
    }
    assert held == {"m3", "staying"}
    assert drains.read_node(deployed.writer(tmp_path), "n2").asked
    assert not drains.read_node(deployed.writer(tmp_path), "n1").marked
    for name in ("n2", "n3"):
        kube.patch(f"/api/v1/nodes/{name}", {"metadata": {"annotations": {"k8s-ecmp.io/drain": None}}})


def created(deployed: Deployed, collection: str, body: dict[str, Any]) -> bool:
    """A new kind is served a moment after it says so."""
    try:
        deployed.kube.request("POST", collection, body)
    except Exception as error:
        if "404" in str(error):
            return False
        raise
    return True
