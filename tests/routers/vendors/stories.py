"""What holds for each of NAPALM's drivers: a class a driver inherits the stories and those of what it promises."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from k8s_ecmp.platforms.drivers import DRIVERS
from tests.faults.stepped import Stepped
from tests.routers.vendors.device import AGGREGATE, NODES, TAG, Device
from tests.site import COMMAND, new_site
from tests.world.emulators import emulator
from tests.world.emulators.base import Drop
from tests.world.netns import wait_for

CONFLICT = "10.97.10.2/32"
HOST = "10.97.10.1/32"
HOPS = {"10.192.0.1", "10.192.0.2"}
# What somebody types at the host route that we have: a next hop of their own, or (junos) their tag in place of ours.
TAKEN = {
    "eos": "ip route 10.97.10.1/32 10.192.0.77",
    "ios": "ip route 10.97.10.1 255.255.255.255 10.192.0.77",
    "iosxr": "router static\n address-family ipv4 unicast\n  10.97.10.1/32 10.192.0.77\n",
    "nxos": "ip route 10.97.10.1/32 10.192.0.77",
    "junos": "set routing-options static route 10.97.10.1/32 tag 77",
}


class Stories:
    """Those of every platform."""

    driver: ClassVar[str]
    """NAPALM's name."""

    @pytest.fixture
    def router(self, tmp_path: Path) -> Iterator[Device]:
        (tmp_path / "device").mkdir()
        with emulator(self.driver)(tmp_path / "device") as device:
            yield Device(new_site(tmp_path / "site"), device)

    def test_plan_apply_verify_and_again_nothing(self, router: Device) -> None:
        planned = router.run("plan")
        assert planned.code == 2, planned.out + planned.err
        assert router.is_old()
        applied = router.apply()
        assert applied.code == 3, applied.out + applied.err  # the one conflict; the rest is done
        assert router.untouched()
        assert router.ours()[AGGREGATE] == NODES
        assert router.ours()["default", HOST] == HOPS
        assert router.ours()["default", "fd96::/108"] == {"fd10:192::1", "fd10:192::2", "fd10:192::3"}
        assert not router.device.pending()
        assert router.device.saved()
        text = router.device.running()
        assert router.run("verify").code == 3
        again = router.run("plan", "--format", "json")
        assert again.code == 3
        assert again.json()["summary"] == {"create": 0, "update": 0, "delete": 0, "conflict": 1, "failed": 0}
        router.apply()
        assert router.device.running() == text

    def test_the_router_s_own_diff(self, router: Device) -> None:
        done = router.run("plan", "--device-diff", "--format", "json")
        assert done.code == 2, done.out + done.err
        source = done.json()["routers"][0]["diff_source"]
        assert source == ("device" if DRIVERS[self.driver].device_diff else "predicted")
        assert router.is_old()

    def test_a_next_hop_goes_and_comes(self, router: Device) -> None:
        router.apply()
        full = router.device.running()
        router.site.not_ready("node3")
        done = router.apply()
        assert done.code == 0, done.out  # the conflicting prefix was wanted for node3 alone
        assert router.ours()[AGGREGATE] == HOPS
        router.site.node("node3", lambda item: item["status"]["conditions"][1].update(status="True"))
        assert router.apply().code == 3
        assert router.ours()[AGGREGATE] == NODES
        assert sorted(router.device.running().split()) == sorted(full.split())
        assert router.untouched()

    def test_a_route_is_deleted_with_its_service(self, router: Device) -> None:
        router.apply()
        assert ("default", HOST) in router.ours()
        _without_web(router)
        planned = router.run("plan")
        assert HOST in planned.out
        assert router.run("apply", "--yes", "--override", "mass-withdrawal").code in (0, 3)
        assert ("default", HOST) not in router.ours()
        assert router.untouched()

    def test_a_conflict_holds_its_prefix_alone(self, router: Device) -> None:
        """One that was there before us, and one that somebody makes of a route of ours."""
        planned = router.run("plan", "--format", "json")
        assert [conflict["prefix"] for conflict in planned.json()["routers"][0]["conflicts"]] == [CONFLICT]
        applied = router.apply()
        assert applied.code == 3
        assert CONFLICT in applied.out
        assert router.device.routes()["default", CONFLICT] == router.foreign["default", CONFLICT]
        router.device.type(TAKEN[DRIVERS[self.driver].syntax])
        taken, others = router.device.routes()["default", HOST], router.device.others(TAG)
        router.site.not_ready("node2")
        applied = router.apply()
        assert applied.code == 3, applied.out + applied.err
        assert HOST in applied.out
        assert router.ours()[AGGREGATE] == {"10.192.0.1", "10.192.0.3"}
        assert router.device.routes()["default", HOST] == taken
        assert router.device.others(TAG) == others
        assert router.run("verify").code == 3

    def test_a_conflict_is_adopted_by_a_plan_of_its_own(self, router: Device) -> None:
        """Theirs is put back where the commit does not verify, and replaced whole where it does; the rest stays."""
        file = str(router.site.folder / "adopt.plan")
        planned = router.run("adopt", CONFLICT, "--out", file)
        assert planned.code == 2, planned.out + planned.err
        router.device.faults.hide = {CONFLICT}
        failed = router.run("apply", file)
        assert failed.code == 1, failed.out + failed.err
        assert router.is_old(), "the way back brings theirs back, byte for byte"
        router.device.faults.hide = set()
        assert router.run("apply", file).code == 0
        assert router.ours() == {("default", CONFLICT): {"10.192.0.3"}}
        assert router.apply().code == 0, "no conflict is left"
        assert router.run("verify").code == 0

    def test_foreign_lines_stay_byte_for_byte(self, router: Device) -> None:
        """Through a create, a hop less, a hop more, a delete, a refusal and two ways back."""

        def kept(code: int, *arguments: str) -> None:
            done = router.run("apply", "--yes", *arguments)
            assert done.code == code, done.out + done.err
            assert router.untouched()
            now = iter(router.device.running().splitlines())
            missing = [line for line in router.before.splitlines() if line not in now]  # in this order
            assert missing == []

        router.device.faults.hide = {HOST}
        kept(1)
        assert router.is_old(), "the way back leaves the configuration as it was, byte for byte"
        router.device.faults.hide = set()
        router.device.faults.refuse = HOST.partition("/")[0]
        kept(1)
        assert router.is_old()
        router.device.faults.refuse = None
        kept(3)
        full = router.device.running()
        router.site.not_ready("node3")
        router.device.faults.hide = {AGGREGATE[1]}
        kept(1)
        assert sorted(router.device.running().splitlines()) == sorted(full.splitlines())
        router.device.faults.hide = set()
        kept(0)
        router.site.node("node3", lambda item: item["status"]["conditions"][1].update(status="True"))
        kept(3)
        _without_web(router)
        kept(3, "--override", "mass-withdrawal")

    def test_what_the_tables_do_not_show_is_taken_back(self, router: Device) -> None:
        router.device.faults.hide = {HOST}
        done = router.apply()
        assert done.code == 1, done.out + done.err
        assert HOST in done.out
        assert "taken back" in done.out
        assert router.untouched()
        assert router.ours() == {}
        assert not router.device.pending()

    def test_a_refused_line_leaves_everything_as_it_was(self, router: Device) -> None:
        router.device.faults.refuse = HOST.partition("/")[0]
        done = router.apply()
        assert done.code == 1, done.out + done.err
        assert router.ours() == {}
        assert router.untouched()
        router.device.faults.refuse = None
        assert router.apply().code == 3
        assert router.ours()[AGGREGATE] == NODES

    @pytest.mark.parametrize("moment", ["before-commit", "in-commit", "after-commit"])
    def test_a_lost_connection_ends_old_or_new_and_the_report_is_true(self, router: Device, moment: Drop) -> None:
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

    def test_a_slow_commit_is_waited_for(self, router: Device) -> None:
        router.device.faults.slow_commit_s = 4
        assert router.apply().code == 3
        assert router.ours()[AGGREGATE] == NODES

    def test_a_wrong_password_is_one_clear_line(self, router: Device) -> None:
        hosts = router.site.folder / "inventories/demo/hosts.yaml"
        content = yaml.safe_load(hosts.read_text())
        content["r1"]["password"] = "wrong"
        hosts.write_text(yaml.safe_dump(content))
        done = router.run("plan")
        assert done.code == 1
        assert "username" in done.out + done.err
        assert router.is_old()


class Locking:
    """Where a lock, or the sessions of others (EOS), keep us out."""

    absent: ClassVar[str] = "has no lock that its driver takes"

    def test_a_lock_that_somebody_holds_is_said_and_respected(self, router: Device) -> None:
        router.device.faults.holder = "alice"
        done = router.apply()
        assert done.code == 1
        assert router.is_old()
        assert "being changed" in done.out or "lock" in done.out.lower()
        router.device.faults.holder = None
        assert router.apply().code == 3


class Confirming:
    """Where a commit that is not confirmed is taken back by the router."""

    absent: ClassVar[str] = "has no commit timer that its driver sets"

    def test_a_run_killed_before_its_confirm_is_taken_back_by_the_router(self, router: Device) -> None:
        router.site.settings(rollout={"confirm_within_s": 600, "verify_timeout_s": 600})
        router.device.faults.hide = {HOST}  # so that verification waits
        command = [*COMMAND, "--config", str(router.site.folder / "k8s-ecmp.yaml"), "apply", "--yes"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                wait_for(router.device.pending, "the commit waits for its confirm")
            finally:
                os.kill(process.pid, signal.SIGKILL)
        router.device.faults.hide = set()
        assert router.run("plan").code == 1  # what is read now may not last
        router.device.expire()
        assert router.ours() == {}
        assert router.untouched()
        assert router.apply().code == 3
        assert router.ours()[AGGREGATE] == NODES

    def test_a_timer_that_runs_out_before_the_confirm_is_said(self, router: Device, tmp_path: Path) -> None:
        words = ["--config", str(router.site.folder / "k8s-ecmp.yaml"), "apply", "--yes"]
        with Stepped(words, tmp_path) as run:
            run.until("confirm")
            assert router.device.pending()
            router.device.expire()
            done = run.finish()
        assert done.code == 1, done.out + done.err
        assert "took the change back before" in " ".join(done.out.split()), done.out
        assert router.ours() == {}
        assert router.untouched()
        assert router.apply().code == 3
        assert router.ours()[AGGREGATE] == NODES


def _without_web(router: Device) -> None:
    """The service of the host route is gone."""
    router.site.edit(
        "cluster.yaml",
        lambda cluster: cluster.update(
            items=[item for item in cluster["items"] if not item["metadata"]["name"].startswith("web")]
        ),
    )
