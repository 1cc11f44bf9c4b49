"""A typist before a language server: one row of a replay, a process of its own over stdio.

After each key that changes the text the editor sends the change and asks for ghost text; the next
key cancels what is not answered yet, as VS Code does. What comes in time is shown. If it is right
it is taken at once, by one key; the next request follows, and the next key after a gap as always.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from benchmarks.common import REPOSITORY
from benchmarks.parts.arrivals import Arrivals
from benchmarks.parts.display import Display
from benchmarks.parts.homes import Home
from benchmarks.parts.ledger import Asked, Sitting
from benchmarks.parts.mistakes import mistakes
from benchmarks.parts.prose import keys_of
from benchmarks.parts.rhythm import Rhythm
from benchmarks.parts.scripts import Script
from benchmarks.parts.typist import Edit, Typist, common_start
from lsp.client import Editor, capabilities
from tandem import trace

Accept = Literal["whole", "line", "word"]
SETTLE_S = 0.5
CLOSE_S = 10.0
AROUND = 300  # characters kept on either side of a mistake


@dataclass(frozen=True)
class Row:
    """How the server is set, and what its user takes: only what is right as a `whole`, else its
    first `line` or its right `word`s, each word by a key."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    accept: Accept = "whole"


@dataclass
class _Pending:
    """A request on its way, and the text and place that it is about."""

    asked: Asked
    number: int
    answer: asyncio.Future[types.InlineCompletionList]
    text: str
    offset: int
    done_at: float = 0.0
    client_ms: float = 0.0


class Replay:
    """One row. Start it, let it `type` files, close it."""

    def __init__(self, row: Row, home: Home, speed: float = 1.0, closing: bool = True) -> None:
        self.row = row
        self._home = home
        self._rhythm = Rhythm(speed)
        self._closing = closing
        self._editor = Editor()
        self._arrivals = Arrivals(self._editor.client.protocol)

    async def start(self, folders: list[Path]) -> None:
        """Start the server and wait until the model is there. Raises TandemError if it is not."""
        environment = {**self._home.environment(), "PYTHONPATH": str(REPOSITORY)}
        await self._editor.start(sys.executable, "-m", "tandem", "lsp", env=environment)
        # In UTF-32 a position counts what Python counts.
        able = capabilities(encodings=["utf-32"])
        await self._editor.initialize(able, dict(self.row.settings), folders)
        await self._editor.loaded()

    async def close(self) -> None:
        """In CLOSE_S at most: when all ends at once, who would read the server's answer is gone."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._editor.close(), CLOSE_S)

    async def type(self, script: Script) -> Sitting:
        """Type one file from its first held-out key to its last."""
        typist = Typist(
            script.text,
            script.spans,
            script.seed,
            self._rhythm,
            script.language,
            self._closing,
            script.prose,
        )
        uri = script.file.as_uri()
        self._editor.open(uri, typist.text, script.language)
        await asyncio.sleep(SETTLE_S)  # the repository's index begins to be looked at
        await self._editor.loaded()
        sitting = Sitting(str(script.file), script.keys, 0, [], script.put_in)
        wrong = await _Desk(
            self._editor, self._arrivals, self.row.accept, uri, typist, sitting
        ).work()
        assert typist.text == script.text, "in the end stands what the file holds"
        self._editor.shut(uri)
        await asyncio.sleep(SETTLE_S)  # events of cancelled requests are written
        self._match(sitting)
        for pending, edit in wrong:
            before, after = pending.text[: edit.start], pending.text[edit.end :]
            replaced = pending.text[edit.start : edit.end]
            found = mistakes(before, edit.text, replaced, after, script.language)
            pending.asked.mistakes = found
            if found:
                pending.asked.around = before[-AROUND:], after[:AROUND]
        return sitting

    def _match(self, sitting: Sitting) -> None:
        events = {
            event["details"].get("version"): event
            for event in trace.read(file=self._home.trace)
            if event["kind"] == "completion" and event["file"] == sitting.file
        }
        for one in sitting.asked:
            one.event = events.get(one.version, {})


class _Desk:
    """The document in the editor while it is typed."""

    def __init__(
        self,
        editor: Editor,
        arrivals: Arrivals,
        accept: Accept,
        uri: str,
        typist: Typist,
        sitting: Sitting,
    ) -> None:
        self._editor, self._arrivals = editor, arrivals
        self._accept, self._uri = accept, uri
        self._typist, self._sitting = typist, sitting
        self._display = Display()
        self._wrong: list[tuple[_Pending, Edit]] = []

    async def work(self) -> list[tuple[_Pending, Edit]]:
        """Type all of it; what was suggested and is not what the file holds."""
        typist, pending = self._typist, None
        while not typist.finished:
            due = time.perf_counter() + typist.pause()
            if pending is not None:
                accepted = await self._look(pending, due)
                if accepted is not None:
                    pending = accepted
                    continue
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if pending is not None and not pending.answer.done():
                self._editor.cancel(pending.number)
            before = typist.text
            key = typist.press()
            self._display.typed(key.typed)
            if key.action == "paste":
                assert key.edit is not None, "something is put in"
                self._send(before, key.edit)
                pending = None
                continue
            self._sitting.pressed += 1
            pending = self._change(before, key.edit) if key.edit else None
        if pending is not None:
            self._editor.cancel(pending.number)
            self._sitting.asked.remove(pending.asked)  # nothing is left that it could bring
        return self._wrong

    async def _look(self, pending: _Pending, due: float) -> _Pending | None:
        """Wait for the answer until the next key is due; the next request if it was taken."""
        left = max(0.0, due - time.perf_counter())
        await asyncio.wait({pending.answer}, timeout=left)
        if not pending.answer.done():
            return None
        asked = pending.asked
        asked.wall_ms, asked.client_ms = pending.done_at, pending.client_ms
        failed = pending.answer.exception() is not None  # the trace tells why
        items = [] if failed else pending.answer.result().items
        if not items:
            self._display.show("")
            return None
        item, typist = items[0], self._typist
        edit = _edit(item, pending)
        kept = pending.text[edit.start : pending.offset]
        asked.text = edit.text.removeprefix(kept)
        asked.new = self._display.show(asked.text)
        asked.right = common_start(asked.text, typist.coming)
        if not typist.fits(edit):
            self._wrong.append((pending, edit))
        part, presses = self._part(edit, pending.offset)
        if not part.text:
            return None
        brought = part.text.removeprefix(kept)
        saved = typist.saves(brought)
        if not saved:  # a comment that is put in anyway
            return None
        asked.accepted, asked.presses, asked.saved = len(brought), presses, saved
        self._sitting.pressed += presses
        typist.accept(part)
        self._display.typed(brought)
        following = self._change(pending.text, part)
        if item.command is not None and part == edit:
            await self._tell(item.command)
        return following

    def _part(self, edit: Edit, offset: int) -> tuple[Edit, int]:
        """What the user takes of a suggestion, and by how many keys; no text for nothing."""
        typist, nothing = self._typist, Edit(offset, offset, "")
        if typist.fits(edit):
            return edit, 1
        if self._accept == "whole" or edit.start != offset or edit.end != offset:
            return nothing, 0
        if self._accept == "line":
            line = edit.text.partition("\n")[0]
            part = Edit(offset, offset, line)
            return (part, 1) if line.strip() and typist.fits(part) else (nothing, 0)
        best = nothing, 0
        for words, end in enumerate(_ends_of_words(edit.text), 1):
            part = Edit(offset, offset, edit.text[:end])
            if not typist.fits(part):
                break
            if keys_of(part.text) - words > keys_of(best[0].text) - best[1]:
                best = part, words
        return best

    def _change(self, before: str, edit: Edit) -> _Pending:
        """Send the edit that the typist has made of the text before, and ask."""
        version = self._send(before, edit)
        text, offset = self._typist.text, self._typist.offset
        here = _position(text, offset)
        asked, began = Asked(self._sitting.file, version), time.perf_counter()
        number, coming = self._editor.request_inline(self._uri, here.line, here.character)
        sent = time.perf_counter()
        answer = asyncio.ensure_future(coming)
        pending = _Pending(asked, number, answer, text, offset)

        def done(answer: asyncio.Future[Any]) -> None:
            now = time.perf_counter()
            pending.done_at = (now - began) * 1000
            if not answer.cancelled():
                answer.exception()  # a cancelled request's is nobody's concern
                read = now - self._arrivals.take(number)
                pending.client_ms = (sent - began + read) * 1000

        answer.add_done_callback(done)
        self._sitting.asked.append(asked)
        return pending

    def _send(self, before: str, edit: Edit) -> int:
        """The document's version with this edit of the text before."""
        start, end = _position(before, edit.start), _position(before, edit.end)
        return self._editor.change(self._uri, (start, end, edit.text))

    async def _tell(self, command: types.Command) -> None:
        """Carry out the command of an accepted item; not every server knows its own."""
        params = types.ExecuteCommandParams(command.command, command.arguments)
        with contextlib.suppress(JsonRpcException):
            await self._editor.client.workspace_execute_command_async(params)


def _edit(item: types.InlineCompletionItem, pending: _Pending) -> Edit:
    text = item.insert_text if isinstance(item.insert_text, str) else item.insert_text.value
    if item.range is None:
        return Edit(pending.offset, pending.offset, text)
    start, end = (_offset(pending.text, place) for place in (item.range.start, item.range.end))
    return Edit(start, end, text)


def _position(text: str, offset: int) -> types.Position:
    return types.Position(text.count("\n", 0, offset), offset - text.rfind("\n", 0, offset) - 1)


def _offset(text: str, position: types.Position) -> int:
    start = 0
    for _ in range(position.line):
        start = text.index("\n", start) + 1
    return start + position.character


def _ends_of_words(text: str) -> list[int]:
    """Where an editor's "accept next word" stops: behind a name, or a run of signs."""
    ends = []
    for at in range(1, len(text) + 1):
        following = text[at : at + 1]
        if not following or (text[at - 1].isalnum() != following.isalnum()):
            ends.append(at)
    return ends
