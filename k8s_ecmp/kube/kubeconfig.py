"""Where the API server is and who we are to it: kubectl's rules, then the pod's service account.

The kubernetes client loads addresses, certificates and credentials; what it gets wrong silently is checked here.
"""

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from kubernetes.client import Configuration
from kubernetes.config import ConfigException, kube_config, load_incluster_config, load_kube_config
from kubernetes.config.incluster_config import SERVICE_CERT_FILENAME, SERVICE_TOKEN_FILENAME
from kubernetes.config.kube_config import KubeConfigMerger

from k8s_ecmp.errors import ClusterError
from k8s_ecmp.kube.plugin import CredentialPlugin
from k8s_ecmp.settings import ClusterSettings

_DEFAULT = "~/.kube/config"
_VARIABLE = "KUBECONFIG"
_FILE_KEYS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_EXITED = re.compile(r"(process returned -?\d+)\b.*")
# The loader takes no other as an argument.
kube_config.ExecProvider = CredentialPlugin  # type: ignore[attr-defined]
_REMEDY = "set cluster.kubeconfig, or KUBECONFIG in the environment, or read the cluster from a file of kubectl's"


class Loaded(NamedTuple):
    """The client's configuration with server, trust and credentials, and the files that it was read from.

    `flaw` says why there are no credentials at the moment, though the kubeconfig is right; None: there are.
    """

    configuration: Configuration
    files: tuple[Path, ...]
    flaw: ClusterError | None = None


def load_configuration(cluster: ClusterSettings) -> Configuration:
    """The client's configuration; as `load`.

    Raises:
        ClusterError: as `load`, or there are no credentials.
    """
    loaded = load(cluster)
    if loaded.flaw is not None:
        raise loaded.flaw
    return loaded.configuration


def load(cluster: ClusterSettings) -> Loaded:
    """The client's configuration with server, trust and credentials.

    `cluster.kubeconfig`, else the files of KUBECONFIG, else ~/.kube/config, else, in a pod, its service account.

    Raises:
        ClusterError: there is no kubeconfig, it is broken, or it has no such context.
    """
    named = [cluster.kubeconfig] if cluster.kubeconfig else os.environ.get(_VARIABLE, "").split(os.pathsep)
    paths = [str(Path(path).expanduser()) for path in named if path] or [str(Path(_DEFAULT).expanduser())]
    present = [path for path in paths if Path(path).exists()]
    configuration = Configuration()
    # One attempt: the client's three, without a pause, only triple the time until the error is seen.
    configuration.retries = False
    if present:
        files, flaw = _load_files(present, cluster.context, configuration)
        return Loaded(configuration, (*map(Path, present), *files), flaw)
    if cluster.kubeconfig or "KUBERNETES_SERVICE_HOST" not in os.environ:
        raise ClusterError(f"there is no kubeconfig {', '.join(paths)}", remedy=_REMEDY)
    try:
        load_incluster_config(configuration)
    except (ConfigException, OSError) as error:
        raise ClusterError(f"the pod's service account cannot be used: {error}", remedy=_REMEDY) from error
    return Loaded(configuration, (Path(SERVICE_TOKEN_FILENAME), Path(SERVICE_CERT_FILENAME)))


def _load_files(
    paths: list[str], context: str | None, configuration: Configuration
) -> tuple[tuple[Path, ...], ClusterError | None]:
    """Loads the kubeconfig; the files that its context names, and why its credential plugin gave nothing."""
    flaw = None
    shown = ", ".join(paths)
    joined = os.pathsep.join(paths)
    try:
        merged = KubeConfigMerger(joined).config
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark else ""
        raise ClusterError(f"kubeconfig {shown} is no YAML{place}", remedy=_REMEDY) from None
    except (ConfigException, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ClusterError(f"kubeconfig {shown} cannot be read: {_safe(error)}", remedy=_REMEDY) from None
    chosen, user = _check_names(merged.value, context, shown)
    with root_log() as complaints:
        try:
            load_kube_config(joined, context, configuration)
        except (ConfigException, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise ClusterError(f"kubeconfig {shown} cannot be used: {_safe(error)}", remedy=_REMEDY) from None
    # The client goes on as nobody when a plugin fails; the server's 401 would hide why.
    if "exec" in user.value and not configuration.auth_settings() and not configuration.cert_file:
        plugin = user.value["exec"]
        command = plugin.get("command") if isinstance(plugin, dict) else None
        # What it wrote to stderr may hold a token that nobody here knows as one.
        why = "; ".join(_EXITED.sub(r"\1", said) for said in complaints) or "it gave neither token nor certificate"
        flaw = ClusterError(
            f"kubeconfig {shown}: the credential plugin {command} failed: {why}",
            remedy="run `kubectl get nodes` with the same kubeconfig to see what it says",
        )
    return (*chosen.files(), *user.files()), flaw


class _Entry(NamedTuple):
    """A cluster or a user of a kubeconfig, and the folder that relative paths in it start from."""

    value: dict[str, Any]
    folder: Path

    def files(self) -> Iterator[Path]:
        """The files that it names."""
        for key in _FILE_KEYS:
            name = self.value.get(key)
            if isinstance(name, str) and name:
                yield self.folder / name


def _check_names(merged: dict[str, Any], context: str | None, shown: str) -> tuple[_Entry, _Entry]:
    """The cluster and the user of the context.

    The client's own messages about wrong names print whole entries, with secrets.
    """
    entries = {kind: _by_name(merged.get(kind)) for kind in ("contexts", "clusters", "users")}
    known = ", ".join(sorted(entries["contexts"])) or "none"
    wanted = context or merged.get("current-context")
    if not wanted:
        remedy = f"set cluster.context to one of: {known}"
        raise ClusterError(f"kubeconfig {shown} has no current context", remedy=remedy)
    if wanted not in entries["contexts"]:
        raise ClusterError(f"kubeconfig {shown} has no context {wanted}", remedy=f"it has: {known}")
    chosen = entries["contexts"][wanted].value.get("context") or {}
    for kind, field in (("clusters", "cluster"), ("users", "user")):
        name = chosen.get(field)
        if name not in entries[kind] and (name or field == "cluster"):
            raise ClusterError(
                f"kubeconfig {shown}: context {wanted} names the {field} {name}, which is not there",
                remedy=f"its {kind} are: {', '.join(sorted(entries[kind])) or 'none'}",
            )
    nobody = _Entry({}, Path())
    cluster, user = entries["clusters"][chosen["cluster"]], entries["users"].get(chosen.get("user"), nobody)
    return _inner(cluster, "cluster"), _inner(user, "user")


def _inner(entry: _Entry, key: str) -> _Entry:
    value = entry.value.get(key)
    return _Entry(value if isinstance(value, dict) else {}, entry.folder)


def _by_name(entries: Any) -> dict[Any, _Entry]:
    found = {}
    for entry in entries or ():
        value, path = getattr(entry, "value", entry), getattr(entry, "path", None)
        if isinstance(value, dict):
            found[value.get("name")] = _Entry(value, Path(path).absolute().parent if path else Path())
    return found


def _safe(error: Exception) -> str:
    """The error's text up to where it might quote an entry of the file."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, ConfigException | OSError):
        return re.split(r"[{\[]", str(error), maxsplit=1)[0].strip()
    return "it does not have the form of a kubeconfig"


@contextmanager
def root_log() -> Iterator[list[str]]:
    """Collects what the client writes to the root logger in this thread, and keeps it out of every log and off stderr:
    it quotes what credential plugins say.
    """
    complaints: list[str] = []
    thread = threading.get_ident()

    def collect(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        complaints.append(" ".join(record.getMessage().split()))
        return False

    root = logging.getLogger()
    root.addFilter(collect)  # a logger's filter sees what is logged with itself alone
    try:
        yield complaints
    finally:
        root.removeFilter(collect)
