"""Each of NAPALM's drivers, unmodified, against its device's emulator: the same stories for all of them."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s_ecmp.platforms.drivers import DRIVERS
from tests.site import COMMAND, Outcome, Site, new_site
from tests.world.emulators import NAMES, emulator
from tests.world.emulators.base import PASSWORD, Emulator
from tests.world.netns import wait_for

pytestmark = pytest.mark.slow

TAG = 4201
CONFLICT = "10.97.10.2/32"
NODES = {"10.192.0.1", "10.192.0.2", "10.192.0.3"}
AGGREGATE = ("default", "10.96.0.0/12")
LOCKING = [name for name in NAMES if DRIVERS[name].lock or name == "eos"]  # EOS: the sessions of others
CONFIRMING = [name for name in NAMES if DRIVERS[name].confirm]


class Device:
    """A user's folder whose only router is an emulated device."""

    def __init__(self, site: Site, device: Emulator) -> None:
        self.site = site
        self.device = device
        self.before = device.running()
        self.others = device.others(TAG)
        self.foreign = device.routes()
        folder = site.folder / "inventories/demo"
        (folder / "hosts.yaml").write_text(yaml.safe_dump({"r1": device.host()}))
        (folder / "groups.yaml").unlink(missing_ok=True)
        site.settings(rollout={"confirm_within_s": 60, "verify_timeout_s": 3})

    def run(self, *arguments: str) -> Outcome:
        done = self.site.run_here(*arguments)
        assert PASSWORD not in done.out + done.err
        assert "Traceback" not in done.err, done.err
        return done

    def apply(self) -> Outcome:
        return self.run("apply", "--yes")

    def ours(self) -> dict[tuple[str, str], frozenset[str]]:
        """What the forwarding table has beside the foreign routes."""
        return {key: hops for key, hops in self.device.routes().items() if self.foreign.get(key) != hops}

    def untouched(self) -> bool:
        """Whether everything that is not ours is byte for byte as it was."""
        return self.device.others(TAG) == self.others

    def is_old(self) -> bool:
        return self.device.running() == self.before


@pytest.fixture(params=NAMES)
def router(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
    (tmp_path / "device").mkdir()
    with emulator(request.param)(tmp_path / "device") as device:
        yield Device(new_site(tmp_path / "site"), device)


def _traits(router: Device) -> Any:
    return DRIVERS[router.device.driver]


def test_plan_apply_verify_and_again_nothing(router: Device) -> None:
    planned = router.run("plan")
    assert planned.code == 2, planned.out + planned.err
    assert router.is_old()
    applied = router.apply()
    assert applied.code == 3, applied.out + applied.err  # the one conflict; the rest is done
    assert CONFLICT in applied.out
    assert router.untouched()
    assert router.ours()[AGGREGATE] == NODES
    assert router.ours()["default", "10.97.10.1/32"] == {"10.192.0.1", "10.192.0.2"}
    assert router.ours()["default", "fd96::/108"] == {"fd10:192::1", "fd10:192::2", "fd10:192::3"}
    assert router.device.routes()["default", CONFLICT] == router.foreign["default", CONFLICT]
    assert not router.device.pending()
    assert router.device.saved()
    text = router.device.running()
    assert router.run("verify").code == 3
    again = router.run("plan", "--format", "json")
    assert again.code == 3
    assert again.json()["summary"] == {"create": 0, "update": 0, "delete": 0, "conflict": 1, "failed": 0}
    router.apply()
    assert router.device.running() == text


def test_the_router_s_own_diff(router: Device) -> None:
    done = router.run("plan", "--device-diff", "--format", "json")
    assert done.code == 2, done.out + done.err
    source = done.json()["routers"][0]["diff_source"]
    assert source == ("device" if _traits(router).device_diff else "predicted")
    assert router.is_old()


def test_a_node_leaves_and_returns_hop_by_hop(router: Device) -> None:
    router.apply()
    full = router.device.running()
    router.site.not_ready("node3")
    done = router.apply()
    assert done.code == 0, done.out  # the conflicting prefix was wanted for node3 alone
    assert router.ours()[AGGREGATE] == {"10.192.0.1", "10.192.0.2"}
    router.site.node("node3", lambda item: item["status"]["conditions"][1].update(status="True"))
    assert router.apply().code == 3
    assert router.ours()[AGGREGATE] == NODES
    assert sorted(router.device.running().split()) == sorted(full.split())
    assert router.untouched()


def test_a_service_that_is_gone_takes_its_routes_along(router: Device) -> None:
    router.apply()
    assert ("default", "10.97.10.1/32") in router.ours()
    router.site.edit(
        "cluster.yaml",
        lambda cluster: cluster.update(
            items=[item for item in cluster["items"] if not item["metadata"]["name"].startswith("web")]
        ),
    )
    planned = router.run("plan")
    assert "10.97.10.1/32" in planned.out
    assert router.run("apply", "--yes", "--override", "mass-withdrawal").code in (0, 3)
    assert ("default", "10.97.10.1/32") not in router.ours()
    assert router.untouched()


def test_what_the_tables_do_not_show_is_taken_back(router: Device) -> None:
    router.device.faults.hide = {"10.97.10.1/32"}
    done = router.apply()
    assert done.code == 1, done.out + done.err
    assert "10.97.10.1/32" in done.out
    assert "taken back" in done.out
    assert router.device.others(TAG) == router.others
    assert router.ours() == {}
    assert not router.device.pending()


def test_a_refused_line_leaves_everything_as_it_was(router: Device) -> None:
    router.device.faults.refuse = "10.97.10.1"
    done = router.apply()
    assert done.code == 1, done.out + done.err
    assert router.ours() == {}
    assert router.untouched()
    router.device.faults.refuse = None
    assert router.apply().code == 3
    assert router.ours()[AGGREGATE] == NODES


@pytest.mark.parametrize("router", LOCKING, indirect=True)
def test_a_lock_that_somebody_holds_is_said_and_respected(router: Device) -> None:
    router.device.faults.holder = "alice"
    done = router.apply()
    assert done.code == 1
    assert router.is_old()
    assert "being changed" in done.out or "lock" in done.out.lower()
    router.device.faults.holder = None
    assert router.apply().code == 3


@pytest.mark.parametrize("moment", ["before-commit", "in-commit", "after-commit"])
def test_a_connection_that_is_lost_in_the_commit_ends_old_or_new_and_the_report_is_true(
    router: Device, moment: Any
) -> None:
    router.device.faults.drop = moment
    done = router.apply()
    if router.device.pending():
        router.device.expire()
    ours = router.ours()
    assert router.untouched()
    assert ours == {} or ours.get(AGGREGATE) == NODES
    if done.code == 1:
        assert ours == {}, f"the report says that nothing is in force: {done.out}"
    else:
        assert ours, done.out
    healed = router.apply()
    assert healed.code == 3, healed.out + healed.err
    assert router.ours()[AGGREGATE] == NODES


def test_a_slow_commit_is_waited_for(router: Device) -> None:
    router.device.faults.slow_commit_s = 4
    assert router.apply().code == 3
    assert router.ours()[AGGREGATE] == NODES


@pytest.mark.parametrize("router", CONFIRMING, indirect=True)
def test_a_run_killed_before_its_confirm_is_taken_back_by_the_router(router: Device) -> None:
    router.site.settings(rollout={"confirm_within_s": 60, "verify_timeout_s": 60})
    router.device.faults.hide = {"10.97.10.1/32"}  # so that verification waits
    command = [*COMMAND, "--config", str(router.site.folder / "k8s-ecmp.yaml"), "apply", "--yes"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(router.device.pending, "the commit waits for its confirm", timeout=60)
        finally:
            os.kill(process.pid, signal.SIGKILL)
    router.device.faults.hide = set()
    assert router.run("plan").code == 1  # what is read now may not last
    router.device.expire()
    assert router.ours() == {}
    assert router.untouched()
    assert router.apply().code == 3
    assert router.ours()[AGGREGATE] == NODES


def test_a_wrong_password_is_one_clear_line(router: Device) -> None:
    hosts = router.site.folder / "inventories/demo/hosts.yaml"
    content = yaml.safe_load(hosts.read_text())
    content["r1"]["password"] = "wrong"
    hosts.write_text(yaml.safe_dump(content))
    done = router.run("plan")
    assert done.code == 1
    assert "username" in done.out + done.err
    assert router.is_old()
