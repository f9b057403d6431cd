"""`platforms`."""

import sys
from enum import StrEnum
from typing import Annotated

import typer


class PlatformsFormat(StrEnum):
    """How the matrix is shown."""

    text = "text"
    json = "json"
    markdown = "markdown"


def platforms(
    output: Annotated[PlatformsFormat, typer.Option("--format", help="How to show the matrix.")] = PlatformsFormat.text,
) -> int:
    """Show what each platform can promise: atomic commits, the router's own diff, commit timers, locks, widths."""
    from k8s_ecmp.views import platforms as view

    if output is PlatformsFormat.markdown:
        sys.stdout.write(view.markdown())
    elif output is PlatformsFormat.json:
        import msgspec

        from k8s_ecmp.platforms.drivers import DRIVERS

        found = {
            name: {"syntax": traits.syntax, "transport": traits.transport, **msgspec.to_builtins(traits.capabilities())}
            for name, traits in DRIVERS.items()
        }
        sys.stdout.write(msgspec.json.encode({"version": 1, "platforms": found}).decode() + "\n")
    else:
        view.print_platforms()
    return 0
