"""Words for an object that could not be decoded: which field, which value, what was expected."""

import json
import re
from collections.abc import Iterator
from typing import Any

_MESSAGE = re.compile(r"Expected `(?P<expected>[^`]+)`(?:, got `(?P<got>\w+)`)?(?: - at `\$(?P<path>.+)`)?$")
_POSITION = re.compile(r"\[(\d+)\]")
_ANY_KEY = "[...]"
_WORDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "a mapping",
    "array": "a list",
}
_LONGEST_VALUE = 60


def describe(error: Exception, document: Any) -> str:
    """What msgspec's error says, with the field's true position and its value.

    Args:
        error: raised while `document` was decoded.
        document: the same object as plain dicts and lists.
    """
    found = _MESSAGE.match(str(error))
    if found is None:
        return str(error)
    expected = " or ".join(_WORDS.get(word, word) for word in found["expected"].split(" | ") if word != "null")
    for label, value in _matches(document, found["path"] or ""):
        if found["got"] is None or _type_name(value) == found["got"]:
            return f"{label.lstrip('.') or 'object'}: {_shown(value)} is not {expected}"
    return str(error)


def _matches(value: Any, path: str, label: str = "") -> Iterator[tuple[str, Any]]:
    """All values that a path may mean: msgspec writes the keys of a free mapping as "[...]"."""
    position = _POSITION.match(path)
    if not path:
        yield label, value
    elif path.startswith(_ANY_KEY) and isinstance(value, dict):
        for key, item in value.items():
            yield from _matches(item, path.removeprefix(_ANY_KEY), f"{label}.{key}")
    elif position and isinstance(value, list):
        item = value[int(position[1])]
        yield from _matches(item, path[position.end() :], f"{label}{position[0]}")
    elif isinstance(value, dict):
        for key, item in value.items():
            rest = path.removeprefix(f".{key}")
            if rest != path and rest[:1] in ("", ".", "["):
                yield from _matches(item, rest, f"{label}.{key}")


def _type_name(value: Any) -> str:
    """JSON's types by the names that msgspec gives them."""
    names = {bool: "bool", int: "int", float: "float", str: "str", dict: "object", list: "array", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."
