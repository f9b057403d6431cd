"""Any number of routers in files, their plan and its rollout, in this process."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from nornir.core import Nornir

from k8s_ecmp import runs
from k8s_ecmp.journal import Entry, Journal
from k8s_ecmp.model import CommitResult, Plan, RouteChange
from k8s_ecmp.recording import recording
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.record import UNRECORDED
from k8s_ecmp.routers.rollout import roll_out
from k8s_ecmp.routers.spectator import NOBODY, Spectator
from k8s_ecmp.routers.stopping import Stop
from k8s_ecmp.routers.tasks import plan_routes, run
from k8s_ecmp.settings import Settings, load_settings
from tests.site import Site


@dataclass
class Disturbed:
    """A record that lets something happen to a router when its change is about to begin."""

    at: dict[str, Callable[[], None]] = field(default_factory=dict)
    ended: list[CommitResult] = field(default_factory=list)

    def begin(
        self, router: str, changes: Sequence[RouteChange], commands: Sequence[str], *, takes_back: bool = False
    ) -> None:
        if not takes_back:
            self.at.get(router, lambda: None)()

    def end(self, result: CommitResult) -> None:
        self.ended.append(result)


@dataclass
class Watcher:
    """A spectator that does something when a wave, a pause or a step begins, and keeps what it was told."""

    on_wave: Callable[[int], None] = lambda number: None
    on_pause: Callable[[Sequence[str]], None] = lambda routers: None
    on_step: Callable[[str, str], None] = lambda router, step: None
    order: list[list[str]] = field(default_factory=list)
    steps: list[tuple[str, str]] = field(default_factory=list)
    results: list[tuple[str, str]] = field(default_factory=list)

    def begins(self, waves: Sequence[Sequence[str]]) -> None:
        self.order = [list(wave) for wave in waves]

    def wave(self, number: int) -> None:
        self.on_wave(number)

    def step(self, router: str, step: str) -> None:
        self.steps.append((router, step))
        self.on_step(router, step)

    def ended(self, result: CommitResult) -> None:
        self.results.append((result.router, result.outcome))

    def pauses(self, routers: Sequence[str], seconds: float) -> None:
        self.on_pause(routers)


@dataclass
class Fleet:
    """`count` routers r1, r2, ... of which `pairs` says the failure domains."""

    site: Site
    count: int
    pairs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        text = self.site.config("edge1").read_text()
        hosts = {}
        for name in self.names:
            self.site.config(name).write_text(text.replace("hostname edge1", f"hostname {name}"))
            options = {"syntax": "frr", "path": f"inventories/demo/routers/{name}.cfg"}
            hosts[name] = {
                "groups": ["edge"],
                "connection_options": {"napalm": {"extras": {"optional_args": options}}},
                "data": {"k8s_ecmp": {"failure_domain": self.pairs.get(name, name)}},
            }
        self.site.edit("inventories/demo/hosts.yaml", lambda content: (content.clear(), content.update(hosts)))

    @property
    def names(self) -> list[str]:
        return [f"r{number}" for number in range(1, self.count + 1)]

    @property
    def texts(self) -> dict[str, str]:
        """The configurations, without what is not a route."""
        return {name: "\n".join(sorted(self.site.config(name).read_text().splitlines())) for name in self.names}

    def changed(self, before: dict[str, str]) -> set[str]:
        now = self.texts
        return {name for name in self.names if now[name] != before[name]}

    def add_line(self, name: str, line: str) -> None:
        """What somebody does by hand, without a lock."""
        path = self.site.config(name)
        path.write_text(path.read_text().replace("ip route 172", f"{line}\nip route 172"))

    def drop_lines(self, name: str, part: str) -> None:
        path = self.site.config(name)
        path.write_text("".join(line for line in path.read_text().splitlines(True) if part not in line))

    def rollout(self, **values: object) -> None:
        self.site.settings(rollout={"verify_timeout_s": 1, **values})

    @cached_property
    def loaded(self) -> tuple[Settings, Nornir]:
        settings = load_settings(self.site.folder / "k8s-ecmp.yaml")
        return settings, init_nornir(settings, self.site.folder)

    @cached_property
    def plan(self) -> Plan:
        settings, nornir = self.loaded
        intent = runs.observe(settings)
        return runs.assemble(intent, run(nornir, plan_routes, intent=intent))

    def apply(
        self,
        record: Disturbed | None = None,
        spectator: Spectator = NOBODY,
        stop: Stop | None = None,
        *,
        journal: bool = False,
    ) -> dict[str, CommitResult]:
        """The results by router."""
        settings, nornir = self.loaded
        account = recording(settings, self.plan) if journal else contextlib.nullcontext(record or UNRECORDED)
        with account as kept:
            found = roll_out(nornir, settings, self.plan.routers, spectator=spectator, record=kept, stop=stop)
            return {result.router: result for result in found}

    def journal(self) -> list[Entry]:
        with Journal(self.loaded[0].journal) as journal:
            return journal.entries(kinds=("begin", "result"))


def outcomes(results: dict[str, CommitResult]) -> dict[str, str]:
    return {name: result.outcome for name, result in results.items()}
