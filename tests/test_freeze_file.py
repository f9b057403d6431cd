"""The switch that stops all writing: whatever has the freeze file's name freezes."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from k8s_ecmp.runs import freeze_file_text
from k8s_ecmp.settings import GuardSettings, Settings
from tests.core.build import OWNER, TAG

Make = Callable[[Path], object]
UNREADABLE = "it cannot be read"


def said(path: Path) -> str | None:
    return freeze_file_text(Settings(owner=OWNER, tag=TAG, guards=GuardSettings(freeze_file=str(path))))


def test_without_a_file_nothing_is_frozen(tmp_path: Path) -> None:
    assert freeze_file_text(Settings(owner=OWNER, tag=TAG)) is None
    assert said(tmp_path / "frozen") is None
    assert said(tmp_path / "nowhere" / "frozen") is None


@pytest.mark.parametrize(
    ("content", "first"), [(b"", ""), (b"audit week\nuntil Friday\n", "audit week"), (b"\xff", "\ufffd")]
)
def test_a_file_says_why(tmp_path: Path, content: bytes, first: str) -> None:
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "link").symlink_to("file")
    assert said(tmp_path / "file") == said(tmp_path / "link") == first


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(Path.mkdir, id="folder"),
        pytest.param(lambda path: path.symlink_to("nowhere"), id="dangling link"),
        pytest.param(lambda path: path.symlink_to(path), id="link to itself"),
        pytest.param(os.mkfifo, id="pipe"),
    ],
)
def test_what_cannot_be_read_freezes_too(tmp_path: Path, make: Make) -> None:
    make(tmp_path / "frozen")
    found: list[str | None] = []
    asking = threading.Thread(target=lambda: found.append(said(tmp_path / "frozen")), daemon=True)
    asking.start()
    asking.join(60)
    assert found == [UNREADABLE], "it hangs" if asking.is_alive() else "it is not frozen"


def test_a_name_below_a_file_freezes(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert said(tmp_path / "file" / "frozen") == UNREADABLE
