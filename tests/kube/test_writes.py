"""Short requests to a real API server, which is busy now and then."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.errors import ClusterUnreachable
from k8s_ecmp.kube.api import Busy
from k8s_ecmp.kube.writes import JSON, MERGE_PATCH, Method, Writer
from k8s_ecmp.settings import ClusterSettings
from tests.kube.relay import PutOff, Relay
from tests.world.kube.server import ADMIN, READER, KubeApi
from tests.world.netns import wait_for

pytestmark = pytest.mark.kubeworld

MAPS = "/api/v1/namespaces/default/configmaps"
REQUESTS: list[tuple[Method, str, Any, str]] = [
    ("POST", MAPS, {"metadata": {"name": "mine"}}, JSON),
    ("PATCH", f"{MAPS}/mine", {"data": {"a": "b"}}, MERGE_PATCH),
    ("GET", f"{MAPS}/mine", None, JSON),
]


@pytest.fixture
def relay(kube_api: KubeApi, tmp_path: Path) -> Iterator[Relay]:
    made = Relay(kube_api, tmp_path)
    yield made
    made.close()


def writer(relay: Relay, **options: Any) -> Writer:
    return Writer(ClusterSettings(kubeconfig=str(relay.config)), **options)


@pytest.mark.parametrize(
    ("status", "retry_after", "pause_s"), [(429, "7", 7), (503, "7", 7), (429, None, None), (503, "soon", None)]
)
def test_whoever_writes_is_told_when_to_come_again(
    relay: Relay, status: int, retry_after: str | None, pause_s: float | None
) -> None:
    hasty = writer(relay)
    for method, path, body, kind in REQUESTS:
        relay.put_off = PutOff(method, status, retry_after)
        with pytest.raises(ClusterUnreachable, match=f"answered {status} to") as raised:
            hasty.send(method, path, body, content_type=kind)
        assert (raised.value.pause_s if isinstance(raised.value, Busy) else None) == pause_s
        assert relay.arrived(method) == 1, "a request is made once"
        hasty.send(method, path, body, content_type=kind)


def test_with_patience_it_comes_again_and_not_before(relay: Relay) -> None:
    patient = writer(relay, patience_s=60)
    relay.put_off = PutOff("POST", retry_after="1")
    patient.create(MAPS, {"metadata": {"name": "mine"}})
    assert (relay.stayed_away_s("POST") or 0) >= 1
    relay.put_off = PutOff("GET", retry_after="3600")
    with pytest.raises(Busy):
        patient.get(f"{MAPS}/mine")


# --- credentials that end


EARLY_S = 300
"""The kubernetes client renews a token so long before it expires."""


class Plugin:
    """A credential plugin whose answer is a file; it fails where there is none."""

    def __init__(self, kube: KubeApi, folder: Path) -> None:
        self._answer, self._runs, self._program = folder / "answer", folder / "runs", folder / "plugin"
        self._program.write_text(f"#!/bin/sh\necho run >>{self._runs}\ncat {self._answer}\n")
        self._program.chmod(0o755)
        plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(self._program)}
        credentials = {"exec": {**plugin, "interactiveMode": "Never"}}
        self.writer = Writer(ClusterSettings(kubeconfig=str(kube.kubeconfig(folder / "conf", credentials=credentials))))

    def gives(self, user: str, due_s: float) -> None:
        """A token of the user that is to be renewed so soon."""
        expires = datetime.now(UTC) + timedelta(seconds=EARLY_S + due_s)
        status = {"token": f"token-of-{user}", "expirationTimestamp": f"{expires:%Y-%m-%dT%H:%M:%S.%fZ}"}
        document = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
        whole = self._answer.with_suffix(".new")
        whole.write_text(json.dumps(document))
        whole.replace(self._answer)

    def fails(self) -> None:
        self._answer.unlink()

    @property
    def runs(self) -> int:
        return len(self._runs.read_text().splitlines())

    def user(self) -> str:
        """Who a request comes from, as the API server says."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = json.loads(self.writer.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", review))
        return str(answer["status"]["userInfo"]["username"])


def test_a_token_is_kept_as_long_as_it_lasts_and_renewed_when_it_expires(
    kube_api: KubeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The server would take the former one for ever: it is the plugin's word that counts."""
    plugin = Plugin(kube_api, tmp_path)
    due_s, began = 1.5, time.monotonic()
    plugin.gives(READER, due_s)
    assert plugin.user() == READER
    plugin.fails()
    wait_for(lambda: plugin.user() == READER and plugin.runs > 1, "the plugin is asked again, in vain")
    assert time.monotonic() - began >= due_s
    plugin.gives(ADMIN, 3600)
    assert plugin.user() == ADMIN
    runs = plugin.runs
    assert [plugin.user() for _ in range(3)] == [ADMIN] * 3
    assert plugin.runs == runs
    plugin.writer.close()
    assert (caplog.text, capfd.readouterr().err) == ("", "")
