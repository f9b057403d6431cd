"""What an API server alone can tell: its version and time, what it grants, kube-proxy's settings, the service CIDRs."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from k8s_ecmp.doctor import agreement
from k8s_ecmp.doctor.kube_proxy import NAME, NAMESPACE, ProxyConfiguration, read_configuration
from k8s_ecmp.doctor.rights import check_rights, rights_of
from k8s_ecmp.errors import ClusterError, ClusterRefused
from k8s_ecmp.finding import Finding
from k8s_ecmp.kube import service_cidrs
from k8s_ecmp.kube.api import FAILURES, Api
from k8s_ecmp.kube.wire import WireConfigMap, WireServiceCIDR
from k8s_ecmp.kube.writes import NOT_FOUND, write
from k8s_ecmp.model import Prefix
from k8s_ecmp.settings import Settings

_TIMEOUT_S = 10.0
_OLDEST = (1, 21)
_OFF_S = 2.0
_FAR_OFF_S = 30.0
_CIDRS = "/apis/networking.k8s.io/{}/servicecidrs"
_CONFIG_MAP = "/api/v1/namespaces/{}/configmaps/{}"


class _Version(msgspec.Struct, rename="camel"):
    git_version: str = ""
    major: str = ""
    minor: str = ""


class Server:
    """One API server, asked once for each thing.

    Raises:
        ClusterError: as `Api`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._api = Api(settings.cluster)

    def close(self) -> None:
        """Closes the connections."""
        self._api.close()

    def check_server(self) -> Iterator[Finding]:
        """That it answers, its version, and its clock against ours.

        Raises:
            ClusterError: it does not answer.
        """
        response = self._api.open("/version", {}, read_s=_TIMEOUT_S)
        now = datetime.now(UTC)
        try:
            version = msgspec.json.decode(response.read(decode_content=True), type=_Version)
        except msgspec.DecodeError as error:
            raise ClusterError(f"{self._api.server} answers, but not as an API server") from error
        except FAILURES as error:
            raise self._api.broken(error, _TIMEOUT_S) from error
        finally:
            response.release_conn()
        yield check_version(self._api.server, version.git_version, version.major, version.minor)
        yield check_clock(response.headers.get("Date"), now)

    def check_rights(self) -> Iterator[Finding]:
        """What it grants."""
        return check_rights(rights_of(self._settings), self._create)

    def proxy(self) -> tuple[ProxyConfiguration | None, Finding | None]:
        """kube-proxy's configuration; or None, and why it is not known."""
        title = f"ConfigMap {NAMESPACE}/{NAME}"
        try:
            document: Any = msgspec.json.decode(self._api.get(_CONFIG_MAP.format(NAMESPACE, NAME), attempts=1))
            found = read_configuration(document.get("data") or {})
        except ClusterRefused as error:
            if error.status == NOT_FOUND:
                saw = f"there is no {title}: another service proxy (Cilium, Calico's eBPF), or other installation"
            else:
                saw = f"{title} cannot be read: {error.message}"
            return None, _proxy_unknown(saw)
        except (ClusterError, msgspec.DecodeError, AttributeError, ValueError) as error:
            return None, _proxy_unknown(f"{title} cannot be read: {error}")
        return found, None if found else _proxy_unknown(f"{title} holds no KubeProxyConfiguration")

    def cidr_sources(self) -> dict[str, Sequence[Prefix]]:
        """What each source knows; one that knows nothing or may not be read is left out."""
        found: dict[str, Sequence[Prefix]] = {}
        if self._settings.cluster.service_cidrs:
            found[agreement.SETTINGS] = [Prefix.parse(cidr) for cidr in self._settings.cluster.service_cidrs]
        objects: list[WireServiceCIDR] = []
        for version in ("v1", "v1beta1"):
            objects = objects or self._objects(version)
        known, _ = service_cidrs.discover(objects, None, ())
        if known:
            found[agreement.OBJECTS] = [cidr.prefix for cidr in known]
        known, _ = service_cidrs.discover((), self._kubeadm(), ())
        if known:
            found[agreement.KUBEADM] = [cidr.prefix for cidr in known]
        return found

    def _objects(self, version: str) -> list[WireServiceCIDR]:
        try:
            page = msgspec.json.decode(self._api.get(_CIDRS.format(version), attempts=1), type=_CidrList)
        except (ClusterError, msgspec.DecodeError):
            return []
        return page.items or []

    def _kubeadm(self) -> WireConfigMap | None:
        path = _CONFIG_MAP.format(service_cidrs.KUBEADM_NAMESPACE, service_cidrs.KUBEADM_NAME)
        try:
            return msgspec.json.decode(self._api.get(path, attempts=1), type=WireConfigMap)
        except (ClusterError, msgspec.DecodeError):
            return None

    def _create(self, path: str, body: Any) -> bytes:
        return write(self._api, "POST", path, body, timeout_s=_TIMEOUT_S)


class _CidrList(msgspec.Struct):
    items: list[WireServiceCIDR] | None = None


def check_version(server: str, text: str, major: str, minor: str) -> Finding:
    """Whether the server is new enough: discovery.k8s.io/v1 came with 1.21."""
    digits = "".join(character for character in minor if character.isdigit())
    if not (major.isdigit() and digits):
        return Finding("api", "unknown", f"{server} answers, but its version {text!r} cannot be read")
    if (int(major), int(digits)) < _OLDEST:
        return Finding(
            "api",
            "problem",
            f"{server} is Kubernetes {text}",
            "EndpointSlices are read as discovery.k8s.io/v1, which came with 1.21",
            "upgrade the cluster",
        )
    return Finding("api", "ok", f"{server} answers, Kubernetes {text}")


def check_clock(date: str | None, now: datetime) -> Finding:
    """Compares the server's Date header (whole seconds) with our clock."""
    try:
        theirs = None if date is None else parsedate_to_datetime(date)
        off_s = None if theirs is None else (now - theirs).total_seconds()
    except (ValueError, TypeError):
        off_s = None
    if off_s is None:
        return Finding("clock", "unknown", "the API server does not tell the time")
    # The header has whole seconds: within one of them nothing can be told.
    off_s = min(off_s, 0.0) if off_s < 0 else max(0.0, off_s - 1)
    if abs(off_s) <= _OFF_S:
        return Finding("clock", "ok", "agrees with the API server's")
    side = "ahead of" if off_s > 0 else "behind"
    return Finding(
        "clock",
        "problem" if abs(off_s) > _FAR_OFF_S else "warning",
        f"is {abs(off_s):.0f} s {side} the API server's",
        "hold_down_s and hold_up_s count from times that the cluster wrote, so nodes leave or return too early or late",
        "let NTP set the clocks of this machine and of the control plane",
    )


def _proxy_unknown(saw: str) -> Finding:
    return Finding(
        "kube-proxy",
        "unknown",
        saw,
        "whoever serves cluster IPs must masquerade traffic from outside, else replies of endpoints on other nodes "
        "bypass the node that the packet entered",
        "see the service proxy's documentation: external access to cluster IPs",
    )
