"""Fixtures of this folder."""

import socket
from collections.abc import Iterator

import pytest

from tests.world.kube.fixtures import kube_api, kube_server

__all__ = ["free_port", "kube_api", "kube_server"]


@pytest.fixture
def free_port() -> Iterator[int]:
    """A loopback port that is held, but on which nobody listens: connections are refused for as long as the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
