"""A Junos router behind NETCONF: one shared candidate, private ones, the lock, commit confirmed and its history.

Sources: Junos XML management protocol guide (load-configuration, lock-configuration, commit-configuration,
get-configuration compare), Junos CLI user guide ("commit confirmed", "configure exclusive", "configure private"), and
captured answers of 12.3 to 22.4 for error texts and the commit history. Not seen on a device: what a commit says of a
route without a next hop, and of a full disk.
"""

from pathlib import Path
from typing import Any

from tests.world.emulators.base import PASSWORD, USERNAME
from tests.world.emulators.junos_device import Edit, JunosDevice
from tests.world.emulators.junos_session import Session
from tests.world.emulators.netconf import NetconfServer

_NAMESPACES = {"junos": "http://xml.juniper.net/junos/21.4R3/junos"}
_CAPABILITIES = (
    "urn:ietf:params:netconf:base:1.0",
    "urn:ietf:params:netconf:capability:candidate:1.0",
    "urn:ietf:params:netconf:capability:confirmed-commit:1.0",
    "urn:ietf:params:netconf:capability:validate:1.0",
    "http://xml.juniper.net/netconf/junos/1.0",
)


class Junos(JunosDevice):
    """The device as it is reached over the network."""

    def start(self) -> None:
        self._server = NetconfServer(
            self.folder, {USERNAME: PASSWORD}, _CAPABILITIES, lambda n, user: Session(self, Edit(n, user)), _NAMESPACES
        )
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def host(self) -> dict[str, Any]:
        options = {"alt_key_file": str(self._server.known_hosts), "use_keys": False}
        return {
            "hostname": "127.0.0.1",
            "port": self._server.port,
            "platform": "junos",
            "username": USERNAME,
            "password": PASSWORD,
            "connection_options": {"napalm": {"extras": {"timeout": 15, "optional_args": options}}},
        }

    @property
    def known_hosts(self) -> Path:
        """The file with the device's host key."""
        return self._server.known_hosts

    def stop_sessions(self) -> None:
        """Every connection is lost."""
        self._server.cut()
