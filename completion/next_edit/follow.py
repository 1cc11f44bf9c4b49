"""From the texts before and after an edit to the next place: recognise, plan, keep, answer.

The thread that gets the edits owns `before_change` and `closed`; `ask` may run in another one, one
ask at a time.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from completion.document import Document
from completion.edits import PAUSE_S
from completion.index import Index
from completion.next_edit import names
from completion.next_edit.files import TextOf, Texts, may_be_changed
from completion.next_edit.proposal import NextEdit, Plan
from completion.next_edit.refused import NOTHING_LEFT, Refused
from completion.next_edit.scene import Found, Key, Scene
from completion.next_edit.text import Source, difference

# States of a document that the newest one is held against: a pause parts them.
KEPT_STATES = 8
KEPT_DOCUMENTS = 8
KEPT_PLANS = 6
# Longer texts are not kept: a person has not written them.
LONGEST = 1_000_000

KEPT_REFUSALS = 100

Text = Callable[[], str]


@dataclass(frozen=True)
class Asked:
    """The edits that are left, the next one first. `change` says what was recognised, "" for
    nothing; `reason` why no edit follows from it."""

    edits: tuple[NextEdit, ...] = ()
    change: str = ""
    reason: str = ""


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
            texts = Texts(document, text_of)
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

    def _going_on(self, path: Path, texts: Texts, byte: int) -> Asked | None:
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
        self, path: Path, source: Source, byte: int, index: Index | None, texts: Texts
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

    def _plan(self, found: Found) -> Plan | None:
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

    def _begun_elsewhere(self, path: Path, texts: Texts, byte: int) -> Asked | None:
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
        self, path: Path, new: Source, index: Index | None, texts: Texts
    ) -> Iterator[Found]:
        """What happened since each kept state, since the last one first."""
        for old in reversed(self._states.get(path, ())):
            diff = difference(old.data, new.data)
            if diff is None or not diff.segments or old.root is None:
                continue
            scene = Scene(path, old, new, diff, index, texts)
            yield from scene.renames()
            yield from scene.signatures()
            yield from scene.keys()
            yield from scene.repetitions()


def _holds(plan: Plan, key: Key, texts: Texts) -> bool:
    """Whether the change that a plan is for is still there: nobody took it back."""
    source = texts.of(key[0])
    return source is not None and source.data != plan.bases[key[0]].data
