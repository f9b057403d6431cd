"""A Nornir runner with a deadline for each router: a router that hangs fails alone, the others go on."""

import contextlib
import queue
import threading
import time

from nornir.core.inventory import Host
from nornir.core.task import AggregatedResult, MultiResult, Result, Task

from k8s_ecmp.errors import DeadlineExceeded


class DeadlineRunner:
    """Runs a task on many hosts in daemon threads.

    Args:
        num_workers: hosts at the same time.
        deadline_s: seconds that one host may take, counted from its own start. A host that is over it is reported
            with `DeadlineExceeded`; its connections are closed so that its thread ends, and nobody waits for it.
    """

    def __init__(self, num_workers: int = 20, deadline_s: float = 300.0) -> None:
        self.num_workers = num_workers
        self.deadline_s = deadline_s

    def run(self, task: Task, hosts: list[Host]) -> AggregatedResult:
        result = AggregatedResult(task.name)
        waiting = list(reversed(hosts))
        started: dict[str, tuple[Host, float]] = {}
        finished: queue.SimpleQueue[tuple[str, MultiResult]] = queue.SimpleQueue()
        while waiting or started:
            while waiting and len(started) < self.num_workers:
                host = waiting.pop()
                started[host.name] = (host, time.monotonic() + self.deadline_s)
                threading.Thread(
                    target=_start, args=(task.copy(), host, finished), name=f"router {host.name}", daemon=True
                ).start()
            nearest = min(deadline for _, deadline in started.values())
            try:
                name, outcome = finished.get(timeout=max(0.0, nearest - time.monotonic()))
            except queue.Empty:
                for name in [name for name, (_, deadline) in started.items() if deadline <= time.monotonic()]:
                    host, _ = started.pop(name)
                    result[name] = _late(task, host, self.deadline_s)
                continue
            if started.pop(name, None) is not None:
                result[name] = outcome
        order = {host.name: result[host.name] for host in hosts}
        result.clear()
        result.update(order)
        return result


def _start(task: Task, host: Host, finished: "queue.SimpleQueue[tuple[str, MultiResult]]") -> None:
    try:
        outcome = task.start(host)
    except BaseException as error:  # noqa: BLE001  a processor that raises must not lose the host
        outcome = _failed(task, host, error)
    finished.put((host.name, outcome))


def _late(task: Task, host: Host, deadline_s: float) -> MultiResult:
    for connection in list(host.connections.values()):
        threading.Thread(target=_close, args=(connection,), daemon=True).start()
    host.connections.clear()
    return _failed(
        task, host, DeadlineExceeded(f"{host.name} did not finish within {deadline_s:.3g} s; its state is not known")
    )


def _close(connection: object) -> None:
    with contextlib.suppress(Exception):
        connection.close()  # type: ignore[attr-defined]


def _failed(task: Task, host: Host, error: BaseException) -> MultiResult:
    outcome = MultiResult(task.name)
    outcome.append(Result(host=host, exception=error, failed=True, result=str(error), name=task.name))
    return outcome
