"""What agent.sh finds of a commit whose timer ends while it looks; its functions, run by sh alone."""

import subprocess
from importlib import resources
from pathlib import Path

import pytest

from k8s_ecmp.routers.drivers import frr

# A commit that was applied and waits for its confirm; its undo has no batches. The last line ends its timer, as another
# process does, right after the first look at what is unfinished.
WAITS = """
lock me 0 0 >/dev/null
printf '1 1 1 0 a\\n' >tx.applied.5-1
: >pending.5-1
"""
ENDS = """
expires=1
unfinished() {
  looked; found=$?
  if [ -n "$expires" ]; then
    expires=
    mv pending.5-1 reverting.5-1 && mv tx.applied.5-1 tx.undoing.5-1 && mv reverting.5-1 reverted
  fi
  return "$found"
}
"""


def said(folder: Path, script: str) -> str:
    program = resources.files(frr).joinpath("agent.sh").read_text()
    if ENDS in script:
        program = program.replace("\nunfinished() {", "\nlooked() {").replace("if unfinished &&", "if looked &&")
    done = subprocess.run(
        ["sh", "-c", f"KE_DIR='{folder}'\n{program}\n{script}"], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(("tx.", "pending", "reverting")))


@pytest.mark.parametrize("keep", [0, 1])
def test_a_commit_that_expires_between_two_looks_is_not_taken_for_nothing(tmp_path: Path, keep: int) -> None:
    assert said(tmp_path, f"{WAITS}{ENDS}recover {keep}") == "SETTLED"
    assert left(tmp_path) == ["tx.last"]


def test_what_is_done_while_the_startup_configuration_is_written_is_owed_still(tmp_path: Path) -> None:
    tell = 'owed; echo "<$OWED>"'
    assert said(tmp_path, f"{tell}\nowe 1-1\n{tell}\nsaved\n{tell}") == "<>\n<1-1>\n<>"
    assert said(tmp_path, f"owe 1-1\nowed\nowe 2-1\nsaved\n{tell}") == "<2-1>"


def test_a_commit_that_is_kept_is_told(tmp_path: Path) -> None:
    assert said(tmp_path, f"{WAITS}recover 1\nrecover 1") == "KEPT\nCLEAN"
    assert left(tmp_path) == ["tx.applied.5-1"]


def test_a_commit_that_waits_is_taken_back_or_waited_for(tmp_path: Path) -> None:
    assert said(tmp_path, f"{WAITS}waiting\nrecover 0\nwaiting\nrecover 0") == "pending\nSETTLED\nCLEAN"
    assert left(tmp_path) == ["tx.last"]


def test_tidying_up_that_comes_late_leaves_later_commits_their_undo(tmp_path: Path) -> None:
    for name in ("tx.applied.4-1", "tx.applied.5-1", "tx.applied.5-2", "tx.applied.6-1"):
        (tmp_path / name).write_text("1 1 1 0 a\n")
    assert said(tmp_path, "tidy 5-2 5; :") == ""
    assert left(tmp_path) == ["tx.applied.5-2", "tx.applied.6-1", "tx.last"]
