"""Golden cases: one folder each, <platform>/<case>/{running.cfg, desired.yaml, commands.txt, after.cfg}.

desired.yaml lists prefixes with the next hops that they shall have ([]: none): an address or "discard" stands for a hop
of ours, a mapping for the attributes of any other one.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from k8s_ecmp.model import Action, NextHop, Prefix, RouteChange, RunningRoutes
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.base import Platform

OWNER, TAG = "prod-eu1", 4201
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One folder."""

    platform_name: str
    name: str

    def __str__(self) -> str:
        return f"{self.platform_name}-{self.name}"

    @property
    def platform(self) -> Platform:
        return get_platform(self.platform_name)

    def text(self, file: str) -> str:
        return (_FOLDER / self.platform_name / self.name / file).read_bytes().decode()

    @cached_property
    def running(self) -> RunningRoutes:
        return self.platform.parse(self.text("running.cfg"))

    @cached_property
    def desired(self) -> dict[tuple[str, Prefix], tuple[NextHop, ...]]:
        return {
            (item.get("vrf", "default"), Prefix.parse(item["prefix"])): tuple(
                self._hop(hop, item.get("distance")) for hop in item["next_hops"]
            )
            for item in yaml.safe_load(self.text("desired.yaml"))
        }

    @property
    def changes(self) -> list[RouteChange]:
        """What leads from running to desired; a hop that stands as it shall is the running one."""
        changes = []
        for (vrf, prefix), wanted in self.desired.items():
            route = self.running.get(vrf, prefix)
            before = route.next_hops if route else ()
            action: Action = "delete" if not wanted else "update" if before else "create"
            changes.append(RouteChange(action, vrf, prefix, before, wanted))
        return changes

    def _hop(self, hop: str | dict[str, Any], distance: int | None) -> NextHop:
        if isinstance(hop, dict):
            return NextHop(**hop | {"options": tuple(hop.get("options", ()))})
        name = OWNER if self.platform.capabilities.name_mark else None
        discard = hop == "discard"
        return NextHop(None if discard else hop, discard=discard, distance=distance, tag=TAG, name=name)


def all_cases() -> list[Case]:
    return [
        Case(folder.parent.name, folder.name)
        for folder in sorted(_FOLDER.glob("*/*"))
        if (folder / "after.cfg").is_file()
    ]


def table(running: RunningRoutes) -> dict[tuple[str, Prefix], frozenset[NextHop]]:
    """The hops of each prefix, without lines and order."""
    return {(route.vrf, route.prefix): frozenset(route.next_hops) for route in running}
