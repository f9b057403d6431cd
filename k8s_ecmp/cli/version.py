"""`version`."""

import platform

import typer

import k8s_ecmp


def version() -> None:
    """Show the version."""
    typer.echo(f"k8s-ecmp {k8s_ecmp.__version__} (Python {platform.python_version()})")
