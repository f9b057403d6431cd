"""YAML or parsed data as values that know where they stand."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from k8s_ecmp.errors import SettingsError

_MAX_DEPTH = 32
_MAX_PROBLEMS = 10


class Item(NamedTuple):
    """A value: a dict or list of items, or a scalar.

    `line` is 1-based; `written` is the text of a scalar that stands without quotes.
    """

    value: Any
    line: int | None = None
    written: str | None = None


class Problem(NamedTuple):
    """A mistake. `path` is the key's path ("services.external_ips.cidrs[1]"), "" for the document as a whole."""

    path: str
    message: str
    line: int | None = None


def raise_problems(where: str, problems: Iterable[Problem], epilogue: str | None = None) -> None:
    """Raises one `SettingsError` that lists the problems by line, each as "where:line: path: message".

    Returns when there are none.
    """
    ordered = sorted(problems, key=lambda problem: problem.line or 0)
    if not ordered:
        return
    lines = [
        ": ".join(part for part in (f"{where}:{p.line}" if p.line else where, p.path, p.message) if part)
        for p in ordered[:_MAX_PROBLEMS]
    ]
    if len(ordered) > _MAX_PROBLEMS:
        lines.append(f"{where}: {len(ordered) - _MAX_PROBLEMS} more mistakes")
    if epilogue:
        lines.append(epilogue)
    raise SettingsError("\n".join(lines))


def read_yaml(raw: bytes, where: str) -> Item:
    """One YAML document; the value None when it is empty.

    Raises:
        SettingsError: not UTF-8, not YAML, more than one document, a duplicate key.
    """
    import yaml

    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            f"{where}:{line}: byte {raw[error.start]:#04x} is not UTF-8", remedy="save it as UTF-8"
        ) from error
    try:
        loader = yaml.CSafeLoader(text)
        try:
            root = loader.get_single_node()
            return Item(None) if root is None else _item(loader, root, where, root.start_mark.line + 1, 0)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise _malformed(where, text, error) from error
    except RecursionError as error:
        raise SettingsError(f"{where}: is nested too deep") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SettingsError(
            f"{where}:{line}: is not YAML: the character {text[error.position]!r} must not stand in it"
        ) from error


def from_python(value: Any) -> Item:
    """Parsed data as items without lines."""
    if isinstance(value, Mapping):
        return Item({str(key): from_python(below) for key, below in value.items()})
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return Item([from_python(below) for below in value])
    return Item(value)


def _item(loader: Any, node: Any, where: str, line: int, depth: int) -> Item:
    import yaml

    if depth > _MAX_DEPTH:
        raise SettingsError(f"{where}:{line}: is nested deeper than {_MAX_DEPTH} levels")
    if isinstance(node, yaml.ScalarNode):
        try:
            value = loader.construct_object(node)
        except (ValueError, LookupError, AttributeError) as error:
            raise SettingsError(f"{where}:{line}: {node.value!r} is not what YAML takes it for: {error}") from error
        return Item(value, line, node.value if not node.style else None)
    if isinstance(node, yaml.SequenceNode):
        return Item([_item(loader, below, where, below.start_mark.line + 1, depth + 1) for below in node.value], line)
    seen: dict[str, int] = {}
    for key, _ in node.value:
        at = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise SettingsError(f"{where}:{at}: a key must be text")
        if key.value in seen and key.value != "<<":
            raise SettingsError(
                f"{where}:{at}: {key.value}: duplicate key, the first one is in line {seen[key.value]}",
                remedy="remove one of them",
            )
        seen[key.value] = at
    loader.flatten_mapping(node)
    return Item(
        {key.value: _item(loader, below, where, key.start_mark.line + 1, depth + 1) for key, below in node.value}, line
    )


def _malformed(where: str, text: str, error: Any) -> SettingsError:
    mark = error.problem_mark
    problem = ", ".join(part for part in (error.context, error.problem) if part)
    lines = text.splitlines()
    source = lines[mark.line] if mark.line < len(lines) else ""
    remedy = None
    if "\t" in source[: len(source) - len(source.lstrip())] or "'\\t'" in problem:
        remedy = "YAML wants blanks, not tabs"
    elif re.search(r":\s+[*&!%@`]", source):
        remedy = "put the value in quotes"
    shown = f": {source.strip()[:80]!r}" if source.strip() else ""
    return SettingsError(f"{where}:{mark.line + 1}: is not YAML: {problem}{shown}", remedy=remedy)


def find_line(item: Item, path: Sequence[str | int]) -> int | None:
    """The line of the value at `path`, or of the nearest thing above it that is written."""
    line = item.line
    for step in path:
        try:
            item = item.value[step]
        except (KeyError, IndexError, TypeError):
            break
        line = item.line
    return line
