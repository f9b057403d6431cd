"""Fixtures of this folder."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube.teller import Teller


@pytest.fixture
def teller(tmp_path: Path) -> Iterator[Teller]:
    """An API server whose answers are prepared."""
    with Teller(tmp_path) as made:
        yield made


@pytest.fixture
def free_port() -> Iterator[int]:
    """A loopback port that is held, but on which nobody listens: connections are refused for as long as the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
