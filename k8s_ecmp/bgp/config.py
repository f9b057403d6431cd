"""ExaBGP's configuration and the bridge's, made from the inventory: the same routers always give the same files."""

import hashlib
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from k8s_ecmp.bgp.replica import meds, number_here, restart_s
from k8s_ecmp.errors import CredentialsUnusable, RenderError, SettingsError
from k8s_ecmp.model import address_key, canonical_address
from k8s_ecmp.platforms.templates import compiled, shipped
from k8s_ecmp.private import read_private
from k8s_ecmp.redaction import remember
from k8s_ecmp.router_settings import BgpSettings, RouterSettings

EXABGP = "exabgp.conf"
BRIDGE = "bridge.json"
_HIDDEN = "(hidden)"
_SOCKET_MAX = 107  # bytes of a unix socket's path
_FAMILIES = {"ipv4": 4, "ipv6": 6}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Peer(NamedTuple):
    """A router of the inventory with `mode: bgp`."""

    name: str
    hostname: str | None
    settings: RouterSettings

    @property
    def address(self) -> str:
        """Where ExaBGP finds it.

        Raises:
            SettingsError: the inventory does not say it.
        """
        text = self.settings.bgp.peer_address or self.hostname or ""
        try:
            return canonical_address(text)
        except ValueError:
            raise SettingsError(
                f"router {self.name}: {text!r} is no address that ExaBGP could connect to",
                remedy="set data.k8s_ecmp.bgp.peer_address in the inventory",
            ) from None


class Neighbor(msgspec.Struct, frozen=True, kw_only=True):
    """One session, as the template sees it."""

    peer: str
    local: str
    remote: str
    router_id: str
    local_as: int
    peer_as: int
    port: int
    hold_time_s: int
    families: tuple[str, ...]
    password: str | None
    ttl_in: int | None
    ttl_out: int | None
    add_path: bool
    graceful_restart_s: int


class Files(NamedTuple):
    """What one ExaBGP is given. `exabgp` holds the sessions' passwords; `shown` is the same without them."""

    folder: Path
    exabgp: str
    shown: str
    bridge: str


def by_folder(peers: Iterable[Peer]) -> dict[Path, list[Peer]]:
    """The peers of each ExaBGP, in the inventory's order."""
    found: dict[Path, list[Peer]] = defaultdict(list)
    for peer in peers:
        found[peer.settings.bgp.state_folder].append(peer)
    return dict(found)


def render(folder: Path, peers: Iterable[Peer], template: str | None = None, replica: int | None = None) -> Files:
    """The files of one ExaBGP.

    Args:
        folder: where they are to be.
        peers: of this ExaBGP.
        template: Jinja2 text instead of the shipped one.
        replica: which one of `bgp.replicas` it is, from 1; None: the one with this machine's addresses.

    Raises:
        SettingsError: the inventory lacks something, contradicts itself, or a password cannot be read.
        RenderError: the template failed.
    """
    peers = list(peers)
    _check(folder, peers)
    numbers = {peer.name: number_here(peer.name, peer.settings.bgp.members, replica) for peer in peers}
    sessions = {peer.name: list(_neighbors(peer, numbers[peer.name])) for peer in peers}
    neighbors = [neighbor for peer in peers for neighbor in sessions[peer.name]]
    exabgp, mark = _marked(folder, neighbors, template)
    shown, _ = _marked(folder, [_hidden(neighbor) for neighbor in neighbors], template)
    bridge = {
        "mark": mark if mark in exabgp else "",
        "peers": [_for_bridge(peer, numbers[peer.name], sessions[peer.name]) for peer in peers],
    }
    return Files(
        folder,
        exabgp,
        shown,
        json.dumps(bridge, indent=1) + "\n",
    )


def write(files: Files) -> None:
    """Puts the files into their folder, for their owner alone, each by one rename.

    Raises:
        SettingsError: that is not possible.
    """
    try:
        files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (files.folder / EXABGP, files.folder / BRIDGE):
            if path.exists() and not path.is_file():
                raise SettingsError(f"{path} is no regular file, and is left as it is", remedy="set another bgp.folder")
        for name, text in ((EXABGP, files.exabgp), (BRIDGE, files.bridge)):
            temporary = files.folder / f".{name}.{os.getpid()}"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as handle:
                handle.write(text)
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(files.folder / name)
    except OSError as error:
        raise SettingsError(f"{files.folder} cannot be written: {error.strerror}") from error


def _check(folder: Path, peers: Iterable[Peer]) -> None:
    if len(os.fsencode(folder / "bridge.sock")) > _SOCKET_MAX:
        raise SettingsError(f"the path {folder} is too long for a socket in it", remedy="set a shorter bgp.folder")
    seen: dict[tuple[str, str], str] = {}
    for peer in peers:
        if not _NAME.fullmatch(peer.name):
            raise SettingsError(
                f"router {peer.name!r} cannot have that name with mode: bgp: ExaBGP takes A-Z a-z 0-9 . _ -"
            )
        locals_ = [local for member in peer.settings.bgp.members for local in member.local_addresses]
        for local in locals_:
            other = seen.setdefault((local, peer.address), peer.name)
            if other != peer.name or locals_.count(local) > 1:
                raise SettingsError(f"{other} and {peer.name} have the same session, {local} to {peer.address}")
            if address_key(local)[0] != address_key(peer.address)[0]:
                raise SettingsError(f"router {peer.name}: no session goes from {local} to {peer.address}")


def _neighbors(peer: Peer, number: int) -> Iterable[Neighbor]:
    bgp = peer.settings.bgp
    member = bgp.members[number]
    assert bgp.local_as is not None and bgp.peer_as is not None  # noqa: S101, PT018  load_router_settings looked
    password = _password(peer.name, bgp)
    for local in member.local_addresses:
        yield Neighbor(
            peer=peer.name,
            local=local,
            remote=peer.address,
            router_id=member.router_id or member.local_addresses[0],
            local_as=bgp.local_as,
            peer_as=bgp.peer_as,
            port=bgp.port,
            hold_time_s=bgp.hold_time_s,
            families=bgp.families,
            password=password,
            ttl_in=255 if bgp.ttl_security else None,
            ttl_out=255 if bgp.ttl_security else bgp.ttl,
            add_path=_add_path(peer.settings),
            graceful_restart_s=restart_s(bgp, number),
        )


def _add_path(settings: RouterSettings) -> bool:
    return len(settings.bgp.members[0].local_addresses) == 1 and settings.max_paths > 1


def _for_bridge(peer: Peer, number: int, sessions: list[Neighbor]) -> dict[str, Any]:
    bgp = peer.settings.bgp
    med, behind = meds(bgp, number)
    return {
        "name": peer.name,
        "sessions": [{"local": local, "peer": peer.address} for local in bgp.members[number].local_addresses],
        "families": [_FAMILIES[family] for family in bgp.families],
        "add_path": _add_path(peer.settings),
        "attributes": _attributes(bgp, med),
        "restart_s": restart_s(bgp, number),
        "attributes_behind": None if behind is None else _attributes(bgp, behind),
        "hand_over_s": bgp.hand_over_s,
        "fingerprint": hashlib.sha256(msgspec.json.encode(sessions)).hexdigest(),
    }


def _attributes(bgp: BgpSettings, med: int | None) -> str:
    words = [] if med is None else [f"med {med}"]
    plain = [community for community in bgp.communities if community.count(":") < 2]
    large = [community for community in bgp.communities if community.count(":") == 2]
    words += [f"community [{' '.join(plain)}]"] if plain else []
    words += [f"large-community [{' '.join(large)}]"] if large else []
    return " ".join(words)


def _password(name: str, bgp: BgpSettings) -> str | None:
    if bgp.password_file is None:
        return None
    path = Path(bgp.password_file)
    try:
        text = read_private(path).strip("\n")
    except CredentialsUnusable as error:
        raise SettingsError(f"router {name}: {error.message}", remedy=error.remedy) from None
    if not 1 <= len(text) <= 80 or not (text.isascii() and text.isprintable()) or set(text) & set("\"'\\;{}#"):
        raise SettingsError(
            f"router {name}: the password in {path} must be one line of 1 to 80 printable ASCII characters, none of "
            "them one of \" ' \\ ; { } #"
        )
    remember(text)
    return text


def _hidden(neighbor: Neighbor) -> Neighbor:
    return msgspec.structs.replace(neighbor, password=neighbor.password and _HIDDEN)


def _marked(folder: Path, neighbors: Sequence[Neighbor], template: str | None) -> tuple[str, str]:
    """The text, and the word in it that no other text has; a template may leave that out."""
    mark = hashlib.sha256(_written(folder, neighbors, template, "").encode()).hexdigest()[:16]
    return _written(folder, neighbors, template, mark), mark


def _written(folder: Path, neighbors: Iterable[Neighbor], template: str | None, mark: str) -> str:
    import jinja2

    words: Mapping[str, Any] = {
        "bridge": [sys.executable, "-m", "k8s_ecmp.bgp.bridge", str(folder / BRIDGE)],
        "sessions": list(neighbors),
        "mark": mark,
    }
    if any(" " in word for word in words["bridge"]):
        raise SettingsError(
            f"ExaBGP takes no blanks in {' or '.join(words['bridge'])}", remedy="set another bgp.folder"
        )
    try:
        text = (shipped("exabgp.conf") if template is None else compiled(template)).render(words)
    except (jinja2.TemplateError, TypeError, ValueError, AttributeError) as error:
        raise RenderError(f"{'templates/exabgp.conf.j2' if template is None else 'the template'}: {error}") from error
    if not text.isascii():
        raise RenderError("the configuration of ExaBGP must be ASCII", remedy="rename the router in the inventory")
    return text
