"""What API objects mean, and what a broken one costs: itself alone, with field and value named."""

import ipaddress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.kube.convert import read_node
from k8s_ecmp.kube.wire import Meta, NodeStatus, WireNode
from k8s_ecmp.model import Condition, Endpoint, Prefix, Skipped, Taint, canonical_address
from tests.kube.build import load, node, piece, service

EDGES = (
    *("0.0.0.0", "0.0.0.1", "126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0", "223.255.255.255"),
    *("224.0.0.0", "239.255.255.255", "240.0.0.0", "169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"),
    *("::", "::1", "::2", "fe7f::", "fe80::", "febf:ffff::", "fec0::", "feff::", "ff00::", "ffff::", "fd00::1"),
)


def conditions(**statuses: tuple[str, str | None]) -> dict[str, Any]:
    return {
        "addresses": None,
        "conditions": [
            {"type": kind, "status": status, "lastTransitionTime": since} for kind, (status, since) in statuses.items()
        ],
    }


class TestNodes:
    def test_everything(self, tmp_path: Path) -> None:
        full = node(
            "n1",
            metadata={
                "labels": {"zone": "a"},
                "annotations": {"k8s-ecmp.io/drain": "true", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
                "creationTimestamp": "2026-03-01T10:00:00Z",
                "deletionTimestamp": "2026-03-01T11:00:00Z",
            },
            spec={
                "podCIDR": "10.244.9.0/24",
                "podCIDRs": ["10.244.1.0/24", "FD00:0:0:1::/64"],
                "unschedulable": True,
                "taints": [
                    {"key": "medik8s.io/drain", "effect": "NoSchedule"},
                    {"key": "a", "value": "b", "effect": "c"},
                ],
            },
            status={
                "addresses": [
                    {"type": "Hostname", "address": "n1"},
                    {"type": "InternalIP", "address": "FD00::0:1"},
                    {"type": "ExternalIP", "address": "no address"},
                    {"type": "InternalIP", "address": "10.0.0.1"},
                ],
                "conditions": [
                    {"type": "Ready", "status": "Unknown", "lastTransitionTime": "2026-03-01T12:00:00+02:00"},
                    {"type": "NetworkUnavailable", "status": "False", "lastTransitionTime": None},
                ],
            },
        )
        [made] = load(tmp_path, full).nodes
        assert made.internal_ips == ("fd00::1", "10.0.0.1")
        assert made.labels == {"zone": "a"}
        assert made.annotations == {"k8s-ecmp.io/drain": "true"}
        assert made.taints == (Taint("medik8s.io/drain", "", "NoSchedule"), Taint("a", "b", "c"))
        assert made.unschedulable
        assert made.deleting
        assert made.ready == Condition("Unknown", datetime(2026, 3, 1, 10, tzinfo=UTC))
        assert made.network_unavailable == Condition("False", None)
        assert made.pod_cidrs == (Prefix.parse("10.244.1.0/24"), Prefix.parse("fd00:0:0:1::/64"))
        assert made.created == datetime(2026, 3, 1, 10, tzinfo=UTC)

    def test_the_single_pod_cidr_stands_in(self, tmp_path: Path) -> None:
        [made] = load(tmp_path, node(spec={"podCIDR": "10.244.9.0/24", "podCIDRs": None})).nodes
        assert made.pod_cidrs == (Prefix.parse("10.244.9.0/24"),)

    def test_nothing_is_needed_but_a_name(self, tmp_path: Path) -> None:
        nulls = {"labels": None, "annotations": None, "creationTimestamp": None, "deletionTimestamp": None}
        state = load(
            tmp_path,
            {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "bare"}},
            node("null", metadata=nulls, spec=None, status=None),
            node(
                "hollow", spec={"taints": None, "unschedulable": None}, status={"addresses": None, "conditions": None}
            ),
        )
        assert state.skipped == ()
        assert [(n.name, n.internal_ips, n.labels, n.ready, n.created) for n in state.nodes] == [
            (name, (), {}, None, None) for name in ("bare", "null", "hollow")
        ]

    def test_the_first_of_two_conditions_counts(self, tmp_path: Path) -> None:
        twice = {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Ready", "status": "False"}]}
        [made] = load(tmp_path, node(status=twice)).nodes
        assert made.ready == Condition("True", None)

    @pytest.mark.parametrize(
        ("broken", "reason"),
        [
            (
                node("bad", status={"addresses": [{"type": "InternalIP", "address": "10.0.0.300"}]}),
                "status.addresses[0].address: '10.0.0.300' is not an IP address",
            ),
            (
                node("bad", status={"addresses": [{"type": "InternalIP", "address": None}]}),
                "status.addresses[0].address: '' is not an IP address",
            ),
            (
                node("bad", status={"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}),
                "status.addresses[0].address: InternalIP 127.0.0.1 is a loopback address",
            ),
            (
                node("bad", status={"addresses": [{"type": "InternalIP", "address": "::"}]}),
                "status.addresses[0].address: InternalIP :: is the unspecified address",
            ),
            (
                node("bad", spec={"podCIDRs": ["10.244.0.0/24", "10.244.0.0/99"]}),
                "spec.podCIDRs[1]: '10.244.0.0/99' is not a prefix: the length is over 32",
            ),
            (node("bad", spec={"podCIDR": "10.244.0.0"}), "spec.podCIDR: '10.244.0.0' is not a CIDR: it has no length"),
            (
                node("bad", status=conditions(Ready=("True", "yesterday"))),
                "status.conditions[Ready].lastTransitionTime: 'yesterday' is not an RFC 3339 time",
            ),
            (
                node("bad", metadata={"creationTimestamp": "2026-03-01T10:00:00"}),
                "metadata.creationTimestamp: '2026-03-01T10:00:00' is not an RFC 3339 time",
            ),
            (node("bad", metadata={"labels": {"a": "x", "b": 5}}), "metadata.labels.b: 5 is not a string"),
            (node("bad", spec=[]), "spec: [] is not a mapping"),
            (node("bad", spec={"unschedulable": "yes"}), 'spec.unschedulable: "yes" is not true or false'),
            (
                node("bad", status={"addresses": [{"type": "Hostname", "address": "x"}, {"type": 7}]}),
                "status.addresses[1].type: 7 is not a string",
            ),
        ],
    )
    def test_a_broken_one_costs_itself_alone(self, tmp_path: Path, broken: dict[str, Any], reason: str) -> None:
        state = load(tmp_path, broken, node("good"))
        assert state.skipped == (Skipped("Node bad", reason),)
        assert [made.name for made in state.nodes] == ["good"]

    @given(st.ip_addresses() | st.sampled_from([ipaddress.ip_address(text) for text in EDGES]))
    def test_unroutable_addresses_are_those_of_the_standard_library(self, ip: Any) -> None:
        mapped = ip.version == 6 and ip.ipv4_mapped is not None
        expected = mapped or ip.is_unspecified or ip.is_loopback or ip.is_multicast or ip.is_link_local
        address = {"type": "InternalIP", "address": str(ip)}
        wire = WireNode(metadata=Meta(name="n"), status=msgspec.convert({"addresses": [address]}, NodeStatus))
        if expected:
            with pytest.raises(ValueError, match=r"status\.addresses\[0\]\.address: InternalIP "):
                read_node(wire)
        else:
            assert read_node(wire).internal_ips == (canonical_address(str(ip)),)

    @pytest.mark.parametrize("metadata", [{"name": None}, {"name": ""}])
    def test_without_a_name(self, tmp_path: Path, metadata: dict[str, Any]) -> None:
        state = load(tmp_path, node(metadata=metadata))
        assert state.skipped == (Skipped("Node without a name", "metadata.name: missing"),)
        assert state.warnings
        assert "no Node object can be read" in state.warnings[0]


class TestServices:
    def test_everything(self, tmp_path: Path) -> None:
        [made] = load(
            tmp_path,
            service(
                "web",
                "shop",
                type="LoadBalancer",
                clusterIP="10.96.0.5",
                clusterIPs=["10.96.0.6", "FD00:0::6"],
                externalIPs=["198.51.100.9"],
                externalTrafficPolicy="Local",
                internalTrafficPolicy="Cluster",
                ingress=[
                    {"ip": "203.0.113.7"},
                    {"ip": "203.0.113.8", "ipMode": "VIP"},
                    {"ip": "203.0.113.9", "ipMode": "Proxy"},
                    {"hostname": "web.example.com"},
                    {},
                ],
            ),
        ).services
        assert made.key == "shop/web"
        assert made.type == "LoadBalancer"
        assert not made.headless
        assert made.cluster_ips == ("10.96.0.6", "fd00::6")
        assert made.external_ips == ("198.51.100.9",)
        assert made.load_balancer_ips == ("203.0.113.7", "203.0.113.8")
        assert made.load_balancer_notes == (
            "203.0.113.9: ipMode Proxy",
            "web.example.com: a host name without an address",
        )
        assert (made.external_local, made.internal_local) == (True, False)

    @pytest.mark.parametrize(
        ("spec", "headless", "addresses"),
        [
            ({"clusterIP": "10.96.0.5", "clusterIPs": None}, False, ("10.96.0.5",)),
            ({"clusterIP": "10.96.0.5", "clusterIPs": []}, False, ("10.96.0.5",)),
            ({"clusterIP": "None", "clusterIPs": ["None"]}, True, ()),
            ({"clusterIP": "None"}, True, ()),
            ({"clusterIP": ""}, False, ()),
            ({"clusterIP": None, "type": None, "externalIPs": None, "externalTrafficPolicy": None}, False, ()),
        ],
    )
    def test_cluster_ips(
        self, tmp_path: Path, spec: dict[str, Any], headless: bool, addresses: tuple[str, ...]
    ) -> None:
        [made] = load(tmp_path, service(**spec)).services
        assert (made.headless, made.cluster_ips, made.type) == (headless, addresses, "ClusterIP")

    @pytest.mark.parametrize("status", [None, {}, {"loadBalancer": None}, {"loadBalancer": {"ingress": None}}])
    def test_no_load_balancer(self, tmp_path: Path, status: Any) -> None:
        [made] = load(tmp_path, {**service(), "status": status}).services
        assert made.load_balancer_ips == made.load_balancer_notes == ()

    @pytest.mark.parametrize(
        ("broken", "reason"),
        [
            (service("bad", clusterIP="10.96.0"), "spec.clusterIP: '10.96.0' is not an IP address"),
            (service("bad", clusterIPs=["10.96.0.5", "x"]), "spec.clusterIPs: 'x' is not an IP address"),
            (service("bad", externalIPs=["1.2.3.4/32"]), "spec.externalIPs: '1.2.3.4/32' is not an IP address"),
            (service("bad", ingress=[{"ip": "x"}]), "status.loadBalancer.ingress[0].ip: 'x' is not an IP address"),
            (
                service("bad", externalTrafficPolicy="local"),
                "spec.externalTrafficPolicy: 'local' is none of Cluster, Local",
            ),
            (service("bad", clusterIPs="10.96.0.5"), 'spec.clusterIPs: "10.96.0.5" is not a list'),
            ({**service("bad"), "spec": "x" * 90}, f'spec: "{"x" * 56}... is not a mapping'),
        ],
    )
    def test_a_broken_one_costs_itself_alone(self, tmp_path: Path, broken: dict[str, Any], reason: str) -> None:
        state = load(tmp_path, node(), broken, service("good"))
        assert state.skipped == (Skipped("Service default/bad", reason),)
        assert [made.name for made in state.services] == ["good"]


class TestSlices:
    @pytest.mark.parametrize(
        ("endpoint", "expected"),
        [
            ({"conditions": {"ready": True, "serving": True, "terminating": False}}, Endpoint("n1")),
            ({"conditions": {"ready": None, "serving": None, "terminating": None}}, Endpoint("n1")),
            ({"conditions": None}, Endpoint("n1")),
            ({"conditions": {"ready": False}}, Endpoint("n1", ready=False)),
            (
                {"conditions": {"ready": False, "serving": True, "terminating": True}},
                Endpoint("n1", ready=False, terminating=True),
            ),
            ({"conditions": {"ready": False, "serving": False}}, Endpoint("n1", ready=False, serving=False)),
            ({"nodeName": None}, Endpoint(None)),
            ({"nodeName": ""}, Endpoint(None)),
        ],
    )
    def test_endpoints(self, tmp_path: Path, endpoint: dict[str, Any], expected: Endpoint) -> None:
        whole = {"addresses": ["10.244.1.5"], "nodeName": "n1", **endpoint}
        [made] = load(tmp_path, piece(endpoints=[whole])).slices
        assert made.endpoints == (expected,)
        assert (made.service, made.family) == ("default/s", 4)

    @pytest.mark.parametrize("addresses", [None, []])
    def test_an_endpoint_without_addresses_is_none(self, tmp_path: Path, addresses: Any) -> None:
        [made] = load(tmp_path, piece(endpoints=[{"addresses": addresses, "nodeName": "n1"}])).slices
        assert made.endpoints == ()

    @pytest.mark.parametrize("changes", [{"endpoints": None}, {"endpoints": []}, {"ports": None, "endpoints": []}])
    def test_without_endpoints(self, tmp_path: Path, changes: dict[str, Any]) -> None:
        [made] = load(tmp_path, piece(**changes)).slices
        assert made.endpoints == ()

    def test_without_a_service(self, tmp_path: Path) -> None:
        [made] = load(tmp_path, piece(owner=None)).slices
        assert made.service is None

    @pytest.mark.parametrize(
        ("broken", "reason"),
        [
            (
                piece("bad", endpoints=[{"addresses": ["10.244.1.5"]}, {"addresses": ["fd00::5"]}]),
                "endpoints[1].addresses: 'fd00::5' is not an IPv4 address",
            ),
            (
                piece("bad", addressType="IPv6", endpoints=[{"addresses": ["10.244.1.5"]}]),
                "endpoints[0].addresses: '10.244.1.5' is not an IPv6 address",
            ),
            (
                piece("bad", endpoints=[{"addresses": ["a\0b"]}]),
                "endpoints[0].addresses: 'a\\x00b' is not an IPv4 address",
            ),
            (piece("bad", addressType="IPX"), "addressType: 'IPX' is none of IPv4, IPv6"),
            (piece("bad", addressType=None), "addressType: None is none of IPv4, IPv6"),
            (piece("bad", addressType="FQDN"), "addressType FQDN"),
            (
                piece("bad", endpoints=[{"addresses": "10.244.1.5"}]),
                'endpoints[0].addresses: "10.244.1.5" is not a list',
            ),
            (
                piece("bad", endpoints=[{"addresses": [], "conditions": {"ready": "True"}}]),
                'endpoints[0].conditions.ready: "True" is not true or false',
            ),
        ],
    )
    def test_a_broken_one_costs_itself_alone(self, tmp_path: Path, broken: dict[str, Any], reason: str) -> None:
        state = load(tmp_path, node(), service(), broken, piece("good"))
        assert state.skipped == (Skipped("EndpointSlice default/bad", reason),)
        assert [made.name for made in state.slices] == ["good"]

    def test_host_names_of_nobody(self, tmp_path: Path) -> None:
        state = load(tmp_path, node(), piece(owner=None, addressType="FQDN", endpoints=[{"addresses": ["a.example"]}]))
        assert state.slices == ()
        assert state.skipped == ()


@pytest.mark.parametrize(
    ("document", "skipped"),
    [
        ({**service("k"), "apiVersion": "serving.knative.dev/v1"}, ()),
        ({**node("m"), "apiVersion": "metrics.k8s.io/v1beta1"}, ()),
        (
            {**piece("old"), "apiVersion": "discovery.k8s.io/v1beta1"},
            (
                Skipped(
                    "EndpointSlice default/old",
                    "apiVersion: 'discovery.k8s.io/v1beta1' is none of discovery.k8s.io/v1",
                ),
            ),
        ),
        ({**service("k", clusterIP=7), "apiVersion": "serving.knative.dev/v1"}, ()),
    ],
)
def test_the_same_kind_of_another_group_is_another_thing(
    tmp_path: Path, document: dict[str, Any], skipped: tuple[Skipped, ...]
) -> None:
    state = load(tmp_path, node(), document)
    assert state.skipped == skipped
    assert (state.services, state.slices, len(state.nodes)) == ((), (), 1)


def test_equal_endpoints_are_one_object(tmp_path: Path) -> None:
    endpoint = {"addresses": ["10.244.1.5"], "nodeName": "n1"}
    [made] = load(tmp_path, piece(endpoints=[endpoint, endpoint])).slices
    assert made.endpoints[0] is made.endpoints[1]
