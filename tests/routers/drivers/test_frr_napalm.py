"""NAPALM's own conformance tests, unmodified, against the real router."""

import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from napalm.base import models
from napalm.base.base import NetworkDriver
from napalm.base.exceptions import (
    CommandErrorException,
    CommitConfirmException,
    CommitError,
    ConnectAuthError,
    ConnectionException,
    LockError,
)
from napalm.base.test import base, getters, helpers

from k8s_ecmp.routers.drivers.frr_napalm import FRRDriver
from tests.world import frr_release
from tests.world.frr import FrrRouter
from tests.world.netns import wait_for

pytestmark = [pytest.mark.world, pytest.mark.frr_releases(frr_release.NEWEST)]

IMPLEMENTED = (
    "test_is_alive",
    "test_get_facts",
    "test_get_config",
    "test_get_config_filtered",
    "test_get_config_sanitized",
    "test_get_config_sanitized_filtered",
)


@pytest.fixture
def napalm_driver(router: FrrRouter) -> Iterator[FRRDriver]:
    driver = FRRDriver(**router.login())
    driver.open()
    yield driver
    driver.close()


def suite(driver: FRRDriver) -> getters.BaseTestGetters:
    tests = getters.BaseTestGetters()
    tests.driver = FRRDriver
    tests.device = driver
    return tests


def test_method_signatures(napalm_driver: FRRDriver) -> None:
    suite(napalm_driver).test_method_signatures()


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_getter(napalm_driver: FRRDriver, name: str) -> None:
    # NAPALM's wrapper compares answers with recorded files; the test beneath it asks the live device.
    getattr(suite(napalm_driver), name).__wrapped__(suite(napalm_driver), "live")


class Configuration(unittest.TestCase, base.TestConfigNetworkDriver):
    """NAPALM's configuration tests."""

    device: ClassVar[FRRDriver]
    vendor: ClassVar[str]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _files(cls, router: FrrRouter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        folder = tmp_path_factory.mktemp("vendor")
        initial = router.running_config()
        _write(folder, initial)
        cls.vendor = str(folder)
        driver = FRRDriver(**router.login())
        driver.open()
        cls.device = driver
        yield
        if driver.is_alive()["is_alive"]:
            driver.close()
        assert router.running_config() == initial

    @classmethod
    def setUpClass(cls) -> None:
        """The fixture does it."""


def _write(folder: Path, initial: str) -> None:
    route = "ip route 10.1.0.0/24 10.0.0.1 tag 4201"
    gone = "ip route 172.16.0.0/24 10.0.0.200"
    (folder / "initial.conf").write_text(initial)
    (folder / "new_good.conf").write_text(initial.replace(gone, route))
    (folder / "new_typo.conf").write_text(initial.replace(gone, "ip rute 10.1.0.0/24 10.0.0.1"))
    (folder / "new_good.diff").write_text(f"-{gone}\n+{route}")
    (folder / "merge_good.conf").write_text(f"{route}\n")
    (folder / "merge_good.diff").write_text(f"-{route}\n")
    (folder / "merge_typo.conf").write_text(f"{route}\nip rute 10.2.0.0/24 10.0.0.1\n")


def test_public_methods_are_napalms_own() -> None:
    public = {name for name in dir(FRRDriver) if not name.startswith("_") and callable(getattr(FRRDriver, name))}
    assert public == {name for name in dir(NetworkDriver) if not name.startswith("_")}


def test_shape_of_routes(napalm_driver: FRRDriver) -> None:
    foreign = {f"172.16.{number}.0/24" for number in range(4)}

    def told() -> models.RouteDict | None:
        routes = napalm_driver.get_route_to("172.16.0.0/16", longer=True)
        return routes if set(routes) == foreign else None

    routes = wait_for(told, "all routes are in the table")
    assert all(helpers.test_model(models.RouteDict, hop) for hops in routes.values() for hop in hops)


def test_exceptions_are_napalms(router: FrrRouter, napalm_driver: FRRDriver) -> None:
    with pytest.raises(CommandErrorException, match="Unknown command"):
        napalm_driver.cli(["show nonsense"])
    with pytest.raises(CommitError, match="nothing is staged"):
        napalm_driver.commit_config()
    with pytest.raises(ConnectAuthError):
        FRRDriver(**router.login("nobody-here")).open()
    with pytest.raises(ConnectionException, match="host key"):
        FRRDriver(**router.login(alt_host_keys=False)).open()
    route = "ip route 10.1.0.0/24 10.0.0.1\n"
    napalm_driver.load_merge_candidate(config=route)
    with FRRDriver(**router.login()) as other, pytest.raises(LockError):
        other.load_merge_candidate(config=route)
    napalm_driver.commit_config(revert_in=60)
    router.end_timer()
    wait_for(lambda: not napalm_driver.has_pending_commit(), "the router takes it back")
    with pytest.raises(CommitConfirmException):
        napalm_driver.confirm_commit()
