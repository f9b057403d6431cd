"""What all tests share: tests of the real world say why they are skipped, and are never skipped in CI."""

import os

import hypothesis
import pytest

from tests.world import frr
from tests.world.kube.fixtures import kube_api, kube_server

__all__ = ["kube_api", "kube_server"]

# How fast examples are made says something of the machine, nothing of the code.
_PATIENT = (hypothesis.HealthCheck.too_slow,)
hypothesis.settings.register_profile("default", suppress_health_check=_PATIENT, deadline=None)
hypothesis.settings.register_profile("quick", max_examples=20, suppress_health_check=_PATIENT, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked with `frr_releases` gets the `router` of each, and of this machine ("") unless `installed=False`;
    to one without the mark, the fixture gives this machine's."""
    mark = metafunc.definition.get_closest_marker("frr_releases")
    if mark is not None and "router" in metafunc.fixturenames:
        names = [*([""] if mark.kwargs.get("installed", True) else []), *mark.args]
        metafunc.parametrize(
            "router", names, ids=[name or "installed" for name in names], indirect=True, scope="module"
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("CI") == "true":
        return
    reason = frr.missing()
    if reason is None:
        return
    for item in items:
        if item.get_closest_marker("world"):
            item.add_marker(pytest.mark.skip(reason=reason))
