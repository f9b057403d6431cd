"""One YAML file -> frozen, validated structs. `load_settings` is the door.

A wrong or unknown key, a malformed CIDR or selector, or a number out of range is one `SettingsError` that names the
file, the line, the path of the key, the value and what is allowed.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from k8s_ecmp.errors import SettingsError
from k8s_ecmp.model import Prefix
from k8s_ecmp.strict.builder import Builder, Section
from k8s_ecmp.strict.items import Problem, find_line, raise_problems, read_yaml
from k8s_ecmp.strict.kinds import (
    YEAR_S,
    Cidr,
    Cron,
    DnsLabel,
    DnsName,
    FilePath,
    Fraction,
    Listen,
    Owner,
    Port,
    Seconds,
    SelectorText,
    SomeSeconds,
    Tag,
    TimeZone,
    UrlPath,
    Word,
    path_or,
)

DEFAULT_FILE = "k8s-ecmp.yaml"
FILE_VARIABLE = "K8S_ECMP_CONFIG"

HostRoutes = Literal["none", "local", "all"]
OnFailure = Literal["stop", "rollback-wave"]
CredentialSource = Literal["env", "netrc", "keyring", "file", "agent", "keys"]
NewConnection = Literal["apply", "always", "never"]


class ClusterSettings(Section, frozen=True):
    """Where the cluster's state comes from."""

    source: Annotated[str, path_or("live", "-")] = "live"
    """"live": an API server; "-": a kubectl list on stdin; else the path of one."""
    kubeconfig: FilePath | None = None
    """null: kubectl's rules (KUBECONFIG, ~/.kube/config), then the pod's service account."""
    context: Word | None = None
    """null: the kubeconfig's current context."""
    service_cidrs: tuple[Cidr, ...] = ()
    """Empty: discovered. Never inferred from the services, because a range that is guessed too small loses traffic."""


class AddressRanges(Section, frozen=True):
    """External IPs or load-balancer IPs: only inside `cidrs`.

    It is empty by default, so that nobody who may write a Service can attract traffic of other addresses
    (CVE-2020-8554).
    """

    cidrs: tuple[Cidr, ...] = ()
    aggregate: bool = True
    """Route each of `cidrs` to every eligible node."""
    host_routes: HostRoutes = "local"
    """Host routes for no service, for those with the Local traffic policy, or for all."""


class ServiceSettings(Section, frozen=True):
    """Which services' addresses become routes."""

    aggregate: bool = True
    """Route each service CIDR to every eligible node."""
    cluster_ips: HostRoutes = "local"
    external_ips: AddressRanges = AddressRanges()
    load_balancer_ips: AddressRanges = AddressRanges()
    selector: SelectorText = ""
    """On the services' labels; the annotation k8s-ecmp.io/advertise overrides it."""
    discard_unserved: bool = False
    """Write a discard route for a Local address without endpoints, so that an aggregate does not carry it to nodes
    that drop it. Off: a route that drops traffic is a choice to be made, not a default."""
    terminating: Literal["last-resort", "never", "always"] = "last-resort"
    """Whether serving endpoints that terminate count (KEP-1669); kube-proxy uses them when no other is left."""
    add_delay_s: Seconds = 1
    """Daemon: a node's first usable endpoint becomes a hop this many seconds later, so that kube-proxy's rules stand
    first. Removal is immediate."""


class ProbeSettings(Section, frozen=True):
    """The own health check of every node; off by default because the network must let it through."""

    enabled: bool = False
    port: Port = 10256
    """kube-proxy's health port."""
    path: UrlPath = "/healthz"
    interval_s: SomeSeconds = 1
    """Also how long an answer may take."""
    failures: Annotated[int, Meta(ge=1)] = 3
    """In a row, before the node is out."""


class NodeSettings(Section, frozen=True):
    """Which nodes are next hops, and when they come and go."""

    selector: SelectorText = ""
    withdraw_on_cordon: bool = False
    """Off: a cordoned node goes on serving; operators cordon many nodes at once (kubernetes #90823)."""
    hold_down_s: Seconds = 5
    """A node that is not Ready leaves after this many seconds; 0: at once."""
    hold_up_s: Seconds = 30
    """A node that is Ready again returns after this many seconds, up to ten times as long when it flaps."""
    probe: ProbeSettings = ProbeSettings()


class FreezeWindow(Section, frozen=True):
    """A time in which routers are not changed: from each `start` (five cron fields) for `duration_s` seconds."""

    start: Cron
    duration_s: SomeSeconds
    time_zone: TimeZone = "UTC"
    freeze_all: bool = False
    """Hold withdrawals of dead nodes too; otherwise they go through."""


class GuardSettings(Section, frozen=True):
    """Thresholds of the guards; a fraction of 1 never trips."""

    max_withdrawn_fraction: Fraction = 0.5
    """Of a router's owned prefixes or next hops, in one plan (daemon: in `window_s`)."""
    max_not_ready_fraction: Fraction = 0.5
    """Of the nodes, at once; Envoy's panic threshold is the same half."""
    max_changes: Annotated[int, Meta(ge=1)] | None = None
    """Prefixes that one run may change, summed over routers (daemon: one router in `window_s`); null: any number."""
    window_s: Seconds = 60
    freeze_file: FilePath | None = None
    """While this file exists no change is begun; what failed before is still taken back. null: no such switch."""
    freeze_windows: tuple[FreezeWindow, ...] = ()


class RolloutSettings(Section, frozen=True):
    """How a change goes over the routers."""

    canary: Annotated[int, Meta(ge=0)] = 1
    """Routers that go first, alone; 0: none."""
    parallel: Annotated[int, Meta(ge=1)] = 10
    """Routers at the same time."""
    confirm_within_s: Annotated[int, Meta(ge=0, le=YEAR_S)] = 120
    """A router takes an unconfirmed commit back after this many seconds; 0: commit without a timer."""
    verify_timeout_s: SomeSeconds = 30
    """How long a router's tables may take to show the change, and to let a new connection in."""
    new_connection: NewConnection = "apply"
    """Whether a commit is confirmed only after a new connection to the router was opened and has verified it, which
    proves that the change did not cut the way to the router: apply: by `k8s-ecmp apply`; always: by the daemon too,
    whose next change to the router then waits for it; never: the connection that committed verifies."""
    on_failure: OnFailure = "stop"
    """stop: a router that fails is rolled back alone and later waves are not attempted; rollback-wave: the routers of
    its wave that were changed are rolled back too."""
    pause_s: Seconds = 0
    """How long to wait after each wave but the last; its routers are verified again meanwhile."""


class PlanSettings(Section, frozen=True):
    """Plan files."""

    expires_s: Annotated[int, Meta(ge=1, le=YEAR_S)] = 3600
    """A file older than this is refused: what was reviewed an hour ago is not what runs now."""


class LeaseSettings(Section, frozen=True):
    """The Lease that lets one of several daemons write. Times as in client-go: duration > renew deadline > retry."""

    enabled: bool = True
    namespace: DnsLabel = "default"
    name: DnsName | None = None
    """null: k8s-ecmp-<owner>."""
    duration_s: SomeSeconds = 15
    renew_deadline_s: SomeSeconds = 10
    retry_s: SomeSeconds = 2
    identity: Word | None = None
    """null: made from the host's name, different at each start."""


class DaemonSettings(Section, frozen=True):
    """`k8s-ecmp run`."""

    listen: Listen | None = "127.0.0.1:9637"
    """Health, metrics and status; loopback by default since it asks nobody for a password; null: none."""
    coalesce_s: Seconds = 0.05
    """What follows the first change of a quiet time within this many seconds goes together."""
    resync_s: SomeSeconds = 300
    """Every router is read in full this often."""
    journal_files: Annotated[int, Meta(ge=2)] | None = 16
    """Files of 64 MiB that the journal may have; the oldest is removed, which leaves an entry. null: none ever is."""
    shards: Annotated[int, Meta(ge=1)] = 1
    lease: LeaseSettings = LeaseSettings()


class CredentialSettings(Section, frozen=True):
    """Where logins of routers come from, as far as the inventory has none. Nothing of them is ever written down."""

    sources: tuple[CredentialSource, ...] = ("env",)
    """In this order, until a login is complete: env, netrc, keyring, file; agent and keys let SSH try those first."""
    netrc: FilePath | None = None
    """null: what the environment's NETRC names, else ~/.netrc."""
    file: FilePath | None = None
    """A YAML file with hosts, groups and defaults, or a folder such as a mounted Secret."""


class Settings(Section, frozen=True):
    """The whole file. Paths are absolute after loading, except the words "live" and "-" of `cluster.source`."""

    owner: Owner
    """The name on our routes. No default: two clusters with the same owner would delete each other's routes."""
    tag: Tag
    """The number on our routes; required for the same reason."""
    inventory: FilePath = "inventories/demo"
    credentials: CredentialSettings = CredentialSettings()
    cluster: ClusterSettings = ClusterSettings()
    services: ServiceSettings = ServiceSettings()
    pod_cidrs: bool = False
    """One route for each node's pod CIDR."""
    nodes: NodeSettings = NodeSettings()
    guards: GuardSettings = GuardSettings()
    rollout: RolloutSettings = RolloutSettings()
    plan: PlanSettings = PlanSettings()
    daemon: DaemonSettings = DaemonSettings()
    mode: Literal["observe", "propose", "withdraw-only", "full"] = "full"
    policy: Literal["sync", "upsert-only", "create-only"] = "sync"
    journal: FilePath = "~/.local/state/k8s-ecmp/journal.sqlite"
    templates: FilePath | None = None
    """A folder of templates, one <platform>.j2 each, that are used instead of the shipped ones; null: none."""


def settings_path(path: str | Path | None = None) -> Path:
    """The settings file: `path`, else the environment's K8S_ECMP_CONFIG, else ./k8s-ecmp.yaml."""
    return Path(path or os.environ.get(FILE_VARIABLE) or DEFAULT_FILE).expanduser()


def load_settings(path: str | Path | None = None) -> Settings:
    """Reads and checks a settings file.

    Args:
        path: as for `settings_path`. Its folder is what relative paths in the file start from.

    Raises:
        SettingsError: the file cannot be read or something in it is wrong; names every mistake.
    """
    file = settings_path(path)
    root = read_yaml(_read(file), str(file))
    if root.value is None:
        raise SettingsError(f"{file} is empty. {_EXAMPLE}")
    if not isinstance(root.value, dict):
        raise SettingsError(f"{file}:{root.line}: must be a mapping of keys to values. {_EXAMPLE}")
    builder = Builder(file.absolute().parent)
    settings = builder.build(Settings, root)
    problems = builder.problems
    if settings is not None:
        problems = [Problem(p.path, p.message, find_line(root, p.path.split("."))) for p in _contradictions(settings)]
    missing = not {"owner", "tag"} <= root.value.keys()
    raise_problems(str(file), problems, _EXAMPLE if missing else None)
    return settings  # type: ignore[return-value]  # None only with problems


_EXAMPLE = "The smallest file that works:\n  owner: prod-eu1\n  tag: 4201"


def _read(file: Path) -> bytes:
    remedy = "`k8s-ecmp demo` shows a whole one, `--config FILE` names another"
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise SettingsError(f"there is no settings file {file.absolute()}", remedy=remedy) from error
    except IsADirectoryError as error:
        raise SettingsError(f"{file} is a folder, not a settings file", remedy=remedy) from error
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}", remedy=remedy) from error


def _contradictions(settings: Settings) -> list[Problem]:
    """What is allowed key by key, but not together."""
    found = []
    lease = settings.daemon.lease
    for small, large in (("renew_deadline_s", "duration_s"), ("retry_s", "renew_deadline_s")):
        low, high = getattr(lease, small), getattr(lease, large)
        if low >= high:
            found.append(Problem(f"daemon.lease.{small}", f"must be less than {large}, which is {high:g}, not {low:g}"))
    asked = "file" in settings.credentials.sources
    if asked and settings.credentials.file is None:
        found.append(Problem("credentials.sources", "has file, and credentials.file does not say which"))
    if not asked and settings.credentials.file is not None:
        found.append(Problem("credentials.file", "is never asked; add file to credentials.sources"))
    for name in ("external_ips", "load_balancer_ips"):
        ranges: AddressRanges = getattr(settings.services, name)
        whole = [cidr for cidr in ranges.cidrs if Prefix.parse(cidr).length == 0]
        if whole and ranges.aggregate:
            message = f"{whole[0]} with aggregate: true would be a default route to the nodes; set aggregate: false"
            found.append(Problem(f"services.{name}.cidrs", message))
    whole = [cidr for cidr in settings.cluster.service_cidrs if Prefix.parse(cidr).length == 0]
    if whole:
        found.append(Problem("cluster.service_cidrs", f"{whole[0]} would be a default route to the nodes"))
    return found
