"""Which of our prefixes one router sends to a node: asked while a node drains, answered by the router's worker."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from k8s_ecmp.daemon.decision import Decision
from k8s_ecmp.model import Prefix
from k8s_ecmp.platforms.base import Installed
from k8s_ecmp.routers.connection import error_text
from k8s_ecmp.routers.standing import StandingSession


@dataclass
class Through:
    """Which of our prefixes a router sends to a node, by its routing table. `kept` are those that shall stay."""

    asked_s: float
    addresses: frozenset[str]
    node: str
    answered: bool = False
    left: tuple[Prefix, ...] = ()
    kept: tuple[Prefix, ...] = ()
    error: str | None = None


class Questions:
    """Those that wait for one router."""

    def __init__(self, session: StandingSession, decision: Decision) -> None:
        self._session = session
        self._decision = decision
        self._lock = threading.Lock()
        self._waiting: list[Through] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, question: Through) -> None:
        """For any thread."""
        with self._lock:
            self._waiting.append(question)

    def answer(self) -> None:
        """Answers all that wait; for the thread that has the session.

        Raises:
            RouterError: the router could not be asked; the questions say so too.
        """
        with self._lock:
            questions, self._waiting = self._waiting, []
        try:
            tables: Mapping[Prefix, Installed] | None = None
            for question in questions:
                wanted = self._wanted(question)
                through = set(self._session.through(question.addresses))
                if through <= wanted:
                    # What is configured is out; now the routing table, which is what counts.
                    tables = (self._session.installed() or {}) if tables is None else tables
                    through = set(self._session.through(question.addresses, tables))
                question.kept = tuple(sorted(through & wanted))
                question.left = tuple(sorted(through - wanted))
                question.answered = True
        except BaseException as error:
            for question in questions:
                question.error = error_text(error)
                question.answered = True
            raise

    def _wanted(self, question: Through) -> set[Prefix]:
        """Prefixes that shall go through the node all the same: it is the last one out there."""
        desired = self._decision.snapshot(None).desired
        return {route.prefix for route in desired.routes if question.node in route.nodes}
