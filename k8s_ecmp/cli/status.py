"""`status`."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from k8s_ecmp.cli.common import settings_of
from k8s_ecmp.errors import ClusterError, ClusterRefused, EcmpError, SettingsError

if TYPE_CHECKING:
    from k8s_ecmp.settings import Settings

TIMEOUT_S = 10.0
_LONGEST = 256 << 20
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared with, not bound
_START = "start it with `k8s-ecmp run`, or name the right one with --url http://HOST:PORT"


class StatusFormat(StrEnum):
    """How the report is shown."""

    text = "text"
    json = "json"


UrlOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The daemon to ask, as http://HOST:PORT; else daemon.listen's."),
]


class NoDaemon(EcmpError):
    """Nobody answers where the daemon should, or not as a daemon does."""


def status(
    context: typer.Context,
    output: Annotated[StatusFormat, typer.Option("--format", help="How to show it.")] = StatusFormat.text,
    url: UrlOption = None,
) -> int:
    """Ask the running daemon how it stands: routers, watches, guards, nodes that are no next hops.

    Exits with 0 when it is ready, 3 when it is and a guard holds something, 1 when it is not ready or does not answer.
    """
    import msgspec

    from k8s_ecmp import runs
    from k8s_ecmp.report import VERSION, DaemonReport
    from k8s_ecmp.views.status_rows import holds_something
    from k8s_ecmp.views.status_text import print_status

    settings = None if url is not None else settings_of(context)[0]
    where = url or _own_url(settings)
    try:
        body = _get(where)
    except NoDaemon as error:
        holder = None if settings is None else _lease_holder(settings)
        raise NoDaemon(f"{error.message}; {holder}" if holder else error.message, remedy=error.remedy) from error
    try:
        report = msgspec.json.decode(body, type=DaemonReport)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NoDaemon(f"what answers at {where} is no k8s-ecmp daemon of this version: {error}") from error
    if report.version != VERSION:
        raise NoDaemon(f"the daemon at {where} reports in version {report.version}, this program reads {VERSION}")
    if output is StatusFormat.json:
        from k8s_ecmp.views.document import canonical_json

        sys.stdout.write(canonical_json(msgspec.json.decode(body)).decode() + "\n")
    else:
        print_status(report)
    if not report.ready:
        return runs.ERROR
    return runs.STOPPED if holds_something(report) else runs.DONE


def _own_url(settings: "Settings | None") -> str:
    from k8s_ecmp.strict.kinds import parse_listen

    listen = None if settings is None else settings.daemon.listen
    if listen is None:
        raise SettingsError("daemon.listen is null, so the daemon cannot be asked", remedy="name its URL with --url")
    host, port = parse_listen(listen)
    host = _WILDCARDS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _get(url: str) -> bytes:
    """The body of the daemon's /status.

    Raises:
        NoDaemon: nobody answers, or with anything but 200.
        SettingsError: the URL has another form.
    """
    import http.client

    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port, scheme = parts.hostname, parts.port, parts.scheme
    except ValueError as error:
        raise SettingsError(f"--url {url!r}: {error}") from error
    if not host or scheme not in ("http", "https"):
        raise SettingsError(f"--url {url!r} is not http://HOST:PORT")
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    path = f"{parts.path.rstrip('/').removesuffix('/status')}/status?format=json"
    connection = kind(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read(_LONGEST)
    except (OSError, http.client.HTTPException) as error:
        raise NoDaemon(f"no daemon answers at {url}: {_why(error)}", remedy=_START) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise NoDaemon(f"what answers at {url} says {answer.status} to {path}", remedy=_START)
    return body


def _why(error: Exception) -> str:
    import http.client

    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    if isinstance(error, http.client.BadStatusLine) and not isinstance(error, OSError):
        return "the answer is no HTTP"
    text = " ".join((getattr(error, "strerror", None) or str(error)).split())
    return text or type(error).__name__


def _lease_holder(settings: "Settings") -> str | None:
    """Who holds the Lease, in words; None where there is no Lease or it cannot be read."""
    if settings.cluster.source != "live" or not settings.daemon.lease.enabled:
        return None
    from k8s_ecmp.kube.lease_object import Lease, lease_name, lease_path
    from k8s_ecmp.kube.writes import NOT_FOUND, Writer

    lease = settings.daemon.lease
    name = f"the Lease {lease.namespace}/{lease_name(lease, settings.owner)}"
    writer = Writer(settings.cluster)
    try:
        found = Lease.decode(writer.get(lease_path(lease, settings.owner), timeout_s=TIMEOUT_S))
    except ClusterRefused as error:
        return f"{name} does not exist, so none has ever run" if error.status == NOT_FOUND else None
    except ClusterError:
        return None
    finally:
        writer.close()
    if found.holder is None:
        return f"nobody holds {name}"
    return f"{name} is held by {found.holder}, renewed at {found.spec.renew_time or 'an unknown time'}"
