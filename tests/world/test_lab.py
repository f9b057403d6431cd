"""The lab that a person brings up by one command."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.world import lab as world
from tests.world import labctl
from tests.world.lab import HOME, INVENTORY, ROOT, Lab

pytestmark = pytest.mark.world


def lab(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.world.lab", "--directory", str(directory), *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=240, cwd=ROOT)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if reason := world.missing():
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("lab")
    started = lab(directory, "up")
    assert started.returncode == 0, started.stderr
    yield directory
    ended = lab(directory, "down")
    assert ended.returncode == 0, ended.stderr
    assert not (directory / "state.json").exists()


def inside(up: Path, place: str, command: str) -> str:
    done = lab(up, "shell", place, "--", *shlex.split(command))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_place_is_there(up: Path) -> None:
    assert "203.0.113.10/24" in inside(up, "client", "ip -br address")
    assert "10.255.0.1/16" in inside(up, "operator", "ip -br address")
    assert "FRRouting" in inside(up, "r2", "vtysh -c 'show version'")
    assert "kube-proxy" in inside(up, "node-1", "nft list tables")


def test_the_ready_inventory_fits_the_running_routers(up: Path) -> None:
    written = (up / "inventory/hosts.yaml").read_text()
    ready = (INVENTORY / "hosts.yaml").read_text()
    assert yaml.safe_load(written) == yaml.safe_load(ready)
    for address in ("10.255.0.3", "10.255.0.4"):
        ssh = f"ssh -i {up}/client_key -o UserKnownHostsFile={up}/known_hosts -o BatchMode=yes netops@{address}"
        assert "FRRouting" in inside(up, "operator", f"{ssh} vtysh -c \"'show version'\"")
    for name in ("groups.yaml", "k8s-ecmp.yaml"):
        assert str(HOME) in (INVENTORY / name).read_text()


def test_plan_and_apply_by_hand_make_the_services_reachable(up: Path) -> None:
    command = f"k8s-ecmp --config {up}/k8s-ecmp.yaml"
    planned = lab(up, "shell", "--", *shlex.split(f"{command} plan"))
    assert planned.returncode == 2, f"{planned.stdout}\n{planned.stderr}"
    inside(up, "operator", f"{command} apply --yes")
    assert '"peer": "203.0.113.10"' in inside(up, "client", "curl -sS --max-time 30 http://10.101.0.10/")
    assert inside(up, "client", "dig +short @10.100.0.10 mysql.default.svc.dev.cluster.local") == "10.100.1.5\n"

    for change in ("scale shop/customer node-3", "policy shop/web Local", "drain node-2"):
        changed = lab(up, "do", *change.split())
        assert changed.returncode == 0, changed.stderr
    inside(up, "operator", f"{command} apply --yes")
    for router in ("r1", "r2"):
        assert "via 10.1.0.13 " in inside(up, router, "ip route show 10.101.0.10")
        assert "via 10.1.0.11 " in inside(up, router, "ip route show 10.100.2.80")
        assert "via 10.1.0.12 " not in inside(up, router, "ip route show 10.100.0.0/16")


def test_what_cannot_be_done_is_said(up: Path) -> None:
    again = lab(up, "up")
    assert (again.returncode, "is up already" in again.stderr) == (1, True), again.stderr
    unknown = lab(up, "do", "drain", "node-9")
    assert (unknown.returncode, "there are node-1, node-2, node-3" in unknown.stderr) == (1, True), unknown.stderr
    nowhere = lab(up, "shell", "r9")
    assert (nowhere.returncode, "there is no r9" in nowhere.stderr) == (1, True), nowhere.stderr


def test_a_failed_start_is_explained(tmp_path: Path) -> None:
    if reason := world.missing():
        pytest.skip(reason)
    (tmp_path / "r1").write_text("a file where the router's folder should be")
    failed = lab(tmp_path, "up")
    assert failed.returncode == 1
    assert "did not come up" in failed.stderr
    assert not (tmp_path / "state.json").exists()


def test_a_lab_that_fails_to_start_deletes_its_namespaces(tmp_path: Path) -> None:
    if reason := world.missing():
        pytest.skip(reason)
    before = own_namespaces()
    (tmp_path / "r2").write_text("a file where the second router's folder should be")
    with pytest.raises(OSError, match="r2"):
        Lab(labctl.TOPOLOGY, tmp_path).start()
    assert own_namespaces() == before


def own_namespaces() -> set[str]:
    return {path.name for path in Path("/run/netns").glob(f"ke-{os.getpid()}-*")}
