"""The matrix's column of the emulated eos."""

from tests.faults.matrix import MARKS, column, emulated
from tests.faults.routers import EosRouter

pytestmark = MARKS

prepared = emulated(EosRouter)
test_fault = column("eos")
