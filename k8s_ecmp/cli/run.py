"""`k8s-ecmp run`: the daemon."""

from typing import Annotated

import msgspec
import typer

from k8s_ecmp.cli.common import settings_of
from k8s_ecmp.errors import SettingsError


def run(
    context: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            metavar="HOST:PORT",
            help="Where to serve /livez, /readyz, /metrics and /status, instead of daemon.listen; none: nowhere.",
        ),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option("--identity", metavar="TEXT", help="Who holds the Lease, instead of daemon.lease.identity."),
    ] = None,
    log_level: Annotated[
        str, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
    ] = "info",
) -> int:
    """Follows the cluster and changes the routers' routes as soon as they are due, until it is told to stop.

    Logs go to stderr, as JSON lines where that is no terminal. Several replicas may run: one holds the Lease and
    writes, the others stand by. SIGTERM and SIGINT stop it; **every route stays as it is**. While the API server or a
    router does not answer, routes stay too, and it tries again for ever.

    Look at it with **k8s-ecmp status**; `mode: observe` in the settings lets it say what it would do and write nothing.
    """
    settings, base = settings_of(context)
    daemon = settings.daemon
    if listen is not None:
        daemon = msgspec.structs.replace(daemon, listen=None if listen == "none" else _checked(listen))
    if identity is not None:
        daemon = msgspec.structs.replace(daemon, lease=msgspec.structs.replace(daemon.lease, identity=identity))
    settings = msgspec.structs.replace(settings, daemon=daemon)

    from k8s_ecmp.daemon.logs import configure

    try:
        log = configure(log_level)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    from k8s_ecmp.daemon.service import Daemon

    try:
        Daemon(settings, base).run()
    finally:
        log.stop()
    return 0


def _checked(listen: str) -> str:
    from k8s_ecmp.strict.kinds import parse_listen

    try:
        parse_listen(listen)
    except ValueError as error:
        raise SettingsError(f"--listen {listen!r}: {error}", remedy="such as 0.0.0.0:9637 or [::]:9637") from error
    return listen
