"""Which kubeconfig counts, and what is said of a wrong one; never with a secret."""

import contextlib
import json
import logging
import os
import pty
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s_ecmp.errors import ClusterError
from k8s_ecmp.kube.access import Access
from k8s_ecmp.kube.kubeconfig import load_configuration
from k8s_ecmp.settings import ClusterSettings
from tests.world.netns import wait_for

SECRET = "hunter2hunter2"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a kubeconfig, outside of any pod."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def document(name: str = "a", /, **changes: Any) -> dict[str, Any]:
    whole = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": f"cluster-{name}", "cluster": {"server": f"https://{name}.example:6443"}}],
        "users": [{"name": f"user-{name}", "user": {"token": SECRET}}],
        "contexts": [{"name": name, "context": {"cluster": f"cluster-{name}", "user": f"user-{name}"}}],
        "current-context": name,
    }
    return {key: value for key, value in {**whole, **changes}.items() if value is not None}


def write(path: Path, content: dict[str, Any] | str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def host(**settings: Any) -> str:
    return str(load_configuration(ClusterSettings(**settings)).host)


class TestWhichCounts:
    def test_the_named_one(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBECONFIG", str(write(home / "variable", document("variable"))))
        named = write(home / "named", document("named"))
        assert host(kubeconfig=str(named)) == "https://named.example:6443"

    def test_then_the_variable(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(home / ".kube" / "config", document("home"))
        first, second = write(home / "one", document("one")), write(home / "two", document("two"))
        monkeypatch.setenv("KUBECONFIG", os.pathsep.join((str(home / "none"), str(first), str(second))))
        assert host(context="one") == "https://one.example:6443"
        assert host(context="two") == "https://two.example:6443"

    def test_then_the_one_at_home(self, home: Path) -> None:
        write(home / ".kube" / "config", document("home"))
        assert host() == "https://home.example:6443"

    def test_the_token_is_used(self, home: Path) -> None:
        write(home / ".kube" / "config", document())
        assert load_configuration(ClusterSettings()).auth_settings()["BearerToken"]["value"] == f"Bearer {SECRET}"

    def test_one_attempt(self, home: Path) -> None:
        write(home / ".kube" / "config", document())
        assert load_configuration(ClusterSettings()).retries is False

    def test_in_a_pod_without_a_token(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
        with pytest.raises(ClusterError, match="the pod's service account cannot be used: Service token file does not"):
            load_configuration(ClusterSettings())


class TestWrongOnes:
    def test_none(self, home: Path) -> None:
        with pytest.raises(ClusterError) as raised:
            load_configuration(ClusterSettings())
        assert raised.value.message == f"there is no kubeconfig {home}/.kube/config"
        assert "cluster.kubeconfig" in str(raised.value.remedy)

    def test_the_named_one_is_missing(self, home: Path) -> None:
        write(home / ".kube" / "config", document("home"))
        with pytest.raises(ClusterError, match="there is no kubeconfig /nowhere/config"):
            load_configuration(ClusterSettings(kubeconfig="/nowhere/config"))

    @pytest.mark.parametrize(
        ("content", "context", "text"),
        [
            (document(), "b", "has no context b (it has: a)"),
            (document(**{"current-context": None}), None, "has no current context (set cluster.context to one of: a)"),
            (document(**{"current-context": "gone"}), None, "has no context gone (it has: a)"),
            (document(contexts=None), None, "has no context a (it has: none)"),
            (
                document(clusters=[]),
                None,
                "context a names the cluster cluster-a, which is not there (its clusters are: none)",
            ),
            (
                document(users=[{"name": "else", "user": {"token": SECRET}}]),
                None,
                "context a names the user user-a, which is not there (its users are: else)",
            ),
            (document(users=[{"name": "user-a", "token": SECRET}]), None, "cannot be used: Invalid kube-config file"),
            (document(clusters=[{"name": "cluster-a", "token": SECRET}]), None, "cannot be used: Invalid kube-config"),
            (
                document(
                    clusters=[{"name": "cluster-a", "cluster": {"server": "https://a", "certificate-authority": "no"}}]
                ),
                None,
                "cannot be used: File does not exist: ",
            ),
            (
                document(
                    clusters=[
                        {"name": "cluster-a", "cluster": {"server": "https://a", "certificate-authority-data": "x"}}
                    ]
                ),
                None,
                "cannot be used: it does not have the form of a kubeconfig",
            ),
            (document(users="nobody"), None, "cannot be read: Invalid kube-config"),
            ("", None, "cannot be read: Invalid kube-config"),
            (f"users:\n- token: {SECRET}\n  name: [", None, "is no YAML (line "),
            ("just words", None, "cannot be read: it does not have the form of a kubeconfig"),
        ],
    )
    def test_texts(self, home: Path, content: Any, context: str | None, text: str) -> None:
        path = write(home / "config", content)
        with pytest.raises(ClusterError) as raised:
            load_configuration(ClusterSettings(kubeconfig=str(path), context=context))
        assert str(raised.value).startswith(f"kubeconfig {path}")
        assert text in str(raised.value)
        assert SECRET not in str(raised.value)
        assert "\n" not in str(raised.value)


ANSWER = '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}'
HANGS = "sleep 600 & echo $! >{0}/made; mv {0}/made {0}/pid; wait"

# Its argument is the kubeconfig; prints the token, or what is wrong.
LOADING = """
import sys
from k8s_ecmp.errors import ClusterError
from k8s_ecmp.kube import kubeconfig, plugin
from k8s_ecmp.settings import ClusterSettings
plugin.LONGEST_S = float(sys.argv[2])
try:
    loaded = kubeconfig.load_configuration(ClusterSettings(kubeconfig=sys.argv[1]))
    print(loaded.auth_settings()["BearerToken"]["value"])
except ClusterError as error:
    print(error)
"""


def with_plugin(folder: Path, script: str) -> ClusterSettings:
    program = write(folder / "plugin", f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program), "interactiveMode": "Never"}
    write(folder / "config", document(users=[{"name": "user-a", "user": {"exec": plugin}}]))
    return ClusterSettings(kubeconfig=str(folder / "config"))


def hanging(folder: Path) -> str:
    """What a plugin that hangs has started, once it has."""
    wait_for((folder / "pid").exists, "the plugin hangs")
    return (folder / "pid").read_text().strip()


def await_gone(pid: str) -> None:
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "what it started is ended", timeout=20)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a daemon, wherever the tests run."""
    monkeypatch.setattr("k8s_ecmp.kube.plugin.at_terminal", lambda: False)


@pytest.mark.usefixtures("alone")
class TestCredentialPlugin:
    def test_its_token_is_used(self, home: Path) -> None:
        configuration = load_configuration(with_plugin(home, f"echo '{ANSWER}'"))
        assert configuration.auth_settings()["BearerToken"]["value"] == "Bearer t"

    def test_one_that_hangs_is_ended_with_all_that_it_started(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("k8s_ecmp.kube.plugin.LONGEST_S", 2.0)
        config = with_plugin(home, HANGS.format(home))
        communicate = subprocess.Popen.communicate

        def once_it_hangs(self: "subprocess.Popen[str]", *arguments: Any, **named: Any) -> tuple[str, str]:
            hanging(home)  # the limit is not for a machine that is slow to start it
            return communicate(self, *arguments, **named)

        monkeypatch.setattr(subprocess.Popen, "communicate", once_it_hangs)
        with pytest.raises(ClusterError, match=r"plugin failed: exec: no answer within 2 s"):
            load_configuration(config)
        await_gone(hanging(home))

    def test_one_that_hangs_is_ended_with_whoever_waits_for_it(self, home: Path) -> None:
        config = with_plugin(home, HANGS.format(home))
        command = [sys.executable, "-c", LOADING, str(config.kubeconfig), "600"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
            try:
                pid = hanging(home)
                process.send_signal(signal.SIGINT)
                assert process.wait(20) == -signal.SIGINT
            finally:
                process.kill()
        await_gone(pid)

    def test_closing_ends_one_that_hangs(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("k8s_ecmp.kube.plugin.LONGEST_S", 600.0)
        access = Access(with_plugin(home, "exit 3"))  # so that it is asked again
        with_plugin(home, HANGS.format(home))
        with ThreadPoolExecutor() as threads:
            asked = threads.submit(access.api)
            pid = hanging(home)
            access.close()
            with pytest.raises(ClusterError, match=r"plugin failed: exec: process returned -9"):
                asked.result(20)
        await_gone(pid)

    def test_it_is_told_of_the_cluster_and_reads_no_standard_input(self, home: Path) -> None:
        program = write(
            home / "plugin", f'#!/bin/sh\nprintf %s "$KUBERNETES_EXEC_INFO" >{home}/asked\ncat >{home}/read\n'
        )
        program.chmod(0o755)
        plugin = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "./plugin",
            "interactiveMode": "Never",
            "provideClusterInfo": True,
        }
        write(home / "config", document(users=[{"name": "user-a", "user": {"exec": plugin}}]))
        with pytest.raises(ClusterError, match="failed to decode"):
            load_configuration(ClusterSettings(kubeconfig=str(home / "config")))
        asked = json.loads((home / "asked").read_text())
        assert asked["apiVersion"] == plugin["apiVersion"]
        assert asked["kind"] == "ExecCredential"
        assert asked["spec"]["interactive"] is False
        assert asked["spec"]["cluster"]["server"].startswith("https://")
        assert (home / "read").read_text() == ""

    @pytest.mark.parametrize(
        ("script", "why"),
        [
            (f"echo {SECRET} expired >&2; exit 3", "exec: process returned 3 (run `kubectl get nodes`"),
            ("echo no json", "exec: failed to decode process output"),
            ("echo '{}'", "exec: malformed response"),
        ],
    )
    def test_its_failure_ends_it(
        self,
        home: Path,
        script: str,
        why: str,
        capfd: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The client would go on as nobody and print to stderr."""
        before = list(logging.getLogger().handlers)
        with pytest.raises(ClusterError) as raised:
            load_configuration(with_plugin(home, script))
        assert f"the credential plugin {home}/plugin failed: {why}" in str(raised.value)
        assert SECRET not in str(raised.value)
        assert capfd.readouterr().err == ""
        assert caplog.text == ""
        assert logging.getLogger().handlers == before
        assert logging.getLogger().filters == []


class TestCredentialPluginAtATerminal:
    """Whatever becomes of standard output: `plan > today.md`, `plan | less`."""

    def load(self, config: ClusterSettings, longest_s: float, typed: bytes) -> tuple[str, str]:
        """Standard output, and what was to be seen on the terminal; what is typed is typed once it asks."""
        master, slave = pty.openpty()
        command = ["setsid", "--ctty", sys.executable, "-c", LOADING, str(config.kubeconfig), str(longest_s)]
        with subprocess.Popen(command, stdin=slave, stdout=subprocess.PIPE, stderr=slave, text=True) as process:
            try:
                os.close(slave)
                shown = b""
                while b"code: " not in shown:
                    shown += os.read(master, 65536)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(longest_s * 2)
                os.write(master, typed)
                out, _ = process.communicate(timeout=20)
                with contextlib.suppress(OSError):
                    shown += os.read(master, 65536)
            finally:
                process.kill()
                os.close(master)
        return out, shown.decode()

    def test_it_may_ask_there_for_as_long_as_it_takes(self, home: Path) -> None:
        script = f'''printf "code: " >/dev/tty; read code </dev/tty; echo {SECRET} >&2
printf %s "$KUBERNETES_EXEC_INFO" >{home}/asked
echo '{ANSWER.replace('"t"', '"t-CODE"')}' | sed "s/CODE/$code/"'''
        out, shown = self.load(with_plugin(home, script), 0.5, b"123456\n")
        assert out == "Bearer t-123456\n"
        assert SECRET not in shown
        assert json.loads((home / "asked").read_text())["spec"]["interactive"] is False, "standard output is a pipe"

    def test_it_reads_what_is_typed_on_standard_input(self, home: Path) -> None:
        script = f'''printf "code: " >/dev/tty; read code; echo '{ANSWER.replace('"t"', '"t-CODE"')}' | sed "s/CODE/$code/"'''
        out, _ = self.load(with_plugin(home, script), 0.5, b"654321\n")
        assert out == "Bearer t-654321\n"
