"""etcd and kube-apiserver on free loopback ports, and the few requests that tests make to them."""

import contextlib
import http.client
import json
import select
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.world.kube import build
from tests.world.netns import Namespace, wait_for

SERVICE_CIDRS = ("10.43.0.0/16", "fd43::/108")
ADMIN, READER, STRANGER = "admin", "reader", "stranger"
_TOKENS = {ADMIN: "token-of-admin", READER: "token-of-reader", STRANGER: "token-of-stranger"}
_ATTEMPTS = 3  # a port that was free may be taken before its server listens

# API paths of what the tests create, by kind; "{}" is the namespace.
COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "Node": "/api/v1/nodes",
    "Service": "/api/v1/namespaces/{}/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Pod": "/api/v1/namespaces/{}/pods",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
    "ServiceCIDR": "/apis/networking.k8s.io/v1/servicecidrs",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


class Failed(Exception):
    """The API server answered with an error."""


class KubeApi:
    """A control plane of two processes. Use as a context manager.

    Args:
        folder: for data, certificates and logs.
        flags: further ones of kube-apiserver; of one that is given twice the last counts.
        namespace: where both processes run; None: the host's.
        address: where the API server listens there.
        service_cidrs: one of each family.
        tokens: further ones of an administrator.
    """

    def __init__(
        self,
        folder: Path,
        flags: Sequence[str] = (),
        *,
        namespace: Namespace | None = None,
        address: str = "127.0.0.1",
        service_cidrs: Sequence[str] = SERVICE_CIDRS,
        tokens: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self._namespace = namespace
        self._address = address
        self._service_cidrs = tuple(service_cidrs)
        self._flags = tuple(flags)
        self._tokens = tuple(tokens)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, list[str]] = {}
        self._connection: http.client.HTTPSConnection | None = None
        self.port = self.etcd_port = 0

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def server(self) -> str:
        return f"https://{self._address}:{self.port}"

    @property
    def ca(self) -> Path:
        """The API server's self-signed certificate, which is its own authority."""
        return self.folder / "certificates" / "apiserver.crt"

    # --- processes

    def start(self) -> None:
        """Starts both and returns when the API server is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_credentials()
        for attempt in range(1, _ATTEMPTS + 1):
            self._start_processes()
            try:
                wait_for(self._ready, f"kube-apiserver is ready; its log: {self.folder}/kube-apiserver.log", timeout=60)
            except (TimeoutError, Failed):
                self.stop()
                if attempt == _ATTEMPTS:
                    raise
            else:
                return

    def stop(self) -> None:
        """Ends both, the API server first. May be called twice."""
        if self._connection:
            self._connection.close()
            self._connection = None
        while self._processes:
            _, process = self._processes.popitem()
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """The API server takes connections and answers nothing."""
        process = self._processes["kube-apiserver"]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def etcd_frozen(self) -> Iterator[None]:
        """The API server goes on with what it knows; whatever needs etcd waits."""
        process = self._processes["etcd"]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def kill(self, name: str) -> None:
        """Ends "etcd" or "kube-apiserver" without any notice, and leaves its port and its files."""
        process = self._processes[name]
        process.kill()
        process.wait()

    def start_again(self, name: str) -> None:
        """Starts what was killed, with the same flags, and returns when the API server is ready."""
        self._run(name)
        wait_for(self._ready, f"kube-apiserver is ready again; its log: {self.folder}/kube-apiserver.log", timeout=60)

    def _start_processes(self) -> None:
        self.port, self.etcd_port, peer_port = _free_ports(3)
        etcd = f"http://127.0.0.1:{self.etcd_port}"
        peer = f"http://127.0.0.1:{peer_port}"
        self._spawn(
            "etcd",
            f"--data-dir={self.folder / f'etcd-{self.etcd_port}'}",
            "--name=e0",
            "--unsafe-no-fsync",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=e0={peer}",
        )
        key = self.folder / "service-account.key"
        self._spawn(
            "kube-apiserver",
            f"--bind-address={self._address}",
            f"--advertise-address={self._address}",
            f"--secure-port={self.port}",
            f"--etcd-servers={etcd}",
            f"--cert-dir={self.folder / 'certificates'}",
            f"--service-cluster-ip-range={','.join(self._service_cidrs)}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
            "--endpoint-reconciler-type=none",
            "--allow-privileged=true",
            *self._flags,
        )

    def _spawn(self, name: str, *flags: str) -> None:
        # It ends with the tests even when they are killed.
        self._commands[name] = ["setpriv", "--pdeathsig", "TERM", *self._argv(name, *flags)]
        self._run(name)

    def _argv(self, program: str, *arguments: str) -> list[str]:
        """A program of the control plane, as a command that runs where the servers do."""
        command = [str(build.binary(program)), *arguments]
        return self._namespace.argv(*command) if self._namespace else command

    def _run(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self._commands[name], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _ready(self) -> bool:
        ended = [self._commands[name] for name, process in self._processes.items() if process.poll() is not None]
        if ended:
            raise Failed(f"ended early; see the logs in {self.folder}: {ended}")
        try:
            # The second waits for the namespaces that the server makes by itself.
            return self.get("/readyz", text=True) == "ok" and bool(self.get("/api/v1/namespaces/kube-system"))
        except (OSError, Failed, http.client.HTTPException):
            return False

    def _write_credentials(self) -> None:
        groups = {ADMIN: "system:masters"}
        users = [*_TOKENS.items(), *((ADMIN, token) for token in self._tokens)]
        rows = [f"{token},{user},{user},{groups.get(user, 'tests')}\n" for user, token in users]
        (self.folder / "tokens.csv").write_text("".join(rows))
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        encoded = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        (self.folder / "service-account.key").write_bytes(encoded)

    def _inside(self) -> contextlib.AbstractContextManager[None]:
        """Sockets that are opened in it reach the servers."""
        return self._namespace.entered() if self._namespace else contextlib.nullcontext()

    # --- requests

    def request(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json", text: bool = False
    ) -> Any:
        """As admin; the answer decoded.

        Raises:
            Failed: any status but 2xx.
        """
        if self._connection is None or _was_closed(self._connection):
            context = ssl.create_default_context(cafile=str(self.ca))
            self._connection = http.client.HTTPSConnection(self._address, self.port, context=context, timeout=30)
        headers = {"Authorization": f"Bearer {_TOKENS[ADMIN]}", "Content-Type": content_type}
        try:
            if self._connection.sock is None:
                with self._inside():
                    self._connection.connect()
            self._connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self._connection = None
            raise
        if not 200 <= answer.status < 300:
            raise Failed(f"{method} {path}: {answer.status} {content.decode(errors='replace')}")
        return content.decode() if text else json.loads(content)

    def get(self, path: str, *, text: bool = False) -> Any:
        return self.request("GET", path, text=text)

    def create(self, document: dict[str, Any]) -> dict[str, Any]:
        """Creates an object, and its status where it has one; the object as the server has it then."""
        collection = COLLECTIONS[document["kind"]].format(document["metadata"].get("namespace", "default"))
        made: dict[str, Any] = self.request("POST", collection, document)
        if document.get("status"):
            path = f"{collection}/{made['metadata']['name']}/status"
            made = self.patch(path, {"status": document["status"]})
        return made

    def patch(self, path: str, body: Any) -> Any:
        """A merge patch."""
        return self.request("PATCH", path, body, content_type="application/merge-patch+json")

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        self.request("DELETE", f"{COLLECTIONS[kind].format(namespace)}/{name}")

    def clear(self) -> None:
        """Deletes what tests have created, in all namespaces that the server makes by itself."""
        self.request("DELETE", COLLECTIONS["Node"])
        for namespace in ("default", "kube-system"):
            for kind in ("EndpointSlice", "ConfigMap", "Pod", "DaemonSet"):
                self.request("DELETE", f"{COLLECTIONS[kind].format(namespace)}?gracePeriodSeconds=0")
            for service in self.get(COLLECTIONS["Service"].format(namespace))["items"]:
                if service["metadata"]["name"] != "kubernetes":
                    self.delete("Service", service["metadata"]["name"], namespace)
        for kind in ("ServiceCIDR", "ClusterRole", "ClusterRoleBinding"):
            for item in self.get(COLLECTIONS[kind])["items"]:
                name = item["metadata"]["name"]
                if name.startswith("test-"):
                    self.delete(kind, name)
                    if item["metadata"].get("finalizers"):
                        self.patch(f"{COLLECTIONS[kind]}/{name}", {"metadata": {"finalizers": None}})

    def allow(self, user: str, *rules: tuple[str, str, str]) -> None:
        """Grants verbs on resources: ("", "nodes", "get,list")."""
        name = f"test-{user}"
        self.create(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": name},
                "rules": [
                    {"apiGroups": [group], "resources": [resource], "verbs": verbs.split(",")}
                    for group, resource, verbs in rules
                ],
            }
        )
        self.create(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
            }
        )

    def compact(self) -> None:
        """etcd forgets every revision but the present one: lists that have begun expire."""
        connection = http.client.HTTPConnection("127.0.0.1", self.etcd_port, timeout=10)
        with contextlib.closing(connection):
            with self._inside():
                connection.connect()
            revision = 0
            for path in ("range", "compaction"):
                body = {"key": "AA=="} if path == "range" else {"revision": revision, "physical": True}
                connection.request("POST", f"/v3/kv/{path}", json.dumps(body))
                revision = json.loads(connection.getresponse().read())["header"]["revision"]

    # --- clients

    def kubeconfig(self, path: Path, user: str = ADMIN, **changes: Any) -> Path:
        """Writes a kubeconfig for one of the users.

        Args:
            path: the file.
            user: ADMIN, READER or STRANGER.
            changes: other values for `server`, `token`, `certificate_authority`, or `credentials` (the user's whole entry).
        """
        cluster = {
            "server": changes.get("server", self.server),
            "certificate-authority": str(changes.get("certificate_authority", self.ca)),
        }
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "world", "cluster": cluster}],
            "users": [
                {"name": user, "user": changes.get("credentials", {"token": changes.get("token", _TOKENS[user])})}
            ],
            "contexts": [{"name": "world", "context": {"cluster": "world", "user": user}}],
            "current-context": "world",
        }
        path.write_text(yaml.safe_dump(document))
        return path

    def kubectl(self, *arguments: str) -> str:
        """What kubectl prints as admin."""
        config = self.kubeconfig(self.folder / "kubectl.conf")
        flags = (f"--kubeconfig={config}", f"--cache-dir={self.folder / 'cache'}")
        command = self._argv("kubectl", *flags, *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def missing() -> str | None:
    """Why no API server can run here; None when one can."""
    absent = build.missing()
    return f"{', '.join(absent)} not built: run `{build.COMMAND}` once" if absent else None


def _was_closed(connection: http.client.HTTPSConnection) -> bool:
    """Whether the server ended it, as it does with a connection that was idle for long."""
    if connection.sock is None:
        return True
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for made in sockets:
            made.bind(("127.0.0.1", 0))
        return [made.getsockname()[1] for made in sockets]
