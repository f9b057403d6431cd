"""The Nornir connection to a router: NAPALM's drivers and this project's own, by the inventory's `platform`.

Reads `connection_options.napalm` of hosts and groups as nornir_napalm does, so that existing inventories work, but
never hands the inventory's own dictionaries to a driver: drivers pop and add keys, and options that several hosts
share would then send one host's session to another host's port.
"""

import copy
from pathlib import Path
from typing import Any

from nornir.core.configuration import Config

from k8s_ecmp.errors import RouterError
from k8s_ecmp.platforms.drivers import driver_traits
from k8s_ecmp.routers.driver import Driver, Looking
from k8s_ecmp.routers.hosts import BASE_FOLDER, OWNER, optional_args

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
        *,
        to_look: bool = False,
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
        keeping = getattr(driver, "keeping", None)
        if to_look and isinstance(keeping, Looking):
            keeping.open_to_look()
        else:
            driver.open()
        self.connection: Driver = driver

    def close(self) -> None:
        receiver = getattr(self.connection, "receiver", None)
        if receiver is not None:
            receiver.close()
        self.connection.close()


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
