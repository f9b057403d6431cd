"""What is known of a router before it is spoken to, and what staging changes would send and show."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
from nornir.core.inventory import Host

from k8s_ecmp.core.flows import flows_at_risk
from k8s_ecmp.core.guards import Limits
from k8s_ecmp.core.ownership import Features, Marks, is_owned
from k8s_ecmp.core.rules import PlatformTraits
from k8s_ecmp.errors import UnsupportedPlatform
from k8s_ecmp.model import RouteChange, RouterPlan, RunningRoutes, Skipped, Undo
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.base import Capabilities, Platform
from k8s_ecmp.platforms.drivers import driver_traits
from k8s_ecmp.platforms.edits import unified
from k8s_ecmp.platforms.resilience import hashed_resiliently
from k8s_ecmp.routers.hosts import OPTIONS, optional_args, platform_of


@dataclass(frozen=True)
class Port:
    """What is known of a router before it is spoken to: its syntax, and what its driver can promise."""

    platform: str
    syntax: Platform
    capabilities: Capabilities

    @classmethod
    def of(cls, host: Host) -> "Port":
        """Reads the inventory.

        Raises:
            UnsupportedPlatform: nobody drives the platform, or nobody parses its syntax yet.
        """
        platform = platform_of(host) or ""
        if platform != "file":
            traits = driver_traits(platform)
            return cls(platform, get_platform(traits.syntax), traits.capabilities())
        syntax_name = str(optional_args(host.get_connection_parameters(OPTIONS).extras).get("syntax", ""))
        if not syntax_name:
            raise UnsupportedPlatform(
                "a file router needs optional_args.syntax",
                remedy="one of eos, frr, ios, iosxr, junos, nxos, in connection_options.napalm",
            )
        from k8s_ecmp.routers.drivers.file import capabilities_of

        syntax = get_platform(syntax_name)
        return cls(platform, syntax, capabilities_of(syntax.capabilities))

    def on(self, running: RunningRoutes) -> "Port":
        """The port as it is on a router with that configuration, which may lack what a commit timer needs."""
        line = self.capabilities.timer_line
        if line is None or not running.text or re.search(line, running.text, re.MULTILINE):
            return self
        return replace(self, capabilities=msgspec.structs.replace(self.capabilities, confirm=False))

    @property
    def traits(self) -> PlatformTraits:
        """What the decisions need to know."""
        limits = Limits(self.capabilities.max_paths, self.capabilities.max_routes)
        promised = self.capabilities
        features = Features(promised.bfd, promised.track)
        name_mark, distance = promised.name_mark, promised.default_distance
        apart, discards = promised.bfd_apart, promised.discards
        longest, highest = promised.name_length, promised.distance_max
        return PlatformTraits(self.platform, name_mark, limits, distance, features, apart, discards, longest, highest)


@dataclass(frozen=True)
class Predicted:
    """What staging changes would send, and how the configuration would differ."""

    commands: tuple[str, ...]
    diff: str


def predict(port: Port, changes: Sequence[RouteChange], running: RunningRoutes, template: str | None) -> Predicted:
    """What staging the changes would send and show, without the router.

    Raises:
        RenderError: the template failed or wrote something else.
    """
    if not changes:
        return Predicted((), "")
    commands = port.syntax.render(changes, running, template)
    return Predicted(tuple(commands.splitlines()), predicted_diff(port, running, commands))


def foreseen(
    port: Port, planned: RouterPlan, running: RunningRoutes, template: str | None, marks: Marks, confirm_within_s: int
) -> RouterPlan:
    """A plan with what it would send, how the configuration would differ, what becomes of flows, and its way back.

    Args:
        port: the router's.
        planned: its changes.
        running: what was read from it.
        template: as for `Platform.render`.
        marks: what is ours there.
        confirm_within_s: what a commit's timer is asked for.

    Raises:
        RenderError: the template failed or wrote something else.
    """
    changes = planned.changes
    if not changes:
        return planned
    predicted = predict(port, changes, running, template)
    undo = undo_of(port.on(running), changes, confirm_within_s)
    skipped = planned.skipped
    if undo != undo_of(port, changes, confirm_within_s):
        lacks = f"the configuration lacks {port.capabilities.timer_needs}"
        why = f"no timer takes an unconfirmed change back there: {lacks}"
        skipped += (Skipped(f"router {planned.name}", why),)
    here = {route.prefix: route for route in running if route.vrf == changes[0].vrf}
    return msgspec.structs.replace(
        planned,
        commands=predicted.commands,
        diff=predicted.diff,
        flows=flows_at_risk(
            changes,
            port.capabilities.hashing,
            hashed_resiliently(port.capabilities, running, changes),
            {prefix: route.next_hops for prefix, route in here.items()},
            {prefix for prefix, route in here.items() if is_owned(route, marks)},
            port.capabilities.default_distance,
        ),
        undo=undo,
        skipped=skipped,
    )


def undo_of(port: Port, changes: Sequence[RouteChange], confirm_within_s: int) -> Undo:
    """How a commit of the changes is taken back where what follows it fails."""
    timer_s = port.capabilities.timer_s(confirm_within_s, hops_of(changes))
    by: Literal["router", "inverse"] = "router" if timer_s or port.capabilities.undo else "inverse"
    return Undo(timer_s, by, restored(port, timer_s))


def restored(port: Port, timer_s: int) -> Literal["routes", "configuration"]:
    """What is as before a commit that was taken back, by the router or by us.

    Args:
        port: the router's.
        timer_s: of the commit; 0: it had none, then only our routes are written back.
    """
    return port.capabilities.timer_restores if timer_s else "routes"


def hops_of(changes: Sequence[RouteChange]) -> int:
    """Next hops before and after, over all prefixes: how large a commit is."""
    return sum(len(change.before) + len(change.after) for change in changes)


def predicted_diff(port: Port, running: RunningRoutes, commands: str) -> str:
    """The unified diff that the commands make of the running configuration."""
    return unified(running.source, port.syntax.edits(running, commands))
