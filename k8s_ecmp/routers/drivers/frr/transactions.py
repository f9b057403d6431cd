"""From commands to transactions, and back: what goes to the router in which order, and what takes it all back. Pure.

staticd (8.4.4, seen) may install none or only some hops of a prefix that gains several in one transaction when other
prefixes use those hops already. So a transaction adds at most one hop to a prefix. What a prefix loses goes in a
transaction of its own behind the last addition: the set never shrinks below what old and new have in common, and it is
never empty. A discard route does not mix with hops; there the exchange is made with the first addition.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from k8s_ecmp.model import DEFAULT_VRF
from k8s_ecmp.routers.drivers.frr.grammar import Line, read_line, route_texts

Key = tuple[str, str]  # VRF, canonical prefix


class Refused(Exception):
    """A command that cannot be taken back, because it is no static route command. `number` is its 1-based line."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number
        self.text = text


class Commands(NamedTuple):
    """The candidate: route lines in order, and the host name where it sets one. `plain`: see `Line.plain`."""

    lines: tuple[Line, ...]
    hostname: str | None
    plain: bool


def read_commands(text: str) -> Commands:
    """Raises `Refused` at the first line that is neither static route, VRF block, host name nor comment."""
    block = DEFAULT_VRF
    lines: list[Line] = []
    hostname: str | None = None
    plain = True
    for number, raw in enumerate(text.splitlines(), 1):
        stripped = raw.strip()
        if not stripped or stripped.startswith(("!", "#")):
            continue
        words = stripped.split()
        line = read_line(stripped, block)
        if line is not None:
            lines.append(line)
            plain = plain and line.plain
        elif words[0] == "vrf" and len(words) == 2:
            block = words[1]
            plain = False
        elif words[0] in ("exit-vrf", "exit", "end") and len(words) == 1:
            block = DEFAULT_VRF
        elif words[0] == "hostname" and len(words) == 2:
            hostname = words[1]
            plain = False
        else:
            raise Refused(number, stripped)
    return Commands(tuple(lines), hostname, plain)


@dataclass
class Running:
    """Static route lines of the running configuration by prefix, as text; the one mutable thing: it follows commits."""

    routes: dict[Key, list[str]] = field(default_factory=dict)
    hostname: str | None = None
    others: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> "Running":
        routes: dict[Key, list[str]] = {}
        for block, line in route_texts(text):
            words = line.split(None, 5)
            prefix = words[2]
            if words[3] == "from" and len(words) > 4:
                prefix = f"{prefix} from {words[4]}"
            routes.setdefault((block, prefix), []).append(line)
        names = [
            line.split()[1] for line in text.splitlines() if line.startswith("hostname ") and len(line.split()) > 1
        ]
        return cls(routes, names[0] if names else None, tuple(line for _, line in _other_lines(text)))

    def lines(self, key: Key) -> list[Line]:
        """The lines of a prefix that are understood; others are never touched."""
        found = (read_line(text, key[0]) for text in self.routes.get(key, ()))
        return [line for line in found if line is not None]

    def take(self, change: "Change") -> None:
        """Follows a change that was committed."""
        for key, (_, after) in change.prefixes.items():
            if after:
                self.routes[key] = list(after)
            else:
                self.routes.pop(key, None)
        if change.hostname:
            self.hostname = change.hostname[1]


@dataclass(frozen=True)
class Change:
    """What a candidate does: batches to apply, batches that take it back, and the lines before and after by prefix."""

    batches: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    prefixes: Mapping[Key, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)
    hostname: tuple[str | None, str] | None = None

    @property
    def diff(self) -> str:
        """Lines that go ("-") and come ("+"), VRF blocks as context; "" when nothing changes."""
        out: list[str] = []
        if self.hostname:
            old, new = self.hostname
            out.extend([f"-hostname {old}"] if old else [])
            out.append(f"+hostname {new}")
        context = DEFAULT_VRF
        for (vrf, _), (before, after) in sorted(self.prefixes.items(), key=lambda item: item[0][0] != DEFAULT_VRF):
            if vrf != context:
                out.append(f" vrf {vrf}")
                context = vrf
            indent = "" if vrf == DEFAULT_VRF else " "
            out.extend(f"-{indent}{line}" for line in before if line not in after)
            out.extend(f"+{indent}{line}" for line in after if line not in before)
        return "\n".join(out)


_State = dict[tuple[str, ...], Line]  # of one prefix: the line that stands for each hop


def _applied(before: _State, lines: Iterable[Line]) -> _State:
    """The state after some commands.

    Up to 10.6 the last tag written is that of all hops of a distance; from 10.7 on each hop has its own. We give all of
    them the last one, whatever the version, unless they have several already.
    """
    after = dict(before)
    pairs = {(line.distance, line.tag) for line in before.values()}
    mixed = [distance for distance, many in Counter(distance for distance, _ in pairs).items() if many > 1]
    written: dict[int, int] = {}
    for line in lines:
        if line.negative:
            after.pop(line.hop, None)
            continue
        standing = after.get(line.hop)
        alike = standing is not None and standing.distance == line.distance and standing.plain and line.plain
        after[line.hop] = _with_tag(standing, line.tag) if standing is not None and alike else line
        if line.distance not in mixed:
            written[line.distance] = line.tag
    return {hop: _with_tag(line, written.get(line.distance, line.tag)) for hop, line in after.items()}


def _steps(before: _State, after: _State) -> list[list[Line]]:
    """Transactions for one prefix, additions first; lines to remove are the standing ones, marked negative."""
    gained, rewritten = [], []
    for hop, line in after.items():
        known = before.get(hop)
        if known is None or known.distance != line.distance:
            gained.append(line)
        elif known.tag != line.tag or (not (known.plain and line.plain) and known.text != line.text):
            if not known.plain:  # options that are left out would stay, from 10.7 on
                rewritten.append(_negative(known))
            rewritten.append(line)
    lost = [line for hop, line in before.items() if hop not in after]
    steps = [[line] for line in gained] or [[]]
    steps[0] = [*rewritten, *steps[0]]
    gone = [_negative(line) for line in lost]
    if any(line.discard for line in (*gained, *lost)):
        steps[0] += gone
    else:
        steps.append(gone)
    return [step for step in steps if step]


def _with_tag(line: Line, tag: int) -> Line:
    """The line as it must be written for its group to carry `tag`."""
    if line.tag == tag:
        return line
    words = line.text.split()
    if "tag" in words:
        position = words.index("tag")
        del words[position : position + 2]
    text = " ".join([*words, *(["tag", str(tag)] if tag else [])])
    return Line(text, False, line.vrf, line.block, line.prefix, line.hop, line.discard, line.distance, tag, line.plain)


def _negative(line: Line) -> Line:
    return Line(
        f"no {line.text}",
        True,
        line.vrf,
        line.block,
        line.prefix,
        line.hop,
        line.discard,
        line.distance,
        line.tag,
        line.plain,
    )


def _shown(state: _State) -> tuple[str, ...]:
    return tuple(line.text for line in state.values())


def _write(steps_by_prefix: Iterable[list[list[Line]]]) -> list[str]:
    """The k-th step of every prefix in the k-th batch; lines of a VRF block together."""
    blocks: list[dict[str, list[str]]] = []
    for steps in steps_by_prefix:
        while len(blocks) < len(steps):
            blocks.append({DEFAULT_VRF: []})
        for number, step in enumerate(steps):
            for line in step:
                blocks[number].setdefault(line.block, []).append(line.text)
    return ["".join(_block(name, lines) for name, lines in batch.items()) for batch in blocks]


def _block(name: str, lines: Sequence[str]) -> str:
    if name == DEFAULT_VRF:
        return "".join(f"{line}\n" for line in lines)
    return f"vrf {name}\n" + "".join(f" {line}\n" for line in lines) + "exit-vrf\n"


def change(running: Running, commands: Commands) -> Change:
    """What `commands` do to `running`. Commands that change nothing are left out."""
    wanted: dict[Key, list[Line]] = {}
    for line in commands.lines:
        wanted.setdefault((line.vrf, line.prefix), []).append(line)
    forward: list[list[list[Line]]] = []
    backward: list[list[list[Line]]] = []
    prefixes: dict[Key, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    for key, lines in wanted.items():
        before = {line.hop: line for line in running.lines(key)}
        after = _applied(before, lines)
        steps = _steps(before, after)
        if steps:
            forward.append(steps)
            backward.append(_steps(after, before))
            prefixes[key] = (_shown(before), _shown(after))
    batches, undo = _write(forward), _write(backward)
    hostname: tuple[str | None, str] | None = None
    if commands.hostname and commands.hostname != running.hostname:
        hostname = (running.hostname, commands.hostname)
        batches.insert(0, f"hostname {commands.hostname}\n")
        undo.append(f"hostname {running.hostname}\n" if running.hostname else f"no hostname {commands.hostname}\n")
    return Change(tuple(batches), tuple(undo), prefixes, hostname)


_NO_CONTENT = re.compile(r"\s*(!|$|vrf |exit-vrf|hostname |(no )?ip(v6)? route |Building conf|Current conf|end$)")


def _other_lines(text: str) -> list[tuple[int, str]]:
    """Lines that are neither routes nor their blocks, with their numbers."""
    return [(n, line) for n, line in enumerate(text.splitlines(), 1) if not _NO_CONTENT.match(line)]


def _number(text: str, wanted: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if line.strip() == wanted)


def replacement(running: Running, text: str) -> Commands:
    """The commands that turn the static routes and host name of `running` into those of a whole configuration.

    Raises:
        Refused: another line differs from `running`; this driver replaces nothing else.
    """
    target = Running.read(text)
    known = Counter(running.others)
    for number, line in _other_lines(text):
        known[line] -= 1
        if known[line] < 0:
            raise Refused(number, line)
    for line in known.elements():
        raise Refused(0, f"no {line}")
    lines: list[Line] = []
    for key in running.routes:
        keep = {line.hop for line in target.lines(key)}
        lines.extend(_negative(line) for line in running.lines(key) if line.hop not in keep)
    for key, texts in target.routes.items():
        if running.routes.get(key) != texts:
            if len(target.lines(key)) != len(texts):
                unread = next(route for route in texts if read_line(route, key[0]) is None)
                raise Refused(_number(text, unread), unread)
            lines.extend(target.lines(key))
    return Commands(tuple(lines), target.hostname, plain=False)
