"""Where one name stands in a file and what it is bound to there, from the syntax tree.

Only the places of the asked name are looked at, so a question costs a fraction of a millisecond
however long the file is. Offsets count bytes of UTF-8.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tree_sitter import Node

from completion.next_edit import brackets, python
from completion.next_edit.path import Path, Role, path_to
from completion.next_edit.text import Source

LANGUAGES = frozenset({"python", *brackets.TABLES})
Kind = Literal["definition", "use"]
# A name that stands more often than this is nobody's to rename in passing.
MOST_MENTIONS = 400


@dataclass(frozen=True)
class Mention:
    """One place of a name. `scope` is the id of the scope node that binds it, None for a name
    that the file does not define."""

    start: int
    end: int
    kind: Kind
    what: str
    form: str
    path: Path


class Binding(NamedTuple):
    """All places of one variable, function, class or import in a file, in the file's order.

    `scope`: the node whose names it is among. `unsure`: in that scope the name also stands where
    our rules cannot tell what it is.
    """

    mentions: tuple[Mention, ...]
    scope: Node
    unsure: bool

    @property
    def definitions(self) -> list[Mention]:
        return [one for one in self.mentions if one.kind == "definition"]

    def at(self, start: int) -> Mention | None:
        return next((one for one in self.mentions if one.start == start), None)


def paths_of(source: Source, name: str) -> Iterator[Path]:
    """The identifiers of this name, wherever they stand, but for strings and comments."""
    root, data, language = source.root, source.data, source.language
    if root is None:
        return
    leaves = python.LEAVES if language == "python" else brackets.TABLES[language].leaves
    spelled = name.encode()
    for match in re.finditer(rb"(?<![\w$])" + re.escape(spelled) + rb"(?![\w$])", data):
        path = path_to(root, match.start())
        node = path[-1].node
        if node.type in leaves and (node.start_byte, node.end_byte) == match.span():
            yield path


def role_of(path: Path, language: str) -> Role:
    if language == "python":
        return python.role(path)
    return brackets.role(path, brackets.TABLES[language])


def bindings(source: Source, name: str) -> list[Binding]:
    """Of this name, in a language of ours; none of a name that stands very often."""
    known = source.kept.get(name)
    if known is None:
        known = source.kept[name] = _bindings(source, name)
    return known


def _bindings(source: Source, name: str) -> list[Binding]:
    root, language = source.root, source.language
    found = [(path, role_of(path, language)) for path in paths_of(source, name)]
    if root is None:
        return []
    if len(found) > MOST_MENTIONS:
        return []
    defined = [(path, role) for path, role in found if role.kind == "definition"]
    keys: dict[tuple[int, int], list[Mention]] = {}
    scopes: dict[tuple[int, int], Node] = {}
    in_turn = language == "rust"
    redirected = _redirected(found)

    def key_of(path: Path, role: Role) -> tuple[int, int] | None:
        scope = role.scope
        assert scope is not None
        target = redirected.get(scope.id, "")
        if target == "global":
            scope = root
        elif target == "nonlocal":
            outer = [s for s in _scopes(path, language) if s.id != scope.id]
            scope = next((s for s in outer if _binds(s, defined, redirected)), None)
        if scope is None:
            return None
        key = scope.id, path[-1].node.start_byte if in_turn and role.sequential else 0
        scopes[key] = scope
        return key

    visible: list[tuple[int, Role, tuple[int, int]]] = []
    for path, role in defined:
        key = key_of(path, role)
        if key is None:
            continue
        keys.setdefault(key, []).append(_mention(path, role))
        visible.append((role.since, role, key))
    for path, role in found:
        if role.kind != "use":
            continue
        key = _bound(path, visible, redirected, root, language)
        if key is not None:
            keys[key].append(_mention(path, role))
    unsure = [path for path, role in found if role.kind == "unsure"]
    return [
        Binding(
            tuple(sorted(mentions, key=lambda one: one.start)),
            scopes[key],
            any(any(step.node.id == scopes[key].id for step in path) for path in unsure),
        )
        for key, mentions in keys.items()
    ]


def binding_at(source: Source, name: str, start: int) -> tuple[Binding, Mention] | None:
    """What the name at this byte is bound to."""
    for one in bindings(source, name):
        mention = one.at(start)
        if mention:
            return one, mention
    return None


def _mention(path: Path, role: Role) -> Mention:
    node = path[-1].node
    kind: Kind = "definition" if role.kind == "definition" else "use"
    return Mention(node.start_byte, node.end_byte, kind, role.what, role.form, path)


def _redirected(found: Iterable[tuple[Path, Role]]) -> dict[int, str]:
    """Python's `global` and `nonlocal`, by the scope that says them."""
    return {
        role.scope.id: role.what
        for _, role in found
        if role.scope is not None and role.what in ("global", "nonlocal")
    }


def _binds(scope: Node, defined: list[tuple[Path, Role]], redirected: dict[int, str]) -> bool:
    if scope.type in ("module", "class_definition") or scope.id in redirected:
        return False
    return any(role.scope is not None and role.scope.id == scope.id for _, role in defined)


def _scopes(path: Path, language: str) -> list[Node]:
    """Those around a use, innermost first."""
    if language == "python":
        return python.scopes(path)
    return brackets.scopes(path, brackets.TABLES[language])


def _bound(
    path: Path,
    visible: list[tuple[int, Role, tuple[int, int]]],
    redirected: dict[int, str],
    root: Node,
    language: str,
) -> tuple[int, int] | None:
    at = path[-1].node.start_byte
    for number, scope in enumerate(_scopes(path, language)):
        if language == "python" and number and scope.type == "class_definition":
            continue
        if redirected.get(scope.id) == "global":
            scope = root
        elif redirected.get(scope.id) == "nonlocal":
            continue
        known = [(since, key) for since, role, key in visible if key[0] == scope.id and since <= at]
        if known:
            return max(known)[1]
    return None
