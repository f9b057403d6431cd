"""Emulated devices, one for each of NAPALM's drivers: `EMULATORS[name]` imports it."""

from importlib import import_module

from tests.world.emulators.base import Emulator

_CLASSES = {
    "eos": "eos:Eos",
    "ios": "ios:Ios",
    "iosxr": "iosxr:IosXrXml",
    "iosxr_netconf": "iosxr:IosXrNetconf",
    "nxos": "nxos:NxosApi",
    "nxos_ssh": "nxos:NxosSsh",
    "junos": "junos:Junos",
}
NAMES = tuple(_CLASSES)


def emulator(name: str) -> type[Emulator]:
    """The class of the emulator for a driver."""
    module, _, cls = _CLASSES[name].partition(":")
    found: type[Emulator] = getattr(import_module(f"tests.world.emulators.{module}"), cls)
    return found
