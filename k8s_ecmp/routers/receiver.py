"""The router at the other end of a BGP session, where the inventory lets us look: what it has of the announcements.

It is read as a router with static routes is, with its own platform and login, and never written to. What it lacks is no
reason to take an announcement back: a filter of the router is mended there.
"""

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from nornir.core.configuration import Config
from nornir.core.inventory import Host

from k8s_ecmp.errors import EcmpError, ParseError, RouterError, TableUnreadable
from k8s_ecmp.model import DEFAULT_VRF, Prefix
from k8s_ecmp.platforms import bgp_received as received
from k8s_ecmp.platforms.base import Installed
from k8s_ecmp.routers.driver import Comparison
from k8s_ecmp.routers.drivers.vendor.base import describe
from k8s_ecmp.routers.hosts import RECEIVER, parameters_of, platform_of, router_settings
from k8s_ecmp.routers.plugin import RouterConnection

_FAMILIES = {"ipv4": 4, "ipv6": 6}
_FEW = 24
"""Prefixes that are asked for one by one."""
_MOST = 50_000
"""BGP prefixes of a family; of a larger table only some of ours are looked at."""


class Receiver:
    """One router, connected to when it is first asked. Not for several threads."""

    def __init__(self, host: Host, configuration: Config) -> None:
        """Connects to nothing yet; `host` has a connection named `RECEIVER`."""
        self._host = host
        self._configuration = configuration
        bgp = router_settings(host).bgp
        self._families = [_FAMILIES[family] for family in bgp.families]
        self._members = [member.local_addresses for member in bgp.members]
        self._platform = platform_of(host, RECEIVER)
        self._connection: RouterConnection | None = None

    def compare(self, expected: Mapping[Prefix, frozenset[str]], *, whole: bool) -> Comparison:
        """Reads the router's table and compares.

        Args:
            expected: announced next hops by prefix; none where it was withdrawn.
            whole: whether that is all that is announced: what else came from us is a problem then.
        """
        for last in (False, True):
            fresh = self._connection is None
            try:
                return self._compare_frr(expected, whole) if self._platform == "frr" else self._compare_napalm(expected)
            except (RouterError, ParseError) as error:
                self.close()
                if last or fresh:
                    return Comparison((), (_unread(error),))
            except Exception as error:  # noqa: BLE001  NAPALM's drivers raise anything
                self.close()
                return Comparison((), (_unread(describe(error)),))
        raise AssertionError("not reached")

    def why_down(self) -> str:
        """What the router says of a session that is not established; "": nothing, or it cannot be asked."""
        if self._platform != "frr":
            return ""
        try:
            said = (received.read_reset(self._ask(received.neighbor_command(speaker))) for speaker in self._speakers)
            return next(filter(None, said), "")
        except Exception:  # noqa: BLE001  NAPALM's drivers and Paramiko raise anything
            self.close()
            return ""

    def close(self) -> None:
        """Leaves the router. May be called twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    # --- FRR ---

    def _compare_frr(self, expected: Mapping[Prefix, frozenset[str]], whole: bool) -> Comparison:
        looked, warnings = dict(expected), list[str]()
        if whole or len(expected) > _FEW:
            known = {f: received.read_summary(self._ask(received.summary_command(f))) for f in self._families}
            if any(entry.prefixes > _MOST for entry in known.values()):
                looked = _some(expected)
                warnings.append(_partly(looked, expected, "has too many BGP routes to read them all"))
        if len(looked) <= _FEW:
            commands = received.frr_tables.prefix_commands(DEFAULT_VRF, list(looked))
        else:
            commands = received.frr_tables.table_commands([DEFAULT_VRF])
        tables = {p: entry for (_, p), entry in received.frr_tables.read_tables(self._answers(commands)).items()}
        reasons: dict[str, list[Prefix]] = {}
        wrong = received.differing(tables, looked)
        if wrong and len(looked) > _FEW:  # a whole table shows no routes of other protocols
            asked = wrong[:_FEW]
            commands = received.frr_tables.prefix_commands(DEFAULT_VRF, asked)
            tables |= {p: entry for (_, p), entry in received.frr_tables.read_tables(self._answers(commands)).items()}
        for prefix in wrong[:_FEW]:
            paths = received.read_paths(self._ask(received.paths_command(prefix)))
            filters = "" if paths else self._filters(prefix.family)
            reasons.setdefault(received.why(expected[prefix], tables.get(prefix), paths, filters), []).append(prefix)
        problems = _told(reasons, len(wrong) - _FEW)
        if whole and looked == expected:
            problems += self._left_behind(expected, known)
        return Comparison(tuple(problems), tuple(warnings))

    def _filters(self, family: int) -> str:
        return received.read_filters(self._ask(received.neighbor_command(self._speakers[0])), family)

    def _left_behind(self, expected: Mapping[Prefix, frozenset[str]], known: Mapping[int, received.Known]) -> list[str]:
        """What the router took from the speakers and was not announced, where the counts say that there is such.

        The sessions of one ExaBGP carry together what is announced, over add-path or one next hop of a prefix each.
        """
        reasons: dict[str, list[Prefix]] = {}
        for family, entry in known.items():
            announced = sum(len(hops) for prefix, hops in expected.items() if prefix.family == family)
            more = [m for m in self._members if sum(entry.taken.get(speaker, 0) for speaker in m) > announced]
            for speaker in itertools.chain.from_iterable(more):
                found = received.read_from_speaker(self._ask(received.from_speaker_command(family, speaker)))
                for prefix in sorted(found.keys() - expected.keys()):
                    text = f"there are paths from {speaker} that are not announced: `clear bgp {speaker}` there"
                    reasons.setdefault(text, []).append(prefix)
        return _told(reasons, 0)

    @property
    def _speakers(self) -> list[str]:
        return list(itertools.chain.from_iterable(self._members))

    def _ask(self, command: str) -> str:
        return self._answers([command])[command]

    def _answers(self, commands: Sequence[str]) -> dict[str, str]:
        answers: dict[str, str] = self._driver().cli(list(commands))
        return answers

    # --- NAPALM ---

    def _compare_napalm(self, expected: Mapping[Prefix, frozenset[str]]) -> Comparison:
        """One question a prefix: `get_route_to` has no other way that every driver goes."""
        looked = _some(expected)
        device: Any = getattr(self._driver(), "device", None)
        if not hasattr(device, "get_route_to"):
            raise TableUnreadable(f"platform {self._platform} shows no routing table that could be compared")
        tables: dict[Prefix, Installed] = {}
        for prefix in looked:
            try:
                answer = device.get_route_to(destination=str(prefix), protocol="bgp")
            except NotImplementedError:
                raise TableUnreadable(f"NAPALM's driver for {self._platform} has no get_route_to") from None
            by_interface = self._platform == "eos"
            tables[prefix] = received.read_route_to(answer, prefix, used_have_interfaces=by_interface)
        warnings = [_partly(looked, expected, "is asked prefix by prefix")] if len(looked) < len(expected) else []
        six = [prefix for prefix in looked if prefix.family == 6]
        if any(expected[prefix] for prefix in six) and not any(tables[prefix].behind for prefix in six):
            # NAPALM's driver for IOS knows IPv4 alone, that for EOS looks where newer releases have no IPv6 routes.
            warnings.append(
                "the receiver shows none of our IPv6 prefixes: it took none, or NAPALM cannot read its release"
            )
            looked = {prefix: hops for prefix, hops in looked.items() if prefix.family == 4}
        reasons: dict[str, list[Prefix]] = {}
        for prefix in received.differing(tables, looked):
            reasons.setdefault(received.why(expected[prefix], tables[prefix], None, ""), []).append(prefix)
        return Comparison(tuple(_told(reasons, 0)), tuple(warnings))

    def _driver(self) -> Any:
        if self._connection is None:
            connection = RouterConnection()
            parameters, _ = parameters_of(self._host, self._configuration, RECEIVER)
            connection.open(**parameters, configuration=self._configuration)
            self._connection = connection
        return self._connection.connection


def _some(expected: Mapping[Prefix, frozenset[str]]) -> dict[Prefix, frozenset[str]]:
    """A few of the prefixes, from the first to the last."""
    prefixes = sorted(expected)
    step = max(1, -(-len(prefixes) // _FEW))
    return {prefix: expected[prefix] for prefix in prefixes[::step]}


def _told(reasons: Mapping[str, Sequence[Prefix]], more: int) -> list[str]:
    told = []
    for reason, prefixes in reasons.items():
        others = f" and {len(prefixes) - 1} more" if len(prefixes) > 1 else ""
        told.append(f"{prefixes[0]}{others} at the receiver: {reason}")
    return [*told, f"{more} more prefixes differ at the receiver"] if more > 0 else told


def _partly(looked: Mapping[Prefix, Any], expected: Mapping[Prefix, Any], because: str) -> str:
    return f"the receiver {because}: {len(looked)} of {len(expected)} prefixes were compared"


def _unread(error: EcmpError | str) -> str:
    return f"the receiver's table could not be compared: {error}"
