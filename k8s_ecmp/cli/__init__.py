"""The command line. Data goes to stdout, everything else to stderr; modules that cost time are imported on use."""

from k8s_ecmp.cli.app import main

__all__ = ["main"]
