"""What reaches static routes from `groups`, which mirror the hierarchy, where `apply-groups` names them.

Rules as in the Junos CLI user guide, "configuration groups": names may be patterns in angle brackets, what is written
itself goes first, and `apply-groups-except` keeps a group out from its level on. `apply-groups "${node}"` stands for
the group of the member that a router runs on (`node0` or `node1` of a chassis cluster), which its text does not tell:
each of them may be applied.
"""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from k8s_ecmp.platforms.junos_hops import read_defaults
from k8s_ecmp.platforms.junos_places import Document, Scope, Section
from k8s_ecmp.platforms.junos_text import Words

_MEMBERS = {"${node}": ("node0", "node1"), "${re}": ("re0", "re1")}


def _matches(pattern: str | None, name: str | None) -> bool:
    """Whether a name in a group, which may be `<pattern>`, stands for a name of the configuration."""
    if pattern is None or name is None or pattern[0] != "<":
        return pattern == name
    return fnmatchcase(name, pattern[1:].rstrip(">"))


def inherit(document: Document) -> None:
    """Lets groups reach the sections: their defaults, their routes, and patterns that match routes."""
    grouped = [section for (group, _), section in document.sections.items() if group is not None]
    grouped = [section for section in grouped if "inactive" not in " ".join(section.flaws)]
    for named in (False, True):  # a member's group may precede those that are named
        for theirs in grouped:
            for scope in _scopes(document, theirs.scope):
                if _reach(document, theirs.group or "", scope.path) is named:
                    _inherit_section(document, theirs, scope, named=named)
    for (group, _), section in document.sections.items():
        if group is None:
            try:
                section.in_force = read_defaults(reversed(section.defaults))
            except ValueError as error:
                refuse_defaults(document, section, section.last, error)


def refuse_defaults(document: Document, section: Section, line: int, problem: ValueError) -> None:
    """Defaults that cannot be read leave nothing to say of the routes beside them."""
    section.flaws.append(document.remarks.flaw(line, "static defaults", problem, "every route beside them"))


def _scopes(document: Document, theirs: Scope) -> Iterator[Scope]:
    """The scopes of the configuration that a scope in a group stands for."""
    instances: Iterable[str | None] = (None,)
    if theirs.instance is not None:
        pattern = theirs.instance
        instances = [name for name in document.instances if _matches(pattern, name)] or (
            [pattern] if pattern[0] != "<" else []
        )
    for instance in instances:
        ribs = [
            scope.rib
            for group, scope in document.sections
            if group is None and scope.instance == instance and scope.rib and _matches(theirs.rib, scope.rib)
        ]
        if theirs.rib is None or theirs.rib[0] != "<":
            yield Scope(instance, theirs.rib)
        else:
            yield from (Scope(instance, rib) for rib in ribs)


def _reach(document: Document, group: str, path: Words) -> bool | None:
    """How a group reaches a path: True by its name, False perhaps, by a variable; None: not at all."""
    if _reaches(document, group, path, named=True):
        return True
    return False if _reaches(document, group, path) else None


def _reaches(
    document: Document, group: str, path: Words, seen: frozenset[str] = frozenset(), *, named: bool = False
) -> bool:
    """Whether an `apply-groups` at or above the path names the group, itself or through another group.

    Or may do so by a variable, unless `named` asks for the name itself.
    """
    if group in seen:
        return False
    at = [applied for applied in document.applied if path[: len(applied.path)] == applied.path]
    excepted = {len(one.path) for one in at if one.removed and group in one.names}
    for applied in at:
        if applied.removed or not (group in applied.names or (not named and _may_be(group, applied.names))):
            continue
        if any(depth >= len(applied.path) for depth in excepted):
            continue
        if applied.group is None or _reaches(document, applied.group, path, seen | {group}, named=named):
            return True
    return False


def _may_be(group: str, names: Words) -> bool:
    return any(group in _MEMBERS.get(name.strip('"'), ()) for name in names)


def _inherit_section(document: Document, theirs: Section, scope: Scope, *, named: bool) -> None:
    """Defaults that may be in force (not `named`) leave nothing to say of the routes beside them."""
    section = document.section(scope)
    present = {words[0] for words in section.defaults}
    defaults = [words for words in theirs.defaults if words[0] not in present]
    if named:
        section.defaults += defaults
    elif any(words[0] in ("preference", "tag") for words in defaults):
        section.flaws.append(f"may inherit defaults from group {theirs.group}")
    for pattern, entry in theirs.entries.items():
        own = [known for text, known in section.entries.items() if _matches(pattern, text)]
        for known in own:
            known.flaws.append(f"inherits from group {theirs.group}")
        if not own and pattern[0] != "<":
            document.inherited.append((scope, entry, theirs.group or ""))
