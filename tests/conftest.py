"""What all tests share: tests of the real world say why they are skipped, and are never skipped in CI."""

import os
from collections import Counter
from collections.abc import Generator
from typing import TypeVar

import hypothesis
import pytest

from tests.world import frr
from tests.world.kube.fixtures import kube_api, kube_server

__all__ = ["kube_api", "kube_server"]

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

# How fast examples are made says something of the machine, nothing of the code.
_PATIENT = (hypothesis.HealthCheck.too_slow,)
hypothesis.settings.register_profile("default", suppress_health_check=_PATIENT, deadline=None)
hypothesis.settings.register_profile("quick", max_examples=10, suppress_health_check=_PATIENT, deadline=None)
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
    _longest_files_first(items)
    if reason := frr.missing():
        for item in items:
            if item.get_closest_marker("world"):
                item.add_marker(pytest.mark.skip(reason=reason))


def _longest_files_first(items: list[pytest.Item]) -> None:
    """A test process has a whole file: begun last, a long one would keep the others waiting. Of the long ones those with
    few tests come first, for these tests are the long ones; of all others those with many."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    tests = Counter(item.path for item in items)
    items.sort(
        key=lambda item: (0, tests[item.path], item.path) if item.path in long else (1, -tests[item.path], item.path)
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _never_skipped_in_ci((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _never_skipped_in_ci((yield))


def _never_skipped_in_ci(report: Report) -> Report:
    """There a test that cannot run has failed, whoever skipped it: a mark, a fixture, a module, or the test."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        why = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"skipped in CI: {why}"
    return report
