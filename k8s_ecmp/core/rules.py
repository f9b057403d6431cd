"""What governs a plan beside the routes: settings, the clock, the command line, and the router's platform."""

from dataclasses import dataclass
from typing import Literal

from k8s_ecmp.core.freeze import Freeze
from k8s_ecmp.core.guards import Limits
from k8s_ecmp.core.ownership import Marks
from k8s_ecmp.model import GuardTrip
from k8s_ecmp.settings import GuardSettings

Mode = Literal["observe", "propose", "withdraw-only", "full"]
Policy = Literal["sync", "upsert-only", "create-only"]


@dataclass(frozen=True)
class Rules:
    """What governs a plan beside the routes: from the settings, the clock and the command line.

    `holds` are the guards that stop every router (`guards.cluster_holds`).
    """

    tag: int
    owner: str
    guards: GuardSettings
    mode: Mode = "full"
    policy: Policy = "sync"
    freeze: Freeze | None = None
    holds: tuple[GuardTrip, ...] = ()
    overrides: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PlatformTraits:
    """What the decisions need to know of a router's platform."""

    name: str
    name_mark: bool
    limits: Limits
    default_distance: int = 1

    def marks(self, rules: Rules) -> Marks:
        """Our marks as this platform carries them."""
        return Marks(rules.tag, rules.owner, self.name_mark)
