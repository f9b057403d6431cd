"""What governs a plan beside the routes: settings, the clock, the command line, and the router's platform."""

from dataclasses import dataclass
from typing import Protocol

from k8s_ecmp.core.freeze import Freeze
from k8s_ecmp.core.guards import Limits
from k8s_ecmp.core.ownership import NO_FEATURES, Features, Marks
from k8s_ecmp.core.selection import RouterView
from k8s_ecmp.errors import SettingsError
from k8s_ecmp.model import GuardTrip, Mode, Policy, Prefix
from k8s_ecmp.settings import GuardSettings


@dataclass(frozen=True)
class Rules:
    """What governs a plan beside the routes: from the settings, the clock and the command line.

    `holds` are the guards that stop every router (`guards.cluster_holds`). `adopt`: the plan takes over what others
    have at these prefixes, and does nothing else.
    """

    tag: int
    owner: str
    guards: GuardSettings
    mode: Mode = "full"
    policy: Policy = "sync"
    freeze: Freeze | None = None
    holds: tuple[GuardTrip, ...] = ()
    overrides: frozenset[str] = frozenset()
    adopt: frozenset[Prefix] = frozenset()

    @property
    def windows(self) -> tuple[str, ...]:
        """The freeze windows that let through of a plan what is in it; none where something else holds it."""
        if self.freeze is None or self.freeze.everything or "frozen" in self.overrides:
            return ()
        return self.freeze.windows


class Owner(Protocol):
    """Whoever names tag and owner: the settings, or rules made of them."""

    @property
    def tag(self) -> int: ...
    @property
    def owner(self) -> str: ...


@dataclass(frozen=True)
class PlatformTraits:
    """What the decisions need to know of a router's platform."""

    name: str
    name_mark: bool
    limits: Limits
    default_distance: int = 1
    features: Features = NO_FEATURES
    bfd_apart: tuple[str, ...] = ()
    """The lines for BFD where it is a setting beside the routes."""
    discards: bool = True
    """Whether a route may be one that drops packets."""
    name_length: int | None = None
    """The longest name that a next hop can carry; None: any that the settings allow."""
    distance_max: int = 255

    def marks(self, owner: Owner, router: RouterView) -> Marks:
        """Our marks as this platform carries them, and what the inventory asks for beside.

        Raises:
            SettingsError: the inventory asks for BFD or a tracked object, which static next hops cannot follow here, or
                owner or distance are more than they can carry.
        """
        self._expect_to_fit(owner, router)
        options: tuple[str, ...] = ()
        if router.bfd:
            if self.bfd_apart:
                raise self._is_apart(router)
            if not self.features.bfd:
                raise self._cannot(router, "bfd: true")
            options += self.features.bfd
        if router.track is not None:
            if not self.features.track:
                raise self._cannot(router, f"track: {router.track}")
            options += (self.features.track, router.track)
        return Marks(owner.tag, owner.owner, self.name_mark, options, self.features)

    def _expect_to_fit(self, owner: Owner, router: RouterView) -> None:
        longest = self.name_length
        if self.name_mark and longest is not None and len(owner.owner) > longest:
            raise SettingsError(
                f"router {router.name}: the owner {owner.owner} has {len(owner.owner)} characters, and a next hop of "
                f"{self.name} carries a name of {longest} at most",
                remedy=f"take an owner of up to {longest} characters; what routers have under the old one is then a "
                "stranger's to us",
            )
        if router.distance is not None and router.distance > self.distance_max:
            raise SettingsError(
                f"router {router.name} in the inventory has distance: {router.distance}, and {self.name} takes "
                f"{self.distance_max} at most",
                remedy=f"set data.k8s_ecmp.distance to {self.distance_max} or less",
            )

    def _is_apart(self, router: RouterView) -> SettingsError:
        """Such a line cannot be ours: it has no mark, and belongs to everybody's routes over the next hop."""
        return SettingsError(
            f"router {router.name} in the inventory has bfd: true, which is no part of a route on {self.name} but a "
            "line for each next hop and its interface, without tag and name: it serves everybody's routes that are "
            "written with that interface, and ours are written without one",
            remedy=f"take it out of data.k8s_ecmp. For routes of your own: {' or '.join(map(repr, self.bfd_apart))}; "
            "for ours `track: OBJECT`, or probes",
        )

    def _cannot(self, router: RouterView, asked: str) -> SettingsError:
        return SettingsError(
            f"router {router.name} in the inventory has {asked}, which no static next hop of {self.name} can carry",
            remedy="`k8s-ecmp platforms` shows where it can; take it out of data.k8s_ecmp",
        )
