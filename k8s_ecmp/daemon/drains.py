"""Drains: when every router's routing table shows that a draining node is out, the Lease says so."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from k8s_ecmp.core.eligibility import NodeVerdict
from k8s_ecmp.daemon.decision import Decision
from k8s_ecmp.daemon.through import Through
from k8s_ecmp.daemon.worker import Worker
from k8s_ecmp.kube.drain import Ack, encode_acks, encode_pending

_log = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 10.0


@dataclass
class _Drain:
    id: str
    asked_s: float
    questions: dict[str, Through] = field(default_factory=dict)
    again_s: float = 0.0
    pause_s: float = 0.25


class Drains:
    """Follows the nodes that are asked to leave. Called from the loop's thread alone."""

    def __init__(
        self, workers: Sequence[Worker], write: Callable[[str | None, str | None], bool], window_s: float
    ) -> None:
        """Nothing drains yet.

        Args:
            workers: the routers.
            write: puts both annotations on the Lease: acknowledgements, and what is waited for; False: not now.
            window_s: seconds for which guard "mass-withdrawal" remembers what left.
        """
        self._workers = workers
        self._write = write
        self._drains: dict[str, _Drain] = {}
        self._window_s = window_s
        self._acks: dict[str, Ack] = {}
        self._over: dict[str, float] = {}
        self._written: tuple[str | None, str | None] = (None, None)

    @property
    def drained(self) -> frozenset[str]:
        """Nodes whose drain every router has confirmed."""
        return frozenset(self._acks)

    @property
    def acknowledged(self) -> Mapping[str, float]:
        """Nodes whose drain every router has confirmed -> until when, by the monotonic clock; inf: it still stands."""
        oldest_s = time.monotonic() - self._window_s
        for name in [name for name, until_s in self._over.items() if until_s < oldest_s]:
            del self._over[name]
        return self._over | dict.fromkeys(self._acks, float("inf"))

    def forget(self) -> None:
        """Another process led meanwhile: what the Lease says is not ours."""
        self._drains.clear()
        self._acks.clear()
        self._over.clear()
        self._written = ("unknown", None)

    def follow(self, asked: Mapping[str, str], decision: Decision) -> None:
        """Looks how the drains stand.

        Args:
            asked: node -> id of its drain, "" where another signal than the annotation asks for it.
            decision: the verdicts on all nodes.
        """
        for name in [name for name in self._drains if self._drains[name].id != asked.get(name)]:
            del self._drains[name]
            if self._acks.pop(name, None) is not None:
                self._over[name] = time.monotonic()
        for name, drain_id in asked.items():
            if name not in self._drains:
                self._drains[name] = _Drain(drain_id, time.monotonic())
            if name not in self._acks:
                self._look(name, self._drains[name], decision.nodes.get(name))
        self._tell()

    def _look(self, name: str, drain: _Drain, verdict: NodeVerdict | None) -> None:
        now_s = time.monotonic()
        addresses = frozenset(
            address
            for pool in ((verdict.internal, verdict.annotated) if verdict is not None else ())
            for some in pool.values()
            for address in some
        )
        done = True
        for worker in self._workers:
            if worker.unsupported:
                continue  # it can carry no route of ours
            question = drain.questions.get(worker.name)
            if question is not None and question.answered and not question.left and question.error is None:
                continue
            done = False
            if question is not None and not question.answered:
                continue
            if now_s < drain.again_s:
                continue
            asked = Through(now_s, addresses, name)
            drain.questions[worker.name] = asked
            worker.ask_through(asked)
        if not done and now_s >= drain.again_s:
            drain.pause_s = min(_LONGEST_PAUSE_S, drain.pause_s * 2)
            drain.again_s = now_s + drain.pause_s
        if done:
            kept = sorted({prefix for question in drain.questions.values() for prefix in question.kept})
            texts = tuple(str(prefix) for prefix in kept)
            self._acks[name] = Ack(drain.id, "", datetime.now(UTC).isoformat(), texts)
            _log.info(
                "node is drained", extra={"node": name, "kept": texts, "after_s": round(now_s - drain.asked_s, 2)}
            )

    def _tell(self) -> None:
        """Writes what has changed."""
        pending = {
            name: {
                worker.name: waits
                for worker in self._workers
                if not worker.unsupported and (waits := _waits_for(worker, drain.questions.get(worker.name)))
            }
            for name, drain in self._drains.items()
            if name not in self._acks
        }
        texts = (encode_acks(self._acks), encode_pending({name: what for name, what in pending.items() if what}))
        if texts != self._written and self._write(*texts):
            self._written = texts


def _waits_for(worker: Worker, question: Through | None) -> list[str]:
    """What of a router still goes to the node, or why that is not known; nothing where it is out."""
    if question is None or not question.answered:
        return [worker.ledger.failing or "has not answered yet"]
    return [question.error] if question.error is not None else [str(prefix) for prefix in question.left]
