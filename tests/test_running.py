"""How the tests themselves are run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site import REPO

SKIPPING = """
import pytest

@pytest.fixture
def world():
    pytest.skip("there is no world")

def test_fixture(world): pass

@pytest.mark.skipif(True, reason="there is no mark")
def test_mark(): pass

def test_itself():
    pytest.skip("there is no test")

@pytest.mark.xfail
def test_expected(): raise AssertionError
"""


@pytest.mark.slow
def test_nothing_is_skipped_in_ci(tmp_path: Path) -> None:
    (tmp_path / "test_skipping.py").write_text(SKIPPING)
    (tmp_path / "test_module.py").write_text(
        'import pytest\npytest.skip("there is no module", allow_module_level=True)'
    )

    def run(ci: str) -> str:
        options = ["-p", "tests.conftest", "-c", str(REPO / "pyproject.toml"), "--continue-on-collection-errors"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, "--rootdir", tmp_path, tmp_path],
            env=os.environ | {"CI": ci},
            cwd=REPO,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    assert "4 skipped, 1 xfailed" in run("")
    in_ci = run("true")
    assert "1 failed, 1 xfailed, 3 errors" in in_ci  # what is skipped before its test begins is an error
    assert all(f"there is no {what}" in in_ci for what in ("world", "mark", "test", "module"))
