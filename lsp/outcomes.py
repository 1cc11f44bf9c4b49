"""What became of suggestions, as the editor says it or as its edits tell.

An editor may send the notifications `tandem/shown {id}`, `tandem/accepted {id, how, characters}`
(how: whole, line or word) and `tandem/rejected {id}`; the id is the argument of the command that
comes with each suggestion. Any editor runs that command when a whole suggestion was accepted.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from completion.changes import Change
from completion.gate import Rejections
from completion.outcomes import Outcomes
from completion.suggestion import HOWS
from lsp.documents import Cursor, OpenDocument
from tandem import daily, trace

ACCEPTED = "tandem.accepted"
# When a server has started, and how often then, the trace is counted before it is rotated away.
FIRST_COUNT_S = 60.0
COUNT_S = 3600.0
log = logging.getLogger(__name__)


class OpenOutcomes:
    """Of one language server. `all` knows the last outcomes of each document."""

    def __init__(self) -> None:
        self.rejections = Rejections()
        self.all = Outcomes(self._concluded)
        self._timer: asyncio.TimerHandle | None = None
        self._counting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Count each day's suggestions in the background from now on."""
        self._counting = asyncio.create_task(_count())

    async def close(self) -> None:
        """Conclude all that waits."""
        self.all.close(time.time())
        self._plan()
        if self._counting is not None:
            self._counting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._counting

    def shown(self, id: str, cursor: Cursor, text: str, current: OpenDocument | None) -> None:
        """A suggestion is sent; `current` is the document as it is by now."""
        if current is None or current.version != cursor.document.version:
            self.all.late(id, cursor.document, text, time.time())
        else:
            self.all.shown(id, cursor.document, text, cursor.offset, time.time())
        self._plan()

    def follows(self, document: OpenDocument) -> bool:
        return self.all.follows(str(document.path))

    def changed(self, document: OpenDocument, changes: Sequence[Change]) -> None:
        self.all.changed(str(document.path), changes, time.time())
        self._plan()

    def closed(self, document: OpenDocument) -> None:
        self.all.closed(str(document.path), time.time())
        self._plan()

    def accepted(self, id: str, how: Any = None, characters: Any = None) -> None:
        counted = isinstance(characters, int) and characters > 0
        how = how if how in HOWS else "whole"
        self.all.accepted(id, how, characters if counted else None, time.time())
        self._plan()

    def rejected(self, id: str) -> None:
        self.all.rejected(id, time.time())
        self._plan()

    def _concluded(self, event: trace.Event) -> None:
        trace.write(event)
        told = event.details
        if told["outcome"] == "accepted":
            self.rejections.reset()
        elif told["outcome"] in ("rejected", "ignored") and told.get("why") != "late":
            self.rejections.rejected(time.monotonic(), 1000 * told["seconds"])

    def _plan(self) -> None:
        """Wake up when something is due, should nothing else happen until then."""
        if self._timer is not None:
            self._timer.cancel()
        due = self.all.next_due()
        self._timer = None
        if due is not None:
            wait = max(due - time.time(), 0.0) + 0.01
            self._timer = asyncio.get_running_loop().call_later(wait, self._wake)

    def _wake(self) -> None:
        self.all.tick(time.time())
        self._plan()


def register(server: LanguageServer, outcomes: OpenOutcomes) -> None:
    """Listen to what the editor says about suggestions."""

    def shown(params: Any) -> None:
        outcomes.all.displayed(_id(params))

    def accepted(params: Any) -> None:
        how, characters = getattr(params, "how", None), getattr(params, "characters", None)
        outcomes.accepted(_id(params), how, characters)

    def rejected(params: Any) -> None:
        outcomes.rejected(_id(params))

    def run(*arguments: Any) -> None:
        outcomes.accepted(str(arguments[0]) if arguments else "")

    server.feature("tandem/shown")(shown)
    server.feature("tandem/accepted")(accepted)
    server.feature("tandem/rejected")(rejected)
    server.command(ACCEPTED)(run)


def command(id: str) -> types.Command:
    """What an editor runs after it has inserted a suggestion."""
    return types.Command("Count this suggestion", ACCEPTED, arguments=[id])


def can_run(able: types.ClientCapabilities) -> bool:
    """Whether an editor runs a command that comes with a suggestion."""
    return able.workspace is not None and able.workspace.execute_command is not None


def _id(params: Any) -> str:
    return str(getattr(params, "id", ""))


async def _count() -> None:
    wait = FIRST_COUNT_S
    while True:
        await asyncio.sleep(wait)
        wait = COUNT_S
        try:
            await asyncio.to_thread(daily.count)
        except OSError as error:
            log.warning("the trace was not counted: %s", error)
