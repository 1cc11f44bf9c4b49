"""A changed key of a dictionary: the other places that use it of the same dictionary.

The same dictionary is one variable, or one attribute of one's own object: the key's text alone is
no reason.
"""

import re
from collections.abc import Iterator

from tree_sitter import Node

from completion.next_edit import members
from completion.next_edit.names import binding_at
from completion.next_edit.path import Path, path_to
from completion.next_edit.proposal import Place
from completion.next_edit.refused import AMBIGUOUS, NOT_OURS, STILL_DEFINED, Refused
from completion.next_edit.text import Source

_READERS = frozenset({"get", "pop", "setdefault"})
_PLAIN = re.compile(r"(?P<quote>[\"'])(?P<text>[^\"'\\\n]+)(?P=quote)")
_LITERALS = frozenset({"dictionary", "object"})
_SUBSCRIPTS = frozenset({"subscript", "subscript_expression"})
_ATTRIBUTES = frozenset({"attribute", "member_expression"})

Owner = tuple[object, ...]


def places(before: Node, after: Node, old: Source) -> list[Place]:
    """All places of the key, in the old text. Raises Refused."""
    key, now = _plain(before, old), (after.text or b"").decode("utf-8", "replace")
    new = _PLAIN.fullmatch(now)
    if key is None or new is None or old.root is None:
        raise Refused(NOT_OURS)
    path = path_to(old.root, before.start_byte)
    owner = _owner(path, old)
    if owner is None:
        raise Refused(NOT_OURS)
    found: list[tuple[Node, bool]] = []
    for other in _strings(key, old):
        node = other[-1].node
        if _owner(other, old) == owner:
            found.append((node, _writes(other)))
    writers = [node for node, writes in found if writes]
    if writers and writers[0].start_byte != before.start_byte:
        raise Refused(STILL_DEFINED)
    if not writers:
        raise Refused(AMBIGUOUS)
    return [
        Place(node.start_byte, spelled, spelled[0] + new["text"] + spelled[-1])
        for node, _ in found
        if (spelled := old.spelled(node.start_byte, node.end_byte))
    ]


def is_key(node: Node, source: Source) -> bool:
    if source.root is None or _plain(node, source) is None:
        return False
    return _place_of(_to_string(path_to(source.root, node.start_byte))) is not None


def _plain(node: Node, source: Source) -> str | None:
    match = _PLAIN.fullmatch(source.spelled(node.start_byte, node.end_byte))
    return match["text"] if match else None


def _strings(key: str, source: Source) -> Iterator[Path]:
    assert source.root is not None
    spelled = re.escape(key.encode())
    for match in re.finditer(rb"\"" + spelled + rb"\"|'" + spelled + rb"'", source.data):
        path = _to_string(path_to(source.root, match.start()))
        if (path[-1].node.start_byte, path[-1].node.end_byte) == match.span():
            yield path


def _to_string(path: Path) -> Path:
    for size in range(len(path), 1, -1):
        if path[size - 1].node.type == "string":
            return path[:size]
    return path


def _place_of(path: Path) -> Node | None:
    """The expression of the dictionary that a key is of: a literal, or what is subscripted."""
    if len(path) < 3:
        return None
    parent, field = path[-2].node, path[-1].field
    if parent.type == "pair" and field == "key" and path[-3].node.type in _LITERALS:
        return path[-3].node
    if parent.type in _SUBSCRIPTS and field in ("subscript", "index"):
        return parent.child_by_field_name("value") or parent.child_by_field_name("object")
    if parent.type == "argument_list" and parent.named_children[:1] == [path[-1].node]:
        function = path[-3].node.child_by_field_name("function")
        if function is not None and function.type == "attribute":
            name = function.child_by_field_name("attribute")
            if name is not None and (name.text or b"").decode() in _READERS:
                return function.child_by_field_name("object")
    return None


def _owner(path: Path, source: Source) -> Owner | None:
    """What tells the dictionary of a key from all others; None where nothing does."""
    path = _to_string(path)
    place = _place_of(path)
    if place is None:
        return None
    if place.type in _LITERALS:
        above, field = path[-4].node, path[-3].field
        if above.type == "assignment" and field == "right":
            place = above.child_by_field_name("left")
        elif above.type == "variable_declarator" and field == "value":
            place = above.child_by_field_name("name")
        else:
            return None
    return _variable(place, source) if place is not None else None


def _variable(node: Node, source: Source) -> Owner | None:
    assert source.root is not None
    if node.type == "identifier":
        name = source.spelled(node.start_byte, node.end_byte)
        found = binding_at(source, name, node.start_byte)
        if found is None or len(found[0].definitions) > 1:
            return None
        first = found[0].definitions[0]
        return (found[0].scope.id, name) if first.what == "variable" else None
    if node.type in _ATTRIBUTES and source.language == "python":
        receiver = node.child_by_field_name("object")
        name = node.child_by_field_name("attribute")
        cls = members.own_class(receiver, source) if receiver is not None else None
        if cls is None or name is None:
            return None
        return cls.id, "self", source.spelled(name.start_byte, name.end_byte)
    return None


def _writes(path: Path) -> bool:
    if path[-2].node.type == "pair":
        return True
    return path[-2].node.type in _SUBSCRIPTS and path[-2].field == "left"
