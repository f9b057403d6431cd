"""Whether the API server grants what the program does there: one SelfSubjectAccessReview for each right."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from k8s_ecmp.errors import ClusterError
from k8s_ecmp.finding import Finding
from k8s_ecmp.kube.lease_object import lease_name
from k8s_ecmp.settings import Settings

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_WATCH = ("get", "list", "watch")


class Right(NamedTuple):
    """Verbs on one resource. `needed` says what fails without them; `essential`: the daemon itself."""

    resource: str
    group: str
    verbs: tuple[str, ...]
    needed: str
    essential: bool = False
    namespace: str | None = None
    name: str | None = None

    @property
    def title(self) -> str:
        """As a rule of a role names it: "endpointslices.discovery.k8s.io", "configmaps kube-system/kube-proxy"."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        if self.name is None:
            return resource + (f" in namespace {self.namespace}" if self.namespace else "")
        return f"{resource} {self.namespace}/{self.name}"


class _Status(msgspec.Struct, frozen=True):
    allowed: bool = False


class _Review(msgspec.Struct, frozen=True):
    status: _Status = _Status()


def rights_of(settings: Settings) -> tuple[Right, ...]:
    """What the settings make necessary."""
    no_routes = "without it no route is ever decided"
    config = "kube-system"
    rights = [
        Right("nodes", "", _WATCH, no_routes, essential=True),
        Right("services", "", _WATCH, no_routes, essential=True),
        Right("endpointslices", "discovery.k8s.io", _WATCH, no_routes, essential=True),
        Right(
            "servicecidrs",
            "networking.k8s.io",
            _WATCH,
            "the service CIDRs are followed with it",
            essential=not settings.cluster.service_cidrs,
        ),
        Right("configmaps", "", ("get",), "kubeadm's service CIDR is read there", False, config, "kubeadm-config"),
        Right("configmaps", "", ("get",), "doctor reads kube-proxy's settings there", False, config, "kube-proxy"),
        Right("daemonsets", "apps", _WATCH, "kured's lock is a drain signal", False, config, "kured"),
        Right("events", "", ("create", "patch"), "events on Services and Nodes tell users what happens"),
    ]
    lease = settings.daemon.lease
    if lease.enabled:
        why = "without it no daemon ever leads"
        resource, group = "leases", "coordination.k8s.io"
        rights += [
            Right(resource, group, ("create",), why, True, lease.namespace),
            Right(
                resource,
                group,
                ("get", "update", "patch"),
                why,
                True,
                lease.namespace,
                lease_name(lease, settings.owner),
            ),
        ]
    return tuple(rights)


def check_rights(rights: Iterable[Right], create: Callable[[str, Any], bytes]) -> Iterator[Finding]:
    """Asks for every verb of every right.

    Args:
        rights: what is needed.
        create: makes a review at a path and gives the answer; a review is stored nowhere.
    """
    granted = 0
    for right in rights:
        try:
            missing = [verb for verb in right.verbs if not _is_allowed(right, verb, create)]
        except (ClusterError, msgspec.DecodeError) as error:
            yield Finding("rights", "unknown", f"the API server does not say what is granted: {error}")
            return
        granted += len(right.verbs) - len(missing)
        if missing:
            yield Finding(
                "rights",
                "problem" if right.essential else "warning",
                f"not granted: {', '.join(missing)} on {right.title}",
                right.needed,
                f"grant {', '.join(missing)} on {right.title} with a Role or ClusterRole",
            )
    if granted:
        yield Finding("rights", "ok", f"{granted} rights are granted")


def _is_allowed(right: Right, verb: str, create: Callable[[str, Any], bytes]) -> bool:
    attributes = {"verb": verb, "resource": right.resource, "group": right.group}
    attributes |= {key: text for key in ("namespace", "name") if (text := getattr(right, key)) is not None}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    return msgspec.json.decode(create(REVIEWS, review), type=_Review).status.allowed
