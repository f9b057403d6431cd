"""Service CIDRs: the first source that knows any counts, and none is ever guessed."""

from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.model import ClusterState, Skipped
from tests.kube.build import api_server, cidr, kubeadm, load, node, service

DELETED = {"name": "x", "deletionTimestamp": "2026-03-01T10:00:00Z"}
OBJECT = cidr("kubernetes", "10.96.0.0/16", "fd01::/108")
BETA = {**cidr("beta", "10.97.0.0/16"), "apiVersion": "networking.k8s.io/v1beta1"}
KUBEADM = kubeadm("10.98.0.0/16,fd02::/108")
SERVER = api_server("--service-cluster-ip-range=10.99.0.0/16,fd03::/108")


def found(state: ClusterState) -> list[str]:
    return [f"{entry.prefix} {entry.origin}" for entry in state.service_cidrs]


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        (
            (SERVER, KUBEADM, BETA, OBJECT),
            ["10.96.0.0/16 ServiceCIDR kubernetes", "fd01::/108 ServiceCIDR kubernetes"],
        ),
        ((SERVER, KUBEADM, BETA), ["10.97.0.0/16 ServiceCIDR beta"]),
        (
            (SERVER, KUBEADM),
            ["10.98.0.0/16 ConfigMap kube-system/kubeadm-config", "fd02::/108 ConfigMap kube-system/kubeadm-config"],
        ),
        (
            (SERVER, api_server("--service-cluster-ip-range=10.99.0.0/16", name="kube-apiserver-n2")),
            ["10.99.0.0/16 Pod kube-system/kube-apiserver-n1", "fd03::/108 Pod kube-system/kube-apiserver-n1"],
        ),
        ((service(clusterIP="10.96.0.5"),), []),
    ],
)
def test_order(tmp_path: Path, objects: tuple[dict[str, Any], ...], expected: list[str]) -> None:
    assert found(load(tmp_path, node(), *objects)) == expected


def test_the_settings_win(tmp_path: Path) -> None:
    state = load(tmp_path, node(), OBJECT, cidrs=("10.1.0.0/16",))
    assert found(state) == ["10.1.0.0/16 settings"]


def test_several_objects(tmp_path: Path) -> None:
    state = load(tmp_path, node(), OBJECT, cidr("more", "10.100.0.0/24"), cidr("same", "10.96.0.0/16"))
    assert found(state) == [
        "10.96.0.0/16 ServiceCIDR kubernetes",
        "fd01::/108 ServiceCIDR kubernetes",
        "10.100.0.0/24 ServiceCIDR more",
    ]


@pytest.mark.parametrize("ready", ["True", "False"])
def test_one_that_is_deleted_counts_as_long_as_it_is_there(tmp_path: Path, ready: str) -> None:
    """Services that have addresses of it hold it (finalizer `networking.k8s.io/service-cidr-finalizer`)."""
    state = load(tmp_path, node(), OBJECT, cidr("x", "10.100.0.0/24", ready=ready, metadata=DELETED))
    assert "10.100.0.0/24 ServiceCIDR x" in found(state)
    assert state.skipped == ()


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        (cidr("x", "10.100.0.0/24", ready="False"), "not Ready"),
        (cidr("x", "10.100.0.0/24", ready=None), "not Ready"),
        (cidr("x", "10.100.0.0/24", status=None), "not Ready"),
        (cidr("x", "10.100.0.0/24", ready=None, metadata=DELETED), "not Ready"),
        (
            cidr("x", "10.101.0.0/16", "10.100.0.0/33"),
            "spec.cidrs: '10.100.0.0/33' is not a prefix: the length is over 32",
        ),
        (cidr("x", "0.0.0.0/0"), "spec.cidrs: 0.0.0.0/0 would be a default route to the nodes"),
        (cidr("x", 5), "spec.cidrs[0]: 5 is not a string"),
    ],
)
def test_left_out(tmp_path: Path, left_out: dict[str, Any], reason: str) -> None:
    state = load(tmp_path, node(), left_out, OBJECT)
    assert state.skipped == (Skipped("ServiceCIDR x", reason),)
    assert found(state) == ["10.96.0.0/16 ServiceCIDR kubernetes", "fd01::/108 ServiceCIDR kubernetes"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("--service-cluster-ip-range", "10.99.0.0/16"), ["10.99.0.0/16"]),
        (("--service-cluster-ip-range=10.99.0.0/16", "--service-cluster-ip-range=10.9.0.0/16"), ["10.9.0.0/16"]),
        (("--service-cluster-ip-range=10.99.0.7/16",), ["10.99.0.0/16"]),
        (("--service-cluster-ip-range",), []),
        ((), []),
    ],
)
def test_command_lines(tmp_path: Path, command: tuple[str, ...], expected: list[str]) -> None:
    state = load(tmp_path, node(), api_server(*command))
    assert [str(entry.prefix) for entry in state.service_cidrs] == expected


@pytest.mark.parametrize("text", ["a: [", "networking: 5", "- 1", "networking:\n  serviceSubnet: [1]"])
def test_an_unreadable_kubeadm_configuration_is_named(tmp_path: Path, text: str) -> None:
    broken = kubeadm("")
    broken["data"]["ClusterConfiguration"] = text
    state = load(tmp_path, node(), broken, SERVER)
    reason = "ClusterConfiguration: networking.serviceSubnet cannot be read"
    assert state.skipped == (Skipped("ConfigMap kube-system/kubeadm-config", reason),)
    assert [str(entry.prefix) for entry in state.service_cidrs] == ["10.99.0.0/16", "fd03::/108"]


@pytest.mark.parametrize(
    "stranger",
    [
        {**KUBEADM, "metadata": {"name": "kubeadm-config", "namespace": "default"}},
        {**SERVER, "metadata": {**SERVER["metadata"], "namespace": "default"}},
        {**SERVER, "metadata": {"name": "kube-apiserver-n1", "namespace": "kube-system"}},
        {**KUBEADM, "data": None},
        {**KUBEADM, "data": {"ClusterConfiguration": None}},
        {**SERVER, "spec": {"containers": None}},
        {**SERVER, "spec": 5},
    ],
)
def test_other_peoples_objects_tell_nothing(tmp_path: Path, stranger: dict[str, Any]) -> None:
    state = load(tmp_path, node(), stranger)
    assert state.service_cidrs == ()
    assert state.skipped == ()
