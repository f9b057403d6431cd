"""What libraries warn of while a command runs, which configures no log."""

import logging

from k8s_ecmp.redaction import sanitized


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return sanitized(super().format(record))


def redact_warnings() -> None:
    """Python prints warnings of libraries to stderr where nobody has configured a log; from now on without secrets."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Redacting())
