"""What the bridge keeps of those who follow the cluster, and of what it withdrew, through restarts."""

import json
import time
from pathlib import Path

import pytest

from k8s_ecmp.bgp.announced import Announced
from k8s_ecmp.bgp.peer import Peer
from k8s_ecmp.bgp.peers import PeerConfig, Session
from k8s_ecmp.bgp.signs import Signs

HOUR_S = 3600.0


def signs(file: Announced) -> Signs:
    made = Signs(file)
    made.watch("edge")
    return made


def test_a_promise_that_was_broken_while_the_bridge_was_away_is_known_at_once(tmp_path: Path) -> None:
    file = Announced(tmp_path / "a.sqlite")
    file.hold("edge", 900, time.time() - HOUR_S)
    assert signs(file).broken("edge")
    file.hold("edge", 900, time.time() - 60)
    assert not signs(file).broken("edge")
    file.hold("edge", 900, time.time() + HOUR_S)  # the clock was set back
    assert not signs(file).broken("edge")


def test_the_last_sign_is_on_disk_and_not_every_one(tmp_path: Path) -> None:
    file = Announced(tmp_path / "a.sqlite")
    found = signs(file)
    found.promise("edge", HOUR_S)
    first = file.held("edge")
    found.promise("edge", HOUR_S)
    assert file.held("edge") == first
    file.hold("edge", HOUR_S, time.time() - HOUR_S / 2)
    again = signs(file)
    again.promise("edge", HOUR_S)
    renewed = file.held("edge")
    assert first is not None
    assert renewed is not None
    assert renewed[1] >= first[1]
    again.promise("edge", None)
    assert file.held("edge") is None
    assert not again.broken("edge")


def test_current_is_who_said_so_of_late(tmp_path: Path) -> None:
    found = signs(Announced(tmp_path / "a.sqlite"))
    assert not found.current("edge", HOUR_S)
    found.say_current("edge", current=True)
    assert found.current("edge", HOUR_S)
    assert not found.current("edge", 0)
    found.say_current("edge", current=False)
    assert not found.current("edge", HOUR_S)


def test_what_is_of_no_peer_is_forgotten(tmp_path: Path) -> None:
    file = Announced(tmp_path / "a.sqlite")
    for name in ("edge", "gone"):
        peer = Peer(PeerConfig(name, (Session("10.9.0.11", "10.9.0.1"),)), file)
        peer.set({"10.96.0.1/32": [("10.9.0.1", 1, "prod")]})
        file.hold(name, 5, time.time())
    file.keep_only(["edge"])
    assert file.routes("edge")
    assert file.path_ids("edge")
    assert (file.routes("gone"), file.path_ids("gone"), file.kind("gone"), file.held("gone")) == ({}, {}, None, None)


@pytest.mark.parametrize(("synced", "kept"), [(True, False), (False, True)])
def test_a_withdrawal_is_remembered_until_the_session_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: bool, kept: bool
) -> None:
    file = Announced(tmp_path / "a.sqlite")
    peer = Peer(PeerConfig("edge", (Session("10.9.0.11", "10.9.0.1"),)), file)
    peer.set({"10.96.0.1/32": [("10.9.0.1", 1, "prod")]})
    peer.set({"10.96.0.1/32": []})
    peer.links[0].synced = synced
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + HOUR_S)
    peer.forget_leaving()
    assert bool(peer.leaving) is kept
    assert bool(file.leaving("edge")) is kept
    assert json.dumps(sorted(peer.leaving)) == json.dumps(sorted(file.leaving("edge")))
