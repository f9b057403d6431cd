"""The capability matrix as text for a terminal and as Markdown for the documentation."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from k8s_ecmp.platforms.drivers import DRIVERS, DriverTraits
from k8s_ecmp.views.page import Page, header, length

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS = (
    ("PLATFORM", "`platform` in the inventory"),
    ("TRANSPORT", "how the router is spoken to"),
    ("ATOMIC", "a change is in force as a whole or not at all; elsewhere hops are added before others go"),
    ("DIFF", "the router itself shows what a candidate changes, and that is compared with the plan"),
    ("CONFIRM", "a commit that is not confirmed is taken back by the router; elsewhere by the inverse patch"),
    ("RESTORES", "what a taken back commit restores: our routes alone, or the whole configuration of before"),
    ("MESSAGE", "the commit carries a message"),
    ("LOCK", "others cannot write while a change is under way; the routes are read again before a commit anyway"),
    ("MARKS", "what tells our next hops from others"),
    ("PATHS", "next hops of one prefix at most"),
    (
        "BFD",
        "`bfd: true` lets static next hops follow BFD sessions; apart: a setting beside the routes, which is not ours",
    ),
    ("TRACK", "`track: OBJECT` lets static next hops follow a tracked object"),
    ("RESILIENT", "what keeps flows on their next hop when another one leaves"),
    ("IPV6", "IPv6 prefixes"),
    ("VRF", "routes in VRFs (routing-instances)"),
    ("VERIFY", "how deep a change is verified: configuration, routing table (rib), forwarding table (fib)"),
    ("NEIGHBOURS", "next hops that do not answer ARP or ND are told"),
)


def rows() -> Iterator[tuple[str, ...]]:
    """The cells under `COLUMNS`, a row for each driver."""
    for driver in DRIVERS.values():
        yield _row(driver)


def _row(driver: DriverTraits) -> tuple[str, ...]:
    found = driver.capabilities()
    step = f" ({found.timer_step_s} s)" if found.timer_step_s > 1 else ""
    return (
        driver.name,
        driver.transport,
        _yes(found.atomic),
        _yes(found.device_diff),
        _yes(found.confirm) + (step if found.confirm else ""),
        "configuration" if found.confirm and found.timer_restores == "configuration" else "routes",
        _yes(found.message),
        _yes(found.lock),
        "tag and name" if found.name_mark else "tag",
        str(found.max_paths),
        "apart" if found.bfd_apart else _yes(bool(found.bfd)),
        _yes(bool(found.track)),
        found.resilient or "no",
        _yes(found.ipv6),
        _yes(found.vrf),
        found.verify,
        _yes(found.neighbours),
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def print_platforms(console: "Console | None" = None) -> None:
    """Shows the matrix: as a table where it fits, else a block for each platform."""
    page = Page(console)
    names = [name for name, _ in COLUMNS]
    table = page.table([header(*names), *(list(row) for row in rows())])
    if max(map(length, table)) <= page.width:
        for line in table:
            page.line(*line)
    else:
        for row in rows():
            page.line((row[0], "bold"), f"  {row[1]}")
            for name, cell in zip(names[2:], row[2:], strict=True):
                page.line(f"  {name.lower():<10} {cell}")
    page.line()
    for name, meaning in COLUMNS[2:]:
        page.prose(f"{name.lower():<10} {meaning}", hang=11)
    page.show()


def markdown() -> str:
    """The matrix as a Markdown table with its legend."""
    heads = [name.lower() for name, _ in COLUMNS]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows()]
    lines += ["", *(f"- **{name.lower()}**: {meaning}." for name, meaning in COLUMNS)]
    return "\n".join(lines) + "\n"
