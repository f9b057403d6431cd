"""The Nornir connection to a router: NAPALM's drivers and this project's own, by the inventory's `platform`.

Reads `connection_options.napalm` of hosts and groups as nornir_napalm does, so that existing inventories work, but
never hands the inventory's own dictionaries to a driver: drivers pop and add keys, and options that several hosts
share would then send one host's session to another host's port.
"""

import copy
from pathlib import Path
from typing import Any

from nornir.core.configuration import Config
from nornir.core.inventory import Host
from nornir.core.plugins.connections import ConnectionPluginRegister

from k8s_ecmp.errors import EcmpError, RouterError
from k8s_ecmp.platforms.drivers import driver_traits
from k8s_ecmp.routers.driver import Driver
from k8s_ecmp.routers.drivers.vendor.base import describe

CONNECTION = "k8s_ecmp"
OPTIONS = "napalm"
BASE_FOLDER = "k8s_ecmp_base_folder"
OWNER = "k8s_ecmp_owner"
DEFAULT_TIMEOUT_S = 60
_PATH_OPTIONS = ("path", "key_file", "ssh_config_file", "alt_key_file", "ca_file")


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
        defined = configuration.user_defined if configuration is not None else {}
        resolve_paths(options, defined.get(BASE_FOLDER))
        if is_vendor(platform):
            options[OWNER] = defined.get(OWNER)
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
    from k8s_ecmp.routers.drivers.vendor import vendor_driver

    return vendor_driver(driver_traits(platform or "").name)


def is_vendor(platform: str | None) -> bool:
    """Whether one of NAPALM's drivers is behind the name."""
    return platform not in ("file", "frr")


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


def error_text(error: BaseException) -> str:
    """One line for people: the message and remedy of our own errors, kind and text of others."""
    return str(error) if isinstance(error, EcmpError) else describe(error)
