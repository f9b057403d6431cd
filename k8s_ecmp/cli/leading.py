"""Whether a daemon of the same owner is at work in the cluster, whatever journal it has."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from k8s_ecmp.errors import ClusterError

if TYPE_CHECKING:
    from k8s_ecmp.settings import Settings

_TIMEOUT_S = 5.0


def leading_daemon(settings: "Settings") -> str | None:
    """Who holds the Lease and renews it, in words; None where nobody does, there is no Lease, or it cannot be read."""
    lease = settings.daemon.lease
    if settings.cluster.source != "live" or not lease.enabled:
        return None
    from k8s_ecmp.kube.lease_object import Lease, lease_name, lease_path
    from k8s_ecmp.kube.writes import Writer

    writer = Writer(settings.cluster)
    try:
        found = Lease.decode(writer.get(lease_path(lease, settings.owner), timeout_s=_TIMEOUT_S))
        renewed = datetime.fromisoformat(found.spec.renew_time or "")
    except (ClusterError, ValueError):
        return None
    finally:
        writer.close()
    if found.holder is None or datetime.now(UTC) - renewed > timedelta(seconds=2 * lease.duration_s):
        return None
    return (
        f"daemon {found.holder} holds the Lease {lease.namespace}/{lease_name(lease, settings.owner)}: unless its mode "
        "is observe or propose it will undo what the cluster does not ask for"
    )
