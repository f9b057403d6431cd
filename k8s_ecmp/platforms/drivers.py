"""What each driver can promise: the capability matrix, as data. Pure; the drivers themselves are in `routers.drivers`.

A syntax (`eos`) says what its routes can carry; a driver (`nxos_ssh`) says how it changes them. Two drivers may share
a syntax. The columns on transactions are those of NAPALM 5.2's drivers, read from their sources.
"""

from typing import Literal

import msgspec

from k8s_ecmp.errors import UnsupportedPlatform
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.base import Capabilities


class DriverTraits(msgspec.Struct, frozen=True, kw_only=True):
    """How a driver changes a router.

    `undo`: it takes its own last commit back exactly, with what others changed meanwhile left alone; where not, the
    transaction writes the inverse patch. `timer_step_s`: commit timers are multiples of it; `timer_max_s` its longest;
    `timer_restores`: what one takes back that ends without a confirm.
    `verify`: where the driver can read less of the router's tables than the syntax knows to ask for.
    """

    name: str
    syntax: str
    transport: str
    atomic: bool
    device_diff: bool
    confirm: bool
    message: bool
    lock: bool
    undo: bool = False
    timer_step_s: int = 1
    timer_max_s: int = 7200
    timer_restores: Literal["routes", "configuration"] = "configuration"
    verify: Literal["configuration", "rib", "fib"] | None = None
    device: Literal["own", "napalm"] = "napalm"

    def capabilities(self) -> Capabilities:
        """Those of the syntax, with this driver's way to commit."""
        found = get_platform(self.syntax).capabilities
        shared = {name: getattr(self, name) for name in _SHARED}
        return msgspec.structs.replace(found, **shared, verify=self.verify or found.verify)


_SHARED = (
    "atomic",
    "device_diff",
    "confirm",
    "message",
    "lock",
    "undo",
    "timer_step_s",
    "timer_max_s",
    "timer_restores",
)

DRIVERS: dict[str, DriverTraits] = {
    driver.name: driver
    for driver in (
        DriverTraits(
            name="frr",
            syntax="frr",
            transport="SSH, vtysh",
            atomic=True,
            device_diff=False,
            confirm=True,
            message=False,
            lock=True,
            undo=True,
            timer_restores="routes",
            device="own",
        ),
        DriverTraits(
            name="eos",
            syntax="eos",
            transport="eAPI over HTTPS",
            atomic=True,
            device_diff=True,
            confirm=True,
            message=False,
            lock=False,
            timer_max_s=86399,
        ),
        DriverTraits(
            name="ios",
            syntax="ios",
            transport="SSH and SCP",
            atomic=False,
            device_diff=True,
            confirm=True,
            message=False,
            lock=False,
            timer_step_s=60,
        ),
        DriverTraits(
            name="iosxr",
            syntax="iosxr",
            transport="SSH, XML agent",
            atomic=True,
            device_diff=True,
            confirm=False,
            message=True,
            lock=True,
        ),
        DriverTraits(
            name="iosxr_netconf",
            syntax="iosxr",
            transport="NETCONF over SSH",
            atomic=True,
            device_diff=True,
            confirm=False,
            message=False,
            lock=True,
        ),
        DriverTraits(
            name="nxos",
            syntax="nxos",
            transport="NX-API over HTTPS",
            atomic=False,
            device_diff=False,
            confirm=False,
            message=False,
            lock=False,
        ),
        DriverTraits(
            name="nxos_ssh",
            syntax="nxos",
            transport="SSH",
            atomic=False,
            device_diff=False,
            confirm=False,
            message=False,
            lock=False,
        ),
        DriverTraits(
            name="junos",
            syntax="junos",
            transport="NETCONF over SSH",
            atomic=True,
            device_diff=True,
            confirm=True,
            message=True,
            lock=True,
            timer_step_s=60,
            timer_max_s=65535 * 60,
        ),
        DriverTraits(
            name="bgp",
            syntax="bgp",
            transport="ExaBGP",
            atomic=True,
            device_diff=False,
            confirm=False,
            message=False,
            lock=True,
            device="own",
        ),
    )
}
SYNTAXES = tuple(sorted({driver.syntax for driver in DRIVERS.values()}))


def driver_traits(name: str) -> DriverTraits:
    """The row of a driver.

    Raises:
        UnsupportedPlatform: there is none of that name.
    """
    try:
        return DRIVERS[name]
    except KeyError:
        known = ", ".join(("file", *DRIVERS))
        raise UnsupportedPlatform(
            f"platform {name!r} is not one that k8s-ecmp drives" if name else "the inventory names no platform",
            remedy=f"set platform to one of {known}",
        ) from None
