"""The Nornir inventory: from a SimpleInventory folder or a Nornir config file to checked routers."""

from pathlib import Path
from typing import Any

from nornir.core import Nornir
from nornir.core.inventory import ConnectionOptions, Host
from nornir.init_nornir import InitNornir

from k8s_ecmp.errors import SettingsError
from k8s_ecmp.routers.hosts import BASE_FOLDER, CREDENTIALS, OPTIONS, OWNER, RECEIVER, platform_of, router_settings
from k8s_ecmp.routers.runner import DeadlineRunner
from k8s_ecmp.settings import Settings


class _NeverSticky(set[str]):
    """Nornir skips hosts that failed once; here every run asks every router again."""

    def update(self, *_: Any) -> None:
        """Forgets at once."""


def init_nornir(settings: Settings, base_folder: str | Path | None = None, *, deadline_s: float = 300.0) -> Nornir:
    """A Nornir of the settings' inventory, with this project's runner, nothing logged, nothing sticky.

    Args:
        settings: `inventory` is a folder with hosts.yaml (groups.yaml, defaults.yaml) or a Nornir config file.
        base_folder: the settings file's folder, for relative paths in the inventory's options.
        deadline_s: seconds that a router may take for one task.

    Raises:
        SettingsError: the inventory cannot be read, or a router's `data.k8s_ecmp` is wrong.
    """
    path = Path(settings.inventory)
    try:
        if path.is_dir():
            if not (path / "hosts.yaml").is_file():
                raise SettingsError(f"the inventory folder {path} has no hosts.yaml")
            nornir = InitNornir(
                inventory={
                    "plugin": "SimpleInventory",
                    "options": {
                        "host_file": str(path / "hosts.yaml"),
                        "group_file": str(path / "groups.yaml"),
                        "defaults_file": str(path / "defaults.yaml"),
                    },
                },
                logging={"enabled": False},
            )
        elif path.is_file():
            nornir = InitNornir(config_file=str(path), logging={"enabled": False})
        else:
            raise SettingsError(
                f"there is no inventory at {path}",
                remedy="`inventory` in the settings names a SimpleInventory folder or a Nornir config file",
            )
    except SettingsError:
        raise
    except Exception as error:
        raise SettingsError(f"the inventory {path} cannot be read: {_reason(error)}") from error
    if not nornir.inventory.hosts:
        raise SettingsError(f"the inventory {path} has no hosts")
    nornir.data.failed_hosts = _NeverSticky()
    nornir.config.core.raise_on_error = False  # one router's failure is its own
    nornir.config.user_defined[BASE_FOLDER] = None if base_folder is None else str(base_folder)
    nornir.config.user_defined[OWNER] = settings.owner
    nornir.config.user_defined[CREDENTIALS] = settings.credentials
    for host in nornir.inventory.hosts.values():
        router_settings(host)
        reach_through_exabgp(host)
    return nornir.with_runner(DeadlineRunner(settings.rollout.parallel, deadline_s))


def reach_through_exabgp(host: Host) -> None:
    """Lets connections to a host with `mode: bgp` go to the bridge beside ExaBGP; others stay as they are.

    Raises:
        SettingsError: a key or value is wrong.
    """
    settings = router_settings(host)
    if settings.mode == "bgp" and platform_of(host) != "bgp":
        if settings.bgp.read_receiver:
            own = host.get_connection_parameters(OPTIONS)
            names = ("hostname", "port", "username", "password", "platform", "extras")
            host.connection_options[RECEIVER] = ConnectionOptions(**{name: getattr(own, name) for name in names})
        extras = {"optional_args": {"folder": str(settings.bgp.state_folder), "peer": host.name}}
        host.connection_options[OPTIONS] = ConnectionOptions(
            hostname=host.hostname, username="", password="", platform="bgp", extras=extras
        )


def select(nornir: Nornir, routers: list[str], filters: list[str]) -> Nornir:
    """The routers that the command line asks for.

    Args:
        nornir: all of them.
        routers: names.
        filters: "field=value" on host attributes or data, all must hold.

    Raises:
        SettingsError: an unknown name, a filter without "=", or nothing is left.
    """
    unknown = sorted(set(routers) - set(nornir.inventory.hosts))
    if unknown:
        names = ", ".join(sorted(nornir.inventory.hosts))
        raise SettingsError(f"no router {', '.join(unknown)} in the inventory", remedy=f"there are {names}")
    if routers:
        nornir = nornir.filter(filter_func=lambda host: host.name in routers)
    for text in filters:
        field, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"the filter {text!r} has not the form field=value")
        nornir = nornir.filter(filter_func=lambda host, f=field, v=value: _has(host, f, v))
    if not nornir.inventory.hosts:
        raise SettingsError(f"no router matches {' and '.join(filters)}")
    return nornir


def _has(host: Host, field: str, value: str) -> bool:
    if field == "group":
        return value in (group.name for group in host.extended_groups())
    found = getattr(host, field, None) if field in ("name", "hostname", "platform", "username") else host.get(field)
    return str(found) == value


def _reason(error: BaseException) -> str:
    """One line; Nornir's loader tells of wrong shapes by Python's own errors."""
    if isinstance(error, KeyError):
        return f"a host or group names the group {error}, which groups.yaml does not have"
    if isinstance(error, AttributeError | TypeError):
        return f"hosts.yaml, groups.yaml and defaults.yaml must be mappings ({error})"
    return " ".join(f"{type(error).__name__}: {error}".split())
