"""Service CIDRs that several sources know."""

from typing import Any

import pytest

from k8s_ecmp.doctor.agreement import KUBEADM, OBJECTS, SETTINGS, check_agreement
from k8s_ecmp.finding import Finding
from k8s_ecmp.model import Prefix, Service


def check(services: dict[str, str] | None = None, used: str = "10.96.0.0/12", **sources: str) -> list[Finding]:
    names = {"settings": SETTINGS, "objects": OBJECTS, "kubeadm": KUBEADM}
    known = {names[key]: [Prefix.parse(part) for part in text.split()] for key, text in sources.items()}
    made = [Service(namespace="ns", name=name, cluster_ips=(ip,)) for name, ip in (services or {}).items()]
    return list(check_agreement(known, [Prefix.parse(part) for part in used.split()], made))


@pytest.mark.parametrize(
    "sources",
    [
        {"settings": "10.96.0.0/12"},
        {"settings": "10.96.0.0/12", "objects": "10.96.0.0/12", "kubeadm": "10.96.0.0/12"},
        {"objects": "10.96.0.0/12 10.200.0.0/24", "kubeadm": "10.96.0.0/12"},
        {"settings": "10.96.0.0/12", "objects": "10.96.0.0/16 10.97.0.0/16 10.98.0.0/15 10.100.0.0/14 10.104.0.0/13"},
        {},
    ],
)
def test_agreement(sources: dict[str, str]) -> None:
    found = check({"a": "10.96.0.1", "b": "10.111.255.254"}, **sources)
    # One wider prefix may stand for the pieces of it, one way; the other way traffic for no service is drawn.
    levels = {finding.level for finding in found}
    assert levels == ({"problem"} if sources.get("objects", "").startswith("10.96.0.0/16") else {"ok"})


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        (
            {"settings": "10.96.0.0/16", "objects": "10.96.0.0/12"},
            ["10.96.0.0/12 is in ServiceCIDR objects, but not in settings"],
        ),
        (
            {"settings": "10.96.0.0/12", "objects": "10.43.0.0/16"},
            ["10.43.0.0/16 is in ServiceCIDR objects, but", "10.96.0.0/12 is in settings, but not in ServiceCIDR"],
        ),
        (
            {"settings": "10.96.0.0/12", "kubeadm": "10.96.0.0/12 fd00::/108"},
            ["fd00::/108 is in ConfigMap kube-system/kubeadm-config, but not in settings"],
        ),
        (
            {"objects": "10.200.0.0/24", "kubeadm": "10.96.0.0/12"},
            ["10.96.0.0/12 is in ConfigMap kube-system/kubeadm-config, but not in ServiceCIDR objects"],
        ),
    ],
)
def test_disagreement_is_a_problem(sources: dict[str, Any], words: list[str]) -> None:
    found = check(**sources)
    assert [finding.level for finding in found] == ["problem"] * len(words)
    for finding, text in zip(found, words, strict=True):
        assert text in finding.saw
        assert finding.why
        assert finding.remedy


def test_addresses_outside_are_named() -> None:
    (found,) = check({"in": "10.96.0.5", "out": "10.43.0.5", "six": "fd00::5"}, settings="10.96.0.0/12")
    assert found.level == "problem"
    assert found.saw == "2 cluster IPs are in no service CIDR (10.96.0.0/12): ns/out (10.43.0.5), ns/six (fd00::5)"


def test_none_is_known() -> None:
    (found,) = check({"a": "10.96.0.1"}, used="")
    assert (found.level, found.saw) == ("problem", "no service CIDR is known")
