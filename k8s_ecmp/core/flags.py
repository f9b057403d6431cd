"""Booleans written by people in labels and annotations."""

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


def parse_bool(text: str) -> bool | None:
    """Go's strconv.ParseBool, which Kubernetes uses for such values; None for what it refuses."""
    if text in _TRUE:
        return True
    return False if text in _FALSE else None
