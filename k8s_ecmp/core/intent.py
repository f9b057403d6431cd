"""All that a plan needs beside the routers: settings, the decision, what holds, and the time that they belong to."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from k8s_ecmp.core.contested import contested
from k8s_ecmp.core.desired import Desired, decide
from k8s_ecmp.core.freeze import freeze_of
from k8s_ecmp.core.guards import cluster_holds, run_holds
from k8s_ecmp.core.rules import Rules
from k8s_ecmp.core.waves import rollout_of
from k8s_ecmp.errors import EcmpError
from k8s_ecmp.model import ClusterState, DesiredRoute, Plan, Prefix, RouterPlan
from k8s_ecmp.settings import Settings


def digest_of(routes: Iterable[DesiredRoute]) -> str:
    """Desired routes as "sha256:..."."""
    listed = [[str(route.prefix), route.kind, route.nodes, route.next_hops, route.sources] for route in routes]
    return f"sha256:{hashlib.sha256(msgspec.json.encode(listed)).hexdigest()}"


@dataclass(frozen=True)
class Intent:
    """What is wanted, decided once for all routers."""

    settings: Settings
    cluster: ClusterState
    desired: Desired
    rules: Rules
    created: datetime

    @classmethod
    def build(
        cls,
        settings: Settings,
        cluster: ClusterState,
        now: datetime,
        *,
        overrides: Collection[str] = (),
        freeze_file_text: str | None = None,
        not_synced: str | None = None,
        adopt: Collection[Prefix] = (),
    ) -> "Intent":
        """Decides.

        Args:
            settings: what is asked for.
            cluster: what was observed.
            now: the time of the observation.
            overrides: names of guards that are switched off for this plan.
            freeze_file_text: what the freeze file says, None where there is none; it stops everything.
            not_synced: why the view of the cluster is not complete, None if it is.
            adopt: the prefixes that the plan is about, where it takes over what others have; none: it is about all.

        Raises:
            ServiceCIDRUnknown: as `decide`.
            EcmpError: nothing asks for a prefix that is to be adopted.
        """
        desired = decide(cluster, settings, now)
        unwanted = sorted(set(adopt) - {route.prefix for route in desired.routes})
        if unwanted:
            raise EcmpError(
                f"nothing in the cluster asks for {', '.join(map(str, unwanted))}, so that no router adopts it",
                remedy="`k8s-ecmp desired` lists what is asked for; `k8s-ecmp why PREFIX` says why a prefix is not",
            )
        freeze = freeze_of(settings.guards, now, freeze_file_text)
        holds = cluster_holds(desired, settings.guards, not_synced=not_synced, freeze=freeze, overrides=overrides)
        rules = Rules(
            tag=settings.tag,
            owner=settings.owner,
            guards=settings.guards,
            mode=settings.mode,
            policy=settings.policy,
            freeze=freeze,
            holds=holds,
            overrides=frozenset(overrides),
            adopt=frozenset(adopt),
        )
        return cls(settings, cluster, desired, rules, now)

    @property
    def digest(self) -> str:
        """The desired routes as "sha256:..."."""
        return digest_of(self.desired.routes)

    def plan(self, routers: Collection[RouterPlan]) -> Plan:
        """The routers' plans as one.

        Guards that hold everything are silent where nothing would change; a prefix that another guard holds would.
        """
        holds = self.rules.holds if any(router.changes or router.guards for router in routers) else ()
        changes = {router.name: router.changes for router in routers}
        many = run_holds(changes, self.settings.guards, self.rules.overrides)
        if many:
            routers = [msgspec.structs.replace(r, status="blocked") if r.changes else r for r in routers]
        return Plan(
            created=self.created,
            expires=self.created + timedelta(seconds=self.settings.plan.expires_s),
            owner=self.settings.owner,
            tag=self.settings.tag,
            cluster_source=self.cluster.source,
            cluster_digest=self.digest,
            routers=tuple(msgspec.structs.replace(router, standing=None) for router in routers),
            holds=holds + many,
            overrides=tuple(sorted(self.rules.overrides)),
            skipped=self.desired.skipped + tuple(skip for router in routers for skip in router.skipped),
            contested=contested(list(routers)),
            rollout=rollout_of(self.settings.rollout),
            mode=self.settings.mode,
            policy=self.settings.policy,
            adopts=tuple(sorted(self.rules.adopt)),
            freeze_windows=self.rules.windows,
        )
