"""The matrix's column of the emulated nxos_ssh."""

from tests.faults.matrix import MARKS, column, emulated
from tests.faults.routers import NexusRouter

pytestmark = MARKS

prepared = emulated(NexusRouter)
test_fault = column("nxos_ssh")
