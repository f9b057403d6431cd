"""A running ExaBGP takes over another configuration; where that is not possible, the one before stays in force."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from k8s_ecmp.bgp.alone import alone
from k8s_ecmp.bgp.client import BridgeClient
from k8s_ecmp.bgp.config import BRIDGE, EXABGP, Files, write
from k8s_ecmp.bgp.speaker import validate
from k8s_ecmp.errors import RouterError, SettingsError

_TIMEOUT_S = 120.0
_KEPT = "nothing was changed"
_REMEDY = (
    "where a router that is to be told something is down, try again: ExaBGP reads nothing until it has once more tried "
    "in vain to reach it; or restart k8s-ecmp bgp start: routers keep their routes for bgp.graceful_restart_s"
)


class Reloaded(NamedTuple):
    """Peers by name: those that are new or configured otherwise, and those that are no longer there."""

    changed: tuple[str, ...]
    removed: tuple[str, ...]


def refused(files: Files) -> str | None:
    """What ExaBGP itself says against its configuration; None: nothing. Touches nothing that runs.

    It is given the text without passwords: its messages quote what it does not understand.
    """
    with TemporaryDirectory() as name:
        write(files._replace(folder=Path(name), exabgp=files.shown))
        return validate(Path(name))


def reload(files: Files) -> Reloaded:
    """Gives the running ExaBGP of the folder these files.

    Raises:
        Unreachable: none runs there.
        SettingsError: ExaBGP refuses them, or another reload of the folder is under way.
        RouterError: it did not take them, or a peer is being changed for so long that it could not be waited for.
    """
    client = BridgeClient(files.folder, _TIMEOUT_S)
    try:
        if (problem := refused(files)) is not None:
            raise SettingsError(f"ExaBGP refuses the configuration, {_KEPT}: {problem}")
        # Each of two would take the other's files for those before its own.
        taken = SettingsError(
            f"another reload of {files.folder} is under way, {_KEPT}", remedy="try again when it has ended"
        )
        with alone(files.folder / "reload.lock", taken, f", {_KEPT}"):
            before = _read(files)
            write(files)
            try:
                done = client.ask("reload")
            except RouterError as error:
                write(before)
                raise RouterError(f"{_taken_back(client)}: {error}", remedy=_REMEDY) from error
            return Reloaded(tuple(done["changed"]), tuple(done["removed"]))
    finally:
        client.close()


def _taken_back(client: BridgeClient) -> str:
    """Gives the running ExaBGP the files of the folder again, over another connection where that one was lost."""
    again = client
    try:
        if client.closed:
            again = BridgeClient(client.folder, _TIMEOUT_S)
        again.ask("reload")
    except RouterError as error:
        return f"the files are those before again, and whether ExaBGP uses them is not known ({error.message})"
    finally:
        again.close()
    return "the configuration before is in force again"


def _read(files: Files) -> Files:
    try:
        texts = [(files.folder / name).read_text(encoding="ascii") for name in (EXABGP, BRIDGE)]
    except (OSError, ValueError) as error:
        raise SettingsError(f"{files.folder} cannot be read, {_KEPT}: {error}") from error
    return Files(files.folder, texts[0], "", texts[1])
