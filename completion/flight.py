"""Questions to the model that are on their way, so that a newer request can wait for an older one.

An editor takes its request back with every key and makes a new one. Where the answer on its way
begins with what was typed meanwhile, the new request waits for that answer; where it does not, the
older question is cancelled and a new one is asked.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from completion import silence
from completion.asking import Asking
from completion.document import Document
from completion.reply import Reply

# Seconds that a question goes on which nobody waits for: the key that took the request back is
# followed by a new request at once.
GRACE_S = 0.4

Landed = Callable[["Flight", Reply], None]


class Flight:
    """One question. A `background` one was asked before anybody wanted to know."""

    def __init__(self, asking: Asking, landed: Landed, background: bool = False) -> None:
        self.asking = asking
        self.background = background
        self._landed = landed
        self._waiters = 0
        self._moved = asyncio.Event()
        asking.on_text = self._moved.set
        self.task = asyncio.create_task(asking.ask())
        self.task.add_done_callback(self._end)

    @property
    def done(self) -> bool:
        return self.task.done()

    @property
    def so_far(self) -> str:
        return self.asking.so_far

    def typed_since(self, document: Document, offset: int) -> str | None:
        """What was typed at its cursor since it began; None if something else was changed."""
        text, cursor = self.asking.document.text, self.asking.offset
        added = offset - cursor
        if added < 0 or len(document.text) - len(text) != added:
            return None
        same = document.text.startswith(text[:cursor]) and document.text.endswith(text[cursor:])
        return document.text[cursor:offset] if same else None

    def may_answer(self, typed: str) -> bool:
        """Whether the answer goes on from what was typed, as far as one can tell yet."""
        if not typed:
            return True
        # With no text yet there is nothing to hope for: a new question is as near to its answer.
        return self.so_far.startswith(typed) or bool(self.so_far and typed.startswith(self.so_far))

    async def wait(
        self, typed: str, on_first_line: Callable[[str], None] | None = None
    ) -> Reply | None:
        """The suggestion, None as soon as it cannot go on from what was typed.

        `on_first_line` gets what is left to type of the first of several lines, once. Raises
        Silence if a newer question took its place, TandemError if the server failed.
        """
        self._waiters += 1
        told = False
        try:
            while not self.task.done():
                if not self.may_answer(typed):
                    return None
                self._moved.clear()
                await self._moved.wait()
                if on_first_line is None or told:
                    continue
                line = self.asking.first_line()
                if line.startswith(typed) and line != typed:
                    told = True
                    on_first_line(line[len(typed) :])
            if self.task.cancelled():
                raise silence.Silence(silence.CANCELLED)
            return self.task.result()
        finally:
            self._waiters -= 1
            if not self._waiters and not self.background:
                asyncio.get_running_loop().call_later(GRACE_S, self._leave)

    def cancel(self) -> None:
        self.task.cancel()

    def _leave(self) -> None:
        if not self._waiters:
            self.task.cancel()

    def _end(self, task: asyncio.Task[Reply]) -> None:
        self._moved.set()
        # Looked at here, so that a failure which nobody waits for is not reported as forgotten.
        if not task.cancelled() and task.exception() is None:
            self._landed(self, task.result())


class Flights:
    """All of one session: at most one question by document, and one in the background."""

    def __init__(self, landed: Landed) -> None:
        self._landed = landed
        self._flying: dict[Path, list[Flight]] = {}

    def find(self, document: Document, offset: int) -> tuple[Flight, str] | None:
        """One that may answer here, and what was typed since it began."""
        for flight in self._of(document):
            typed = flight.typed_since(document, offset)
            if typed is not None and flight.may_answer(typed):
                return flight, typed
        return None

    def start(self, asking: Asking, background: bool = False) -> Flight:
        """Ask; what else was asked about the document is not wanted any more, unless this only
        looks ahead."""
        for flight in self._of(asking.document):
            if flight.background or not background:
                flight.cancel()
        flight = Flight(asking, self._landed, background)
        self._flying[asking.document.path] = [*self._of(asking.document), flight]
        return flight

    def forget(self, path: Path) -> None:
        """The document was closed."""
        for flight in self._flying.pop(path, []):
            flight.cancel()

    async def close(self) -> None:
        tasks = [flight.task for flights in self._flying.values() for flight in flights]
        self._flying.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _of(self, document: Document) -> list[Flight]:
        key = document.path
        flying = [flight for flight in self._flying.get(key, []) if not flight.done]
        if flying:
            self._flying[key] = flying
        else:
            self._flying.pop(key, None)
        return flying
