import os
import subprocess
import sys
from pathlib import Path

import pytest

from k8s_ecmp.errors import CommitFailed, ConfigRejected, LockHeld, Unreachable
from k8s_ecmp.routers.drivers.file import FileDriver

CONFIG = "hostname r1\r\n!\r\nip route 192.0.2.0/24 10.0.0.9 tag 7\r\nbanner \xe9\x80\r\nend\r\n".encode("latin-1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "r1.cfg"
    path.write_bytes(CONFIG)
    return path


def driver(path: Path, syntax: str = "frr") -> FileDriver:
    made = FileDriver(optional_args={"path": str(path), "syntax": syntax})
    made.open()
    return made


def history(path: Path) -> list[bytes]:
    return [kept.read_bytes() for kept in sorted((path.parent / f"{path.name}.history").glob("*.cfg"))]


def test_a_commit_changes_only_its_lines_and_keeps_every_other_byte(path: Path) -> None:
    router = driver(path)
    router.load_merge_candidate(config="ip route 10.96.0.0/12 10.0.0.1 tag 4201\n")
    assert router.compare_config() == "+ip route 10.96.0.0/12 10.0.0.1 tag 4201\n"
    assert path.read_bytes() == CONFIG
    router.commit_config()
    line = b"ip route 10.96.0.0/12 10.0.0.1 tag 4201\r\n"
    assert line in path.read_bytes()
    assert path.read_bytes().replace(line, b"") == CONFIG
    assert history(path) == [CONFIG]
    router.rollback()
    assert path.read_bytes() == CONFIG


def test_a_file_that_is_gone_at_the_commit_gets_nothing_and_says_so(path: Path) -> None:
    router = driver(path)
    router.load_merge_candidate(config="ip route 10.96.0.0/12 10.0.0.1 tag 4201\n")
    path.rename(path.with_suffix(".away"))
    with pytest.raises(CommitFailed, match="cannot be read: No such file or directory; nothing was written"):
        router.commit_config()
    assert not path.exists()


def test_a_rollback_keeps_what_others_wrote_since(path: Path) -> None:
    router = driver(path)
    router.load_merge_candidate(config="ip route 10.96.0.0/12 10.0.0.1 tag 4201\nno ip route 192.0.2.0/24 10.0.0.9\n")
    router.commit_config()
    committed = path.read_bytes()
    theirs = b"ip route 203.0.113.0/24 10.0.0.9\r\n"
    path.write_bytes(committed.replace(b"!\r\n", b"!\r\n" + theirs))
    router.rollback()
    assert theirs in path.read_bytes()
    assert sorted(path.read_bytes().replace(theirs, b"").splitlines()) == sorted(CONFIG.splitlines())


def test_a_rollback_of_routes_that_somebody_changed_since_is_refused(path: Path) -> None:
    router = driver(path)
    router.load_merge_candidate(config="ip route 10.96.0.0/12 10.0.0.1 tag 4201\n")
    router.commit_config()
    changed = path.read_bytes().replace(b"10.0.0.1 tag", b"10.0.0.2 tag")
    path.write_bytes(changed)
    with pytest.raises(CommitFailed, match="nothing was undone"):
        router.rollback()
    assert path.read_bytes() == changed


def test_discard_leaves_all_as_it_was(path: Path) -> None:
    router = driver(path)
    router.load_merge_candidate(config="ip route 10.96.0.0/12 10.0.0.1 tag 4201\n")
    router.discard_config()
    assert path.read_bytes() == CONFIG
    assert router.compare_config() == ""
    with pytest.raises(CommitFailed):
        router.commit_config()


def test_two_loads_make_one_candidate(path: Path) -> None:
    router = driver(path)
    router.load_merge_candidate(config="ip route 10.96.0.0/12 10.0.0.1 tag 4201")
    router.load_merge_candidate(config="ip route 10.96.0.0/12 10.0.0.2 tag 4201")
    assert len(router.compare_config().splitlines()) == 2


def test_a_refused_line_changes_nothing(path: Path) -> None:
    router = driver(path)
    with pytest.raises(ConfigRejected, match=r"10\.0\.0\.300"):
        router.load_merge_candidate(config="ip route 10.96.0.0/12 10.0.0.1\nip route 10.96.0.0/33 10.0.0.300\n")
    assert router.compare_config() == ""
    assert path.read_bytes() == CONFIG


def test_the_lock_keeps_a_second_process_out_and_names_the_first(path: Path) -> None:
    router = driver(path)
    router.load_merge_candidate(config="")
    with pytest.raises(LockHeld, match=f"process {os.getpid()}"):
        driver(path).load_merge_candidate(config="")
    router.discard_config()
    driver(path).load_merge_candidate(config="")


def test_a_killed_process_leaves_the_old_text_and_no_lock(path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from k8s_ecmp.routers.drivers.file import FileDriver\n"
        "router = FileDriver(optional_args={'path': sys.argv[1], 'syntax': 'frr'})\n"
        "router.load_merge_candidate(config='ip route 10.96.0.0/12 10.0.0.1 tag 4201')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    assert path.read_bytes() == CONFIG
    driver(path).load_merge_candidate(config="")


def test_a_change_by_somebody_without_the_lock_is_noticed(path: Path) -> None:
    router = driver(path)
    router.load_merge_candidate(config="ip route 10.96.0.0/12 10.0.0.1 tag 4201")
    path.write_bytes(CONFIG + b"! edited\r\n")
    with pytest.raises(CommitFailed, match="nothing was written"):
        router.commit_config()
    assert path.read_bytes() == CONFIG + b"! edited\r\n"


def test_a_missing_file_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"r9\.cfg"):
        driver(tmp_path / "r9.cfg")


def test_history_is_bounded(path: Path) -> None:
    router = driver(path)
    for number in range(105):
        router.load_merge_candidate(config=f"ip route 10.97.0.{number}/32 10.0.0.1 tag 4201")
        router.commit_config()
    assert len(history(path)) == 100
    router.discard_config()
