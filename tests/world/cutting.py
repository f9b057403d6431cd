"""A session that is lost while the router commits, and a way back that the router cannot go to its end."""

import threading

import pytest

from k8s_ecmp.routers.transaction import Transaction, WayBack
from tests.world.frr import FrrRouter
from tests.world.netns import wait_for


def cut_in_the_next_commit(router: FrrRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit after the next one works again: the router goes on with this one when its session is gone."""
    commit = Transaction.commit

    def cut() -> None:
        wait_for(lambda: "tx.applying" in router.run("ls", "/run/k8s-ecmp"), "the commit has begun")
        router.kill_sshd()
        router.start_sshd()

    def cut_in_the_middle(session: Transaction, confirm_within_s: int, hops: int) -> None:
        monkeypatch.setattr(Transaction, "commit", commit)
        with router.stopped("staticd"):
            cutting = threading.Thread(target=cut)
            cutting.start()
            try:
                commit(session, confirm_within_s, hops)
            finally:
                cutting.join()

    monkeypatch.setattr(Transaction, "commit", cut_in_the_middle)


def spoil_the_next_way_back(router: FrrRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes the next change back that is not confirmed has a line that the router refuses; those after it do not."""
    rollback = Transaction.rollback

    def spoiled(session: Transaction) -> WayBack:
        monkeypatch.setattr(Transaction, "rollback", rollback)
        router.run("sh", "-c", "for f in /run/k8s-ecmp/undo.*.1; do echo 'ip route nonsense' >>$f; done")
        return rollback(session)

    monkeypatch.setattr(Transaction, "rollback", spoiled)
