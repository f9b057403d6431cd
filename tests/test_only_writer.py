"""One writer an owner: processes keep each other out, daemons of one Lease do not."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from k8s_ecmp.errors import JournalError
from k8s_ecmp.journal.only_writer import OnlyWriter, holder, only_writer
from tests.faults.disk import SmallDisk

pytestmark = pytest.mark.slow

SCRIPT = (
    "import sys; from pathlib import Path; from k8s_ecmp.journal.only_writer import OnlyWriter\n"
    "journal, who, lease = sys.argv[1:]\n"
    "lock = OnlyWriter(Path(journal), 'prod', who, lease=lease or None)\n"
    "lock.take()\n"
    "print('taken', flush=True); sys.stdin.read()\n"
)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@contextmanager
def another(journal: Path, who: str, lease: str = "") -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(journal), who, lease], stdin=-1, stdout=-1, stderr=-1, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        yield process
        process.kill()


def test_one_keeps_the_other_out_until_it_ends(journal: Path) -> None:
    with another(journal, "alice") as process:
        found = holder(journal, "prod")
        assert found is not None
        assert found.who == "alice"
        with (
            pytest.raises(JournalError, match=r"alice is writing.*for owner prod"),
            only_writer(journal, "prod", "bob"),
        ):
            pass
        process.kill()
        process.wait()
        assert holder(journal, "prod") is None
        with only_writer(journal, "prod", "bob"):
            assert getattr(holder(journal, "prod"), "who", None) == "bob"
    assert holder(journal, "prod") is None


def test_another_owner_is_not_kept_out(journal: Path) -> None:
    with another(journal, "alice"), only_writer(journal, "test", "bob"):
        pass


def test_the_lease_decides_among_its_daemons_and_keeps_others_out(journal: Path) -> None:
    with another(journal, "daemon a", "lease 1"):
        second = OnlyWriter(journal, "prod", "daemon b", lease="lease 1")
        second.take()
        assert getattr(holder(journal, "prod"), "who", None) == "daemon b"
        for other in (
            OnlyWriter(journal, "prod", "apply"),
            OnlyWriter(journal, "prod", "daemon of another cluster", lease="lease 2"),
        ):
            with pytest.raises(JournalError, match="daemon b is writing"):
                other.take(patience_s=0.1)
            assert not other.held
        second.give_back()
        with pytest.raises(JournalError), only_writer(journal, "prod", "apply"):
            pass
    with only_writer(journal, "prod", "apply"), pytest.raises(JournalError, match="apply is writing"):
        OnlyWriter(journal, "prod", "daemon a", lease="lease 1").take(patience_s=0.1)


def test_a_lock_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite.prod.lock").mkdir()
    with pytest.raises(JournalError, match="cannot be written"):
        OnlyWriter(tmp_path / "journal.sqlite", "prod", "bob").take()
    assert holder(tmp_path / "journal.sqlite", "prod") is not None, "who cannot look, cannot say that nobody writes"


def linked(journal: Path, link: Path) -> Path:
    """Another name of the journal, in another folder."""
    link.parent.mkdir()
    link.symlink_to(Path("..") / journal.name)
    return link


def test_a_journal_has_one_lock_whatever_its_path(journal: Path, tmp_path: Path) -> None:
    link = linked(journal, tmp_path / "elsewhere/other.sqlite")
    for one, other in ((journal, link), (link, journal)):
        with another(one, "alice"):
            assert getattr(holder(other, "prod"), "who", None) == "alice"
            with pytest.raises(JournalError, match="alice is writing"), only_writer(other, "prod", "bob"):
                pass
    with only_writer(link, "prod", "bob"):
        pass
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["other.sqlite"]


def test_a_full_disk_is_said_and_what_to_do(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from k8s_ecmp.errors import JournalError\n"
        "from k8s_ecmp.journal.only_writer import OnlyWriter\n"
        "lock = OnlyWriter(Path(sys.argv[1]) / 'journal.sqlite', 'prod', 'bob')\n"
        "try: lock.take()\n"
        "except JournalError as error: print(lock.held, error)\n"
    )
    with SmallDisk(tmp_path) as disk, disk.full():
        command = [*disk.around, sys.executable, "-c", script, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert "False" in done.stdout
    assert "journal.sqlite.prod.lock cannot be written: No space left on device (nothing is written" in done.stdout
