"""A world with a secret in every place that has one, and the search for them in everything that is written there."""

import base64
import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

import yaml

from tests.site import COMMAND, Site
from tests.world.emulators.base import USERNAME, Emulator
from tests.world.emulators.eos import Eos
from tests.world.emulators.ios import Ios
from tests.world.emulators.junos import Junos
from tests.world.frr import FrrRouter

PLACES = (
    "env-password",
    "env-enable",
    "netrc-password",
    "netrc-wrong",
    "file-passphrase",
    "file-wrong",
    "inventory-password",
    "inventory-enable",
    "inventory-wrong",
    "kubeconfig-token",
    "kubeconfig-url",
    "kubeconfig-wrong",
    "kubeconfig-password",
    "plugin-environment",
    "plugin-stderr",
    "frr-password",
    "frr-bgp-md5",
    "eos-user",
    "eos-bgp-md5",
    "eos-community",
    "eos-beside-routes",
    "ios-user",
    "ios-bgp-md5",
    "ios-community",
    "junos-user",
    "junos-md5",
    "junos-community",
    "junos-candidate",
)
PLANTED = {place: f"pL4nt+{number}/{place[::-1]}" for number, place in enumerate(PLACES, 10)}
ROUTERS = ("frr", "eos", "ios", "junos")

FRR = f"""
password {PLANTED["frr-password"]}
enable password {PLANTED["frr-password"]}
router bgp 65000
 neighbor 192.0.2.1 remote-as 65001
 neighbor 192.0.2.1 password {PLANTED["frr-bgp-md5"]}
exit
ip route 10.97.10.2/32 192.0.2.9
"""
EOS = (
    Eos.SAMPLE.replace("secret sha512 $6$Jr0c$9AVqLkGcVFJ0Yl1", f"secret 0 {PLANTED['eos-user']}")
    .replace(
        "router bgp 65101\n",
        f"snmp-server community {PLANTED['eos-community']} ro\n!\n"
        f"router bgp 65101\n   neighbor 192.0.2.1 password 7 {PLANTED['eos-bgp-md5']}\n",
    )
    .replace("name static-by-hand\n", f"name static-by-hand\n!\ntacacs-server key 7 {PLANTED['eos-beside-routes']}\n")
)
IOS = (
    Ios.SAMPLE.replace("secret 5 $1$planted$Yp0cVbQmT1", f"secret 0 {PLANTED['ios-user']}")
    .replace(
        " neighbor 192.0.2.1 remote-as 65002\n",
        f" neighbor 192.0.2.1 remote-as 65002\n neighbor 192.0.2.1 password {PLANTED['ios-bgp-md5']}\n",
    )
    .replace("ip ssh version 2\n", f"ip ssh version 2\nsnmp-server community {PLANTED['ios-community']} RO\n")
)
JUNOS = Junos.SAMPLE.replace('"$6$Yx1;{2}$kq"', f'"{PLANTED["junos-user"]}"')
JUNOS_LINES = (
    f'set snmp community "{PLANTED["junos-community"]}" authorization read-only\n'
    f'set protocols ospf area 0.0.0.0 interface et-0/0/1.0 authentication md5 1 key "{PLANTED["junos-md5"]}"'
)


def forms(secret: str) -> set[bytes]:
    """How a secret may be written: as it is, URL-encoded, escaped, in base64 at each place in a group of three bytes."""
    found = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), secret.replace("/", "\\/")}
    content = secret.encode()
    for before in range(3):
        for after in range(3):
            coded = base64.b64encode(b"\xff" * before + content + b"\xff" * after).decode()
            found.add(coded[4 if before else 0 : len(coded) - 4])
    return {form.encode() for form in found}


@dataclass
class World:
    """The routers, the user's folder, and what the user's environment has."""

    folder: Path
    site: Site
    frr: FrrRouter
    devices: dict[str, Emulator]
    environment: dict[str, str]
    ours: set[Path] = field(default_factory=set)
    """Files that the test has put secrets into, and that a run only reads."""
    more: dict[str, str] = field(default_factory=dict)
    """Secrets beside those of `PLANTED`: such as must have a form."""
    count: int = 0
    codes: dict[str, int] = field(default_factory=dict)

    def plant(self, path: Path, text: str, mode: int = 0o600) -> Path:
        path.write_text(text)
        path.chmod(mode)
        self.ours.add(path)
        return path

    def inventory(self, password: str) -> None:
        hosts = {"frr": self.frr.host(optional_args={"key_file": str(self.folder / "keys/encrypted")})}
        del hosts["frr"]["password"]
        for name, device in self.devices.items():
            hosts[name] = device.host()
            del hosts[name]["password"]
        hosts["junos"]["password"] = password
        hosts["ios"]["connection_options"]["napalm"]["extras"]["optional_args"]["secret"] = PLANTED["inventory-enable"]
        for host in hosts.values():
            host["data"] = {"k8s_ecmp": {"next_hops": {"subnets": ["10.192.0.0/24", "fd10:192::/64"]}}}
        self.plant(self.site.folder / "inventories/demo/hosts.yaml", yaml.safe_dump(hosts), 0o644)

    def logins(self, *, right: bool = True) -> None:
        """What the sources have; False: something else, just as secret."""
        self.environment["K8S_ECMP_EOS_PASSWORD"] = PLANTED["env-password" if right else "env-enable"]
        self.environment["K8S_ECMP_EOS_ENABLE_SECRET"] = PLANTED["env-enable"]
        password = PLANTED["netrc-password" if right else "netrc-wrong"]
        self.plant(self.folder / "netrc", f"machine ios login {USERNAME} password {password}\n")
        passphrase = PLANTED["file-passphrase" if right else "file-wrong"]
        self.plant(self.folder / "logins.yaml", f"hosts: {{frr: {{key_passphrase: {passphrase}}}}}")
        self.inventory(PLANTED["inventory-password" if right else "inventory-wrong"])

    def command(self, *arguments: str) -> list[str]:
        return [*COMMAND, "--config", str(self.site.folder / "k8s-ecmp.yaml"), *arguments]

    @contextlib.contextmanager
    def started(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """A process whose outputs are kept; killed at the end."""
        self.count += 1
        out = self.folder / f"output/{self.count}"
        with out.with_suffix(".out").open("wb") as stdout, out.with_suffix(".err").open("wb") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=self.environment,
                cwd=self.folder / "work",
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def run(self, *arguments: str) -> int:
        with self.started(*self.command(*arguments)) as process:
            code = process.wait(timeout=180)
        self.codes[" ".join(arguments)] = code
        return code

    def said(self, number: int | None = None) -> str:
        """Both outputs of a command, by default of the last one."""
        path = self.folder / f"output/{number or self.count}"
        return path.with_suffix(".out").read_text() + path.with_suffix(".err").read_text()

    def wants_more(self, *nodes: str) -> None:
        """The cluster differs from what the routers have."""
        (self.site.folder / "cluster.yaml").write_text(self.cluster)
        self.site.not_ready(*nodes)

    @property
    def cluster(self) -> str:
        return (self.folder / "cluster.yaml").read_text()

    def written(self) -> list[Path]:
        """Every file under the folder that is not the test's own."""
        return [path for path in self.folder.rglob("*") if path.is_file() and path not in self.ours]

    def found(self) -> list[str]:
        """Where a secret stands."""
        wanted = [(place, form) for place, secret in {**PLANTED, **self.more}.items() for form in forms(secret)]
        found = []
        for path in self.written():
            content = path.read_bytes()
            found += [f"{place} in {path}" for place, form in wanted if form in content]
        return found
