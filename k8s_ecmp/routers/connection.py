"""Open drivers: the one that Nornir keeps for a host, and others beside it."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from nornir.core.configuration import Config
from nornir.core.inventory import Host
from nornir.core.plugins.connections import ConnectionPluginRegister

from k8s_ecmp.errors import AuthenticationFailed, EcmpError, RouterError
from k8s_ecmp.routers.driver import Driver
from k8s_ecmp.routers.drivers.vendor.base import describe
from k8s_ecmp.routers.hosts import CONNECTION, RECEIVER, parameters_of
from k8s_ecmp.routers.plugin import RouterConnection
from k8s_ecmp.routers.receiver import Receiver


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
    """An open driver of a host beside the one that Nornir keeps, to be asked and closed at the end: a login of its own.

    Raises:
        RouterError: no connection; a subclass says why.
    """
    connection = RouterConnection()
    parameters, said = parameters_of(host, configuration)
    with _translated(parameters, said):
        connection.open(**parameters, configuration=configuration, to_look=True)
    _let_look(host, configuration, connection.connection)
    try:
        yield connection.connection
    finally:
        with contextlib.suppress(Exception):
            connection.close()


def _let_look(host: Host, configuration: Config, driver: Any) -> None:
    """Gives a BGP peer's driver the way to the router itself, where the inventory has one."""
    if RECEIVER in host.connection_options:
        driver.receiver = Receiver(host, configuration)


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


def error_text(error: BaseException) -> str:
    """One line for people: the message and remedy of our own errors, kind and text of others."""
    return str(error) if isinstance(error, EcmpError) else describe(error)
