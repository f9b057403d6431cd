"""FRR as later Debian releases have it, for routers in namespaces: a folder of unpacked packages that becomes their root.

    python -m tests.world.frr_release              what the tests need
    python -m tests.world.frr_release RELEASE ...  these

The packages come from the mirror that this machine's own apt sources name, through apt with state of its own: nothing
of the machine's is touched. They are looked for in `TEST_ASSET_FRR_<RELEASE>` (a root folder), then in the cache of
tests.world.kube.build. A release that still moves stays as it was unpacked, until its folder in the cache is deleted.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from tests.world.kube.build import cache

# Debian 13 has FRR 10.3. The one after it has the newest that is packaged: 10.7 when this was written.
STABLE, NEWEST = "trixie", "forky"
RELEASES = (STABLE, NEWEST)
COMMAND = "python -m tests.world.frr_release"

# What a router's namespace runs; apt adds what these need.
_PACKAGES = (
    *("frr", "openssh-server", "base-files", "dash", "bash", "coreutils", "findutils", "grep", "sed", "hostname"),
    *("mount", "util-linux", "procps", "iproute2", "libc-bin"),
)
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def root(release: str) -> Path:
    """The release's root folder, or where it will be once it is unpacked."""
    if asset := os.environ.get("TEST_ASSET_FRR_" + release.upper()):
        return Path(asset)
    digest = hashlib.sha256(" ".join(_PACKAGES).encode()).hexdigest()
    return cache() / f"frr-{release}-{digest[:8]}"


def missing(releases: Iterable[str] = RELEASES) -> list[str]:
    """The releases that are still to be unpacked."""
    return [release for release in releases if not (root(release) / "usr/lib/frr/zebra").exists()]


def wanted(request: pytest.FixtureRequest) -> str:
    """The release that a test's router shall have, "" for this machine's own. Where it is not unpacked, the test is
    skipped."""
    release: str = getattr(request, "param", "")
    if release and missing([release]):
        pytest.skip(f"FRR of Debian {release} is not unpacked: run `{COMMAND}` once")
    return release


def build(releases: Iterable[str] = RELEASES) -> None:
    """Unpacks what is missing of `releases`; a second caller waits for the first."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "frr.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for release in missing(releases):
            print(f"unpacking FRR of Debian {release} ...", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(dir=cache()) as folder:
                _unpack(_download(release, Path(folder)), root(release))


def _mirror() -> str:
    """Where this machine gets its own Debian release from."""
    own = _os_release().get("VERSION_CODENAME", "")
    shown = _run("apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
    for line in shown.splitlines():
        release, component, uri = line.split(" ", 2)
        if (release, component) == (own, "main"):
            return uri
    raise RuntimeError(f"the apt sources of this machine name no mirror of Debian {own}")


def _os_release() -> dict[str, str]:
    lines = Path("/etc/os-release").read_text().splitlines()
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


def _download(release: str, folder: Path) -> list[Path]:
    """The packages and all that they need, checked by apt."""
    for part in ("lists/partial", "archives/partial"):
        (folder / part).mkdir(parents=True)
    (folder / "status").touch()  # as if nothing were installed
    (folder / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {_mirror()} {release} main\n")
    settings = {
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State": folder,
        "Dir::State::Status": folder / "status",
        "Dir::Cache": folder,
        "APT::Install-Recommends": "false",
        "APT::Default-Release": "",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": 3,
    }
    apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in settings.items())]
    _run(*apt, "update")
    _run(*apt, "--yes", "--download-only", "install", *_PACKAGES)
    return sorted((folder / "archives").glob("*.deb"))


def _unpack(packages: Sequence[Path], target: Path) -> None:
    """Files only: no script of a package runs. base-files goes first; it has /bin and /lib as links into /usr."""
    unfinished = target.with_name(target.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for package in sorted(packages, key=lambda path: not path.name.startswith("base-files_")):
        _run("dpkg-deb", "-x", str(package), str(unfinished))
    for name in ("usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(unfinished / name, ignore_errors=True)
    for path in Path("/etc/pam.d").glob("common-*"):  # which a script of libpam-runtime makes, and vtysh needs
        shutil.copy(path, unfinished / "etc/pam.d")
    unfinished.rename(target)


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def main(names: Sequence[str]) -> None:
    """Unpacks and prints where they are."""
    wanted = names or RELEASES
    build(wanted)
    for name in wanted:
        print(root(name))


if __name__ == "__main__":
    main(sys.argv[1:])
