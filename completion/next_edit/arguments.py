"""What a changed list of parameters asks of a call."""

from collections.abc import Sequence
from dataclasses import replace

from tree_sitter import Node

from completion.next_edit.change import Parameter, Signature
from completion.next_edit.names import bindings
from completion.next_edit.path import path_to
from completion.next_edit.proposal import Place
from completion.next_edit.refused import AMBIGUOUS, OPTIONAL, Refused
from completion.next_edit.text import Source

_SPREADS = frozenset(
    {
        "list_splat",
        "dictionary_splat",
        "spread_element",
        "variadic_argument",
        "generator_expression",
    }
)


def check(change: Signature) -> None:
    """Raises Refused where the new list asks nothing of calls, or nothing that is sure."""
    if change.kind == "added":
        added = next(one for one in change.new if one not in change.old)
        if added.optional or added.many:
            raise Refused(OPTIONAL)
    elif change.kind == "removed":
        if next(one for one in change.old if one not in change.new).many:
            raise Refused(AMBIGUOUS)
    elif change.kind == "reordered":
        if any(one.many for one in change.old):
            raise Refused(AMBIGUOUS)
    else:
        raise Refused(OPTIONAL if change.kind == "default" else AMBIGUOUS)


def place(call: Node, change: Signature, source: Source, bound: bool) -> Place | None:
    """The edit of one call as it was before the change; None if it needs none, or none that is
    sure. `bound`: the first parameter is the object that the method is called on."""
    arguments = call.child_by_field_name("arguments")
    if arguments is None or arguments.has_error or arguments.type in _SPREADS:
        return None
    given = [one for one in arguments.named_children if "comment" not in one.type]
    if any(one.type in _SPREADS for one in given):
        return None
    labelled = [one for one in given if one.type == "keyword_argument"]
    positional = given[: len(given) - len(labelled)]
    if any(one.type == "keyword_argument" for one in positional):
        return None
    if change.kind == "added":
        made = _added(arguments, positional, labelled, change, source, bound)
    elif change.kind == "removed":
        made = _removed(given, positional, labelled, change, source, bound)
    else:
        made = _reordered(positional, change, source, bound)
    return made and replace(made, within=(arguments.start_byte, arguments.end_byte))


def _added(
    arguments: Node,
    positional: list[Node],
    labelled: list[Node],
    change: Signature,
    source: Source,
    bound: bool,
) -> Place | None:
    added = next(one for one in change.new if one.name not in {p.name for p in change.old})
    index = change.new.index(added) - bound
    given = {source.spelled(one.start_byte, one.end_byte).partition("=")[0] for one in labelled}
    if added.name in given or index < 0:
        return None
    value = added.name if _in_scope(added.name, arguments, source) else ""
    if added.keyword or index > len(positional):
        if source.language != "python":
            return None
        return _last([*positional, *labelled], arguments, f"{added.name}=", value, source)
    if index < len(positional):
        return _before(positional[index], value)
    if labelled:
        return _before(labelled[0], value)
    return _last(positional, arguments, "", value, source)


def _before(node: Node, value: str) -> Place:
    return Place(node.start_byte, "", ", ", 0, value)


def _last(given: Sequence[Node], arguments: Node, label: str, value: str, source: Source) -> Place:
    if not given:
        return Place(arguments.start_byte + 1, "", label, len(label), value)
    last = given[-1]
    joiner = ", "
    if last.start_point.row != arguments.start_point.row:
        line = source.data.rfind(b"\n", 0, last.start_byte) + 1
        indent = source.data[line : last.start_byte].decode("utf-8", "replace")
        if not indent.strip():
            joiner = f",\n{indent}"
    return Place(last.end_byte, "", joiner + label, len(joiner + label), value)


def _removed(
    given: list[Node],
    positional: list[Node],
    labelled: list[Node],
    change: Signature,
    source: Source,
    bound: bool,
) -> Place | None:
    removed = next(one for one in change.old if one.name not in {p.name for p in change.new})
    index = change.old.index(removed) - bound
    for one in labelled:
        if source.spelled(one.start_byte, one.end_byte).partition("=")[0].strip() == removed.name:
            return _without(one, given, source)
    if removed.keyword or not 0 <= index < len(positional):
        return None
    return _without(positional[index], given, source)


def _without(node: Node, given: list[Node], source: Source) -> Place:
    at = given.index(node)
    start, end = node.start_byte, node.end_byte
    if at + 1 < len(given):
        end = given[at + 1].start_byte
    elif at:
        start = given[at - 1].end_byte
    return Place(start, source.spelled(start, end), "")


def _reordered(
    positional: list[Node], change: Signature, source: Source, bound: bool
) -> Place | None:
    """Positional arguments change places; what was left out must still be at the end."""
    old, new = (
        [one for one in names[bound:] if not one.keyword] for names in (change.old, change.new)
    )
    if len(positional) > len(old) or {p.name for p in old} != {p.name for p in new}:
        return None
    values = {
        parameter.name: source.spelled(node.start_byte, node.end_byte)
        for parameter, node in zip(old, positional, strict=False)
    }
    order = [one.name for one in new[: len(positional)]]
    if not positional or any(name not in values for name in order):
        return None
    pieces: list[str] = []
    for number, node in enumerate(positional):
        if number:
            before = positional[number - 1].end_byte
            pieces.append(source.spelled(before, node.start_byte))
        pieces.append(values[order[number]])
    start, end = positional[0].start_byte, positional[-1].end_byte
    before = source.spelled(start, end)
    return None if before == "".join(pieces) else Place(start, before, "".join(pieces))


def _in_scope(name: str, at: Node, source: Source) -> bool:
    if source.root is None or not name.isidentifier():
        return False
    around = {step.node.id for step in path_to(source.root, at.start_byte)}
    for binding in bindings(source, name):
        if binding.scope.id not in around or binding.scope.type == "class_definition":
            continue
        if any(one.end <= at.start_byte for one in binding.definitions):
            return True
    return False


def is_bound(function: Node, names: tuple[Parameter, ...], in_class: bool) -> bool:
    """Whether calls do not give the first parameter: `self`, `cls`."""
    if not in_class or not names:
        return False
    above = function.parent
    decorated = above is not None and above.type == "decorated_definition"
    marks = [one.text for one in above.children] if decorated and above is not None else []
    return b"@staticmethod" not in marks
