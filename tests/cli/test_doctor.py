"""`k8s-ecmp doctor` on a user's folder, and against a real API server."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.site import Outcome, Site
from tests.world.kube import sample
from tests.world.kube.server import READER, STRANGER, KubeApi

pytestmark = pytest.mark.slow

Findings = list[dict[str, Any]]


def findings(done: Outcome) -> Findings:
    document = done.json()
    assert document["version"] == 1
    found: Findings = document["findings"]
    return found


def about(found: Findings, check: str, router: str | None = None) -> Findings:
    return [finding for finding in found if finding["check"] == check and finding["router"] == router]


def levels(found: Findings, check: str, router: str | None = None) -> list[str]:
    return [finding["level"] for finding in about(found, check, router)]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_demo_is_well_and_untouched(site: Site) -> None:
    before = tree(site.folder)
    done = site.run("doctor", "--format", "json")
    assert (done.code, done.err) == (0, "")
    found = findings(done)
    for check in ("settings", "inventory", "cluster", "nodes", "service-cidrs"):
        assert levels(found, check) == ["ok"], check
    for check in ("api", "clock", "rights", "kube-proxy", "loops", "traffic-policy"):
        assert levels(found, check) == ["unknown"], check
    assert [levels(found, "router", name) for name in ("edge1", "edge2")] == [["ok"], ["ok"]]
    assert tree(site.folder) == before


def test_text_names_why_and_remedy(site: Site) -> None:
    done = site.run("doctor")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("ok       settings        ")
    assert lines[-1] == "Doctor: 8 unknown, 7 ok."
    assert "edge1" in lines
    assert any(line.startswith("         remedy: ") for line in lines)


def test_some_routers(site: Site) -> None:
    found = findings(site.run("doctor", "--router", "edge2", "--format", "json"))
    assert {finding["router"] for finding in found} == {None, "edge2"}
    unknown = site.run("doctor", "--router", "nobody", "--format", "json")
    assert unknown.code == 1
    assert levels(findings(unknown), "inventory") == ["problem"]
    assert levels(findings(unknown), "nodes") == ["ok"]


def test_bad_settings_are_a_finding(site: Site) -> None:
    site.settings(tag="x", modus="full")
    done = site.run("doctor", "--format", "json")
    assert done.code == 1
    (found,) = findings(done)
    assert (found["check"], found["level"]) == ("settings", "problem")
    assert "modus" in found["saw"]


def test_a_bad_inventory_does_not_hide_the_cluster(site: Site) -> None:
    (site.folder / "inventories/demo/hosts.yaml").write_text("edge1: {groups: [nowhere]}")
    found = findings(site.run("doctor", "--format", "json"))
    assert levels(found, "inventory") == ["problem"]
    assert levels(found, "service-cidrs") == ["ok"]


def test_a_sick_site(site: Site) -> None:
    """Each of the checks that a file and embedded routers allow, sick at once."""
    site.settings(cluster={"source": "cluster.yaml", "service_cidrs": ["10.200.0.0/16", "fd96::/108"]})
    site.node("node1", lambda item: item["status"].update(addresses=[{"type": "InternalIP", "address": "10.192.0.1"}]))
    site.edit("inventories/demo/groups.yaml", lambda groups: groups["edge"]["data"]["k8s_ecmp"].update(max_paths=2))
    config = site.config("edge1")
    config.write_text(
        config.read_text().replace("!\nend", "").rstrip()
        + "\nvrf red\n ip route 10.9.0.0/16 10.192.0.1 tag 4201\nexit-vrf\n"
        "ip route 10.8.0.0/16 10.192.0.1 tag 4201\nip route 10.8.0.0/16 10.192.0.2 tag 9\n"
    )
    site.config("edge2").write_text("ip route 10.7.0.0/16 10.192.0.1 tag 4201 name test\n!\nend\n")
    done = site.run("doctor", "--format", "json")
    assert done.code == 1
    found = findings(done)
    (cidrs,) = about(found, "service-cidrs")
    assert "cluster IPs are in no service CIDR" in cidrs["saw"]
    (nodes,) = about(found, "nodes")
    assert (nodes["level"], nodes["saw"]) == ("warning", "1 of 3 eligible nodes have no IPv6 InternalIP: node1")
    marks = {finding["saw"] for finding in about(found, "marks", "edge1")}
    assert marks == {
        "1 prefixes with our marks are in VRF red",
        "10.8.0.0/16 carry our tag, but not only our marks",
    }
    assert levels(found, "marks", "edge2") == ["problem"]
    assert levels(found, "paths", "edge1") == ["warning"]


def test_no_eligible_node(site: Site) -> None:
    site.not_ready("node1", "node2", "node3")
    done = site.run("doctor", "--format", "json")
    assert done.code == 1
    (nodes,) = about(findings(done), "nodes")
    assert nodes["saw"].startswith("none of 3 nodes is eligible: node1: not Ready")


def test_a_router_that_cannot_be_read(site: Site) -> None:
    site.config("edge1").unlink()
    done = site.run("doctor", "--format", "json")
    assert done.code == 1
    found = findings(done)
    assert levels(found, "router", "edge1") == ["problem"]
    assert levels(found, "router", "edge2") == ["ok"]


# --- live

PROXY = {"mode": "nftables", "clusterCIDR": "10.244.0.0/16,fd44::/48"}
ALL = "get,list,watch"
RIGHTS = (
    ("", "nodes", ALL),
    ("", "services", ALL),
    ("discovery.k8s.io", "endpointslices", ALL),
    ("networking.k8s.io", "servicecidrs", ALL),
)


def live(site: Site, server: KubeApi, folder: Path, user: str = "admin", **cluster: Any) -> Outcome:
    kubeconfig = server.kubeconfig(folder / "kubeconfig", user)
    site.settings(cluster={"source": "live", "kubeconfig": str(kubeconfig), **cluster})
    return site.run("doctor", "--format", "json")


def config_map(name: str, **values: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "kube-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": values}


def proxy(server: KubeApi, **values: Any) -> None:
    document = {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", **values}
    server.create(
        config_map("kube-proxy", **{"config.conf": yaml.safe_dump(document), "kubeconfig.conf": "kind: Config"})
    )


def versions(server: KubeApi) -> dict[str, str]:
    """Of all objects that the program knows how to write, and of those that it reads; without the API server's own.

    It makes those when it likes, as its own service's endpoints every ten seconds where they are not there.
    """
    default = "namespaces/default"
    paths = [
        "/api/v1/nodes",
        "/api/v1/services",
        "/api/v1/events",
        "/api/v1/namespaces/kube-system/configmaps",
        f"/apis/coordination.k8s.io/v1/{default}/leases",
        "/apis/discovery.k8s.io/v1/endpointslices",
    ]
    items = [item["metadata"] for path in paths for item in server.get(path)["items"]]
    return {meta["uid"]: meta["resourceVersion"] for meta in items if _writers(meta) != {"kube-apiserver"}}


def _writers(metadata: dict[str, Any]) -> set[str]:
    return {entry["manager"] for entry in metadata["managedFields"]}


@pytest.mark.kubeworld
def test_a_cluster_that_is_well(site: Site, kube_api: KubeApi, tmp_path: Path) -> None:
    sample.create(kube_api)
    proxy(kube_api, **PROXY)
    kubeadm = yaml.safe_dump({"networking": {"serviceSubnet": "10.43.0.0/16,fd43::/108"}})
    kube_api.create(config_map("kubeadm-config", ClusterConfiguration=kubeadm))
    site.settings(services={"external_ips": {"cidrs": []}})
    before = versions(kube_api)
    done = live(site, kube_api, tmp_path)
    found = findings(done)
    assert done.code == 0, done.out
    assert [finding["check"] for finding in found if finding["level"] not in ("ok", "unknown")] == ["traffic-policy"]
    for check in ("api", "clock", "rights", "kube-proxy", "loops", "service-cidrs", "nodes"):
        assert levels(found, check) == ["ok"], check
    (cidrs,) = about(found, "service-cidrs")
    assert cidrs["saw"].endswith("ServiceCIDR objects and ConfigMap kube-system/kubeadm-config agree")
    assert about(found, "traffic-policy")[0]["saw"].endswith("default/nginx, default/web")
    assert versions(kube_api) == before


@pytest.mark.kubeworld
def test_a_cluster_that_is_sick(site: Site, kube_api: KubeApi, tmp_path: Path) -> None:
    sample.create(kube_api)
    proxy(kube_api, mode="iptables", clusterCIDR="10.244.0.0/16")
    done = live(site, kube_api, tmp_path, service_cidrs=["10.43.0.0/20", "fd43::/108"])
    assert done.code == 1
    found = findings(done)
    (masquerade,) = about(found, "kube-proxy")
    assert masquerade["level"] == "problem"
    assert "does not masquerade IPv6 from outside" in masquerade["saw"]
    assert [finding["saw"].partition(",")[0] for finding in about(found, "service-cidrs")] == [
        "10.43.0.0/16 is in ServiceCIDR objects"
    ]
    assert levels(found, "loops") == ["unknown"]


@pytest.mark.kubeworld
def test_rights_are_asked_one_by_one(site: Site, kube_api: KubeApi, tmp_path: Path) -> None:
    sample.create(kube_api)
    kube_api.allow(READER, *RIGHTS)
    done = live(site, kube_api, tmp_path, READER)
    assert done.code == 1
    found = about(findings(done), "rights")
    assert {(finding["level"], finding["saw"]) for finding in found} == {
        ("warning", "not granted: get on configmaps kube-system/kubeadm-config"),
        ("warning", "not granted: get on configmaps kube-system/kube-proxy"),
        ("warning", "not granted: get, list, watch on daemonsets.apps kube-system/kured"),
        ("warning", "not granted: create, patch on events"),
        ("problem", "not granted: create on leases.coordination.k8s.io in namespace default"),
        ("problem", "not granted: get, update, patch on leases.coordination.k8s.io default/k8s-ecmp-demo"),
        ("ok", "12 rights are granted"),
    }
    site.settings(daemon={"lease": {"enabled": False}})
    done = live(site, kube_api, tmp_path, READER)
    assert done.code == 0
    assert levels(findings(done), "kube-proxy") == ["unknown"]


@pytest.mark.kubeworld
def test_a_stranger_learns_what_is_missing(site: Site, kube_api: KubeApi, tmp_path: Path) -> None:
    done = live(site, kube_api, tmp_path, STRANGER)
    assert done.code == 1
    found = findings(done)
    assert levels(found, "api") == ["ok"]
    assert "ok" not in levels(found, "rights")
    assert levels(found, "cluster") == ["problem"]
    assert levels(found, "router", "edge1") == ["ok"]


@pytest.mark.kubeworld
def test_a_server_that_does_not_answer(site: Site, kube_api: KubeApi, tmp_path: Path) -> None:
    kubeconfig = kube_api.kubeconfig(tmp_path / "kubeconfig", server="https://127.0.0.1:1")
    site.settings(cluster={"source": "live", "kubeconfig": str(kubeconfig)})
    done = site.run("doctor", "--format", "json")
    assert done.code == 1
    found = findings(done)
    assert levels(found, "api") == ["problem"]
    assert levels(found, "cluster") == ["unknown"]
    assert levels(found, "router", "edge2") == ["ok"]
