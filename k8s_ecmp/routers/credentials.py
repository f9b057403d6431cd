"""Who logs in to a router, and by what: the inventory first, then the settings' sources, when a connection is opened.

What is found goes to the driver and nowhere else. It is remembered as secret, so that no error or log can show it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nornir.core.inventory import Host

from k8s_ecmp.errors import CredentialsUnusable
from k8s_ecmp.platforms.drivers import DRIVERS
from k8s_ecmp.redaction import remember
from k8s_ecmp.routers.credential_sources import SOURCES, Asked, Login
from k8s_ecmp.settings import CredentialSettings

# By driver: the option that `enable` takes its secret from.
_ENABLE = {"eos": "enable_password", "ios": "secret", "nxos_ssh": "secret"}
# PyEZ and ncclient decrypt keys with what is given as the password.
_PASSWORD_OPENS_KEY = ("junos", "iosxr_netconf")
_LOOK_FOR_KEYS = {"iosxr_netconf": "look_for_keys"}


@dataclass(frozen=True)
class Resolved:
    """A login with the driver's options that belong to it; `said` tells of each source what it had, and no value."""

    login: Login
    options: dict[str, Any]
    said: str


def resolve(
    host: Host, parameters: Mapping[str, Any], options: dict[str, Any], settings: CredentialSettings
) -> Resolved:
    """The login of a router.

    What the inventory says goes first. Sources are asked in their order while something is missing; one that knows
    another user than the one already named is passed over, since its password would be that user's.

    Args:
        host: of the inventory, for its name and groups.
        parameters: hostname, username, password and platform of the connection.
        options: the driver's, which the inventory may have given secrets too.
        settings: which sources, and where they are.

    Raises:
        CredentialsUnusable: a source that is needed cannot be read, or others may read it.
    """
    platform = str(parameters["platform"] or "")
    driver = DRIVERS.get(platform)
    if driver is None or platform == "bgp":  # a router in a file, one behind ExaBGP, or none that anybody drives
        return Resolved(Login(parameters["username"], parameters["password"]), options, "")
    ssh = driver.transport.startswith(("SSH", "NETCONF"))
    options = dict(options)
    login = Login(
        parameters["username"] or None,
        parameters["password"] or None,
        options.get(_ENABLE.get(platform, "")) or None,
        options.get("passphrase") or None,
    )
    remember(*login.secrets)
    said = [f"inventory has {_known(login)}"]
    for source in settings.sources:
        if source in ("agent", "keys"):
            said.append(_let_ssh_try(source, platform, options, ssh=ssh))
            continue
        if _complete(login, platform, options, ssh=ssh):
            continue
        asked = Asked(host.name, parameters["hostname"] or "", _groups(host), login.username)
        try:
            answer = SOURCES[source](asked, settings)
        except CredentialsUnusable as error:
            text = "; ".join([*said, f"{source}: {error.message}"])
            raise CredentialsUnusable(f"no login for {host.name}: {text}", remedy=error.remedy) from error
        remember(*answer.login.secrets)
        if answer.login.username not in (None, login.username) and login.username is not None:
            said.append(f"{source}: {answer.said}, for another user")
            continue
        login |= answer.login
        said.append(f"{source}: {answer.said}")
    return Resolved(_fitted(login, platform, options), options, "; ".join(said))


def _known(login: Login) -> str:
    names = {
        "a username": login.username,
        "a password": login.password,
        "an enable secret": login.enable_secret,
        "a passphrase": login.key_passphrase,
    }
    return ", ".join(name for name, value in names.items() if value is not None) or "no login"


def _groups(host: Host) -> list[str]:
    return [group.name for group in host.extended_groups()]


def _complete(login: Login, platform: str, options: Mapping[str, Any], *, ssh: bool) -> bool:
    """Whether nothing that this router could ask for is missing."""
    by_key = ssh and any(options.get(name) for name in ("key_file", "use_keys", "allow_agent"))
    return (
        login.username is not None
        and login.password is not None
        and (login.enable_secret is not None or platform not in _ENABLE)
        and (login.key_passphrase is not None or not by_key)
    )


def _let_ssh_try(source: str, platform: str, options: dict[str, Any], *, ssh: bool) -> str:
    """Turns on what SSH tries before passwords, unless the inventory says otherwise."""
    if not ssh:
        return f"{source}: not over {DRIVERS[platform].transport}"
    name = "allow_agent" if source == "agent" else _LOOK_FOR_KEYS.get(platform, "use_keys")
    if options.setdefault(name, True) is False:
        return f"{source}: the inventory says {name}: false"
    if source == "agent" and not os.environ.get("SSH_AUTH_SOCK"):
        return "agent: SSH_AUTH_SOCK is not set"
    return f"{source}: SSH tried {'the agent' if source == 'agent' else 'the keys in ~/.ssh'}"


def _fitted(login: Login, platform: str, options: dict[str, Any]) -> Login:
    """The login as the driver takes it; what is an option for it goes into `options`."""
    if login.enable_secret is not None and platform in _ENABLE:
        options[_ENABLE[platform]] = login.enable_secret
    if login.key_passphrase is None:
        return login
    if platform in _PASSWORD_OPENS_KEY:
        options.pop("passphrase", None)
        if options.get("key_file"):
            return Login(login.username, login.key_passphrase, login.enable_secret)
    else:
        options["passphrase"] = login.key_passphrase
    return login
