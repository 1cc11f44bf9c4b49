"""The places in one file that a renamed definition leaves behind.

What is bound to what is read from the text before the change, where the old name still has its
definition. Then all edits are made, and the new name must be bound to the same places: otherwise
it was taken already, or something between would catch it, and nothing is proposed.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from completion.next_edit import members
from completion.next_edit.change import Renamed
from completion.next_edit.names import Binding, Mention, binding_at, bindings, paths_of, role_of
from completion.next_edit.path import Path, path_to
from completion.next_edit.proposal import Place
from completion.next_edit.refused import BROKEN, CAUGHT, NOT_OURS, NOT_SURE, STILL_DEFINED, Refused
from completion.next_edit.text import Diff, Source

# These look at names by their text.
_BY_TEXT = re.compile(rb"\b(?:locals|vars|eval|exec)\s*\(")


class Edit(NamedTuple):
    """Bytes of a text that become `text`, in which `name` is the variable's."""

    start: int
    end: int
    text: str
    name: str

    @property
    def grown(self) -> int:
        return len(self.text.encode()) - (self.end - self.start)

    @property
    def inside(self) -> int:
        before = self.text.startswith(self.name) and " as " in self.text
        return 0 if before else len(self.text[: self.text.rindex(self.name)].encode())


def places(change: Renamed, old: Source, new: Source, diff: Diff) -> list[Place]:
    """In the old text, those done already among them. Raises Refused."""
    assert old.root is not None
    if new.root is None:
        raise Refused(BROKEN)
    language = old.language
    found = binding_at(old, change.old, change.start)
    if found is None:
        return members.places(change, old, new, diff)
    binding, mention = found
    _check(binding, mention, change, old, new)
    _check_caught(binding, mention, change, diff, new)
    in_class = binding.scope.type == "class_definition"
    made = [] if in_class else [_place(one, change) for one in binding.mentions]
    if in_class:
        made = members.places(change, old, new, diff)
    if mention.what == "parameter" and language == "python":
        made += _documented(mention, change, old)
    if mention.what == "parameter":
        made += [_place_at(path, change) for path in _labels(mention, change.old, old)]
    return sorted(made, key=lambda one: one.start)


def _check(binding: Binding, mention: Mention, change: Renamed, old: Source, new: Source) -> None:
    if mention.kind != "definition" or mention.start != binding.definitions[0].start:
        raise Refused(STILL_DEFINED)
    if binding.unsure:
        raise Refused(NOT_SURE)
    assert new.root is not None
    path = path_to(new.root, change.at)
    role = role_of(path, new.language)
    if role.kind != "definition" or role.what != mention.what:
        raise Refused(NOT_OURS)
    broken = binding.scope.has_error or (role.scope is not None and role.scope.has_error)
    if broken or binding.scope.is_missing:
        raise Refused(BROKEN)
    scope = binding.scope
    is_local = scope.parent is not None and old.language == "python"
    if is_local and _BY_TEXT.search(old.data, scope.start_byte, scope.end_byte):
        raise Refused(NOT_SURE)


def _check_caught(
    binding: Binding, mention: Mention, change: Renamed, diff: Diff, new: Source
) -> None:
    edits: list[Edit] = []
    kept: set[int] = set()
    for one in binding.mentions:
        at = diff.now(one.start, one.end)
        if at is not None:
            edits.append(Edit(*at, written(one.form, change), change.new))
        elif one.start == mention.start:
            kept.add(change.at)
    # What the user has typed since may use the new name too.
    check_bound_alike(new, edits, kept, change.new, lambda at, end: diff.touches(at, end))


def check_bound_alike(
    source: Source,
    edits: list[Edit],
    kept: set[int],
    name: str,
    typed: Callable[[int, int], bool],
) -> None:
    """After the edits, `name` must be bound to one thing at the edited places and those `kept`, and
    nowhere else but in what was `typed`, a range of bytes now. Raises Refused."""
    data, expected = apply(source.data, edits, kept)
    result = Source(data.decode("utf-8", "replace"), source.language)
    assert source.root is not None
    if result.root is None or (result.root.has_error and not source.root.has_error):
        raise Refused(CAUGHT)
    for other in bindings(result, name):
        starts = {one.start for one in other.mentions}
        if not starts & expected:
            continue
        strange = starts - expected
        if expected <= starts and all(typed(*_back(at, edits, len(name))) for at in strange):
            return
        break
    raise Refused(CAUGHT)


def apply(data: bytes, edits: list[Edit], kept: set[int]) -> tuple[bytes, set[int]]:
    """The text with the edits made, and where the name stands then at them and at `kept`."""
    pieces: list[bytes] = []
    at = 0
    places_now = {one + sum(e.grown for e in edits if e.start < one) for one in kept}
    for edit in sorted(edits):
        pieces += [data[at : edit.start], edit.text.encode()]
        places_now.add(sum(map(len, pieces)) - len(edit.text.encode()) + edit.inside)
        at = edit.end
    return b"".join([*pieces, data[at:]]), places_now


def _back(at: int, edits: list[Edit], size: int) -> tuple[int, int]:
    """Where a byte of the result was before the edits, as a range of a name's size."""
    for edit in sorted(edits):
        if edit.start >= at:
            break
        at -= edit.grown
    return at, at + size


def written(form: str, change: Renamed) -> str:
    """How the new name is written at a place."""
    if "{" not in form:
        return change.new
    return form.replace("{old}", change.old).replace("{new}", change.new)


def _place(mention: Mention, change: Renamed) -> Place:
    return Place(mention.start, change.old, written(mention.form, change))


def _place_at(path: Path, change: Renamed) -> Place:
    return Place(path[-1].node.start_byte, change.old, change.new)


def _documented(mention: Mention, change: Renamed, old: Source) -> Iterator[Place]:
    """The parameter's line in the docstring of its function."""
    function = next(s.node for s in reversed(mention.path) if s.node.type in members.FUNCTIONS)
    body = function.child_by_field_name("body")
    first = body.named_children[0] if body is not None and body.named_children else None
    text = first.named_children[0] if first is not None and first.named_children else None
    if text is None or text.type != "string" or first is None:
        return
    if first.type != "expression_statement":
        return
    name = re.escape(change.old.encode())
    line = re.compile(
        rb"(?m):(?:param|parameter|arg|argument|keyword|type)(?:[ \t]+[^:\n]*)?[ \t]+("
        + name
        + rb"):|^[ \t]+\*{0,2}("
        + name
        + rb")[ \t]*(?:\([^)\n]*\))?[ \t]*:[^:]"
    )
    for match in line.finditer(old.data, text.start_byte, text.end_byte):
        group = 1 if match[1] else 2
        yield Place(match.start(group), change.old, change.new)


def _labels(mention: Mention, name: str, old: Source) -> Iterator[Path]:
    """Where calls in this file give the parameter by its name."""
    function = next(s.node for s in reversed(mention.path) if s.node.type in members.FUNCTIONS)
    calls = {node.id for node in members.calls(function, old)}
    assert old.root is not None
    if not calls:
        return
    for path in paths_of(old, name):
        if (
            len(path) > 3
            and role_of(path, old.language).kind == "label"
            and path[-4].node.id in calls
        ):
            yield path
