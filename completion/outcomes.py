"""What became of suggestions: accepted, typed, rejected or ignored, and how much of them stays.

Each conclusion is one trace event of kind "outcome"; none has text of the document in it. Pieces
that were accepted are followed through the edits of the document, and judged after 30 s and
5 min, as they were then: nothing changes between two edits, so no timer is needed for that, and
`tick` only has it told in time. Times are of one clock, in seconds since the epoch.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from completion.changes import Change
from completion.document import Document
from completion.kept import Piece
from completion.suggestion import How, Suggestion
from tandem import trace

# So long an editor may take to say what an edit that we have seen was.
SETTLE_S = 1.0
# After so long without an answer, other text is no answer to the suggestion any more.
IDLE_S = 30.0
KEPT_AFTER_S = {"kept_30s": 30.0, "kept_5min": 300.0}
_RECENT = 32
_PATHS = 64


@dataclass(frozen=True)
class Outcome:
    """`outcome`: accepted, typed (letter by letter), rejected or ignored; `why` of the last two.

    `how`: whole, line or word, the largest unit accepted; "" if nothing was. `characters` were
    accepted, `typed` typed. `at`: when it ended. `id` is that of the completion's event.
    """

    id: str
    outcome: str
    how: str
    characters: int
    typed: int
    why: str
    at: float


@dataclass
class _Followed:
    """Accepted pieces that are yet to be judged."""

    suggestion: Suggestion
    pieces: list[Piece]
    since: float
    waiting: list[str] = field(default_factory=lambda: list(KEPT_AFTER_S))

    @property
    def due(self) -> float:
        return self.since + KEPT_AFTER_S[self.waiting[0]]


@dataclass
class _File:
    """What is going on in one document. `ended` suggestions wait for what the editor may say."""

    active: Suggestion | None = None
    ended: list[Suggestion] = field(default_factory=list)
    followed: list[_Followed] = field(default_factory=list)

    def pieces(self) -> Iterator[Piece]:
        for suggestion in (*self.ended, *([self.active] if self.active else [])):
            yield from suggestion.pieces()
        for followed in self.followed:
            yield from followed.pieces

    def parts(self, change: Change) -> Iterator[Change]:
        """A change, but what replaces text right before the cursor as a deletion and an
        insertion: the new text is taken as typed, not for what became of the old."""
        if self.active is None or change.end != self.active.place:
            yield change
            return
        if change.removed:
            yield Change(change.start, change.removed, "")
        if change.inserted:
            yield Change(change.start, "", change.inserted)

    def end(self, why: str, now: float) -> None:
        if self.active is not None and self.active.ended is None:
            self.active.end("ignored", why, now)
        if self.active is not None:
            self.ended.append(self.active)
        self.active = None


class Outcomes:
    """Of all documents of one language server. The thread that gets the edits owns it."""

    def __init__(self, write: Callable[[trace.Event], None] = trace.write) -> None:
        self._write = write
        self._files: dict[str, _File] = {}
        self._open: dict[str, Suggestion] = {}
        self._recent: OrderedDict[str, deque[Outcome]] = OrderedDict()
        self._reports = False

    def follows(self, path: str) -> bool:
        """Whether a document's edits matter at the moment."""
        return path in self._files

    def shown(self, id: str, document: Document, text: str, offset: int, now: float) -> None:
        """A suggestion goes to the editor, `text` for the place `offset` of the document."""
        self.tick(now)
        path = str(document.path)
        file = self._files.setdefault(path, _File())
        active = file.active
        if active is not None and active.continues(offset, text):
            active.also.append(id)
            active.rest = text
            self._open[id] = active
            return
        file.end("replaced", now)
        file.active = Suggestion(id, path, document.language, offset, text, now)
        self._open[id] = file.active

    def late(self, id: str, document: Document, text: str, now: float) -> None:
        """An answer was sent for a text that is no more: the editor has dropped it."""
        suggestion = Suggestion(id, str(document.path), document.language, 0, text, now)
        suggestion.end("ignored", "late", now)
        self._tell(suggestion)

    def displayed(self, id: str) -> None:
        """The editor says that the user sees it. One that says so once is expected to always."""
        self._reports = True
        if id in self._open:
            self._open[id].displayed = True

    def accepted(self, id: str, how: How, characters: int | None, now: float) -> None:
        """The editor says that all, a line or a word of it was accepted; before or after the
        edit itself. `characters`: None for all that was left."""
        self.tick(now)
        if id in self._open:
            self._open[id].tell(how, characters)

    def rejected(self, id: str, now: float) -> None:
        """The editor says that the user dismissed it."""
        self.tick(now)
        suggestion = self._open.get(id)
        if suggestion is not None and suggestion.ended is None:
            suggestion.end("rejected", "dismissed", now)
            self._files[suggestion.path].end("", now)

    def changed(self, path: str, changes: Sequence[Change], now: float) -> None:
        """The edits that one message of the editor brought, each in the text after the last."""
        self.tick(now)
        file = self._files.get(path)
        if file is None or not changes:
            return
        taken = False
        for change in (part for whole in changes for part in file.parts(whole)):
            for piece in file.pieces():
                piece.follow(change)
            active = file.active
            if active is None or not active.take(change, now):
                continue
            taken = True
            if active.ended is not None:
                if active.outcome == "rejected" and now - active.shown_at > IDLE_S:
                    active.outcome, active.why = "ignored", "idle"
                file.end("", now)
        if not taken:
            file.end("elsewhere", now)

    def closed(self, path: str, now: float) -> None:
        """A document is closed: what waits is judged as it stands."""
        self.tick(now)
        file = self._files.pop(path, None)
        if file is None:
            return
        file.end("closed", now)
        for suggestion in file.ended:
            self._conclude(suggestion, file)
        for followed in file.followed:
            self._judge(followed, list(followed.waiting), now, closed=True)

    def close(self, now: float) -> None:
        """The language server ends."""
        for path in list(self._files):
            self.closed(path, now)

    def recent(self, path: str) -> list[Outcome]:
        """The last outcomes in a document, the newest first; those too that may still turn out
        to have been accepted."""
        file = self._files.get(path)
        waiting = [self._outcome(one) for one in reversed(file.ended)] if file else []
        return [*waiting, *reversed(self._recent.get(path, ()))][:_RECENT]

    def next_due(self) -> float | None:
        """When `tick` has something to say next."""
        times = [followed.due for file in self._files.values() for followed in file.followed]
        times += [
            suggestion.ended + SETTLE_S
            for file in self._files.values()
            for suggestion in file.ended
            if suggestion.ended is not None
        ]
        return min(times, default=None)

    def tick(self, now: float) -> None:
        """Conclude what is due. Before an edit is told, so that texts are as they were then."""
        for path, file in list(self._files.items()):
            for suggestion in list(file.ended):
                assert suggestion.ended is not None
                if now >= suggestion.ended + SETTLE_S:
                    file.ended.remove(suggestion)
                    self._conclude(suggestion, file)
            for followed in list(file.followed):
                while followed.waiting and now >= followed.due:
                    self._judge(followed, followed.waiting[:1], followed.due)
                if not followed.waiting:
                    file.followed.remove(followed)
            if not (file.active or file.ended or file.followed):
                del self._files[path]

    def _conclude(self, suggestion: Suggestion, file: _File) -> None:
        for id in (suggestion.id, *suggestion.also):
            self._open.pop(id, None)
        self._tell(suggestion)
        pieces = [chunk.piece for chunk in suggestion.accepted if chunk.piece is not None]
        if pieces:
            assert suggestion.ended is not None
            file.followed.append(_Followed(suggestion, pieces, suggestion.ended))

    def _tell(self, suggestion: Suggestion) -> None:
        outcome = self._outcome(suggestion)
        recent = self._recent.setdefault(suggestion.path, deque(maxlen=_RECENT))
        recent.append(outcome)
        self._recent.move_to_end(suggestion.path)
        if len(self._recent) > _PATHS:
            self._recent.popitem(last=False)
        details: dict[str, Any] = {
            "outcome": outcome.outcome,
            "how": outcome.how,
            "why": outcome.why,
            "characters": outcome.characters,
            "typed": outcome.typed,
            "seconds": round(outcome.at - suggestion.shown_at, 2),
        }
        if suggestion.also:
            details["also"] = suggestion.also
        self._event(suggestion, details, outcome.at)

    def _outcome(self, suggestion: Suggestion) -> Outcome:
        assert suggestion.ended is not None
        outcome, why = suggestion.outcome, suggestion.why
        if suggestion.accepted:
            outcome, why = "accepted", ""
        elif self._reports and not suggestion.displayed:
            outcome, why = "ignored", why if why == "late" else "not displayed"
        elif not suggestion.rest and suggestion.typed:
            outcome, why = "typed", ""
        characters = sum(chunk.characters for chunk in suggestion.accepted)
        return Outcome(
            suggestion.id,
            outcome,
            suggestion.how,
            characters,
            suggestion.typed,
            why,
            suggestion.ended,
        )

    def _judge(
        self, followed: _Followed, names: list[str], now: float, closed: bool = False
    ) -> None:
        followed.waiting = [name for name in followed.waiting if name not in names]
        details: dict[str, Any] = {
            "outcome": "kept",
            "characters": sum(len(piece.text) for piece in followed.pieces),
        }
        details |= dict.fromkeys(names, sum(piece.kept for piece in followed.pieces))
        if closed:
            details["closed"] = True
        self._event(followed.suggestion, details, now)

    def _event(self, suggestion: Suggestion, details: dict[str, Any], now: float) -> None:
        details = {"of": suggestion.id, "language": suggestion.language, **details}
        self._write(
            trace.Event(
                kind="outcome", source="lsp", file=suggestion.path, details=details, time=now
            )
        )
