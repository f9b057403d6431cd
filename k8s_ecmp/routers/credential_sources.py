"""The sources of logins: environment, netrc, keyring, a file or a folder. Each is read when it is asked, none is kept.

A source that others may read too is refused, as ssh refuses such keys: the secret in it is no longer one.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from k8s_ecmp.errors import CredentialsUnusable
from k8s_ecmp.private import read_private
from k8s_ecmp.settings import CredentialSettings

SERVICE = "k8s-ecmp"
_VARIABLES = "K8S_ECMP"
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Login:
    """What it takes to log in; None: not known. Its text shows no secret.

    `enable_secret` is asked for by `enable` of IOS and EOS, `key_passphrase` by an encrypted SSH key.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    enable_secret: str | None = field(default=None, repr=False)
    key_passphrase: str | None = field(default=None, repr=False)

    def __or__(self, other: "Login") -> "Login":
        """The first login, completed by the other one."""
        pairs = zip(_values(self), _values(other), strict=True)
        return Login(*(mine if mine is not None else theirs for mine, theirs in pairs))

    @property
    def secrets(self) -> tuple[str | None, ...]:
        return self.password, self.enable_secret, self.key_passphrase


FIELDS = ("username", "password", "enable_secret", "key_passphrase")


def _values(login: Login) -> tuple[str | None, ...]:
    return tuple(getattr(login, name) for name in FIELDS)


@dataclass(frozen=True, slots=True)
class Asked:
    """For whom a source is asked.

    `username` is None where nobody has said it yet. `groups` are in Nornir's order, the host's own first.
    """

    router: str
    hostname: str
    groups: Sequence[str]
    username: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a source knows, and what it would say of where it looked; `said` names no value."""

    login: Login
    said: str


Source = Callable[[Asked, CredentialSettings], Answer]


# --- env -----------------------------------------------------------------------------------------------------------


def variable(name: str | None, field: str) -> str:
    """The environment's variable for a field of a host or group; None: of every router."""
    words = (_VARIABLES, name, field) if name is not None else (_VARIABLES, field)
    return re.sub(r"[^A-Z0-9]", "_", "_".join(words).upper())


def ask_env(asked: Asked, _: CredentialSettings) -> Answer:
    """K8S_ECMP_<ROUTER>_PASSWORD, then each group's, then K8S_ECMP_PASSWORD; so for the other fields."""
    login, used, names = Login(), list[str](), (asked.router, *asked.groups, None)
    for name in names:
        found = {key: os.environ.get(variable(name, key)) or None for key in FIELDS}
        used += [variable(name, key) for key in FIELDS if found[key] is not None and getattr(login, key) is None]
        login |= Login(**found)
    if used:
        return Answer(login, f"has {', '.join(used)}")
    return Answer(login, f"none of {', '.join(variable(name, 'password') for name in names)} is set")


# --- netrc ---------------------------------------------------------------------------------------------------------


def ask_netrc(asked: Asked, settings: CredentialSettings) -> Answer:
    """The `machine` of the router's address or of its name in the inventory, else `default`."""
    import netrc

    path = Path(settings.netrc or os.environ.get("NETRC") or "~/.netrc").expanduser()
    if not path.exists():
        return Answer(Login(), f"there is no {path}")
    read_private(path)
    try:
        entries = netrc.netrc(str(path))
    except netrc.NetrcParseError as error:  # its text quotes the word that it does not understand
        raise CredentialsUnusable(f"{path}:{error.lineno}: not understood", remedy="see netrc(5)") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsUnusable(f"{path} cannot be read: {type(error).__name__}") from None
    for machine in (asked.hostname, asked.router, "default"):
        if machine in entries.hosts:
            username, _, password = entries.hosts[machine]
            where = "default" if machine == "default" else f"machine {machine}"
            return Answer(Login(username or None, password or None), f"{where} in {path}")
    return Answer(Login(), f"{path} has no machine {asked.hostname}, no machine {asked.router} and no default")


# --- keyring -------------------------------------------------------------------------------------------------------


def ask_keyring(asked: Asked, _: CredentialSettings) -> Answer:
    """`keyring get k8s-ecmp/<router or group> USERNAME`, then `k8s-ecmp`; also for enable-secret, key-passphrase."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise CredentialsUnusable(
            "the keyring cannot be asked: the library is not installed", remedy="pip install 'k8s-ecmp[keyring]'"
        ) from None
    keys = {"enable_secret": "enable-secret", "key_passphrase": "key-passphrase"}
    if asked.username is not None:
        keys["password"] = asked.username
    services = [*(f"{SERVICE}/{name}" for name in (asked.router, *asked.groups)), SERVICE]
    login, used = Login(), list[str]()
    try:
        for service in services:
            found = {key: keyring.get_password(service, item) or None for key, item in keys.items()}
            used += [f"{service} {keys[key]}" for key in keys if found[key] is not None and getattr(login, key) is None]
            login |= Login(**found)
    except KeyringError as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise CredentialsUnusable(f"the keyring cannot be asked: {text}") from None
    said = [f"has {', '.join(used)}"] if used else []
    if asked.username is None:
        said.append("needs a username for the password, and nobody has said one")
    elif login.password is None:
        said.append(f"{keyring.get_keyring().name} has no {asked.username} in any of {', '.join(services)}")
    return Answer(login, ", ".join(said))


# --- file ----------------------------------------------------------------------------------------------------------


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    username: str | None = None
    password: str | None = None
    enable_secret: str | None = None
    key_passphrase: str | None = None

    @property
    def login(self) -> Login:
        return Login(self.username, self.password, self.enable_secret, self.key_passphrase)

    def __repr__(self) -> str:
        return repr(self.login)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hosts: dict[str, _Entry] = {}
    groups: dict[str, _Entry] = {}
    defaults: _Entry = _Entry()


def ask_file(asked: Asked, settings: CredentialSettings) -> Answer:
    """The entry of the router, completed by those of its groups and by the defaults."""
    path = Path(settings.file or "")
    return _ask_folder(asked, path) if path.is_dir() else _ask_yaml(asked, path)


def _ask_yaml(asked: Asked, path: Path) -> Answer:
    import yaml

    try:
        content = yaml.safe_load(read_private(path))
        file = msgspec.convert(content or {}, _File)
    except yaml.MarkedYAMLError as error:  # its text quotes the line
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CredentialsUnusable(f"{path}:{line}: no valid YAML") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise CredentialsUnusable(f"{path}: no valid YAML") from None
    except msgspec.ValidationError as error:  # of an unknown key its text quotes what may be a password
        what, _, where = str(error).partition(" - at ")
        raise CredentialsUnusable(
            f"{path}: {what if what.startswith('Expected') else 'an unknown key'} at {where or 'the top'}",
            remedy="it holds hosts, groups and defaults with username, password, enable_secret and key_passphrase; "
            "put passwords in quotes",
        ) from None
    places = [("hosts", asked.router, file.hosts), *(("groups", name, file.groups) for name in asked.groups)]
    entries = [(f"{kind}.{name}", found[name]) for kind, name, found in places if name in found]
    entries += [("defaults", file.defaults)] if file.defaults != _Entry() else []
    if not entries:
        return Answer(Login(), f"{path} has no hosts.{asked.router}, none of its groups and no defaults")
    login = Login()
    for _, entry in entries:
        login |= entry.login
    return Answer(login, f"{', '.join(name for name, _ in entries)} in {path}")


def _ask_folder(asked: Asked, folder: Path) -> Answer:
    """`<router>.password`, `<group>.password`, `password`; so for username, enable-secret and key-passphrase."""
    for _ in range(_TRIES):
        # The kubelet replaces a Secret's files together by moving this link; one that moved is read again.
        state = os.path.realpath(folder / "..data")
        login, used = Login(), list[str]()
        for name in (asked.router, *asked.groups, None):
            found: dict[str, str | None] = {}
            for key in FIELDS:
                file = folder / ".".join(word for word in (name, key.replace("_", "-")) if word is not None)
                if file.parent == folder and file.exists():
                    found[key] = read_private(file).rstrip("\r\n") or None
                    used += [file.name] if found[key] is not None and getattr(login, key) is None else []
            login |= Login(**found)
        if os.path.realpath(folder / "..data") == state:
            break
    if used:
        return Answer(login, f"{', '.join(used)} in {folder}")
    return Answer(login, f"{folder} has no {asked.router}.password, none of its groups' and no password")


SOURCES: dict[str, Source] = {"env": ask_env, "netrc": ask_netrc, "keyring": ask_keyring, "file": ask_file}
