"""Attributes of Python's classes, and the calls of a function, in one file.

Only what is sure by the text alone counts: `self.x` in a method of the class itself, or of a class
in the same file that inherits it, and `Class.x`.
"""

import re
from collections.abc import Iterator

from tree_sitter import Node

from completion.next_edit import refused
from completion.next_edit.change import Renamed, parameters
from completion.next_edit.names import binding_at, bindings, paths_of, role_of
from completion.next_edit.path import Path, path_to
from completion.next_edit.proposal import Place
from completion.next_edit.text import Diff, Source

FUNCTIONS = frozenset(
    {
        "function_definition",
        "lambda",
        "function_declaration",
        "function_expression",
        "generator_function_declaration",
        "arrow_function",
        "method_definition",
        "method_declaration",
        "function_item",
        "func_literal",
        "closure_expression",
    }
)
_PATTERNS = frozenset({"pattern_list", "tuple_pattern", "list_pattern"})
_CALLS = frozenset({"call", "call_expression", "new_expression"})


def places(change: Renamed, old: Source, new: Source, diff: Diff) -> list[Place]:
    """Of an attribute or method that was renamed where its class defines it. Raises Refused."""
    assert old.root is not None
    assert new.root is not None
    if old.language != "python":
        raise refused.Refused(refused.NOT_OURS)
    path = path_to(old.root, change.start)
    owner = class_of(path, old)
    if owner is None:
        raise refused.Refused(refused.NOT_OURS)
    if owner.has_error or new.root.has_error:
        raise refused.Refused(refused.BROKEN)
    family = _family(owner, old)
    if family is None or any(_defines(base, change.old, old) for base in _bases(owner, old)):
        raise refused.Refused(refused.INHERITED)
    # A class below that has its own is another matter.
    family = [cls for cls in family if cls == owner or not _defines(cls, change.old, old)]
    found = list(of_class(family, owner, change.old, old))
    defined = [one for one in found if _is_definition(one)]
    if not defined or defined[0][-1].node.start_byte != change.start:
        raise refused.Refused(refused.STILL_DEFINED)
    if any(of_class(family, owner, change.new, old)):
        raise refused.Refused(refused.CAUGHT)
    made = [Place(one[-1].node.start_byte, change.old, change.new) for one in found]
    return [*made, *_built(owner, change, old, defined)]


def class_of(path: Path, source: Source) -> Node | None:
    """The class that defines the name at the end of a path, as its own or through `self`."""
    role = role_of(path, "python")
    if role.kind == "definition" and role.scope is not None:
        return role.scope if role.scope.type == "class_definition" else None
    if role.kind != "member":
        return None
    first = path[-2].node.child_by_field_name("object")
    return own_class(first, source) if first is not None else None


def own_class(receiver: Node, source: Source) -> Node | None:
    """The class whose method's own object this is."""
    if receiver.type != "identifier" or source.root is None:
        return None
    path = path_to(source.root, receiver.start_byte)
    for index in range(len(path) - 1, 0, -1):
        node = path[index].node
        if node.type not in ("function_definition", "lambda") or path[index + 1].field != "body":
            continue
        key = f"{node.id} {source.spelled(receiver.start_byte, receiver.end_byte)}"
        if key not in source.kept:
            source.kept[key] = _own_object(node, path[:index], receiver, source)
        known = source.kept[key]
        if known is not _OUTER:
            return known
    return None


_OUTER = object()


def _own_object(function: Node, above: Path, receiver: Node, source: Source) -> object:
    """The class, if the function is its method and this its first parameter's name; `_OUTER` if
    the function has no such name, None if it is something else."""
    name = source.spelled(receiver.start_byte, receiver.end_byte)
    listed = [one.name for one in parameters(function, "python")]
    spelled = re.escape(name.encode())
    bound = re.compile(
        rb"(?m)^[ \t]*(?:[\w.]+[ \t]*,[ \t]*)*" + spelled + rb"[ \t]*(?:=(?!=)|,[^\n(=]*=(?!=))"
        rb"|\b" + spelled + rb"[ \t]*:=|\b(?:for|as)[ \t(]+(?:\w+[ \t]*,[ \t]*)*" + spelled + rb"\b"
    )
    body = function.child_by_field_name("body")
    if body is None or bound.search(source.data, body.start_byte, body.end_byte):
        return None
    if name not in listed:
        return _OUTER
    if function.type == "lambda" or listed[0] != name:
        return None
    if above[-1].node.type == "decorated_definition":
        decorators = [one.text for one in above[-1].node.children if one.type == "decorator"]
        if b"@staticmethod" in decorators:
            return None
        above = above[:-1]
    around = [step.node for step in above[-2:]]
    inside = [one.type for one in around] == ["class_definition", "block"]
    return around[0] if inside else None


def of_class(family: list[Node], owner: Node, name: str, source: Source) -> Iterator[Path]:
    """The places of an attribute that are surely of this class."""
    assert source.root is not None
    ids = {one.id for one in family}
    inside: set[int] = set()
    for binding in bindings(source, name):
        if binding.scope == owner:
            inside |= {one.start for one in binding.mentions}
    for path in paths_of(source, name):
        leaf = path[-1].node
        if leaf.start_byte in inside:
            yield path
            continue
        if role_of(path, "python").kind != "member" or path[-2].node.type != "attribute":
            continue
        receiver = path[-2].node.child_by_field_name("object")
        if receiver is None or receiver.type != "identifier":
            continue
        holder = own_class(receiver, source) or _named_class(receiver, source)
        if holder is not None and holder.id in ids:
            yield path


def calls(function: Node, source: Source) -> Iterator[Node]:
    """The calls in this file that are surely of this function, or of the class it makes objects
    of."""
    name = function.child_by_field_name("name")
    if name is None or source.root is None:
        return
    language = source.language
    spelled = source.spelled(name.start_byte, name.end_byte)
    path = path_to(source.root, name.start_byte)
    role = role_of(path, language)
    owner = role.scope if role.scope is not None else None
    if owner is not None and owner.type == "class_definition":
        family = _family(owner, source)
        if family is None:
            return
        if spelled == "__init__":
            yield from _of_name(owner, source)
            return
        for one in of_class(family, owner, spelled, source):
            if call := called(one[:-1]):
                yield call
        return
    yield from _of_name(function, source)


def _of_name(defined: Node, source: Source) -> Iterator[Node]:
    name = defined.child_by_field_name("name")
    assert name is not None
    assert source.root is not None
    spelled = source.spelled(name.start_byte, name.end_byte)
    found = binding_at(source, spelled, name.start_byte)
    if found is None or len(found[0].definitions) > 1:
        return
    for mention in found[0].mentions:
        if call := called(mention.path):
            yield call


def called(path: Path) -> Node | None:
    """The call whose function a path ends at."""
    if len(path) < 2:
        return None
    call, field = path[-2].node, path[-1].field
    return call if call.type in _CALLS and field in ("function", "constructor") else None


def _is_definition(path: Path) -> bool:
    if role_of(path, "python").kind == "definition":
        return True
    index = len(path) - 3
    while path[index].node.type in _PATTERNS:
        index -= 1
    return path[index].node.type == "assignment" and path[index + 1].field == "left"


def _named_class(receiver: Node, source: Source) -> Node | None:
    assert source.root is not None
    name = source.spelled(receiver.start_byte, receiver.end_byte)
    found = binding_at(source, name, receiver.start_byte)
    if found is None or len(found[0].definitions) > 1 or found[0].definitions[0].what != "class":
        return None
    return found[0].definitions[0].path[-2].node


def _bases(cls: Node, source: Source) -> list[Node]:
    """Those that this file defines."""
    listed = cls.child_by_field_name("superclasses")
    names = listed.named_children if listed is not None else []
    found = [_named_class(one, source) for one in names if one.type == "identifier"]
    return [one for one in found if one is not None]


def _family(cls: Node, source: Source) -> list[Node] | None:
    """The class and those of this file below it; None if that goes in circles."""
    assert source.root is not None
    found = [cls]
    for one in found:
        name = one.child_by_field_name("name")
        if name is None or len(found) > 50:
            return None
        spelled = source.spelled(name.start_byte, name.end_byte)
        own = binding_at(source, spelled, name.start_byte)
        if own is None:
            return None
        for mention in own[0].mentions:
            path = mention.path
            if path[-2].field == "superclasses" and path[-3].node not in found:
                found.append(path[-3].node)
    return found


def _defines(cls: Node, name: str, source: Source) -> bool:
    return any(_is_definition(path) for path in of_class([cls], cls, name, source))


def _built(owner: Node, change: Renamed, old: Source, defined: list[Path]) -> Iterator[Place]:
    """A dataclass's field is the name of an argument too."""
    first = defined[0]
    field = first[-2].node.type == "assignment" and first[-2].node.child_by_field_name("type")
    has_own = _defines(owner, "__init__", old)
    if not field or has_own or role_of(first, "python").kind != "definition":
        return
    assert old.root is not None
    built = {one.id for one in _of_name(owner, old)}
    for path in paths_of(old, change.old):
        if role_of(path, "python").kind == "label" and path[-4].node.id in built:
            yield Place(path[-1].node.start_byte, change.old, change.new)
