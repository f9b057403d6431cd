"""What all tests share: tests of the real world say why they are skipped, and are never skipped in CI."""

import os

import hypothesis
import pytest

from tests.world import frr
from tests.world.kube.fixtures import kube_api, kube_server

__all__ = ["kube_api", "kube_server"]

hypothesis.settings.register_profile("quick", max_examples=20)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("CI") == "true":
        return
    reason = frr.missing()
    if reason is None:
        return
    for item in items:
        if item.get_closest_marker("world"):
            item.add_marker(pytest.mark.skip(reason=reason))
