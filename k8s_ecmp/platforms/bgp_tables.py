"""What a BGP session carries, as the bridge tells it: the answer to `show announced`, in JSON."""

import json
from collections.abc import Mapping, Sequence

from k8s_ecmp.errors import SessionDown, TableUnreadable
from k8s_ecmp.model import DEFAULT_VRF, Prefix
from k8s_ecmp.platforms.base import Installed

SHOW = "show announced"


class BgpVerification:
    """Asks the bridge. `{"down": null, "routes": {PREFIX: [NEXT HOP, ...]}}`; `down` says which session is, and why."""

    def table_commands(self, vrfs: Sequence[str]) -> tuple[str, ...]:  # noqa: ARG002
        """One command for everything."""
        return (SHOW,)

    def prefix_commands(self, vrf: str, prefixes: Sequence[Prefix]) -> tuple[str, ...]:  # noqa: ARG002
        """One command for all of them."""
        return (" ".join([SHOW, *map(str, prefixes)]),)

    def is_forwarding(self, command: str) -> bool:  # noqa: ARG002
        """None does: what forwards is the peer's to know."""
        return False

    def read_tables(self, answers: Mapping[str, str]) -> dict[tuple[str, Prefix], Installed]:
        """What is announced, where all sessions are up and have said everything.

        Raises:
            SessionDown: one is not.
            TableUnreadable: the answer has another form.
        """
        found: dict[tuple[str, Prefix], Installed] = {}
        for answer in answers.values():
            try:
                said = json.loads(answer)
                down, routes = said["down"], said["routes"]
                for prefix, hops in routes.items():
                    labels = frozenset(map(str, hops))
                    found[DEFAULT_VRF, Prefix.parse(prefix)] = Installed(labels, labels)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise TableUnreadable(f"the bridge's answer about what is announced cannot be read: {error}") from error
            if down:
                raise SessionDown(str(down))
        return found

    def resolve_commands(self, vrf: str, addresses: Sequence[str]) -> tuple[str, ...]:  # noqa: ARG002
        """None: whether a next hop resolves is the peer's to know."""
        return ()

    def read_unresolved(self, vrf: str, addresses: Sequence[str], answers: Mapping[str, str]) -> frozenset[str]:  # noqa: ARG002
        """Nothing is known to be unresolved."""
        return frozenset()
