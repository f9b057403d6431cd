"""What <rpc-error> says: RFC 6241, 4.3 and appendix A."""

from collections.abc import Iterable
from typing import NamedTuple

from k8s_ecmp.redaction import sanitized


class Found(NamedTuple):
    """One <rpc-error>: its severity as it stands there, None where it has none, and what it says."""

    severity: str | None
    text: str

    @property
    def is_warning(self) -> bool:
        """Whether the operation was done all the same; what has no severity is an error."""
        return (self.severity or "").strip() == "warning"


def only_warnings(found: Iterable[Found]) -> tuple[str, ...] | None:
    """What they say, each once and without secrets; None where one of them is an error: the operation was refused."""
    errors = tuple(found)
    if not all(error.is_warning for error in errors):
        return None
    return tuple(dict.fromkeys(sanitized(error.text) for error in errors))


def refusals(found: Iterable[Found]) -> str:
    """Why an operation was refused: what the errors say, or, where there are none, the warnings."""
    errors = tuple(found)
    telling = [error for error in errors if not error.is_warning] or errors
    return sanitized("; ".join(dict.fromkeys(error.text for error in telling)))
