"""The API server for those daemons that follow a live one."""

from tests.world.kube.fixtures import kube_api, kube_server

__all__ = ["kube_api", "kube_server"]
