"""NAPALM's driver interface for FRRouting over SSH, without NAPALM's import time."""

from k8s_ecmp.routers.drivers.frr.driver import FrrDriver

__all__ = ["FrrDriver"]
