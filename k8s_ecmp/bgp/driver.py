"""A BGP peer behind NAPALM's method names: its running configuration is the text of what is announced to it."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from k8s_ecmp.bgp.client import BridgeClient
from k8s_ecmp.bgp.frames import Message
from k8s_ecmp.errors import CommitFailed, ConfigRejected, ParseError, RouterError, Unreachable
from k8s_ecmp.model import DEFAULT_VRF, NextHop, Prefix, StaticRoute, address_key, text_lines
from k8s_ecmp.platforms.bgp import PLATFORM, closed_line
from k8s_ecmp.platforms.bgp_tables import SHOW
from k8s_ecmp.platforms.edits import Edit, apply_edits, unified
from k8s_ecmp.platforms.placing import touched_statements
from k8s_ecmp.platforms.settling import settle

_PATHS_PER_S = 500  # ExaBGP takes nine thousand on a machine that does nothing else


class BgpDriver:
    """One peer of one ExaBGP.

    Args:
        hostname: not used; the session is ExaBGP's.
        username: not used.
        password: not used.
        timeout: seconds that ExaBGP may take to acknowledge a request.
        optional_args: `folder` (ExaBGP's) and `peer` (its name in the inventory).
    """

    def __init__(
        self,
        hostname: str = "",  # noqa: ARG002
        username: str = "",  # noqa: ARG002
        password: str = "",  # noqa: ARG002
        timeout: float = 60,
        optional_args: Mapping[str, Any] | None = None,
    ) -> None:
        options = dict(optional_args or {})
        self._folder = Path(options["folder"])
        self._peer = str(options["peer"])
        self._timeout_s = timeout
        self._client: BridgeClient | None = None
        self._locked = False
        self._version: int | None = None
        self._base = ""
        self._commands = ""
        self._loaded = False
        self._routes: dict[str, list[list[Any]]] = {}

    def open(self) -> None:
        """Connects to the bridge.

        Raises:
            Unreachable: there is none.
            RouterError: it does not know the peer.
        """
        self.close()
        self._client = BridgeClient(self._folder, self._timeout_s)
        if self._peer not in self._client.peers:
            self.close()
            raise RouterError(
                f"the ExaBGP of {self._folder} has no peer {self._peer}",
                remedy="it was started with another inventory: restart it with k8s-ecmp bgp start",
            )

    def close(self) -> None:
        """Leaves the bridge; a lock ends with that."""
        if self._client is not None:
            self._client.close()
        self._client, self._locked = None, False
        self._forget()

    def is_alive(self) -> Mapping[str, bool]:
        """{"is_alive": whether the bridge answers}."""
        with contextlib.suppress(RouterError):
            self._ask("status")
            return {"is_alive": True}
        return {"is_alive": False}

    def get_config(self, retrieve: str = "all") -> Mapping[str, str]:
        """What is announced as "running", the open candidate's as "candidate".

        Where nothing can be added in an address family, a comment says why; what is announced can be taken away.
        """
        running = self._text() if retrieve in ("all", "running") else ""
        candidate = apply_edits(self._base, self._edits()) if self._loaded else ""
        return {"running": running, "candidate": candidate, "startup": ""}

    def load_merge_candidate(self, filename: str | None = None, config: str | None = None) -> None:
        """Takes the peer's lock and loads commands into the candidate; no commands take the lock alone.

        Raises:
            LockHeld: another client has it.
            ConfigRejected: a command is not understood.
        """
        if not self._locked:
            self._ask("lock")
            self._locked = True
        fresh = Path(filename).read_text(encoding="utf-8") if filename else config or ""
        if not self._loaded:
            self._base = self._text()
        commands = f"{self._commands}{fresh}\n"
        try:
            running = PLATFORM.parse(self._base)
            routes = {
                str(prefix): [_said(hop) for hop, _ in settle(PLATFORM, _hops(running.get(vrf, prefix)), statements)]
                for (vrf, prefix), statements in touched_statements(PLATFORM, commands).items()
            }
        except ParseError as error:
            raise ConfigRejected(f"{self._peer}: {error}") from error
        self._commands, self._loaded, self._routes = commands, True, routes

    def compare_config(self) -> str:
        """The candidate against what is announced, as "-" and "+" lines."""
        return unified(text_lines(self._base), self._edits())

    def commit_config(self, message: str = "", revert_in: int | None = None) -> None:  # noqa: ARG002
        """Announces and withdraws; returns when ExaBGP has acknowledged all of it.

        Raises:
            CommitFailed: no timer here, nothing to commit, or ExaBGP refused something.
            ConfigRejected: something cannot be announced; nothing was.
        """
        if revert_in:
            raise CommitFailed("a BGP peer has no commit timer")
        if not self._loaded:
            raise CommitFailed(f"{self._peer}: no candidate is loaded")
        paths = sum(max(1, len(hops)) for hops in self._routes.values())
        answer = self._ask("commit", more_s=paths / _PATHS_PER_S, routes=self._routes)
        self._version = answer["version"]
        self._forget()

    def confirm_commit(self) -> None:
        """Nothing to do: a commit here has no timer."""

    def has_pending_commit(self) -> bool:
        """Always false: a commit here has no timer."""
        return False

    def rollback(self) -> None:
        """Not here: the transaction announces what was before.

        Raises:
            CommitFailed: always.
        """
        raise CommitFailed(f"{self._peer}: ExaBGP takes nothing back by itself")

    def discard_config(self) -> None:
        """Throws the candidate away and gives the lock back."""
        self._forget()
        if self._locked:
            self._locked = False
            if self._client is not None and not self._client.closed:
                self._ask("unlock")

    def cli(self, commands: list[str], encoding: str = "text") -> dict[str, Any]:  # noqa: ARG002
        """Answers `show announced [PREFIX ...]`: what the sessions carry, as `platforms.bgp_tables` reads it."""
        found = self._ask("read")
        routes: Message = found["routes"]
        answers = {}
        for command in commands:
            if not command.startswith(SHOW):
                raise RouterError(f"the bridge does not know {command!r}")
            wanted = command[len(SHOW) :].split()
            said = {p: [hop[0] for hop in routes[p]] for p in (wanted or routes) if p in routes}
            answers[command] = json.dumps({"down": down(found["state"]), "routes": said})
        return answers

    def changed_by_others(self) -> bool:
        """Whether something else is announced than what this driver read or committed last."""
        return bool(self._ask("status")["peers"][self._peer]["version"] != self._version)

    def _text(self) -> str:
        found = self._ask("read")
        self._version = found["state"]["version"]
        lines = [f"peer {self._peer}"]
        lines += [closed_line(int(family), why) for family, why in found["state"].get("closed", {}).items()]
        note = found["state"]["note"]
        lines += [f"! {note}"] if note else []
        routes = sorted(((Prefix.parse(prefix), hops) for prefix, hops in found["routes"].items()), key=lambda r: r[0])
        for prefix, hops in routes:
            for address, tag, name in sorted(hops, key=lambda hop: address_key(hop[0])):
                lines.append(PLATFORM.shown(DEFAULT_VRF, prefix, NextHop(address, tag=tag, name=name), None))
        return "\n".join([*lines, "end", ""])

    def _ask(self, op: str, *, more_s: float = 0.0, **words: Any) -> Message:
        if self._client is None or self._client.closed:
            raise Unreachable("the connection to the bridge was lost")
        return self._client.ask(op, more_s=more_s, peer=self._peer, **words)

    def _edits(self) -> tuple[Edit, ...]:
        """What the candidate changes in the text: for people, a commit needs the routes alone."""
        return PLATFORM.edits(PLATFORM.parse(self._base), self._commands) if self._loaded else ()

    def _forget(self) -> None:
        self._base, self._commands, self._loaded, self._routes = "", "", False, {}


def down(state: Message) -> str | None:
    """Which sessions of a peer do not carry everything at the moment, and why; None: all do."""
    missing = [session for session in state["sessions"] if not session["synced"]]
    if not missing:
        return None if state["refused"] is None else str(state["refused"])
    names = ", ".join(f"{session['local']} to {session['peer']}" for session in missing)
    reason = missing[0]["reason"] or "not everything has been said since it came up"
    many = "sessions" if len(missing) > 1 else "session"
    return f"the BGP {many} {names} {'are' if len(missing) > 1 else 'is'} not in order: {reason}"


def _said(hop: NextHop) -> list[Any]:
    return [hop.address, hop.tag, hop.name]


def _hops(route: StaticRoute | None) -> tuple[NextHop, ...]:
    return () if route is None else route.next_hops
