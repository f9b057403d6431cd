"""Racks of emulated devices."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.routers.vendors.options import Racks
from tests.routers.vendors.rack import Rack
from tests.site import new_site
from tests.world.emulators import NAMES, emulator
from tests.world.emulators.base import Emulator


@pytest.fixture
def racks(tmp_path: Path) -> Iterator[Racks]:
    """Makes the rack of some drivers' devices, with other running configurations than their samples where they are given."""
    with ExitStack() as stack:

        def make(names: list[str], running: Mapping[str, str] | None = None) -> Rack:
            devices: dict[str, Emulator] = {}
            for name in names:
                (tmp_path / name).mkdir()
                text = running[name] if running is not None else None
                devices[name] = stack.enter_context(emulator(name)(tmp_path / name, text))
            return Rack(new_site(tmp_path / "site"), devices)

        yield make


@pytest.fixture
def rack(racks: Racks) -> Rack:
    """All drivers."""
    return racks(list(NAMES))
