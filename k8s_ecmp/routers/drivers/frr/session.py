"""The SSH connection: options with netmiko's names, host keys checked, paramiko's errors translated."""

import contextlib
import logging
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from k8s_ecmp.errors import (
    AuthenticationFailed,
    DeadlineExceeded,
    EcmpError,
    HostKeyRejected,
    RouterError,
    SettingsError,
    Unreachable,
)

if TYPE_CHECKING:
    import paramiko

_LOG_CHANNEL = "k8s_ecmp.silent.paramiko"
_KEEP_BYTES = 1 << 21
_CHUNK = 1 << 20
_END_S = 1.0
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux alone has it


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """`optional_args` that concern the connection; times in seconds."""

    port: int = 22
    key_file: str | None = None
    use_keys: bool = False
    allow_agent: bool = False
    passphrase: str | None = None
    ssh_config_file: str | None = None
    ssh_strict: bool = True
    system_host_keys: bool = True
    alt_host_keys: bool = False
    alt_key_file: str | None = None
    conn_timeout: float = 10
    auth_timeout: float = 15
    banner_timeout: float = 15
    keepalive: int = 30
    workdir: str = "/run/k8s-ecmp"


def read_options(hostname: str, arguments: Mapping[str, Any]) -> Options:
    """Raises `SettingsError` for a value of the wrong type; keys of other drivers are ignored."""
    given = {key: value for key, value in arguments.items() if key in Options.__struct_fields__ and value is not None}
    try:
        options = msgspec.convert(given, Options, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"router {hostname}: optional_args: {error}") from None
    if not options.workdir.startswith("/") or any(mark in options.workdir for mark in "'\n"):
        raise SettingsError(f"router {hostname}: optional_args: workdir must be an absolute path")
    return options


@contextlib.contextmanager
def channel_errors(router: str, timeout: float) -> Iterator[None]:
    """What a channel raises, as errors of this project.

    Raises:
        DeadlineExceeded, Unreachable: instead of the library's.
    """
    import paramiko

    try:
        yield
    except TimeoutError:
        raise DeadlineExceeded(f"router {router}: no answer within {timeout:g} s") from None
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise Unreachable(f"router {router}: the SSH session was lost: {_reason(error)}") from None


class Session:
    """One SSH connection. Closed by `close`; `transport` is None while closed."""

    def __init__(self, hostname: str, username: str, password: str, options: Options) -> None:
        self._hostname = hostname
        self._username = username
        self._password = password
        self._options = options
        self._client: paramiko.SSHClient | None = None
        self._proxy: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    @property
    def opened(self) -> bool:
        """Whether `open` was called, and not `close` since; the connection may be lost all the same."""
        return self._client is not None

    @property
    def alive(self) -> bool:
        transport = self._client.get_transport() if self._client else None
        return transport is not None and transport.is_active()

    def open(self) -> None:
        """Connects and logs in.

        Raises:
            Unreachable, AuthenticationFailed, HostKeyRejected: each naming host and remedy.
        """
        import paramiko

        target = self._target()
        where = f"{target.hostname} port {target.port}"
        quiet = logging.getLogger(_LOG_CHANNEL)
        quiet.propagate = False
        quiet.setLevel(logging.CRITICAL + 1)
        client = paramiko.SSHClient()
        client.set_log_channel(_LOG_CHANNEL)
        self._client = client
        try:
            self._trust(client, target)
            client.connect(
                target.hostname,
                port=target.port,
                username=target.username,
                password=self._password or None,
                passphrase=self._options.passphrase,
                key_filename=cast("Any", list(target.key_files) or None),
                allow_agent=self._options.allow_agent,
                look_for_keys=self._options.use_keys and not target.key_files,
                sock=self._socket(target),
                timeout=self._options.conn_timeout,
                auth_timeout=self._options.auth_timeout,
                banner_timeout=self._options.banner_timeout,
                channel_timeout=self._options.conn_timeout,
            )
        except BaseException as error:
            self.close()
            if isinstance(error, EcmpError) or not isinstance(error, Exception):
                raise
            raise _translated(error, self._hostname, where, target) from None
        transport = client.get_transport()
        if transport is not None and self._options.keepalive:
            transport.set_keepalive(self._options.keepalive)

    def close(self) -> None:
        """May be called at any time."""
        client, self._client, self._connection = self._client, None, None
        proxy, self._proxy = self._proxy, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.close()
        if proxy is not None:
            proxy.terminate()
            try:
                proxy.wait(1)
            except subprocess.TimeoutExpired:
                proxy.kill()
                proxy.wait()

    def acknowledge_at_once(self) -> None:
        """For a session that stays: an answer in several packets comes 40 ms sooner. Nothing where a proxy connects.

        sshd leaves Nagle's algorithm (RFC 896) on where there is no terminal, so that its second small packet waits for
        an acknowledgement, and Linux delays that.
        """
        if self._connection is not None:
            self._connection.at_once = True

    def start(self, command: str, *, errors_apart: bool = False) -> "paramiko.Channel":
        """A channel on which `command` runs, its two outputs together unless its errors shall be apart.

        Raises:
            Unreachable: the connection is gone, or the router gives no more channels.
        """
        import paramiko

        transport = self._client.get_transport() if self._client else None
        if transport is None or not transport.is_active():
            raise Unreachable(f"router {self._hostname}: the SSH connection is closed")
        try:
            channel = transport.open_session(window_size=_KEEP_BYTES << 3, timeout=self._options.conn_timeout)
            channel.set_combine_stderr(not errors_apart)
            channel.exec_command(command)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unreachable(f"router {self._hostname}: no SSH channel: {_reason(error)}") from None
        return channel

    def output(self, command: str, timeout: float, *, errors_apart: bool = False) -> str:
        """All that `command` says, its errors too unless they shall be apart.

        Raises:
            Unreachable, DeadlineExceeded: the session is lost, or slow.
        """
        channel = self.start(command, errors_apart=errors_apart)
        parts: list[bytes] = []
        with contextlib.closing(channel), channel_errors(self._hostname, timeout):
            channel.settimeout(timeout)
            channel.shutdown_write()
            while chunk := channel.recv(_CHUNK):
                parts.append(chunk)
            # A router that allows one channel at a time has it back only when it has said how the command ended.
            channel.status_event.wait(min(timeout, _END_S))
        return b"".join(parts).decode("utf-8", "replace")

    def _target(self) -> "_Target":
        options = self._options
        given: dict[str, Any] = {}
        if options.ssh_config_file:
            import paramiko

            path = Path(options.ssh_config_file).expanduser()
            try:
                given = dict(paramiko.SSHConfig.from_path(str(path)).lookup(self._hostname))
            except (OSError, ValueError, paramiko.ConfigParseError) as error:
                raise SettingsError(f"router {self._hostname}: ssh_config_file {path}: {_reason(error)}") from None
        key_files = (
            [options.key_file] if options.key_file else given.get("identityfile", []) if options.use_keys else []
        )
        known = [options.alt_key_file] if options.alt_key_file and options.alt_host_keys else []
        known += str(given.get("userknownhostsfile", "")).split()
        return _Target(
            hostname=given.get("hostname", self._hostname),
            port=int(given["port"]) if "port" in given and options.port == 22 else options.port,
            username=self._username or given.get("user", ""),
            key_files=tuple(str(Path(file).expanduser()) for file in key_files),
            known_hosts=tuple(str(Path(file).expanduser()) for file in known if file != "none"),
            proxy_command=given.get("proxycommand"),
        )

    def _trust(self, client: "paramiko.SSHClient", target: "_Target") -> None:
        import paramiko

        if not self._options.ssh_strict:
            client.set_missing_host_key_policy(_take_any())
            return
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        if self._options.system_host_keys:
            client.load_system_host_keys()
        for file in target.known_hosts:
            try:
                client.load_host_keys(file)
            except OSError as error:
                if file == str(Path(self._options.alt_key_file or "").expanduser()):
                    raise HostKeyRejected(
                        f"router {self._hostname}: alt_key_file {file}: {error.strerror}",
                        remedy=f"write it with `ssh-keyscan -p {target.port} {target.hostname}`",
                    ) from None

    def _through(self, command: str) -> socket.socket:
        """A socket whose far end is the proxy command's input and output."""
        near, far = socket.socketpair()
        with far:
            self._proxy = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=far.fileno(),
                stdout=far.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return near

    def _socket(self, target: "_Target") -> Any:
        if target.proxy_command and target.proxy_command.lower() != "none":
            return self._through(target.proxy_command)
        address = (target.hostname, target.port)
        connection = Connection.of(socket.create_connection(address, timeout=self._options.conn_timeout))
        self._connection = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection


class Connection(socket.socket):
    """A TCP connection that acknowledges at once from when it is asked to."""

    at_once = False

    @classmethod
    def of(cls, connected: socket.socket) -> "Connection":
        timeout = connected.gettimeout()
        connection = cls(fileno=connected.detach())
        connection.settimeout(timeout)
        return connection

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        if self.at_once and _QUICKACK is not None:
            self.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)  # the kernel forgets it soon
        return data


class _Target(msgspec.Struct, frozen=True):
    """Where and as whom, after the ssh_config file had its say."""

    hostname: str
    port: int
    username: str
    key_files: tuple[str, ...]
    known_hosts: tuple[str, ...]
    proxy_command: str | None


def _take_any() -> "paramiko.MissingHostKeyPolicy":
    """The host key policy of `ssh_strict: false`."""
    import paramiko

    class TakeAny(paramiko.MissingHostKeyPolicy):
        def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
            """Any key is right."""

    return TakeAny()


def _translated(error: Exception, router: str, where: str, target: _Target) -> RouterError:
    import paramiko

    scan = (
        f"compare the router's key, then add it with `ssh-keyscan -p {target.port} {target.hostname}` to known_hosts"
        " or to the file in alt_key_file (with alt_host_keys: true); ssh_strict: false turns the check off"
    )
    if isinstance(error, paramiko.BadHostKeyException):
        return HostKeyRejected(
            f"router {router}: the SSH host key of {where} is not the known one (it is {error.key.get_name()}"
            f" SHA256:{_fingerprint(error.key)})",
            remedy=scan,
        )
    text = str(error)
    if isinstance(error, paramiko.PasswordRequiredException) or "private key file is encrypted" in text:
        return AuthenticationFailed(f"router {router}: the key is encrypted", remedy="set passphrase in optional_args")
    if text == "Invalid key" or "checkints do not match" in text or "decrypt" in text.lower():
        return AuthenticationFailed(
            f"router {router}: the passphrase does not open the key {', '.join(target.key_files)}",
            remedy="correct the passphrase",
        )
    if isinstance(error, paramiko.AuthenticationException):
        means = "key " + ", ".join(target.key_files) if target.key_files else "password"
        return AuthenticationFailed(
            f"router {router}: {where} refused the login of user {target.username!r} by {means}",
            remedy="check username, password and key_file of this router in the inventory",
        )
    if isinstance(error, FileNotFoundError | PermissionError) and error.filename:
        return AuthenticationFailed(
            f"router {router}: key file {os.fspath(error.filename)}: {error.strerror}", remedy="set key_file"
        )
    if "not found in known_hosts" in text:
        return HostKeyRejected(f"router {router}: the SSH host key of {where} is not known", remedy=scan)
    if isinstance(error, ValueError) or "not a valid" in text:
        return AuthenticationFailed(f"router {router}: the key file cannot be read: {text}", remedy="set key_file")
    if isinstance(error, paramiko.SSHException) and "No authentication methods" in text:
        return AuthenticationFailed(
            f"router {router}: neither password nor key for user {target.username!r}",
            remedy="set a password, key_file, or use_keys: true",
        )
    return Unreachable(f"router {router}: {where}: {_reason(error)}", remedy="check address, port and that sshd runs")


def _fingerprint(key: "paramiko.PKey") -> str:
    import base64
    import hashlib

    return base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
