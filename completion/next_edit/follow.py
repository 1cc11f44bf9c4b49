"""From the texts before and after an edit to the next place: recognise, plan, keep, answer.

The thread that gets the edits owns `before_change` and `closed`; `ask` may run in another one, one
ask at a time.
"""

import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tree_sitter import Node

from completion.document import Document, language_of, read_text
from completion.edits import PAUSE_S
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
from completion.next_edit.path import path_to
from completion.next_edit.proposal import NextEdit, Place, Plan
from completion.next_edit.refused import NOT_OURS, NOTHING_LEFT, Refused
from completion.next_edit.text import Diff, Source, difference
from completion.retrieve.retriever import path_in
from tandem import secrets
from tandem.errors import UsageError

# States of a document that the newest one is held against: a pause parts them.
KEPT_STATES = 8
KEPT_DOCUMENTS = 8
KEPT_PLANS = 6
# Longer texts are not kept: a person has not written them.
LONGEST = 1_000_000

KEPT_REFUSALS = 100

# Of a change: the document it was made in first.
Key = tuple[Path, *tuple[object, ...]]
Text = Callable[[], str]
TextOf = Callable[[Path], Document | None]


@dataclass(frozen=True)
class Asked:
    """The edits that are left, the next one first. `change` says what was recognised, "" for
    nothing; `reason` why no edit follows from it."""

    edits: tuple[NextEdit, ...] = ()
    change: str = ""
    reason: str = ""


@dataclass(frozen=True)
class _Found:
    """A change, and how to plan what it implies."""

    what: str
    key: Key
    plan: Callable[[], Plan]
    pair: tuple[str, str] | None = None  # of a mere repetition


class NextEdits:
    """Of one process: what its documents were before their last edits, and the plans made."""

    def __init__(self) -> None:
        self._states: OrderedDict[Path, deque[Source]] = OrderedDict()
        self._changed_at: dict[Path, float] = {}
        self._plans: OrderedDict[Key, Plan] = OrderedDict()
        self._refused: OrderedDict[Key, str] = OrderedDict()
        self._last: tuple[Path, Plan, int] | None = None
        # What has been told and not yet been taken: telling never waits for an ask.
        self._told: deque[tuple[Path, Source | None]] = deque()
        self._asking = threading.Lock()

    def before_change(
        self, path: Path, language: str, text: Text, now: float | None = None
    ) -> None:
        """A document is about to change; `text` gives it as it still is, if that is wanted. `now`
        in seconds of a clock that only goes on."""
        now = time.monotonic() if now is None else now
        last = self._changed_at.get(path)
        self._changed_at[path] = now
        if last is not None and now - last <= PAUSE_S:
            return
        if language in names.LANGUAGES and may_be_changed(path):
            state = text()
            if len(state) <= LONGEST:
                self._told.append((path, Source(state, language)))

    def closed(self, path: Path) -> None:
        """What a document was is forgotten; what is left to do elsewhere too."""
        self._changed_at.pop(path, None)
        self._told.append((path, None))

    def ask(self, document: Document, offset: int, index: Index | None, text_of: TextOf) -> Asked:
        """What the last changes imply, for a cursor at `offset`. `text_of` gives the text of a file
        that is open, None for others: these are read from the disk."""
        with self._asking:
            self._take_told()
            texts = _Texts(document, text_of)
            source = texts.of(document.path)
            if source is None or document.language not in names.LANGUAGES:
                return Asked()
            byte = source.byte(offset)
            return self._going_on(document.path, texts, byte) or self._asked(
                document.path, source, byte, index, texts
            )

    def _take_told(self) -> None:
        while self._told:
            path, state = self._told.popleft()
            if state is not None:
                self._keep(path, state)
                continue
            self._states.pop(path, None)
            for key in [key for key in self._plans if key[0] == path]:
                del self._plans[key]
            if self._last is not None and self._last[0] == path:
                self._last = None

    def _keep(self, path: Path, state: Source) -> None:
        states = self._states.setdefault(path, deque())
        self._states.move_to_end(path)
        if len(self._states) > KEPT_DOCUMENTS:
            self._states.popitem(last=False)
        states.append(state)
        if len(states) > KEPT_STATES:
            # That which a plan holds on to goes last.
            held = {id(plan.bases.get(path)) for plan in self._plans.values()}
            loose = [one for one in list(states)[:-1] if id(one) not in held]
            states.remove(loose[0] if loose else states[0])

    def _going_on(self, path: Path, texts: "_Texts", byte: int) -> Asked | None:
        """The rest of what was asked for last, if some of it has been done since."""
        if self._last is None:
            return None
        begun, plan, count = self._last
        edits = plan.remaining(texts.of, path, byte)
        if not 0 < len(edits) < count:
            return None
        self._last = begun, plan, len(edits)
        return Asked(tuple(edits), plan.reason)

    def _asked(
        self, path: Path, source: Source, byte: int, index: Index | None, texts: "_Texts"
    ) -> Asked:
        asked = Asked()
        for found in self._recognised(path, source, index, texts):
            if found.pair and any(plan.pair == found.pair for plan in self._plans.values()):
                continue
            plan = self._plan(found)
            if plan is None:
                asked = asked if asked.change else Asked((), found.what, self._refused[found.key])
                continue
            edits = plan.remaining(texts.of, path, byte)
            if edits:
                self._last = path, plan, len(edits)
                return Asked(tuple(edits), found.what)
            if asked.reason != NOTHING_LEFT:
                asked = Asked((), found.what, NOTHING_LEFT)
        return self._begun_elsewhere(path, texts, byte) or asked

    def _plan(self, found: _Found) -> Plan | None:
        """Made once; None if it was refused."""
        if found.key in self._refused:
            return None
        if found.key not in self._plans:
            try:
                self._plans[found.key] = found.plan()
            except Refused as refused:
                self._refused[found.key] = str(refused)
                if len(self._refused) > KEPT_REFUSALS:
                    self._refused.popitem(last=False)
                return None
            if len(self._plans) > KEPT_PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(found.key)
        return self._plans[found.key]

    def _begun_elsewhere(self, path: Path, texts: "_Texts", byte: int) -> Asked | None:
        """What a change in another document still asks for."""
        for key, plan in reversed(self._plans.items()):
            if key[0] == path or not _holds(plan, key, texts):
                continue
            edits = plan.remaining(texts.of, path, byte)
            if edits:
                self._last = key[0], plan, len(edits)
                return Asked(tuple(edits), plan.reason)
        return None

    def _recognised(
        self, path: Path, new: Source, index: Index | None, texts: "_Texts"
    ) -> Iterator[_Found]:
        """What happened since each kept state, since the last one first."""
        for old in reversed(self._states.get(path, ())):
            diff = difference(old.data, new.data)
            if diff is None or not diff.segments or old.root is None:
                continue
            scene = _Scene(path, old, new, diff, index, texts)
            yield from scene.renames()
            yield from scene.signatures()
            yield from scene.keys()
            yield from scene.repetitions()


class _Scene:
    """A document before and after, and where else to look."""

    def __init__(
        self,
        path: Path,
        old: Source,
        new: Source,
        diff: Diff,
        index: Index | None,
        texts: "_Texts",
    ) -> None:
        self.path, self.old, self.new, self.diff = path, old, new, diff
        self.index, self.texts = index, texts

    def renames(self) -> Iterator[_Found]:
        seen: set[tuple[str, str]] = set()
        for one in change.renames(self.old, self.new, self.diff):
            if (one.old, one.new) not in seen:
                seen.add((one.old, one.new))
                what = f"rename `{one.old}` to `{one.new}`"
                key = (self.path, self.old.number, one.old, one.new, one.start)
                yield _Found(what, key, lambda one=one, what=what: self._renamed(one, what))

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

    def signatures(self) -> Iterator[_Found]:
        for one in change.signatures(self.old, self.new, self.diff):
            if not one.kind:
                continue
            name = one.function.child_by_field_name("name")
            called = self.old.spelled(name.start_byte, name.end_byte) if name else "function"
            what = f"{_KINDS[one.kind]} of `{called}`"
            key = (self.path, self.old.number, one.function.start_byte, one.new)
            yield _Found(what, key, lambda one=one, what=what: self._signature(one, what))

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

    def keys(self) -> Iterator[_Found]:
        for one, before, after in change.strings(self.old, self.new, self.diff):
            if not keys.is_key(before, self.old) or not keys.is_key(after, self.new):
                continue
            spelled = [(node.text or b"").decode("utf-8", "replace") for node in (before, after)]
            what = f"rename the key {spelled[0]} to {spelled[1]}"
            key = (self.path, self.old.number, one.start, *spelled)
            yield _Found(
                what,
                key,
                lambda before=before, after=after, what=what, one=one: self._new_plan(
                    what, keys.places(before, after, self.old)
                ),
            )

    def repetitions(self) -> Iterator[_Found]:
        made = repetition.places(self.old, self.new)
        if made:
            first = made[0]
            what = f"the same edit again: `{first.old}` to `{first.new}`"
            key = (self.path, self.old.number, "again", first.start)
            yield _Found(what, key, lambda: self._new_plan(what, made), (first.old, first.new))

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


class _Texts:
    """What files say during one ask."""

    def __init__(self, document: Document, text_of: TextOf) -> None:
        self._known: dict[Path, Source | None] = {}
        self._text_of = text_of
        self._known[document.path] = (
            Source(document.text, document.language) if may_be_changed(document.path) else None
        )

    def of(self, path: Path) -> Source | None:
        """None of a file that is not to be touched."""
        if path not in self._known:
            self._known[path] = self._read(path) if may_be_changed(path) else None
        return self._known[path]

    def _read(self, path: Path) -> Source | None:
        document = self._text_of(path)
        if document is not None:
            return Source(document.text, document.language)
        if not os.access(path, os.W_OK):
            return None
        try:
            return Source(read_text(path)[0], language_of(path))
        except UsageError:
            return None


def may_be_changed(path: Path) -> bool:
    """Not a secret, and not a file on disk that is read-only."""
    if secrets.is_secret_file(path):
        return False
    return not path.is_absolute() or not path.exists() or os.access(path, os.W_OK)


def _holds(plan: Plan, key: Key, texts: _Texts) -> bool:
    """Whether the change that a plan is for is still there: nobody took it back."""
    source = texts.of(key[0])
    return source is not None and source.data != plan.bases[key[0]].data


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
