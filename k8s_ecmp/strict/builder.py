"""Items checked against msgspec structs.

`Meta(extra=...)` of a field may hold `allowed` (words for people), `pattern` (a regular expression, compiled only when
it is needed), `check` (a function from the value to its normal form, ValueError when it is wrong) and `path` (words
that are no file; every other text becomes an absolute path).
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct, inspect

from k8s_ecmp.strict.items import Item, Problem

T = TypeVar("T", bound=Struct)


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of YAML: unknown keys are refused; one without content has its defaults."""


class Builder:
    """Builds structs from items and collects what is wrong with them in `problems`.

    Args:
        base: the folder that relative paths start from.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self.problems: list[Problem] = []

    def build(self, struct: type[T], item: Item) -> T | None:
        """The struct, or None when `problems` were added."""
        self._root = _info(struct)
        built: T | None = self._struct(self._root, item, "")
        return built

    def _struct(self, info: inspect.StructType, item: Item, path: str) -> Any:
        before = len(self.problems)
        below = {} if item.value is None else item.value
        if not isinstance(below, dict):
            self._refuse(path, item, _describe(info))
            return None
        fields = {field.name: field for field in info.fields}
        for key in below.keys() - fields.keys():
            self.problems.append(Problem(_join(path, key), self._unknown(key, path, list(fields)), below[key].line))
        values = {}
        for name, field in fields.items():
            found = below.get(name)
            if found is None and field.required:
                continue
            if found is None:
                # Defaults that are paths must become absolute too.
                found = Item(None) if isinstance(_plain(field.type), inspect.StructType) else Item(field.default)
                if isinstance(found.value, tuple):
                    values[name] = found.value
                    continue
            values[name] = self._value(field.type, found, _join(path, name))
        missing = [name for name, field in fields.items() if field.required and name not in below]
        self.problems += [
            Problem(_join(path, name), f"is missing; it must be {_describe(fields[name].type)}", item.line)
            for name in missing
        ]
        return info.cls(**values) if len(self.problems) == before else None

    def _value(self, kind: inspect.Type, item: Item, path: str) -> Any:
        extra: Mapping[str, Any] = {}
        if isinstance(kind, inspect.UnionType):
            if item.value is None:
                return None
            kind = next(t for t in kind.types if not isinstance(t, inspect.NoneType))
        allowed = _describe(kind)
        if isinstance(kind, inspect.Metadata):
            extra = kind.extra or {}
            kind = kind.type
        value = item.value
        if isinstance(kind, inspect.StructType):
            return self._struct(kind, item, path)
        if isinstance(kind, inspect.VarTupleType):
            if not isinstance(value, list):
                return self._refuse(path, item, allowed, "write []" if value is None else f"write [{_shown(item)}]")
            return tuple(self._value(kind.item_type, below, f"{path}[{i}]") for i, below in enumerate(value))
        if not _fits(kind, item, extra.get("pattern")):
            return self._refuse(path, item, allowed, _hint(kind, item))
        if isinstance(kind, inspect.FloatType):
            value = float(value)
        try:
            if "path" in extra:
                value = value if value in extra["path"] else self._absolute(value)
            if "check" in extra:
                value = extra["check"](value)
        except ValueError as error:
            self.problems.append(Problem(path, str(error), item.line))
        return value

    def _absolute(self, text: str) -> str:
        if not text or "\0" in text:
            raise ValueError(f"{text!r} is no path")
        try:
            return str(Path(text).expanduser() if text.startswith("~") else self._base / text)
        except RuntimeError as error:
            raise ValueError(f"{text!r} starts in a home folder that is not known") from error

    def _unknown(self, key: str, path: str, allowed: Sequence[str]) -> str:
        places = _places(self._root, key)
        if 0 < len(places) <= 2:
            return f"unknown key; did you mean {' or '.join(places)}?"
        near = _nearest(key, allowed)
        if near is not None:
            return f"unknown key; did you mean {_join(path, near)}?"
        return f"unknown key; allowed here: {', '.join(allowed)}"

    def _refuse(self, path: str, item: Item, allowed: str, hint: str | None = None) -> None:
        found = "but has no value" if item.value is None else f"not {_shown(item)}"
        message = f"must be {allowed}, {found}"
        self.problems.append(Problem(path, f"{message}; {hint}" if hint else message, item.line))


@cache
def _info(struct: type[Any]) -> inspect.StructType:
    info = inspect.type_info(struct)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{struct} is no struct")
    return info


def _plain(kind: inspect.Type) -> inspect.Type:
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def _fits(kind: inspect.Type, item: Item, pattern: str | None) -> bool:
    value = item.value
    match kind:
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.StrType():
            return isinstance(value, str) and (pattern is None or re.search(pattern, value) is not None)
        case inspect.LiteralType():
            return isinstance(value, str) and value in kind.values
        case inspect.IntType():
            return type(value) is int and _surprise(item) is None and _within(kind, value)
        case inspect.FloatType():
            return (
                type(value) in (int, float)
                and _surprise(item) is None
                and math.isfinite(value)
                and _within(kind, value)
            )
        case _:
            raise TypeError(f"no check for {kind}")


def _within(kind: inspect.IntType | inspect.FloatType, value: float) -> bool:
    return (
        (kind.ge is None or value >= kind.ge)
        and (kind.gt is None or value > kind.gt)
        and (kind.le is None or value <= kind.le)
        and (kind.lt is None or value < kind.lt)
    )


def _surprise(item: Item) -> str | None:
    """Why YAML 1.1 reads another number than the one that people see; None if it does not."""
    written = item.written or ""
    if type(item.value) in (int, float) and ":" in written:
        return f"YAML reads {written} as the base-60 number {item.value}"
    if type(item.value) is int and re.match(r"[-+]?0[0-9_]", written):
        return f"YAML reads {written} as the octal number {item.value}"
    return None


def _hint(kind: inspect.Type, item: Item) -> str | None:
    value, written = item.value, item.written
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        if isinstance(value, str):
            try:
                number = float(value)
            except ValueError:
                return None
            plain = f"{number:.0f}" if number.is_integer() else str(number)
            return f"write {plain} without quotes"
        return _surprise(item)
    if isinstance(kind, inspect.BoolType):
        return f"write {value.lower()} without quotes" if str(value).lower() in ("true", "false") else None
    if isinstance(value, bool) and written is not None and written.lower() not in ("true", "false"):
        return f"YAML reads {written} as {str(value).lower()}"
    if isinstance(kind, inspect.LiteralType) and isinstance(value, str):
        near = _nearest(value, map(str, kind.values))
        return f"did you mean {near}?" if near else None
    if isinstance(kind, inspect.StrType) and value is not None and not isinstance(value, str | dict | list):
        return f'put it in quotes: "{value if written is None else written}"'
    return None


def _describe(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        return str((kind.extra or {}).get("allowed") or _describe(kind.type))
    match kind:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() | inspect.FloatType():
            name = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
            if kind.ge is not None and kind.le is not None:
                return f"{name} from {kind.ge} to {kind.le}"
            low = (
                f" of at least {kind.ge}" if kind.ge is not None else f" above {kind.gt}" if kind.gt is not None else ""
            )
            return f"{name}{low}" + (f" and at most {kind.le}" if kind.le is not None else "")
        case inspect.LiteralType():
            return "one of " + ", ".join(map(str, kind.values))
        case inspect.VarTupleType():
            return f"a list, each entry {_describe(kind.item_type)}"
        case inspect.StructType():
            return "a mapping with the keys " + ", ".join(field.name for field in kind.fields)
        case inspect.UnionType():
            return _describe(next(t for t in kind.types if not isinstance(t, inspect.NoneType))) + ", or null"
        case _:
            return "text"


def _shown(item: Item) -> str:
    match item.value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case bool(value) if item.written is None:
            return str(value).lower()
    text = item.written if item.written is not None and not isinstance(item.value, str) else repr(item.value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _places(info: inspect.StructType, key: str, path: str = "") -> list[str]:
    """Paths of the fields called `key`, at any depth."""
    found = []
    for field in info.fields:
        here = _join(path, field.name)
        if field.name == key:
            found.append(here)
        below = _plain(field.type)
        if isinstance(below, inspect.StructType):
            found += _places(below, key, here)
    return found


def _nearest(word: str, allowed: Iterable[str]) -> str | None:
    import difflib

    names = list(allowed)
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).lower()
    for spelling in (plain, plain.replace("-", "_"), plain.replace("_", "-")):
        if found := difflib.get_close_matches(spelling, names, n=1, cutoff=0.7):
            return found[0]
    return None


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
