"""The Nornir connection to a router: NAPALM's drivers and this project's own, by the inventory's `platform`.

Reads `connection_options.napalm` of hosts and groups as nornir_napalm does, so that existing inventories work, but
never hands the inventory's own dictionaries to a driver: drivers pop and add keys, and options that several hosts
share would then send one host's session to another host's port.
"""

import copy
import logging
from pathlib import Path
from typing import Any

from nornir.core.configuration import Config
from nornir.core.inventory import Host
from nornir.core.plugins.connections import ConnectionPluginRegister

from k8s_ecmp.errors import EcmpError, RouterError, UnsupportedPlatform
from k8s_ecmp.routers.driver import Driver

CONNECTION = "k8s_ecmp"
OPTIONS = "napalm"
BASE_FOLDER = "k8s_ecmp_base_folder"
NAPALM_PLATFORMS = ("eos", "ios", "iosxr", "iosxr_netconf", "nxos", "nxos_ssh", "junos")
OWN_PLATFORMS = ("file", "frr")
DEFAULT_TIMEOUT_S = 60
_PATH_OPTIONS = ("path", "key_file", "ssh_config_file", "alt_key_file")


class RouterConnection:
    """A Nornir `ConnectionPlugin` that holds an open driver."""

    def open(
        self,
        hostname: str | None,
        username: str | None,
        password: str | None,
        port: int | None,
        platform: str | None,
        extras: dict[str, Any] | None = None,
        configuration: Config | None = None,
    ) -> None:
        extras = copy.deepcopy(extras or {})
        options = optional_args(extras)
        extras.pop("optional_args", None)
        if port and "port" not in options:
            options["port"] = port
        base = configuration.user_defined.get(BASE_FOLDER) if configuration is not None else None
        resolve_paths(options, base)
        unknown = sorted(set(extras) - {"timeout"})
        if unknown:
            raise RouterError(
                f"connection_options.napalm.extras has {', '.join(unknown)}",
                remedy="it takes timeout and optional_args; what is for the driver stands in optional_args",
            )
        driver = driver_class(platform)(
            hostname=hostname or "",
            username=username or "",
            password=password or "",
            optional_args=options,
            **{"timeout": DEFAULT_TIMEOUT_S, **extras},
        )
        driver.open()
        self.connection: Driver = driver

    def close(self) -> None:
        self.connection.close()


def optional_args(extras: dict[str, Any] | None) -> dict[str, Any]:
    """`optional_args` of a connection's extras.

    Raises:
        RouterError: it is no mapping.
    """
    options = (extras or {}).get("optional_args") or {}
    if not isinstance(options, dict):
        raise RouterError(f"optional_args must be a mapping in the inventory, not a {type(options).__name__}")
    return options


def resolve_paths(options: dict[str, Any], base: str | None) -> None:
    """Makes the paths among the options absolute, relative ones against the settings file's folder."""
    for key in _PATH_OPTIONS:
        if isinstance(options.get(key), str):
            path = Path(options[key]).expanduser()
            options[key] = str(Path(base) / path if base is not None else path)


def driver_class(platform: str | None) -> type[Any]:
    """The driver's class for a platform's name.

    Raises:
        UnsupportedPlatform: nobody drives it.
    """
    if platform == "frr":
        from k8s_ecmp.routers.drivers.frr import FrrDriver

        return FrrDriver
    if platform == "file":
        from k8s_ecmp.routers.drivers.file import FileDriver

        return FileDriver
    if platform in NAPALM_PLATFORMS:
        from napalm import get_network_driver

        logging.getLogger("pyeapi").setLevel(logging.CRITICAL)  # it logs what it raises, with a traceback
        napalm_driver: type[Any] = get_network_driver(platform)
        return napalm_driver
    known = ", ".join((*OWN_PLATFORMS, *NAPALM_PLATFORMS))
    raise UnsupportedPlatform(
        f"platform {platform!r} is not one that k8s-ecmp drives" if platform else "the inventory names no platform",
        remedy=f"set platform to one of {known}",
    )


def connect(host: Host, configuration: Config) -> Driver:
    """The open driver of a host; opens it where it is not.

    Raises:
        RouterError: no connection; a subclass says why.
    """
    if CONNECTION not in ConnectionPluginRegister.available:
        ConnectionPluginRegister.register(CONNECTION, RouterConnection)
    if CONNECTION not in host.connections:
        options = host.get_connection_parameters(OPTIONS)
        try:
            host.open_connection(
                CONNECTION,
                configuration,
                hostname=options.hostname,
                username=options.username,
                password=options.password,
                port=options.port,
                platform=options.platform,
                extras=options.extras,
                default_to_host_attributes=False,
            )
        except EcmpError:
            raise
        except Exception as error:
            raise RouterError(f"cannot connect to {options.hostname}: {describe(error)}") from error
    driver: Driver = host.connections[CONNECTION].connection
    return driver


def platform_of(host: Host) -> str | None:
    """The platform that the connection is made with: that of the connection's options, else the host's."""
    platform: str | None = host.get_connection_parameters(OPTIONS).platform
    return platform


def describe(error: BaseException) -> str:
    """One line for an error of a library: its kind and its text."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def error_text(error: BaseException) -> str:
    """One line for people: the message and remedy of our own errors, kind and text of others."""
    return str(error) if isinstance(error, EcmpError) else describe(error)
