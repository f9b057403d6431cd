"""A session that is lost while the router commits."""

import threading

import pytest

from k8s_ecmp.routers.transaction import Transaction
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
