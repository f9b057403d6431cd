"""The Nornir connection to a router: NAPALM's drivers and this project's own, by the inventory's `platform`.

Reads `connection_options.napalm` of hosts and groups as nornir_napalm does, so that existing inventories work, but
never hands the inventory's own dictionaries to a driver: drivers pop and add keys, and options that several hosts
share would then send one host's session to another host's port.
"""

import contextlib
import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nornir.core.configuration import Config
from nornir.core.inventory import Host
from nornir.core.plugins.connections import ConnectionPluginRegister

from k8s_ecmp.errors import AuthenticationFailed, EcmpError, RouterError
from k8s_ecmp.platforms.drivers import driver_traits
from k8s_ecmp.routers.credentials import resolve
from k8s_ecmp.routers.driver import Driver
from k8s_ecmp.routers.drivers.vendor.base import describe
from k8s_ecmp.settings import CredentialSettings

CONNECTION = "k8s_ecmp"
OPTIONS = "napalm"
RECEIVER = "k8s_ecmp_receiver"
"""The connection to the router itself of a host to which ExaBGP announces, where it may be read."""
BASE_FOLDER = "k8s_ecmp_base_folder"
OWNER = "k8s_ecmp_owner"
CREDENTIALS = "k8s_ecmp_credentials"
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
        receiver = getattr(self.connection, "receiver", None)
        if receiver is not None:
            receiver.close()
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
    if platform == "bgp":
        from k8s_ecmp.bgp.driver import BgpDriver

        return BgpDriver
    from k8s_ecmp.routers.drivers.vendor import vendor_driver

    return vendor_driver(driver_traits(platform or "").name)


def is_vendor(platform: str | None) -> bool:
    """Whether one of NAPALM's drivers is behind the name."""
    return platform not in ("bgp", "file", "frr")


def connect(host: Host, configuration: Config) -> Driver:
    """The open driver of a host; opens it where it is not.

    Raises:
        RouterError: no connection; a subclass says why.
    """
    if CONNECTION not in ConnectionPluginRegister.available:
        ConnectionPluginRegister.register(CONNECTION, RouterConnection)
    if CONNECTION not in host.connections:
        parameters, said = parameters_of(host, configuration)
        with _translated(parameters, said):
            host.open_connection(CONNECTION, configuration, **parameters, default_to_host_attributes=False)
        _let_look(host, configuration, host.connections[CONNECTION].connection)
    driver: Driver = host.connections[CONNECTION].connection
    return driver


@contextlib.contextmanager
def another_connection(host: Host, configuration: Config) -> Iterator[Driver]:
    """An open driver of a host beside the one that Nornir keeps, closed at the end: a login of its own.

    Raises:
        RouterError: no connection; a subclass says why.
    """
    connection = RouterConnection()
    parameters, said = parameters_of(host, configuration)
    with _translated(parameters, said):
        connection.open(**parameters, configuration=configuration)
    _let_look(host, configuration, connection.connection)
    try:
        yield connection.connection
    finally:
        with contextlib.suppress(Exception):
            connection.close()


def _let_look(host: Host, configuration: Config, driver: Any) -> None:
    """Gives a BGP peer's driver the way to the router itself, where the inventory has one."""
    if RECEIVER in host.connection_options:
        from k8s_ecmp.routers.receiver import Receiver

        driver.receiver = Receiver(host, configuration)


def parameters_of(host: Host, configuration: Config, connection: str = OPTIONS) -> tuple[dict[str, Any], str]:
    """What `RouterConnection.open` takes, with the login resolved; and which sources said what of it.

    Raises:
        CredentialsUnusable: a source of the login cannot be asked.
    """
    found = host.get_connection_parameters(connection)
    names = ("hostname", "username", "password", "port", "platform", "extras")
    parameters = {name: getattr(found, name) for name in names}
    settings = configuration.user_defined.get(CREDENTIALS) or CredentialSettings()
    resolved = resolve(host, parameters, optional_args(found.extras), settings)
    parameters["username"], parameters["password"] = resolved.login.username, resolved.login.password
    parameters["extras"] = {**(found.extras or {}), "optional_args": resolved.options}
    return parameters, resolved.said


@contextlib.contextmanager
def _translated(parameters: Mapping[str, Any], said: str) -> Iterator[None]:
    try:
        yield
    except AuthenticationFailed as error:
        raise AuthenticationFailed(f"{error.message}; the login: {said}", remedy=error.remedy) from error
    except EcmpError:
        raise
    except Exception as error:
        raise RouterError(f"cannot connect to {parameters['hostname']}: {describe(error)}") from error


def platform_of(host: Host, connection: str = OPTIONS) -> str | None:
    """The platform that the connection is made with: that of the connection's options, else the host's."""
    platform: str | None = host.get_connection_parameters(connection).platform
    return platform


def error_text(error: BaseException) -> str:
    """One line for people: the message and remedy of our own errors, kind and text of others."""
    return str(error) if isinstance(error, EcmpError) else describe(error)
