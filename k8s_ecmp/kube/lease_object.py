"""A Lease of the API server: its name, its place, and what is read of it."""

from collections.abc import Mapping

import msgspec

from k8s_ecmp.errors import ClusterError
from k8s_ecmp.settings import LeaseSettings

COLLECTION = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"


class LeaseSpec(msgspec.Struct, frozen=True, rename="camel"):
    """`spec` of a Lease. Times are the server's text: they are compared for equality alone."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class LeaseMeta(msgspec.Struct, frozen=True, rename="camel"):
    """`metadata` of a Lease."""

    resource_version: str | None = None
    annotations: dict[str, str] | None = None


class Lease(msgspec.Struct, frozen=True):
    """What of a coordination.k8s.io/v1 Lease matters."""

    metadata: LeaseMeta = LeaseMeta()
    spec: LeaseSpec = LeaseSpec()

    @classmethod
    def decode(cls, body: bytes) -> "Lease":
        """Reads an object of the API server.

        Raises:
            ClusterError: it has not a Lease's form.
        """
        try:
            return msgspec.json.decode(body, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ClusterError(f"the Lease cannot be read: {error}", remedy="delete it; it is made anew") from error

    @property
    def holder(self) -> str | None:
        """Identity that holds it, None after a release."""
        return self.spec.holder_identity or None

    @property
    def annotations(self) -> Mapping[str, str]:
        """Empty where there are none."""
        return self.metadata.annotations or {}

    def duration_s(self, default: float) -> float:
        """How long it lasts without a renewal."""
        return float(self.spec.lease_duration_seconds or default)


def lease_name(settings: LeaseSettings, owner: str, shard: int | None = None) -> str:
    """The Lease's name. A shard's has a dot, which no owner has: owner "a" with shard 1 is not owner "a-1"."""
    name = settings.name or f"k8s-ecmp-{owner}"
    return name if shard is None else f"{name}.{shard}"


def lease_path(settings: LeaseSettings, owner: str, shard: int | None = None) -> str:
    """Where the API server has it."""
    return f"{COLLECTION.format(settings.namespace)}/{lease_name(settings, owner, shard)}"
