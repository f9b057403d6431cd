"""An open transaction on a router, for the length of one task."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from nornir.core.configuration import Config
from nornir.core.inventory import Host
from nornir.core.plugins.connections import ConnectionPlugin
from nornir.core.task import Task

from k8s_ecmp.errors import EcmpError, RenderError, RouterError, VerifyFailed
from k8s_ecmp.routers.connection import another_connection, connect
from k8s_ecmp.routers.driver import Driver
from k8s_ecmp.routers.hosts import CONNECTION
from k8s_ecmp.routers.inventory import reach_through_exabgp
from k8s_ecmp.routers.port import Port
from k8s_ecmp.routers.transaction import Transaction
from k8s_ecmp.settings import RolloutSettings, Settings

Progress = Callable[[str, str], None]
_RETRY_S = 1.0
_SETTLE_S = 5.0  # a daemon of another owner confirms its commits sooner

NEVER_WRITE = frozenset(("observe", "propose"))
"""Modes."""


def port_of(task: Task) -> Port:
    """What is known of the router before it is spoken to.

    Raises:
        UnsupportedPlatform: nobody drives it.
    """
    reach_through_exabgp(task.host)
    return Port.of(task.host)


def template_for(settings: Settings, port: Port) -> str | None:
    """The user's own template for the router's syntax, None where the shipped one serves.

    Raises:
        RenderError: it cannot be read.
    """
    if settings.templates is None:
        return None
    if not Path(settings.templates).is_dir():
        raise RenderError(f"the folder of templates {settings.templates} is not there", remedy="correct `templates`")
    path = Path(settings.templates) / f"{port.syntax.name}.j2"
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise RenderError(f"the template {path} cannot be read: {error}") from error


@contextlib.contextmanager
def open_session(
    task: Task, port: Port, template: str | None, *, lock: bool = False, recover: bool = False, keep: bool = False
) -> Iterator[Transaction]:
    """An open transaction, discarded and closed at the end whatever happens.

    With `lock` it holds the router's lock and has taken back what a dead run left; with `recover` it has done the
    latter, and may hold the lock. Without both such a change is an error where it does not end within seconds, because
    what would be read does not last. With `keep` the connection stays open, without the lock, where all went well: the
    next session on the host goes on with it, and `close_kept` ends what none did.
    """
    driver = _connected(task)
    session = Transaction(driver, port, template)
    kept = False
    try:
        if lock:
            session.begin()
        elif recover:
            session.settle()
        else:
            session.expect_settled(_SETTLE_S)
        yield session
        kept = keep
    finally:
        try:
            with contextlib.suppress(RouterError):
                session.discard()
        finally:
            if not kept:
                with contextlib.suppress(Exception):
                    task.host.close_connection(CONNECTION)


@contextlib.contextmanager
def new_session(host: Host, configuration: Config, port: Port, rollout: RolloutSettings) -> Iterator[Transaction]:
    """Looks at a router that was just changed through a connection that is opened now, closed at the end.

    The session that committed may live on where nobody else gets in any more. It keeps lock, candidate and timer; what
    is yielded here only reads.

    Raises:
        VerifyFailed: nobody gets in within `verify_timeout_s`.
    """
    with contextlib.ExitStack() as stack:
        deadline = time.monotonic() + rollout.verify_timeout_s
        while True:
            try:
                driver = stack.enter_context(another_connection(host, configuration))
                break
            except EcmpError as error:
                if not error.retryable or time.monotonic() > deadline:
                    raise VerifyFailed(f"after the commit no new connection could be opened: {error}") from error
            time.sleep(_RETRY_S)
        yield Transaction(driver, port)


def _connected(task: Task) -> Driver:
    """The driver of a kept connection where it still answers, else of a new one."""
    reused = CONNECTION in task.host.connections
    driver = connect(task.host, task.nornir.config)
    if reused and not driver.is_alive()["is_alive"]:
        with contextlib.suppress(Exception):
            task.host.close_connection(CONNECTION)
        task.host.connections.pop(CONNECTION, None)
        driver = connect(task.host, task.nornir.config)
    return driver


def close_kept(hosts: Iterable[Host]) -> None:
    """Closes the connections that `open_session` kept and nobody used, without waiting for a router that hangs."""
    for host in hosts:
        if CONNECTION in host.connections:
            connection = host.connections.pop(CONNECTION)
            threading.Thread(target=_close, args=(connection,), name=f"close {host.name}", daemon=True).start()


def _close(connection: ConnectionPlugin) -> None:
    with contextlib.suppress(Exception):
        connection.close()


def tell(progress: Progress | None, task: Task, step: str) -> None:
    """Says that a router has come to a step, where anybody listens. Who cannot take it in stops nothing."""
    if progress is not None:
        with contextlib.suppress(Exception):
            progress(task.host.name, step)
