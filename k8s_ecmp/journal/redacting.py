"""Entries without secrets: somebody's password may stand in a reason, in a path, in what a library said.

What programs read again stays as it is, for it holds addresses and hashes: a short password that stands there by chance
would make a change that nobody can take back.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from k8s_ecmp.redaction import redacted

_READ_AGAIN = frozenset(
    ("plan", "digest", "hash", "outcome", "action", "vrf", "prefix", "before", "after", "router", "routers")
)


def without_secrets(value: Any) -> Any:
    """What JSON holds, with `***` for the secrets in its texts."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {name: each if name in _READ_AGAIN else without_secrets(each) for name, each in value.items()}
    if isinstance(value, Sequence):
        return value if _is_clean(value) else [without_secrets(each) for each in value]
    return value


def _is_clean(value: Sequence[Any]) -> bool:
    """Of texts, such as commands, there may be many: they are looked at together."""
    if not all(isinstance(each, str) for each in value):
        return False
    text = "\n".join(value)
    return redacted(text) == text
