"""A document before and after its last edits: what changed, and what that implies where."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tree_sitter import Node

from completion.index import Index
from completion.next_edit import (
    arguments,
    change,
    elsewhere,
    keys,
    members,
    names,
    rename,
    repetition,
)
from completion.next_edit.files import Texts
from completion.next_edit.path import path_to
from completion.next_edit.proposal import Place, Plan
from completion.next_edit.refused import NOT_OURS, Refused
from completion.next_edit.text import Diff, Source
from completion.retrieve.retriever import path_in

# Of a change: the document it was made in first.
Key = tuple[Path, *tuple[object, ...]]


@dataclass(frozen=True)
class Found:
    """A change, and how to plan what it implies."""

    what: str
    key: Key
    plan: Callable[[], Plan]
    pair: tuple[str, str] | None = None  # of a mere repetition


class Scene:
    """A document before and after, and where else to look."""

    def __init__(
        self,
        path: Path,
        old: Source,
        new: Source,
        diff: Diff,
        index: Index | None,
        texts: Texts,
    ) -> None:
        self.path, self.old, self.new, self.diff = path, old, new, diff
        self.index, self.texts = index, texts

    def renames(self) -> Iterator[Found]:
        seen: set[tuple[str, str]] = set()
        for one in change.renames(self.old, self.new, self.diff):
            if (one.old, one.new) not in seen:
                seen.add((one.old, one.new))
                what = f"rename `{one.old}` to `{one.new}`"
                key = (self.path, self.old.number, one.old, one.new, one.start)
                yield Found(what, key, lambda one=one, what=what: self._renamed(one, what))

    def _renamed(self, one: change.Renamed, what: str) -> Plan:
        here = rename.places(one, self.old, self.new, self.diff)
        plan = Plan(what, {self.path: self.old}, {self.path: here}, (one.old, one.new))
        found = names.binding_at(self.old, one.old, one.start)
        if found is None:
            return plan
        binding, mention = found
        if mention.what == "parameter":
            function = binding.scope
            for path, source, call in self._calls_elsewhere(function):
                made = list(_labels(call, one, source))
                self._add(plan, path, source, made)
        elif binding.scope.parent is None and mention.what != "import":
            self._renamed_elsewhere(one, plan)
        return plan

    def _renamed_elsewhere(self, one: change.Renamed, plan: Plan) -> None:
        for path, source, found in self._references(one.old):
            found = [reference for reference in found if not reference.alias]
            made, edits = [], []
            for reference in found:
                node = reference.path[-1].node
                written = rename.written(reference.form, one)
                made.append(Place(node.start_byte, one.old, written))
                edits.append(rename.Edit(node.start_byte, node.end_byte, written, one.new))
            bare = [
                edit
                for edit, reference in zip(edits, found, strict=True)
                if _is_bare(reference.path, source)
            ]
            try:
                if bare:
                    rename.check_bound_alike(source, bare, set(), one.new, lambda *_: False)
            except Refused:
                continue  # that file has the new name already
            self._add(plan, path, source, made)

    def signatures(self) -> Iterator[Found]:
        for one in change.signatures(self.old, self.new, self.diff):
            if not one.kind:
                continue
            name = one.function.child_by_field_name("name")
            called = self.old.spelled(name.start_byte, name.end_byte) if name else "function"
            what = f"{_KINDS[one.kind]} of `{called}`"
            key = (self.path, self.old.number, one.function.start_byte, one.new)
            yield Found(what, key, lambda one=one, what=what: self._signature(one, what))

    def _signature(self, one: change.Signature, what: str) -> Plan:
        arguments.check(one)
        bound = False
        name = one.function.child_by_field_name("name")
        if name is None:
            raise Refused(NOT_OURS)
        if self.old.language == "python":
            role = names.role_of(path_to(self.root, name.start_byte), "python")
            in_class = role.scope is not None and role.scope.type == "class_definition"
            bound = arguments.is_bound(one.function, one.old, in_class)
        calls = list(members.calls(one.function, self.old))
        made = [arguments.place(call, one, self.old, bound) for call in calls]
        plan = self._new_plan(what, _some(made))
        for path, source, call in self._calls_elsewhere(one.function):
            self._add(plan, path, source, _some([arguments.place(call, one, source, bound)]))
        return plan

    def keys(self) -> Iterator[Found]:
        for one, before, after in change.strings(self.old, self.new, self.diff):
            if not keys.is_key(before, self.old) or not keys.is_key(after, self.new):
                continue
            spelled = [(node.text or b"").decode("utf-8", "replace") for node in (before, after)]
            what = f"rename the key {spelled[0]} to {spelled[1]}"
            key = (self.path, self.old.number, one.start, *spelled)
            yield Found(
                what,
                key,
                lambda before=before, after=after, what=what, one=one: self._new_plan(
                    what, keys.places(before, after, self.old)
                ),
            )

    def repetitions(self) -> Iterator[Found]:
        made = repetition.places(self.old, self.new)
        if made:
            first = made[0]
            what = f"the same edit again: `{first.old}` to `{first.new}`"
            key = (self.path, self.old.number, "again", first.start)
            yield Found(what, key, lambda: self._new_plan(what, made), (first.old, first.new))

    @property
    def root(self) -> Node:
        assert self.old.root is not None
        return self.old.root

    def _new_plan(self, what: str, made: list[Place]) -> Plan:
        return Plan(what, {self.path: self.old}, {self.path: made})

    def _add(self, plan: Plan, path: Path, source: Source, made: list[Place]) -> None:
        if made:
            plan.bases.setdefault(path, source)
            plan.places.setdefault(path, []).extend(made)

    def _references(self, name: str) -> Iterator[tuple[Path, Source, list[elsewhere.Reference]]]:
        if self.index is None or not self.index.exists:
            return
        root, path = self.index.root, path_in(self.path, self.index.root)
        texts = lambda other: self.texts.of(root / other)  # noqa: E731
        for other, source, found in elsewhere.references(
            self.index, path, self.old.language, name, texts
        ):
            yield root / other, source, found

    def _calls_elsewhere(self, function: Node) -> Iterator[tuple[Path, Source, Node]]:
        """Of a function or class at the top of the file."""
        called = function
        name = function.child_by_field_name("name")
        if name is not None and name.text == b"__init__":
            role = names.role_of(path_to(self.root, name.start_byte), "python")
            called = role.scope if role.scope is not None else function
            name = called.child_by_field_name("name")
        if name is None:
            return
        spelled = self.old.spelled(name.start_byte, name.end_byte)
        own = names.binding_at(self.old, spelled, name.start_byte)
        if own is None or own[0].scope.parent is not None or len(own[0].definitions) > 1:
            return
        for path, source, found in self._references(spelled):
            for reference in found:
                if reference.imports:
                    continue
                way = reference.path
                call = members.called(way) or members.called(way[:-1])
                if call is not None:
                    yield path, source, call


_KINDS = {
    "added": "a new parameter",
    "removed": "a removed parameter",
    "reordered": "the new order of parameters",
    "default": "a new default",
}


def _is_bare(path: names.Path, source: Source) -> bool:
    """Whether a reference is bound by the file's own import, and not a member or an alias."""
    return names.role_of(path, source.language).kind in ("definition", "use")


def _labels(call: Node, one: change.Renamed, source: Source) -> Iterator[Place]:
    listed = call.child_by_field_name("arguments")
    for argument in listed.named_children if listed is not None else ():
        name = argument.child_by_field_name("name")
        if argument.type != "keyword_argument" or name is None:
            continue
        if source.spelled(name.start_byte, name.end_byte) == one.old:
            yield Place(name.start_byte, one.old, one.new)


def _some(places: list[Place | None]) -> list[Place]:
    return [one for one in places if one is not None]
