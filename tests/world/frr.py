"""A real FRR router for tests: zebra, staticd and sshd in network, mount, pid and UTS namespaces of their own.

Two logins exist. `netops` is what the documentation asks for: member of `frrvty`, owner of /run/k8s-ecmp, and on its
PATH nothing but the commands in `LOGIN_COMMANDS`. `root` may everything. The test process reaches the router's sshd
through the namespace with a ProxyCommand; processes that run inside a `ManagementNetwork` reach it by address.
"""

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.world import frr_release, netns
from tests.world.netns import Namespace, run, veth, wait_for

LOGIN_COMMANDS = ("vtysh", "sh", "cat", "mv", "mkdir", "sleep", "ip")
PASSWORD = "Tr0ub4dor&3"  # of netops
_DAEMON_DIR = Path("/usr/lib/frr")
_FOREVER = "86400"

_INIT = """set -e
R='{root}'
mount --make-rprivate /
[ -z "$R" ] || mount --bind "$R" "$R"
chown -R frr:frr {d}/etc; chmod 755 {d}/etc; chmod 644 {d}/etc/vtysh.conf
mount --bind {d}/etc "$R/etc/frr"
for f in passwd group shadow; do
  [ -e "$R/etc/$f" ] || : >"$R/etc/$f"
  mount --bind "{d}/accounts/$f" "$R/etc/$f"
done
mount -t tmpfs -o mode=755 tmpfs "$R/run"
mount -t tmpfs tmpfs "$R/var/tmp"
if [ -d "$R/var/lib/frr" ]; then
  mount -t tmpfs tmpfs "$R/var/lib/frr"
  chown frr:frr "$R/var/lib/frr"
fi
hostname {name}
mkdir -p "$R/run/frr" "$R/run/sshd" "$R/run/world" "$R/run/k8s-ecmp"
chown frr:frr "$R/run/frr"
mount --bind {d} "$R/run/world"
mount -t proc proc "$R/proc"
mount --bind {d}/home "$R/root"
if [ -n "$R" ]; then
  mount --rbind /dev "$R/dev"
  cd "$R"
  pivot_root . .
  umount -l .
fi
exec sh /run/world/boot.sh
"""

_BOOT = """set -e
cd /
chown netops /run/k8s-ecmp; chmod 700 /run/k8s-ecmp
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.fib_multipath_hash_policy=1 \
  net.ipv6.fib_multipath_hash_policy=1
sh /run/world/frr.sh
/usr/sbin/sshd -f /run/world/sshd_config
echo ready
exec >/dev/null
while :; do sleep {forever} & wait; done  # reaps, as an init does
"""

_FRR = """set -e
[ ! -x {daemon_dir}/mgmtd ] || {daemon_dir}/mgmtd -d -A 127.0.0.1
{daemons}
vtysh -b
"""

_SSHD = """Port 22
HostKey /run/world/host_key
PidFile /run/sshd.pid
AuthorizedKeysFile /run/world/authorized_keys
UsePAM no
StrictModes no
UseDNS no
KbdInteractiveAuthentication no
PasswordAuthentication yes
PermitRootLogin prohibit-password
MaxStartups 200
{extra}
Match User netops
  SetEnv PATH=/run/world/bin
"""


def missing() -> str | None:
    """Why no router can be started here; None when one can."""
    for daemon in ("zebra", "staticd"):
        if not (_DAEMON_DIR / daemon).exists():
            return "FRR is not installed"
    if not Path("/usr/sbin/sshd").exists() or shutil.which("ssh-keygen") is None:
        return "openssh-server is not installed"
    return netns.missing()


@dataclass(frozen=True)
class Link:
    """A cable from the router: its interface and addresses, and the far end (None: a namespace of the router's own)."""

    interface: str
    addresses: Sequence[str]
    peer: Namespace | None = None
    peer_interface: str = ""
    peer_addresses: Sequence[str] = ()


class ManagementNetwork:
    """A namespace with a bridge, 10.255.0.0/16; routers get an address on it, and tools run inside it."""

    def __init__(self) -> None:
        self.namespace = Namespace("mgmt")
        self.namespace.bridge("mgmt0", ["10.255.0.1/16"])
        self._routers = 0

    def attach(self, router: Namespace) -> str:
        """Cables `router`'s interface "mgmt" to the bridge; its address."""
        self._routers += 1
        high, low = divmod(self._routers + 1, 250)
        address = f"10.255.{high}.{low + 1}"
        port = f"r{self._routers}"
        veth(self.namespace, port, router, "mgmt", (), [f"{address}/16"])
        self.namespace.ip("link set", port, "master mgmt0")
        return address

    def argv(self, *command: str) -> list[str]:
        return self.namespace.argv(*command)

    def close(self) -> None:
        self.namespace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class FrrRouter:
    """One router. `with FrrRouter("r1", tmp_path, links=[...]) as r:` starts it and takes everything down after.

    `config` are lines for its frr.conf; `daemons` are started beside zebra and staticd ("bgpd"). `sshd_extra` are lines
    for sshd_config. A router on a `management` network has an `address` there. `zebra` are further options of zebra:
    without `--v6-rr-semantics` it replaces an IPv6 route by a delete and an add, and packets find no route in between.
    Of a `release` (see tests.world.frr_release) it has FRR, sshd, shell and all other programs; "" are this machine's.
    """

    name: str
    directory: Path
    links: Sequence[Link] = ()
    config: str = ""
    daemons: Sequence[str] = ()
    management: ManagementNetwork | None = None
    sshd_extra: str = ""
    zebra: str = "--v6-rr-semantics"
    release: str = ""
    netns: Namespace = field(init=False)
    address: str = field(init=False, default="127.0.0.1")
    pid: int = field(init=False, default=0)
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)
    _owned: list[Namespace] = field(init=False, default_factory=list)

    def start(self) -> Self:
        """Returns when FRR has its configuration and sshd listens."""
        try:
            self._cable()
            self._write_files()
            self._boot()
            wait_for(self._sshd_listens, f"sshd of {self.name} listens")
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ends the router and deletes its namespaces. May be called twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()
            self._process = None
        while self._owned:
            self._owned.pop().close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- what a test asks ---

    def run(self, *command: str, input: str | None = None, check: bool = True, timeout: float = 120) -> str:
        """A command inside all of the router's namespaces, as root."""
        return run(*self.argv(*command), input=input, check=check, timeout=timeout)

    def argv(self, *command: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-p", "-n", *command]

    def vtysh(self, *commands: str) -> str:
        """Output of vtysh commands; `vtysh("configure terminal", "ip route ...")` configures."""
        return self.run("vtysh", *(word for command in commands for word in ("-c", command)))

    def configure(self, text: str) -> None:
        """Configuration lines, line by line."""
        self.vtysh("configure terminal", *text.splitlines())

    @property
    def version(self) -> str:
        """As zebra says it, such as "8.4.4"."""
        return self.run(f"{_DAEMON_DIR}/zebra", "--version").split()[2]

    def running_config(self) -> str:
        return self.vtysh("show running-config")

    def ip(self, *arguments: str) -> str:
        """`ip` in the router's network namespace: `r.ip("route show proto static")`."""
        return self.netns.ip(*arguments)

    def fib(self, prefix: str) -> frozenset[str]:
        """Next-hop addresses of a prefix in the kernel; empty when the route is not there."""
        family = "-6" if ":" in prefix else "-4"
        words = self.netns.ip(family, "route show exact", prefix).split()
        return frozenset(words[i + 1] for i, word in enumerate(words) if word == "via")

    def processes(self, comm: str) -> list[int]:
        """Host pids of the router's processes of that name."""
        own = Path(f"/proc/{self.pid}/ns/pid").readlink()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if (entry / "ns/pid").readlink() == own and (entry / "comm").read_text().strip() == comm:
                        found.append(int(entry.name))
        return found

    def settled(self) -> bool:
        """Whether every session of ours has ended, by which all that was sent is done, and no transaction is open."""
        if self.processes("vtysh"):
            return False
        return not self.run("sh", "-c", "ls /run/k8s-ecmp | grep -e pending -e reverting -e applying -e undoing || :")

    def unconfirmed(self) -> list[str]:
        """Files of commits that are being applied, or wait for their confirm; no process is started for this."""
        folder = Path(f"/proc/{self.pid}/root/run/k8s-ecmp")
        return sorted(file.name for file in folder.iterdir() if file.name.startswith(("tx.applying.", "pending.")))

    def await_commit(self) -> None:
        """Returns as soon as a commit is under way."""
        wait_for(self.unconfirmed, f"a commit is under way on {self.name}", interval=0.001)

    def locked(self) -> bool:
        """Whether a session that took our lock is alive: a lost one keeps it until the router has noticed."""
        newest = 'n=0; for f in lock.[0-9]*; do i=${f#lock.}; [ "$i" -gt "$n" ] && n=$i; done'
        alive = f'cd /run/k8s-ecmp && {newest}; read -r pid rest <"lock.$n" && kill -0 "$pid" && echo alive'
        return bool(self.run("sh", "-c", alive, check=False))

    def await_unlocked(self) -> None:
        """Returns when no session has our lock any more."""
        wait_for(lambda: not self.locked(), f"nobody has the lock of {self.name}")

    def timers(self) -> list[int]:
        """Host pids of what commits that wait for their confirm sleep in."""
        return [pid for pid in self.processes("sleep") if _seconds(pid) != _FOREVER]

    def end_timers(self) -> bool:
        """The time of commits that wait for their confirm is over; whether there were any."""
        pids = self.timers()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(pids)

    def end_timer(self) -> None:
        """The same, of one that there is, or will be at once."""
        wait_for(self.end_timers, "a timer runs")

    def restart_frr(self, *, rebooted: bool = False) -> None:
        """Kills FRR's daemons and starts them with the startup configuration.

        Args:
            rebooted: the kernel has forgotten their routes meanwhile.
        """
        daemons = ("mgmtd", "zebra", "staticd", *self.daemons)
        for daemon in daemons:
            for pid in self.processes(daemon):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not any(map(self.processes, daemons)), "FRR is gone")
        if rebooted:
            self.ip("nexthop flush")  # and with its next hops every route of zebra's
            wait_for(lambda: not self.ip("route show proto bgp"), "the kernel has forgotten the routes")
        self.run("sh", "-c", "sh /run/world/frr.sh >/dev/null 2>&1")

    @contextlib.contextmanager
    def stopped(self, comm: str) -> Iterator[None]:
        """The router's processes of that name do nothing meanwhile."""
        pids = self.processes(comm)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def kill_sshd(self) -> None:
        """Ends the listener and every session, as a crash would."""
        for pid in self.processes("sshd"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not self.processes("sshd"), "sshd is gone")

    def start_sshd(self) -> None:
        """Starts it; it goes into the background before it listens."""
        self.run("/usr/sbin/sshd", "-f", "/run/world/sshd_config")
        wait_for(self._sshd_listens, f"sshd of {self.name} listens")

    def _sshd_listens(self) -> bool:
        with (
            self.netns.entered(),
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", 22), timeout=5) as connection,
        ):
            return connection.recv(4) == b"SSH-"
        return False

    # --- how to log in ---

    @property
    def key_file(self) -> Path:
        """A private key that both logins accept."""
        return self.directory / self.name / "client_key"

    @property
    def known_hosts(self) -> Path:
        """The router's host key under its name, its address and 127.0.0.1."""
        return self.directory / self.name / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        """An OpenSSH client configuration by which this process reaches the router under its name."""
        return self.directory / self.name / "ssh_config"

    @property
    def ssh_options(self) -> dict[str, Any]:
        """`optional_args` of the driver for use from the test process."""
        return {
            "key_file": str(self.key_file),
            "use_keys": True,
            "allow_agent": False,
            "ssh_config_file": str(self.ssh_config),
            "alt_host_keys": True,
            "alt_key_file": str(self.known_hosts),
        }

    def login(self, username: str = "netops", **options: Any) -> dict[str, Any]:
        """Arguments of the driver's constructor; `options` override `ssh_options`."""
        return {
            "hostname": self.name,
            "username": username,
            "password": "",
            "timeout": 60,
            "optional_args": {**self.ssh_options, **options},
        }

    def host(self, *, optional_args: Mapping[str, Any] | None = None, **others: Any) -> dict[str, Any]:
        """The inventory's entry; `optional_args` override `ssh_options`."""
        options = {**self.ssh_options, **(optional_args or {})}
        return {
            "hostname": self.name,
            "username": "netops",
            "password": "",
            "platform": "frr",
            "connection_options": {"napalm": {"extras": {"timeout": 30, "optional_args": options}}},
            **others,
        }

    # --- how it is built ---

    def _cable(self) -> None:
        self.netns = Namespace(self.name)
        self._owned.append(self.netns)
        if self.management is not None:
            self.address = self.management.attach(self.netns)
        for number, link in enumerate(self.links):
            peer = link.peer
            if peer is None:
                peer = Namespace(f"{self.name}-far{number}")
                self._owned.append(peer)
            veth(
                self.netns,
                link.interface,
                peer,
                link.peer_interface or link.interface,
                link.addresses,
                link.peer_addresses,
            )

    def _write_files(self) -> None:
        root = self.directory / self.name
        for folder in ("etc", "home", "home-netops", "bin", "accounts"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        root.chmod(0o755)
        (root / "home").chmod(0o755)
        (root / "etc/frr.conf").write_text(
            f"frr defaults traditional\nhostname {self.name}\n"
            f"service integrated-vtysh-config\n!\n{self.config.strip()}\n!\n"
        )
        (root / "etc/vtysh.conf").write_text("service integrated-vtysh-config\n")
        self._write_accounts(root)
        for command in LOGIN_COMMANDS:
            target = shutil.which(command)
            link = root / "bin" / command
            if target and not link.exists():
                link.symlink_to(target)
        for key in ("host_key", "client_key"):
            if not (root / key).exists():
                run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", str(root / key))
        (root / "authorized_keys").write_text((root / "client_key.pub").read_text())
        (root / "authorized_keys").chmod(0o644)
        public = " ".join((root / "host_key.pub").read_text().split()[:2])
        names = dict.fromkeys((self.name, "127.0.0.1", self.address))
        (root / "known_hosts").write_text("".join(f"{host} {public}\n" for host in names))
        (root / "sshd_config").write_text(_SSHD.format(extra=self.sshd_extra))
        (root / "ssh_config").write_text(
            f"Host {self.name}\n  HostName 127.0.0.1\n"
            f"  ProxyCommand nsenter --net={self.netns.path} socat - TCP:%h:%p,nodelay\n"
        )

    def _write_accounts(self, root: Path) -> None:
        group = next(line for line in Path("/etc/group").read_text().splitlines() if line.startswith("frrvty:"))
        gid = group.split(":")[2]
        folder = root / "accounts"
        for file, line in (
            ("passwd", f"netops:x:3900:{gid}::/run/world/home-netops:/bin/sh\n"),
            ("group", ""),
            ("shadow", f"netops:{_password_hash()}:20000:0:99999:7:::\n"),
        ):
            (folder / file).write_text(Path("/etc", file).read_text() + line)

    def _boot(self) -> None:
        root = self.directory / self.name
        daemons = [f"zebra -d -A 127.0.0.1 -s 90000000 {self.zebra}", "staticd -d -A 127.0.0.1"]
        daemons += [f"{daemon} -d -A 127.0.0.1" for daemon in self.daemons]
        started = "\n".join(f"{_DAEMON_DIR}/{daemon}" for daemon in daemons)
        system = frr_release.root(self.release) if self.release else ""
        (root / "init.sh").write_text(_INIT.format(d=root, name=self.name, root=system))
        (root / "frr.sh").write_text(_FRR.format(daemon_dir=_DAEMON_DIR, daemons=started))
        (root / "boot.sh").write_text(_BOOT.format(forever=_FOREVER))
        log = root / "init.log"
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                self.netns.argv("unshare", "-m", "-u", "-p", "-f", "--kill-child=KILL", "sh", str(root / "init.sh")),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._await_ready(log)
        unshare = self._process.pid
        self.pid = int(Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()[0])

    def _await_ready(self, log: Path, timeout: float = 120) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        output = b""
        while b"ready\n" not in output:
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self._process.stdout], [], [], max(left, 0))
            chunk = os.read(self._process.stdout.fileno(), 4096) if readable else b""
            if not chunk:
                raise RuntimeError(f"router {self.name} did not start: {output.decode()}{log.read_text()}")
            output += chunk


def _seconds(pid: int) -> str:
    """How long a `sleep` sleeps."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[1]
    except (OSError, IndexError):  # it ended meanwhile
        return _FOREVER


_HASHES: dict[str, str] = {}


def _password_hash() -> str:
    if PASSWORD not in _HASHES:
        _HASHES[PASSWORD] = run("openssl", "passwd", "-6", "-salt", "k8secmp", "-stdin", input=PASSWORD).strip()
    return _HASHES[PASSWORD]
