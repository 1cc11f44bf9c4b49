"""What follows a shown suggestion once it is taken, found out before it is.

So that Tab after Tab is instant. Where nothing more belongs to the line, it is the next line.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from completion.asking import Asking
from completion.cache import Cache, Known
from completion.document import Document
from completion.flight import Flights
from completion.languages import language_row
from completion.reply import Reply
from tandem.errors import TandemError

# How far up a line's indentation is held against others'.
_LINES_ABOVE = 200
# Seconds after which it begins: the shown suggestion goes to the editor before.
AFTER_S = 0.02
Ask = Callable[[Document, int, bool], Asking]


class Ahead:
    """Of one session. One document at a time: the one that is being typed in."""

    def __init__(self, cache: Cache, flights: Flights, asking: Ask) -> None:
        self._cache = cache
        self._flights = flights
        self._asking = asking
        self._task: asyncio.Task[None] | None = None

    def of(self, document: Document, end: int) -> None:
        """Ask what follows in a document with the suggestion taken, which ends at `end`, unless
        that is known or on its way."""
        known = self._cache.find(document.path, document.text, end) is not None
        if known or self._flights.find(document, end) is not None:
            return
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.create_task(self._find(document, end))

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _find(self, document: Document, end: int) -> None:
        await asyncio.sleep(AFTER_S)
        found = await self._ask(document, end)
        if found is None or found.text or found.reason != "empty answer":
            return
        break_ = line_break(document, end)
        if not break_:
            return
        text = document.text[:end] + break_ + document.text[end:]
        below = await self._ask(replace(document, text=text), end + len(break_))
        if below is not None and below.text:
            ahead = len(break_)
            tokens = tuple((end + ahead, nats) for end, nats in below.tokens)
            reply = replace(below, text=break_ + below.text, tokens=tokens)
            known = Known(reply.text, prefetched=True, info=reply)
            self._cache.put(document.path, document.text, end, known)

    async def _ask(self, document: Document, offset: int) -> Reply | None:
        """None if it was not answered, for whatever reason: nobody is waiting for it."""
        flight = self._flights.start(self._asking(document, offset, True), background=True)
        try:
            await asyncio.wait([flight.task])
            return None if flight.task.cancelled() else flight.task.result()
        except TandemError:
            return None
        finally:
            flight.cancel()


def line_break(document: Document, end: int) -> str:
    """What Enter would bring at a line's end, "" where other text stands right of it."""
    text = document.text
    start, stop = text.rfind("\n", 0, end) + 1, text.find("\n", end)
    if text[end : stop if stop >= 0 else len(text)].strip():
        return ""
    line = text[start:end]
    indent = _indent(line)
    opener = language_row(document.language).opener or "{"
    opens = line.rstrip().endswith((opener, "{", "(", "["))
    return "\n" + indent + (_unit(text[:start], indent) if opens else "")


def _unit(above: str, indent: str) -> str:
    """What one level of indentation is here, as the nearest deeper line above a shallower shows."""
    deeper = indent
    for line in reversed(above.split("\n")[-_LINES_ABOVE:]):
        if not line.strip():
            continue
        found = _indent(line)
        if deeper.startswith(found) and len(found) < len(deeper):
            return deeper[len(found) :]
        deeper = found
    return "\t" if "\t" in indent else "    "


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
