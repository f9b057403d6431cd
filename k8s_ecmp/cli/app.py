"""The `k8s-ecmp` command: options that all commands share, and the way errors leave."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from k8s_ecmp.cli.adopt import adopt
from k8s_ecmp.cli.apply import apply
from k8s_ecmp.cli.bgp import bgp
from k8s_ecmp.cli.demo import demo
from k8s_ecmp.cli.desired import desired
from k8s_ecmp.cli.doctor import doctor
from k8s_ecmp.cli.drain import drain, undrain
from k8s_ecmp.cli.history import history
from k8s_ecmp.cli.plan import plan
from k8s_ecmp.cli.platforms import platforms
from k8s_ecmp.cli.run import run
from k8s_ecmp.cli.status import status
from k8s_ecmp.cli.streams import leave, outlive_readers
from k8s_ecmp.cli.verify import verify
from k8s_ecmp.cli.version import version
from k8s_ecmp.cli.why import why
from k8s_ecmp.errors import EcmpError, PlanRefused
from k8s_ecmp.memory import collect_rarely
from k8s_ecmp.redaction import redacted

EXIT_CODES = (
    "Exit codes: 0 done or nothing to change; 2 changes are planned (plan, diff) or drift (verify); "
    "3 stopped by a guard, a conflict, a mode or a refused plan file; 1 error."
)

INTERRUPTED = 130

app = typer.Typer(
    name="k8s-ecmp",
    help=(
        "Programs multipath static routes to Kubernetes services on physical routers.\n\n"
        "Start with **k8s-ecmp demo**; then write k8s-ecmp.yaml, look at **k8s-ecmp plan**, "
        "and run **k8s-ecmp apply**. " + EXIT_CODES
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The settings file; ./k8s-ecmp.yaml where it is not given, or what K8S_ECMP_CONFIG names.",
    ),
]


@app.callback()
def options(context: typer.Context, config: ConfigOption = None) -> None:
    """Keeps the settings file for the commands."""
    context.obj = config


for command in (
    plan,
    apply,
    verify,
    run,
    desired,
    drain,
    undrain,
    status,
    why,
    doctor,
    adopt,
    platforms,
    demo,
    version,
):
    app.command()(command)
app.add_typer(history, name="history")
app.add_typer(bgp, name="bgp")
app.command("diff", hidden=True, help="The same as plan.")(plan)


def main() -> None:
    """Runs the command line and leaves the process with its exit code."""
    _open_what_is_closed()
    outlive_readers()
    collect_rarely()
    if (wrong := _not_text(sys.argv[1:])) is not None:
        leave(f"error: {wrong}\ntry: k8s-ecmp --help", 1)
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except PlanRefused as error:
        leave(f"refused: {error}", 3)
    except EcmpError as error:
        leave(f"error: {error}", 1)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except typer.Abort:
        leave("aborted; nothing was written", 1)
    except Exception as problem:  # noqa: BLE001  it ends the process either way
        # typer carries its own copy of click, whose usage errors have no public base class.
        text = getattr(problem, "format_message", None)
        if text is None:  # a bug; what libraries put into their errors is not ours to show as it is
            import traceback

            leave(redacted("".join(traceback.format_exception(problem))), 1)
        if not text():  # no command was given; the help has been shown
            sys.exit(0)
        leave(f"error: {text()}\ntry: k8s-ecmp --help", 1)
    if code == INTERRUPTED:  # which typer makes of it inside a command
        leave("interrupted; a router in the middle of a change finishes it or takes it back by itself", INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _not_text(arguments: list[str]) -> str | None:
    """Which argument is not in UTF-8, the encoding of journal, plan files and reports; None: all are."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            return f"the argument {redacted(ascii(os.fsencode(argument))[1:])} is not in UTF-8"
    return None


def _open_what_is_closed() -> None:
    """A process may be started without stdin, stdout or stderr; what is written there goes nowhere then."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  to the end
