"""A process that competes for a Lease, for tests that stop or kill it.

    python -m tests.kube.candidate KUBECONFIG OWNER DURATION RENEW_DEADLINE RETRY IDENTITY

Prints what its elector answers, without pause: "<term> write" or "<term> <why not>", a line each.
"""

import sys
import time

from k8s_ecmp.kube.lease import Elector
from k8s_ecmp.settings import ClusterSettings, LeaseSettings


def main() -> None:
    config, owner, duration, deadline, retry, identity = sys.argv[1:]
    settings = LeaseSettings(
        duration_s=float(duration), renew_deadline_s=float(deadline), retry_s=float(retry), identity=identity
    )
    elector = Elector(ClusterSettings(kubeconfig=config), settings, owner)
    elector.start()
    while True:
        why = elector.refusal()
        # Asked afterwards: a term that began in between would be later than the answer.
        print(elector.term, why or "write", flush=True)
        time.sleep(0.002)


if __name__ == "__main__":
    main()
