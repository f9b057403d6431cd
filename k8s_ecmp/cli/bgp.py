"""`bgp`: the ExaBGP that announces routes to routers with `mode: bgp`."""

import sys
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from k8s_ecmp.cli.common import say, settings_of
from k8s_ecmp.errors import EcmpError, SettingsError

if TYPE_CHECKING:
    from k8s_ecmp.bgp.config import Files, Peer
    from k8s_ecmp.settings import Settings

bgp = typer.Typer(
    help="Announce routes to routers that take BGP, by one central ExaBGP.\n\n"
    "A router with **mode: bgp** under data.k8s_ecmp in the inventory is planned, applied and verified like any other; "
    "its routes are announced by an ExaBGP that **k8s-ecmp bgp start** keeps running.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

FolderOption = Annotated[
    Path | None,
    typer.Option("--folder", metavar="FOLDER", help="Only the ExaBGP of this bgp.folder, where there are several."),
]

ReplicaOption = Annotated[
    int | None,
    typer.Option(
        "--replica",
        metavar="N",
        help="Which of bgp.replicas this is, from 1; without it the one whose local_addresses this machine has.",
    ),
]


_BEHIND = "stands back: its daemon does not follow the cluster at the moment"


class StatusFormat(StrEnum):
    """How the status is shown."""

    text = "text"
    json = "json"


@bgp.command()
def config(
    context: typer.Context,
    folder: FolderOption = None,
    replica: ReplicaOption = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write the files into the folder, without starting anything.")
    ] = False,
) -> int:
    """Show the configuration of ExaBGP that the inventory makes, with passwords hidden.

    The template is templates/exabgp.conf.j2, or yours of the same name in the folder that `templates` names.
    """
    for files in _files(context, folder, replica):
        sys.stdout.write(f"# {files.folder}/exabgp.conf\n{files.shown}")
        if write:
            from k8s_ecmp.bgp.config import write as put

            put(files)
            say(f"written: {files.folder}/exabgp.conf and bridge.json; k8s-ecmp bgp start uses them")
    return 0


@bgp.command()
def check(context: typer.Context, folder: FolderOption = None, replica: ReplicaOption = None) -> int:
    """Check inventory and ExaBGP's configuration with ExaBGP itself. Starts nothing, connects to nobody."""
    from k8s_ecmp.bgp.reload import refused

    code = 0
    for files in _files(context, folder, replica):
        problem = refused(files)
        if problem is None:
            sys.stdout.write(f"{files.folder}: in order\n")
        else:
            sys.stdout.write(f"{files.folder}: ExaBGP refuses its configuration: {problem}\n")
            code = 1
    return code


@bgp.command()
def start(context: typer.Context, folder: FolderOption = None, replica: ReplicaOption = None) -> int:
    """Run ExaBGP in the foreground with the inventory's peers, and start it again when it dies.

    Ends on SIGTERM without withdrawing: peers keep the routes for bgp.graceful_restart_s, so that it can be upgraded.
    What is announced is kept on disk and announced again. To take everything away, apply a plan without routes first.
    """
    from k8s_ecmp.bgp.config import write as put
    from k8s_ecmp.bgp.reload import refused
    from k8s_ecmp.bgp.speaker import keep_running

    files = _only(_files(context, folder, replica))

    def prepare() -> None:
        if (problem := refused(files)) is not None:
            raise SettingsError(f"ExaBGP refuses the configuration: {problem}", remedy="k8s-ecmp bgp config shows it")
        put(files)

    return keep_running(files.folder, prepare, say)


@bgp.command()
def reload(context: typer.Context, folder: FolderOption = None, replica: ReplicaOption = None) -> int:
    """Let the running ExaBGP take over what has changed in the inventory: peers that come, go or are configured anew.

    Sessions that are to be as they were stay up, and what is announced stays. A session with another key, hold time,
    address or capability is closed and opened again. A mistake in the inventory changes nothing.
    """
    from k8s_ecmp.bgp.reload import reload as take_over

    files = _only(_files(context, folder, replica))
    done = take_over(files)
    for word, names in (("new or changed", done.changed), ("removed", done.removed)):
        if names:
            sys.stdout.write(f"{word}: {', '.join(names)}\n")
    if not done.changed and not done.removed:
        sys.stdout.write("nothing has changed\n")
    return 0


@bgp.command()
def status(
    context: typer.Context,
    folder: FolderOption = None,
    output: Annotated[StatusFormat, typer.Option("--format", help="How to show it.")] = StatusFormat.text,
) -> int:
    """Show sessions and what is announced on them. Exits with 1 when ExaBGP or a session is down."""
    import msgspec

    from k8s_ecmp.bgp.client import BridgeClient

    code = 0
    rows: list[Sequence[str]] = []
    found: dict[str, Any] = {}
    for where in _folders(context, folder)[0]:
        try:
            client = BridgeClient(where, 10)
            states: dict[str, Any] = client.ask("status")["peers"]
            client.close()
        except EcmpError as error:
            say(f"error: {error}")
            code = 1
            continue
        found |= states
        for name, state in states.items():
            rows += _rows(name, state)
            if state["refused"] or not all(session["synced"] for session in state["sessions"]):
                code = 1
    if output is StatusFormat.json:
        sys.stdout.write(msgspec.json.encode({"version": 1, "peers": found}).decode() + "\n")
    elif rows:
        _print(rows)
    return code


def _rows(name: str, state: dict[str, Any]) -> Iterator[Sequence[str]]:
    remarks = [text for text in (state["refused"], state["note"], _BEHIND if state["behind"] else None) if text]
    for session in state["sessions"]:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(session["since"]))
        is_ = "up" if session["synced"] else "sending" if session["up"] else "down"
        remark = "; ".join([*remarks, session["reason"]] if session["reason"] else remarks)
        carried = f"{state['prefixes']} / {state['next_hops']}"
        yield name, session["local"], session["peer"], is_, since, carried, remark


def _print(rows: Sequence[Sequence[str]]) -> None:
    table = [("router", "from", "to", "session", "since (UTC)", "prefixes / paths", ""), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        line = "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")


def _files(context: typer.Context, folder: Path | None, replica: int | None) -> "list[Files]":
    from k8s_ecmp.bgp.config import render

    folders, settings = _folders(context, folder)
    template = _template(settings)
    return [render(where, members, template, replica) for where, members in folders.items()]


def _only(found: "list[Files]") -> "Files":
    if len(found) > 1:
        names = ", ".join(str(files.folder) for files in found)
        raise SettingsError(f"the inventory has several bgp.folder: {names}", remedy="name one with --folder")
    return found[0]


def _folders(context: typer.Context, folder: Path | None) -> "tuple[dict[Path, list[Peer]], Settings]":
    """The peers of each ExaBGP that is asked for, and the settings."""
    from k8s_ecmp.bgp.config import Peer, by_folder
    from k8s_ecmp.routers.hosts import router_settings
    from k8s_ecmp.routers.inventory import init_nornir

    settings, base = settings_of(context)
    nornir = init_nornir(settings, base)
    hosts = nornir.inventory.hosts.values()
    peers = [Peer(host.name, host.hostname, found) for host in hosts if (found := router_settings(host)).mode == "bgp"]
    if not peers:
        raise SettingsError("no router in the inventory has mode: bgp", remedy="set it under data.k8s_ecmp of a host")
    folders = by_folder(peers)
    if folder is not None:
        wanted = folder.expanduser().absolute()
        if wanted not in folders:
            names = ", ".join(map(str, folders))
            raise SettingsError(f"no router in the inventory has bgp.folder {wanted}", remedy=f"there is {names}")
        folders = {wanted: folders[wanted]}
    return folders, settings


def _template(settings: "Settings") -> str | None:
    """The user's own template of ExaBGP's configuration, None where the shipped one serves."""
    path = None if settings.templates is None else Path(settings.templates) / "exabgp.conf.j2"
    return path.read_text(encoding="utf-8") if path is not None and path.is_file() else None
