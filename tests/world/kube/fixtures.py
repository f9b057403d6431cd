"""Fixtures for tests that need an API server; a conftest imports them by name."""

from collections.abc import Iterator

import pytest

from tests.world.kube.server import KubeApi, missing


@pytest.fixture(scope="session")
def kube_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApi]:
    """One control plane for all tests of the session."""
    if reason := missing():
        pytest.skip(reason)
    with KubeApi(tmp_path_factory.mktemp("kube")) as server:
        yield server


@pytest.fixture
def kube_api(kube_server: KubeApi) -> Iterator[KubeApi]:
    """The control plane, empty but for what it makes by itself, and emptied again after the test."""
    yield kube_server
    kube_server.clear()
