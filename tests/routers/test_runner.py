import threading

import pytest
from nornir.core import Nornir
from nornir.core.inventory import Defaults, Groups, Host, Hosts, Inventory
from nornir.core.task import Result, Task

from k8s_ecmp.errors import DeadlineExceeded
from k8s_ecmp.routers.runner import DeadlineRunner


def nornir(*names: str, **kwargs: object) -> Nornir:
    hosts = Hosts({name: Host(name=name) for name in names})
    return Nornir(Inventory(hosts, Groups(), Defaults()), runner=DeadlineRunner(**kwargs))  # type: ignore[arg-type]


class Connection:
    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


@pytest.mark.slow
def test_a_host_that_hangs_fails_alone_and_its_connection_is_closed() -> None:
    connection = Connection()
    world = nornir("a", "b", "c", num_workers=2, deadline_s=6)
    world.inventory.hosts["a"].connections["x"] = connection  # type: ignore[assignment]

    def work(task: Task) -> Result:
        if task.host.name == "a":
            connection.closed.wait(60)
        return Result(host=task.host, result=task.host.name)

    results = world.run(task=work)
    assert list(results) == ["a", "b", "c"]
    assert isinstance(results["a"][0].exception, DeadlineExceeded)
    assert [results[name][0].result for name in ("b", "c")] == ["b", "c"]
    assert connection.closed.wait(60)


def test_no_more_hosts_at_once_than_workers() -> None:
    lock, seen, running = threading.Lock(), [], [0]
    both = threading.Barrier(2, timeout=30)

    def work(task: Task) -> Result:
        with lock:
            running[0] += 1
            seen.append(running[0])
        both.wait()
        with lock:
            running[0] -= 1
        both.wait()
        return Result(host=task.host)

    assert not nornir(*"abcdef", num_workers=2).run(task=work).failed
    assert max(seen) == 2


def test_a_processor_that_raises_costs_its_host_only() -> None:
    class Bad:
        def task_started(self, task: Task) -> None: ...
        def task_completed(self, task: Task, result: object) -> None: ...
        def task_instance_started(self, task: Task, host: Host) -> None:
            if host.name == "a":
                raise RuntimeError("processor")

        def task_instance_completed(self, *_: object) -> None: ...
        def subtask_instance_started(self, *_: object) -> None: ...
        def subtask_instance_completed(self, *_: object) -> None: ...

    world = nornir("a", "b").with_processors([Bad()])
    results = world.run(task=lambda task: Result(host=task.host, result=1))
    assert results["a"].failed
    assert results["b"][0].result == 1
