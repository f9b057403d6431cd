"""What several commands need: settings, routers, progress, and options of the same name and meaning."""

import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from k8s_ecmp.settings import Settings, load_settings, settings_path
from k8s_ecmp.views.page import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir.core import Nornir
    from rich.live import Live
    from rich.progress import Progress as Bar

    from k8s_ecmp.routers.session import Progress

RouterOption = Annotated[
    list[str] | None,
    typer.Option("--router", "-r", metavar="NAME", help="Only this router; may be given several times."),
]
FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        "-f",
        metavar="FIELD=VALUE",
        help="Only routers with this attribute, group (group=NAME) or data; all filters must hold.",
    ),
]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option(
        "--override",
        metavar="GUARD",
        help="Switch one guard off for this plan, by its name; may be given several times.",
    ),
]


def settings_of(context: typer.Context) -> tuple[Settings, Path]:
    """The settings, and the folder that relative paths are relative to."""
    path = settings_path(context.obj)
    return load_settings(path), path.absolute().parent


def routers_of(settings: Settings, base: Path, names: list[str] | None, filters: list[str] | None) -> "Nornir":
    """The inventory's routers that the command line asks for; warns of passwords that everybody may read."""
    from k8s_ecmp.cli.warnings import redact_warnings
    from k8s_ecmp.routers.exposure import exposed
    from k8s_ecmp.routers.inventory import init_nornir, select

    redact_warnings()
    nornir = init_nornir(settings, base)
    warn_all(tuple(f"{file}; {file.remedy}" for file in exposed(nornir)))
    return select(nornir, names or [], filters or [])


@contextmanager
def progress_over(total: int, title: str) -> "Iterator[Progress | None]":
    """A bar with the step of each router on a terminal; nothing without one."""
    if not sys.stderr.isatty() or total == 0:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[steps]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
    steps: dict[str, str] = {}
    lock = threading.Lock()
    with displayed(bar):
        row = bar.add_task(title, total=total, steps="")

        def tell(router: str, step: str) -> None:
            with lock:
                if step == "done":
                    steps.pop(router, None)
                    bar.advance(row)
                else:
                    steps[router] = step
                bar.update(row, steps=", ".join(f"{visible(name)}: {at}" for name, at in list(steps.items())[:4]))

        yield tell


@contextmanager
def displayed(display: "Live | Bar") -> "Iterator[None]":
    """Shows it while something goes on. One that cannot be shown, or not be ended, is no reason to lose what became of
    that.
    """
    with suppress(Exception):
        display.start()
    try:
        yield
    finally:
        with suppress(Exception):
            display.stop()


def say(text: str) -> None:
    """A line for people, on stderr; what is not seen, such as control characters in a name, is shown as escapes."""
    typer.echo("\n".join(map(visible, text.split("\n"))), err=True)


def warn_all(warnings: "tuple[str, ...]") -> None:
    """Warnings of an observation, on stderr."""
    for text in warnings:
        say(f"warning: {text}")
