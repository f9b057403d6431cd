"""What Nornir's inventory says of a host: how it is reached, and its `data.k8s_ecmp`."""

import copy
from collections.abc import Mapping
from typing import Any

from nornir.core.configuration import Config
from nornir.core.inventory import Host

from k8s_ecmp.core.selection import RouterView
from k8s_ecmp.errors import RouterError, SettingsError
from k8s_ecmp.router_settings import RouterSettings, load_router_settings
from k8s_ecmp.routers.credentials import resolve
from k8s_ecmp.settings import CredentialSettings

CONNECTION = "k8s_ecmp"
OPTIONS = "napalm"
RECEIVER = "k8s_ecmp_receiver"
"""The connection to the router itself of a host to which ExaBGP announces, where it may be read."""
BASE_FOLDER = "k8s_ecmp_base_folder"
OWNER = "k8s_ecmp_owner"
CREDENTIALS = "k8s_ecmp_credentials"
DATA_KEY = "k8s_ecmp"


def router_settings(host: Host) -> RouterSettings:
    """`data.k8s_ecmp` of a host, its groups' and the defaults' values beneath its own, key by key.

    Raises:
        SettingsError: a key or value is wrong.
    """
    merged: dict[str, Any] = {}
    layers = [host.defaults.data, *(group.data for group in reversed(host.extended_groups())), host.data]
    for layer in layers:
        data = layer.get(DATA_KEY)
        if data is not None and not isinstance(data, Mapping):
            raise SettingsError(f"data.{DATA_KEY} of host {host.name} must be a mapping, not {data!r}")
        _merge(merged, data or {})
    return load_router_settings(merged, f"host {host.name} in the inventory, data.{DATA_KEY}")


def router_view(host: Host) -> RouterView:
    """The host as the decisions see it."""
    return RouterView.of(host.name, router_settings(host))


def platform_of(host: Host, connection: str = OPTIONS) -> str | None:
    """The platform that the connection is made with: that of the connection's options, else the host's."""
    platform: str | None = host.get_connection_parameters(connection).platform
    return platform


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


def optional_args(extras: dict[str, Any] | None) -> dict[str, Any]:
    """`optional_args` of a connection's extras.

    Raises:
        RouterError: it is no mapping.
    """
    options = (extras or {}).get("optional_args") or {}
    if not isinstance(options, dict):
        raise RouterError(f"optional_args must be a mapping in the inventory, not a {type(options).__name__}")
    return options


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)
