"""The cluster's state out of a file that kubectl wrote, JSON or YAML.

JSON is cut into its objects in one pass and each is decoded by itself, so that one broken object costs no other and
the fields that nobody reads are never built. YAML takes about a hundred times as long.
"""

import codecs
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

import msgspec
import yaml

from k8s_ecmp.errors import ClusterFileError
from k8s_ecmp.kube.collect import Collector, plain
from k8s_ecmp.kube.faults import describe
from k8s_ecmp.kube.wire import KINDS, WireObject
from k8s_ecmp.model import ClusterState
from k8s_ecmp.settings import Settings

STDIN = "-"
COMMAND = "kubectl get nodes,services,endpointslices -A -o json"
_REMEDY = f"write it with `{COMMAND}`"

_POSITION = re.compile(r"\(byte (\d+)\)")
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")
# What kubectl prints instead of objects, or before them when its errors went into the same file.
_MESSAGE = re.compile(r"(Error|error:|The connection to|Unable to|Warning:|No resources|[EIW]\d{4} |NAME(SPACE)?\s)")
_DECODER = msgspec.json.Decoder(WireObject)
_DECODERS: dict[str, msgspec.json.Decoder[WireObject]] = {k: msgspec.json.Decoder(t) for k, t in KINDS.items()}

Item = TypeVar("Item")


class _List(msgspec.Struct):
    """kubectl's List or a NodeList and the like; without `items` a single object, or something else altogether."""

    kind: str | None = None
    items: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET
    message: Any = None


_LIST_DECODER = msgspec.json.Decoder(_List | list[msgspec.Raw])


class _YamlLoader(yaml.CSafeLoader):
    """Times stay text, as they are in the API."""


_YamlLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def load_file(source: str, *, settings: Settings) -> ClusterState:
    """Reads what `kubectl get nodes,services,endpointslices -A -o json` (or yaml) wrote.

    A List, a NodeList and the like, a bare list, a single object, and several of these one after the other are all
    understood. Objects of other kinds are ignored; broken ones stand in `skipped`.

    Args:
        source: path, or "-" for stdin.
        settings: their service CIDRs win over what the file tells.

    Raises:
        ClusterFileError: the file cannot be read or is nothing of that form; names file, place and remedy.
    """
    name = "stdin" if source == STDIN else source
    data = _as_utf8(_read(source, name), name)
    start = re.match(rb"\s*", data).end()  # type: ignore[union-attr]  # matches everything
    if start == len(data):
        raise ClusterFileError(f"{name} is empty", remedy=_REMEDY)
    reader = _Reader(name)
    if data[start : start + 1] in (b"{", b"["):
        reader.read_json(data)
    elif data[start : start + 1] == b"<":
        raise ClusterFileError(f"{name} is a web page or XML, not JSON or YAML", remedy=_REMEDY)
    else:
        reader.read_yaml(data)
    reader.refuse_strangers()
    return reader.collector.state(settings.cluster.service_cidrs, name, hint=_REMEDY)


def _read(source: str, name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if source == STDIN else Path(source).read_bytes()
    except FileNotFoundError as error:
        raise ClusterFileError(f"there is no file {name}", remedy=_REMEDY) from error
    except IsADirectoryError as error:
        raise ClusterFileError(f"{name} is a folder, not a file", remedy=_REMEDY) from error
    except OSError as error:
        raise ClusterFileError(f"{name} cannot be read: {error.strerror}") from error


def _as_utf8(data: bytes, name: str) -> bytes:
    """Without a byte order mark; older PowerShells redirect as UTF-16."""
    if data.startswith(codecs.BOM_UTF8):
        return data[len(codecs.BOM_UTF8) :]
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise ClusterFileError(f"{name} is not valid UTF-16: {error.reason}", remedy=_REMEDY) from error
    return data


@dataclass(frozen=True)
class _Form(Generic[Item]):
    """How an item of a JSON or a YAML list becomes an object of a kind (None: of its own), or plain dicts and lists."""

    decode: Callable[[Item, str | None], WireObject]
    plain: Callable[[Item], Any]


_JSON = _Form[msgspec.Raw](lambda item, kind: (_DECODERS[kind] if kind else _DECODER).decode(item), plain)
_YAML = _Form[Any](lambda item, kind: msgspec.convert(item, KINDS[kind] if kind else WireObject), lambda item: item)


class _Reader:
    """One pass over a file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.collector = Collector()
        self._others: Counter[str] = Counter()

    # --- JSON

    def read_json(self, data: bytes) -> None:
        """One document, or several one after the other as from several runs of kubectl."""
        rest, offset = memoryview(data), 0
        while True:
            try:
                document, used = _LIST_DECODER.decode(rest), len(rest)
            except msgspec.ValidationError as error:
                self._refuse_shape(describe(error, plain(bytes(rest))))
            except msgspec.DecodeError as error:
                trailing = _TRAILING.search(str(error))
                if trailing is None:
                    self._refuse_json(data, offset, error)
                used = int(trailing[1]) - 1  # counted behind the first of them
                document = _LIST_DECODER.decode(rest[:used])
            if isinstance(document, list):
                self._add_all(document, None, _JSON)
            elif isinstance(document.items, msgspec.UnsetType):
                self._add_single(document.kind, document.message, msgspec.Raw(rest[:used]), _JSON)
            else:
                self._add_all(document.items or [], document.kind, _JSON)
            if used == len(rest):
                return
            rest, offset = rest[used:], offset + used

    def _refuse_json(self, data: bytes, offset: int, error: msgspec.DecodeError) -> NoReturn:
        found = _POSITION.search(str(error))
        position = offset + int(found[1]) if found else len(data)
        place = _place(data, position)
        if found is None:
            raise ClusterFileError(f"{self.name}:{place}: the JSON ends too early", remedy=_REMEDY) from error
        what = _POSITION.sub("", str(error)).removeprefix("JSON is malformed: ").strip()
        raise ClusterFileError(f"{self.name}:{place}: this is no JSON: {what}", remedy=_REMEDY) from error

    # --- YAML

    def read_yaml(self, data: bytes) -> None:
        """Documents separated by "---"."""
        first = data.lstrip().partition(b"\n")[0].decode("utf-8", errors="replace").strip()
        if _MESSAGE.match(first):
            raise ClusterFileError(f"{self.name} holds a message instead of objects: {first}", remedy=_REMEDY)
        try:
            for document in yaml.load_all(data, Loader=_YamlLoader):  # a safe loader's subclass
                self._add_yaml(document)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
            raise ClusterFileError(f"{self.name}{place}: this is no YAML: {error.problem}", remedy=_REMEDY) from error
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise ClusterFileError(f"{self.name} is neither JSON nor YAML: {reason}", remedy=_REMEDY) from error

    def _add_yaml(self, document: Any) -> None:
        if document is None:
            return
        if isinstance(document, list):
            self._add_all(document, None, _YAML)
            return
        if not isinstance(document, dict):
            self._refuse_shape("it is a single value")
        kind = document.get("kind")
        kind = kind if isinstance(kind, str) else None
        if "items" not in document:
            self._add_single(kind, document.get("message"), document, _YAML)
        elif isinstance(document["items"], list | None):
            self._add_all(document["items"] or [], kind, _YAML)
        else:
            self._refuse_shape("items is not a list")

    # --- objects

    def _add_all(self, items: list[Item], list_kind: str | None, form: _Form[Item]) -> None:
        kind = None if list_kind in (None, "List") else str(list_kind).removesuffix("List")
        if kind is not None and kind not in KINDS:
            self._others[kind] += len(items)
            return
        for item in items:
            self._add(item, kind, form)

    def _add_single(self, kind: str | None, message: Any, item: Item, form: _Form[Item]) -> None:
        if kind == "Status":
            self._refuse_shape(f"it is the API server's answer: {message}")
        if kind is None:
            self._refuse_shape("it has neither items nor a kind")
        if kind in KINDS:
            self._add(item, kind, form)
        else:
            self._others[kind] += 1

    def _add(self, item: Item, kind: str | None, form: _Form[Item]) -> None:
        try:
            wire = form.decode(item, kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            document = form.plain(item)
            said = document.get("kind") if isinstance(document, dict) else None
            said = said if isinstance(said, str) else kind
            if said in KINDS:
                self.collector.add_broken(said, document, error)
            else:
                self._others[said or "object without a kind"] += 1
        else:
            self.collector.add(wire)

    def refuse_strangers(self) -> None:
        """A file full of other things is the wrong file.

        Raises:
            ClusterFileError: there are objects, and none that tells of a cluster's nodes or services.
        """
        found = self._others + self.collector.seen
        if found and found.keys().isdisjoint(("Node", "Service", "EndpointSlice")):
            kinds = ", ".join(f"{count} {kind}" for kind, count in found.most_common(3))
            raise ClusterFileError(
                f"{self.name} has no objects of kind Node, Service or EndpointSlice, but {kinds}", remedy=_REMEDY
            )

    def _refuse_shape(self, what: str) -> NoReturn:
        raise ClusterFileError(f"{self.name} is not a list of Kubernetes objects: {what}", remedy=_REMEDY)


def _place(data: bytes, position: int) -> str:
    """Line and column, both from 1, as "line:column"."""
    newline = b"\n"
    line, column = data.count(newline, 0, position) + 1, position - data.rfind(newline, 0, position)
    return f"{line}:{column}"
