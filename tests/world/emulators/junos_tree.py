"""A Junos configuration as the device keeps it: a tree of statements, its text in braces, `set` lines, and its diff.

Of the schema it knows what the Junos CLI reference says of static routes, and of the rest whether a word names an
object. Statements of one value replace it; lists keep the order of entry; containers without contents are not shown.
"""

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

Words = tuple[str, ...]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|/\*.*?\*/|#[^\n]*|[{};\[\]]|[^\s{};\[\]"]+', re.DOTALL)
# Objects with a name, which exist without contents.
_NAMED = frozenset(
    {
        "route",
        "qualified-next-hop",
        "rib",
        "lsp-next-hop",
        "unit",
        "address",
        "user",
        "policy-statement",
        "term",
        "group",
    }
)
_LISTS = frozenset({"next-hop", "community", "apply-groups"})
_SINGLE = frozenset(
    {"tag", "preference", "metric", "host-name", "description", "message", "version", "router-id", "instance-type"}
    | {"minimum-interval", "multiplier", "encrypted-password", "uid", "class"}
)
_KINDS = ("next-hop", "next-table", "discard", "reject", "receive")  # of these a route has one kind
_CONTAINERS = frozenset(
    {"routing-options", "static", "routing-instances", "defaults", "bfd-liveness-detection", "system", "services"}
    | {"interfaces", "protocols", "policy-options", "forwarding-table", "login", "then", "groups", "family"}
)


class Refused(Exception):
    """The device does not take a line; `kind` is "error" or "warning"."""

    def __init__(self, message: str, path: str = "", kind: str = "error") -> None:
        super().__init__(message)
        self.path = path
        self.kind = kind


@dataclass
class Node:
    """A statement: `children` of a container, `values` of a leaf that has some."""

    children: dict[Words, "Node"] = field(default_factory=dict)
    values: list[str] = field(default_factory=list)
    inactive: bool = False
    note: str = ""
    tail: str = ""

    def get(self, *path: Words) -> "Node | None":
        node: Node | None = self
        for key in path:
            node = node.children.get(key) if node is not None else None
        return node


def parse(text: str) -> Node:
    """The tree of a text in braces."""
    root = Node()
    stack = [root]
    words: list[str] = []
    note = ""
    last: Node | None = None
    for token in _TOKEN.findall(text):
        if token.startswith("/*"):
            note = token
        elif token == "## SECRET-DATA" and last is not None:
            last.tail = token
        elif token[0] == "#":
            continue
        elif token in ";{":
            inactive = words[0] == "inactive:"
            words = words[inactive:]
            last = _add(stack[-1], words, block=token == "{")
            object_ = stack[-1].children.get(tuple(words[:2]), last)  # of `route P next-hop A;` the route
            object_.inactive, object_.note = object_.inactive or inactive, note or object_.note
            if token == "{":
                stack.append(last)
            words, note = [], ""
        elif token == "}":
            stack.pop()
        else:
            words.append(token)
    return root


def _add(node: Node, words: Sequence[str], *, block: bool = False) -> Node:
    """Enters a statement below a node and returns its own node."""
    if block:
        return node.children.setdefault(tuple(words), Node())
    if words[0] in _NAMED and len(words) > 2:
        return _add(node.children.setdefault(tuple(words[:2]), Node()), words[2:])
    if words[0] in _LISTS | _SINGLE and len(words) > 1:
        leaf = node.children.setdefault((words[0],), Node())
        values = [word for word in words[1:] if word not in "[]"]
        leaf.values = list(dict.fromkeys(leaf.values + values)) if words[0] in _LISTS else values
        return leaf
    return node.children.setdefault(tuple(words), Node())


def show(node: Node, indent: str = "") -> Iterator[str]:
    """The lines of `show configuration`."""
    for key, child in node.children.items():
        head = ("inactive: " if child.inactive else "") + " ".join(key)
        if child.note:
            yield indent + child.note
        if child.values:
            text = child.values[0] if len(child.values) == 1 else f"[ {' '.join(child.values)} ]"
            yield f"{indent}{head} {text};" + (f" {child.tail}" if child.tail else "")
        elif not child.children:
            if key[0] in _NAMED or key[0] not in _CONTAINERS:
                yield f"{indent}{head};"
        else:
            inner = list(show(child))
            if key[0] == "route" and len(inner) == 1:
                yield f"{indent}{head} {inner[0]}"
            elif inner:
                yield f"{indent}{head} {{"
                yield from (f"{indent}    {line}" for line in inner)
                yield indent + "}"


def text_of(node: Node) -> str:
    """The text of a tree."""
    return "\n".join(show(node)) + "\n"


# --- set lines ---


def _steps(words: Sequence[str]) -> list[Words]:
    """The path of a `set` line as one step for each level, the last one a leaf with its value or a container."""
    steps: list[Words] = []
    rest = list(words)
    while rest:
        size = 2 if rest[0] in _NAMED and len(rest) > 1 else 1
        if steps in ([("routing-instances",)], [("interfaces",)]):
            size = 1
        elif rest[0] in _LISTS | _SINGLE or (rest[0] not in _CONTAINERS and size == 1):
            size = len(rest)
        steps.append(tuple(rest[:size]))
        rest = rest[size:]
    return steps


def change(root: Node, line: str, forbidden: str | None = None) -> None:
    """Does what a `set` or `delete` line says.

    Raises:
        Refused: the line is wrong (an error), or there is nothing to delete (a warning).
    """
    words = _TOKEN.findall(line)
    if not words or words[0] not in ("set", "delete", "activate", "deactivate") or (forbidden and forbidden in line):
        raise Refused("syntax error", path=line)
    _expect_prefixes(words)
    steps = _steps(words[1:])
    if words[0] == "set":
        _set(root, steps)
    elif words[0] == "delete":
        _delete(root, steps)
    else:
        node = root.get(*steps)
        if node is None:
            raise Refused("statement not found", kind="warning")
        node.inactive = words[0] == "deactivate"


def _expect_prefixes(words: Sequence[str]) -> None:
    import ipaddress

    for place, word in enumerate(words[:-1]):
        if word == "route":
            try:
                ipaddress.ip_network(words[place + 1])
            except ValueError:
                raise Refused(f"invalid value '{words[place + 1]}'", path=" ".join(words[1:place])) from None
        if word == "tag" and not words[place + 1].isdigit():
            raise Refused(f"invalid value '{words[place + 1]}' for tag", path=" ".join(words[1:place]))


def _set(root: Node, steps: Sequence[Words]) -> None:
    node = root
    for step in steps[:-1]:
        node = node.children.setdefault(step, Node())
    last = steps[-1]
    if len(steps) > 1 and steps[-2][0] == "route" and last[0] in _KINDS:
        for kind in [key for key in node.children if key[0] in _KINDS and key[0] != last[0]]:
            del node.children[kind]
    _add(node, last)


def _delete(root: Node, steps: Sequence[Words]) -> None:
    trail = [root]
    for step in steps[:-1]:
        if step not in trail[-1].children:
            raise Refused("statement not found", kind="warning")
        trail.append(trail[-1].children[step])
    node, last = trail[-1], steps[-1]
    leaf = node.children.get(last[:1]) if last[0] in _LISTS | _SINGLE else None
    if leaf is not None and len(last) > 1:
        if last[1] not in leaf.values:
            raise Refused("statement not found", kind="warning")
        leaf.values.remove(last[1])
        if not leaf.values:
            del node.children[last[:1]]
    elif last in node.children:
        del node.children[last]
    else:
        raise Refused("statement not found", kind="warning")
    for above, step in reversed(list(zip(trail, steps[:-1], strict=False))):
        child = above.children[step]
        if child.children or child.values or step[0] not in _CONTAINERS | {"rib"}:
            break
        del above.children[step]


# --- compare ---


def compare(old: Node, new: Node, path: Words = ()) -> Iterator[str]:
    """The lines of `show | compare`: whole statements under the path that they stand at."""
    lines: list[str] = []
    deeper: list[tuple[Words, Node, Node]] = []
    for key in dict.fromkeys([*old.children, *new.children]):
        before, after = old.children.get(key), new.children.get(key)
        if before == after:
            continue
        if before is not None and after is not None and before.inactive == after.inactive and not before.values:
            deeper.append((key, before, after))
            continue
        for sign, node in (("-", before), ("+", after)):
            if node is not None:
                lines += [f"{sign}  {line}" for line in show(Node({key: node}), " " * 2)]
    if lines:
        yield f"[edit{''.join(' ' + word for word in path)}]"
        yield from lines
    for key, before, after in deeper:
        yield from compare(before, after, path + key)


def clone(node: Node) -> Node:
    """A tree of its own with the same statements."""
    return copy.deepcopy(node)


# --- what a commit checks ---


def check(root: Node) -> None:
    """Raises Refused where the configuration cannot be committed."""
    for path, routes in statics(root):
        for prefix, node in routes:
            kinds = {key[0] for key in node.children} & {*_KINDS, "qualified-next-hop", "lsp-next-hop"}
            if not kinds:
                raise Refused("next hop must be specified", path=f"{' '.join(path)} route {prefix}")
    instances = root.get(("routing-instances",))
    for key, node in instances.children.items() if instances else ():
        if ("instance-type",) not in node.children:
            raise Refused("Missing mandatory statement: 'instance-type'", path=f"routing-instances {' '.join(key)}")


def statics(root: Node) -> Iterator[tuple[Words, list[tuple[str, Node]]]]:
    """Every active `static` container: the words that lead to it, and its active routes."""
    roots: list[tuple[Words, Node]] = [((), root)]
    instances = root.get(("routing-instances",))
    if instances is not None and not instances.inactive:
        roots += [(("routing-instances", *key), node) for key, node in instances.children.items() if not node.inactive]
    for above, base in roots:
        options = base.children.get(("routing-options",))
        if options is None or options.inactive:
            continue
        ribs = [(key, node) for key, node in options.children.items() if key[0] == "rib"]
        for key, container in [((), options), *ribs]:
            static = container.children.get(("static",))
            if static is not None and not static.inactive and not container.inactive:
                routes = [(k[1], n) for k, n in static.children.items() if k[0] == "route" and not n.inactive]
                yield (*above, "routing-options", *key, "static"), routes
