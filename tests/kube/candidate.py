"""A process that competes for a Lease, for tests that stop or kill it.

    python -m tests.kube.candidate KUBECONFIG OWNER DURATION RENEW_DEADLINE RETRY IDENTITY

Prints what its elector answers, without pause: "<when> <term> write" or "<when> <term> <why not>", a line each. It was
asked not before that moment of the monotonic clock.
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
        when = time.monotonic()
        why = elector.refusal()
        # Asked afterwards: a term that began in between would be later than the answer.
        print(when, elector.term, why or "write", flush=True)
        time.sleep(0.002)


if __name__ == "__main__":
    main()
