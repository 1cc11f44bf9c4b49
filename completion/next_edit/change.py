"""What a change is: which name, parameter, key or token became what."""

from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from completion.next_edit.path import path_to
from completion.next_edit.text import NAME, Diff, Segment, Source

_PARAMETERS = frozenset(
    {"default_parameter", "typed_default_parameter", "assignment_pattern", "optional_parameter"}
)


@dataclass(frozen=True)
class Renamed:
    """`old` at byte `start` of the old text became `new` at byte `at` of the new one."""

    old: str
    new: str
    start: int
    at: int


@dataclass(frozen=True)
class Parameter:
    """`text`: as it is written. `keyword`: it can be given by name only. `many`: it takes all that
    is left, or it is a mark and no parameter."""

    name: str
    text: str
    default: str = ""
    optional: bool = False
    keyword: bool = False
    many: bool = False


@dataclass(frozen=True)
class Signature:
    """The parameters of one function before and after; `function` is a node of the old tree."""

    function: Node
    old: tuple[Parameter, ...]
    new: tuple[Parameter, ...]

    @property
    def kind(self) -> str:
        """added, removed, reordered, default; "" for what is none of these alone."""
        before, after = [one.name for one in self.old], [one.name for one in self.new]
        added = [name for name in after if name not in before]
        removed = [name for name in before if name not in after]
        if len(added) == 1 and not removed and [n for n in after if n in before] == before:
            return "added"
        if len(removed) == 1 and not added and [n for n in before if n in after] == after:
            return "removed"
        if before == after:
            changed = [one for one, two in zip(self.old, self.new, strict=True) if one != two]
            return "default" if changed else ""
        return "" if added or removed else "reordered"


def renames(old: Source, new: Source, diff: Diff) -> Iterator[Renamed]:
    """One identifier that took another's place, wherever that is in the code."""
    found = list(_replaced(old, new, diff))
    gone, come = {one.old for one in found}, {one.new for one in found}
    for one in found:
        if one.old not in come or one.new not in gone:  # names that only changed places
            yield one


def _replaced(old: Source, new: Source, diff: Diff) -> Iterator[Renamed]:
    for one in diff.segments:
        before, after = old.data[one.start : one.end], new.data[one.new_start : one.new_end]
        match = NAME.match(after)
        if not NAME.fullmatch(before) or match is None or match[0] == before:
            continue
        if _leaf(old, one.start) == before and _leaf(new, one.new_start) == match[0]:
            yield Renamed(before.decode(), match[0].decode(), one.start, one.new_start)


def signatures(old: Source, new: Source, diff: Diff) -> Iterator[Signature]:
    """Functions whose lists of parameters differ, and whose names do not."""
    seen: set[int] = set()
    for one in diff.segments:
        before = _function(old, one.start)
        after = _function(new, one.new_start)
        if before is None or after is None or before.id in seen:
            continue
        seen.add(before.id)
        if before.has_error or after.has_error or _name(before) != _name(after):
            continue
        yield Signature(before, parameters(before, old.language), parameters(after, new.language))


def strings(old: Source, new: Source, diff: Diff) -> Iterator[tuple[Segment, Node, Node]]:
    """String literals whose text differs, as nodes of both trees."""
    seen: set[int] = set()
    for one in diff.segments:
        before, after = _string(old, one.start), _string(new, one.new_start)
        if before is None or after is None or before.id in seen or before.text == after.text:
            continue
        seen.add(before.id)
        yield one, before, after


def parameters(function: Node, language: str) -> tuple[Parameter, ...]:
    """Of a definition, in their order."""
    listed = function.child_by_field_name("parameters") or function.child_by_field_name("parameter")
    if listed is None:
        return ()
    if listed.type == "identifier":
        return (Parameter(_text(listed), _text(listed)),)
    found: list[Parameter] = []
    keyword = False
    for node in listed.named_children:
        kind = node.type
        if kind in ("comment", "self_parameter"):
            continue
        if kind in ("keyword_separator", "positional_separator"):
            keyword = keyword or kind == "keyword_separator"
            found.append(Parameter("*" if keyword else "/", _text(node), many=True))
            continue
        many = "splat" in kind or "rest" in kind or kind == "variadic_parameter_declaration"
        inner = node.children[0] if kind in ("typed_parameter", "required_parameter") else node
        many = many or "splat" in inner.type or "rest" in inner.type
        for name in _names(node):
            value = node.child_by_field_name("value") or node.child_by_field_name("right")
            optional = kind in _PARAMETERS or value is not None
            default = _text(value) if value is not None else ""
            found.append(
                Parameter(name, _text(node), default, optional, keyword and not many, many)
            )
        keyword = keyword or "splat" in inner.type or "splat" in kind
    return tuple(found)


def _names(node: Node) -> list[str]:
    """More than one in Go, where names share a type; patterns count as their text."""
    named = node.children_by_field_name("name")
    if named:
        return [_text(one) for one in named]
    for field in ("pattern", "left"):
        inner = node.child_by_field_name(field)
        if inner is not None:
            return [_text(inner)]
    if node.type in ("typed_parameter", "mut_pattern") and node.named_children:
        return [_text(node.named_children[0])]
    return [_text(node)]


def _leaf(source: Source, byte: int) -> bytes:
    if source.root is None:
        return b""
    node = path_to(source.root, byte)[-1].node
    inside = "string" in node.type or "comment" in node.type
    return b"" if inside else source.data[node.start_byte : node.end_byte]


def _function(source: Source, byte: int) -> Node | None:
    """Whose parameters this byte is among, or right behind."""
    if source.root is None:
        return None
    for at in (byte, byte - 1):
        path = path_to(source.root, max(at, 0))
        for index in range(len(path) - 1, 0, -1):
            if path[index].field == "parameters" and path[index].node.start_byte < byte:
                return path[index - 1].node
            if path[index].field == "body":
                break
    return None


def _string(source: Source, byte: int) -> Node | None:
    if source.root is None:
        return None
    for step in reversed(path_to(source.root, byte)):
        if step.node.type in ("string", "interpreted_string_literal", "string_literal"):
            return step.node
    return None


def _name(node: Node) -> str:
    name = node.child_by_field_name("name")
    return _text(name) if name is not None else ""


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
