"""The cluster files that the lab writes have kubectl's shape and change where the cluster changed."""

import json
from pathlib import Path

from tests.world.cluster import Cluster
from tests.world.objects import Port, ServiceState


def build() -> Cluster:
    cluster = Cluster(service_cidrs=("10.96.0.0/12", "fd00:96::/112"), pod_cidrs=("10.244.0.0/16", "fd00:244::/48"))
    for n in (1, 2):
        cluster.add_node(f"n{n}", (f"10.0.0.{n}", f"fd00::{n}"), (f"10.244.{n}.0/24", f"fd00:244:0:{n}::/64"))
    ports = (Port(80, 8080, "http", node_port=30080),)
    cluster.add_service(ServiceState("shop/web", ("10.96.0.10", "fd00:96::10"), ports, type="NodePort"))
    cluster.scale("shop/web", "n1", "n2")
    return cluster


def versions(cluster: Cluster) -> dict[str, str]:
    return {
        f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
        for item in cluster.document()["items"]
    }


def test_a_file_is_the_list_that_kubectl_prints(tmp_path: Path) -> None:
    path = tmp_path / "cluster.json"
    build().write(path)
    document = json.loads(path.read_text())
    assert (document["apiVersion"], document["kind"], document["metadata"]) == ("v1", "List", {"resourceVersion": ""})
    kinds = [item["kind"] for item in document["items"]]
    assert kinds == ["Node", "Node", "Service", "EndpointSlice", "EndpointSlice"]
    *_, slice4, slice6 = document["items"]
    assert (slice4["addressType"], slice6["addressType"]) == ("IPv4", "IPv6")
    assert [e["addresses"] for e in slice4["endpoints"]] == [["10.244.1.2"], ["10.244.2.2"]]
    assert [e["addresses"] for e in slice6["endpoints"]] == [["fd00:244:0:1::2"], ["fd00:244:0:2::2"]]
    assert {e["nodeName"] for e in slice4["endpoints"]} == {"n1", "n2"}


def test_only_what_changed_gets_a_new_version() -> None:
    cluster = build()
    before = versions(cluster)
    assert versions(cluster) == before
    cluster.drain("n2")
    after = versions(cluster)
    assert {name for name in after if after[name] != before[name]} == {"Node/n2"}


def test_scaling_keeps_the_pods_that_stay_and_never_reuses_an_address() -> None:
    cluster = build()
    stays, goes = cluster.pods_of("shop/web")
    assert cluster.scale("shop/web", "n1") == (stays,)
    _, new = cluster.scale("shop/web", "n1", "n2")
    assert new.node == goes.node
    assert not set(new.addresses) & set(goes.addresses)
    assert new.name != goes.name


def test_endpoints_of_a_dead_node_are_not_ready_and_those_of_ending_pods_still_serve() -> None:
    cluster = build()
    cluster.set_ready("n1", "Unknown", since_s=60)
    cluster.evict("n2")
    conditions = {e["nodeName"]: e["conditions"] for e in cluster.slice_objects()[0]["endpoints"]}
    assert conditions == {
        "n1": {"ready": False, "serving": False, "terminating": False},
        "n2": {"ready": False, "serving": True, "terminating": True},
    }
