"""Kubernetes in: the cluster's state from an API server or from a file that kubectl wrote."""

from k8s_ecmp.kube.file import load_file
from k8s_ecmp.model import ClusterState
from k8s_ecmp.settings import Settings

__all__ = ["load_cluster"]

LIVE = "live"


def load_cluster(settings: Settings) -> ClusterState:
    """One consistent view of the cluster that the settings name.

    Raises:
        ClusterFileError: the file cannot be read or has the wrong shape.
        ClusterUnreachable: the API server does not answer.
        ClusterError: the API server refuses, or the kubeconfig is wrong.
    """
    if settings.cluster.source == LIVE:
        # The client library takes long to load and a file needs none of it.
        from k8s_ecmp.kube.live import load_live

        return load_live(settings.cluster)
    return load_file(settings.cluster.source, settings=settings)
