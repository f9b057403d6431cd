"""Which service CIDRs the cluster has. They are never inferred from the services.

In this order, the first that knows any: the settings; ServiceCIDR objects of networking.k8s.io/v1 (GA in Kubernetes
1.33), then v1beta1; kubeadm's own configuration; the command line of kube-apiserver.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import yaml

from k8s_ecmp.kube.convert import is_true, read_prefix
from k8s_ecmp.kube.wire import Meta, WireConfigMap, WirePod, WireServiceCIDR
from k8s_ecmp.model import Prefix, ServiceCIDR, Skipped

KUBEADM_NAMESPACE, KUBEADM_NAME = "kube-system", "kubeadm-config"
API_SERVER_LABEL, API_SERVER = "component", "kube-apiserver"
_FLAG = "--service-cluster-ip-range"


def from_settings(cidrs: Iterable[str]) -> tuple[ServiceCIDR, ...]:
    """Configured ones; the settings are already checked."""
    return tuple(ServiceCIDR(Prefix.parse(cidr), "settings") for cidr in cidrs)


def discover(
    cidrs: Sequence[WireServiceCIDR], config: WireConfigMap | None, pods: Sequence[WirePod]
) -> tuple[tuple[ServiceCIDR, ...], list[Skipped]]:
    """The service CIDRs that the given objects tell of, and the objects that were left out.

    Args:
        cidrs: ServiceCIDR objects of either version.
        config: kubeadm's ConfigMap, if there is one.
        pods: the kube-apiserver pods.
    """
    skipped: list[Skipped] = []
    sources: tuple[Callable[[], Iterator[ServiceCIDR]], ...] = (
        lambda: _from_objects((cidr for cidr in cidrs if _version(cidr) == "v1"), skipped),
        lambda: _from_objects((cidr for cidr in cidrs if _version(cidr) == "v1beta1"), skipped),
        lambda: _from_kubeadm(config, skipped),
        lambda: _from_pods(pods, skipped),
    )
    for source in sources:
        found: dict[Prefix, ServiceCIDR] = {}
        for cidr in source():
            found.setdefault(cidr.prefix, cidr)
        if found:
            return tuple(found.values()), skipped
    return (), skipped


def is_kubeadm_config(wire: WireConfigMap) -> bool:
    """Whether it is the ConfigMap that kubeadm keeps its ClusterConfiguration in."""
    meta = wire.metadata or Meta()
    return (meta.namespace, meta.name) == (KUBEADM_NAMESPACE, KUBEADM_NAME)


def is_api_server(wire: WirePod) -> bool:
    """Whether it is a kube-apiserver, as kubeadm labels its static pod."""
    meta = wire.metadata or Meta()
    return meta.namespace == "kube-system" and (meta.labels or {}).get(API_SERVER_LABEL) == API_SERVER


def _version(wire: WireServiceCIDR) -> str:
    return (wire.api_version or "networking.k8s.io/v1").rpartition("/")[2]


def _from_objects(objects: Iterable[WireServiceCIDR], skipped: list[Skipped]) -> Iterator[ServiceCIDR]:
    for wire in sorted(objects, key=lambda wire: (wire.metadata or Meta()).name or ""):
        meta = wire.metadata or Meta()
        origin = f"ServiceCIDR {meta.name}" if meta.name else "ServiceCIDR without a name"
        conditions = (wire.status.conditions if wire.status else None) or ()
        # A deleted one stays, not Ready any more, until the last Service with an address of it is gone (KEP-1880).
        leaves = meta.deletion_timestamp is not None and any(condition.type == "Ready" for condition in conditions)
        if not leaves and not is_true(conditions, "Ready"):
            skipped.append(Skipped(origin, "not Ready"))
        else:
            texts = (wire.spec.cidrs if wire.spec else None) or []
            yield from _read(origin, "spec.cidrs", texts, skipped)


def _from_kubeadm(config: WireConfigMap | None, skipped: list[Skipped]) -> Iterator[ServiceCIDR]:
    text = config.data.cluster_configuration if config and config.data else None
    if not text:
        return
    origin = f"ConfigMap {KUBEADM_NAMESPACE}/{KUBEADM_NAME}"
    try:
        document: Any = yaml.safe_load(text)
        subnet = ((document or {}).get("networking") or {}).get("serviceSubnet") or ""
        texts = [part.strip() for part in subnet.split(",") if part.strip()]
    except (yaml.YAMLError, AttributeError):
        skipped.append(Skipped(origin, "ClusterConfiguration: networking.serviceSubnet cannot be read"))
        return
    yield from _read(origin, "networking.serviceSubnet", texts, skipped)


def _from_pods(pods: Iterable[WirePod], skipped: list[Skipped]) -> Iterator[ServiceCIDR]:
    for pod in pods:
        meta = pod.metadata or Meta()
        for container in (pod.spec.containers if pod.spec else None) or ():
            texts = _flag_values([*(container.command or ()), *(container.args or ())])
            yield from _read(f"Pod {meta.namespace}/{meta.name}", _FLAG, texts, skipped)


def _flag_values(words: Sequence[str]) -> list[str]:
    """The CIDRs of the flag, which may be one word with "=" or two."""
    value = ""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith(f"{_FLAG}="):
            value = word.partition("=")[2]
        elif word == _FLAG:
            value = following
    return [part.strip() for part in value.split(",") if part.strip()]


def _read(origin: str, field: str, texts: Iterable[str], skipped: list[Skipped]) -> Iterator[ServiceCIDR]:
    """All CIDRs of one object, or none: half an object would be half a range."""
    try:
        prefixes = [read_prefix(field, text) for text in texts]
        whole = next((prefix for prefix in prefixes if prefix.length == 0), None)
        if whole is not None:
            raise ValueError(f"{field}: {whole} would be a default route to the nodes")
    except ValueError as error:
        skipped.append(Skipped(origin, str(error)))
    else:
        yield from (ServiceCIDR(prefix, origin) for prefix in prefixes)
