"""NAPALM's own drivers, unmodified, behind the transaction's verbs; `vendor_driver(name)` is the door."""

from importlib import import_module

from k8s_ecmp.routers.drivers.vendor.base import VendorDriver

_MODULES = {
    "eos": "eos",
    "ios": "ios",
    "iosxr": "iosxr",
    "iosxr_netconf": "iosxr_netconf",
    "nxos": "nxos",
    "nxos_ssh": "nxos",
    "junos": "junos",
}


def vendor_driver(name: str) -> type[VendorDriver]:
    """The class for NAPALM's driver of that name, which is imported with it: a second, in the calling thread."""
    from napalm import get_network_driver

    module = import_module(f"k8s_ecmp.routers.drivers.vendor.{_MODULES[name]}")
    found: type[VendorDriver] = module.DRIVERS[name]
    get_network_driver(found.napalm_name)
    return found
