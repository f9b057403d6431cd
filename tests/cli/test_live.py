"""The command against a real API server, and against what kubectl prints of the same one."""

from pathlib import Path

import pytest

from tests.site import Site
from tests.world.kube import sample
from tests.world.kube.server import KubeApi

pytestmark = pytest.mark.kubeworld


def test_live_and_kubectls_file_ask_for_the_same_routes(site: Site, kube_api: KubeApi, tmp_path: Path) -> None:
    sample.create(kube_api)
    kubeconfig = kube_api.kubeconfig(tmp_path / "kubeconfig")
    site.settings(cluster={"source": "live", "kubeconfig": str(kubeconfig)})
    live = site.run("desired", "--format", "json")
    assert live.code == 0, live.err
    assert any(route["kind"] == "host" for route in live.json()["routes"])
    text = kube_api.kubectl("get", "nodes,services,endpointslices,servicecidrs", "-A", "-o", "json")
    (tmp_path / "cluster.json").write_text(text)
    site.settings(cluster={"source": "cluster.json"})
    assert site.run("desired", "--format", "json").json() == live.json()
    bare = kube_api.kubectl("get", "nodes,services,endpointslices", "-A", "-o", "json")
    (tmp_path / "cluster.json").write_text(bare)
    unknown = site.run("desired")
    assert unknown.code == 1
    assert "cluster.service_cidrs" in unknown.err


def test_a_server_that_does_not_answer_changes_nothing(site: Site, kube_api: KubeApi, tmp_path: Path) -> None:
    kubeconfig = kube_api.kubeconfig(tmp_path / "kubeconfig", server="https://127.0.0.1:1")
    site.settings(cluster={"source": "live", "kubeconfig": str(kubeconfig)})
    before = site.config("edge1").read_text()
    done = site.run("apply", "--yes")
    assert done.code == 1
    assert len(done.err.strip().splitlines()) == 1
    assert "127.0.0.1:1" in done.err
    assert site.config("edge1").read_text() == before
