"""Why nothing is shown: every reason a trace can give, beside those of `filters.Reason`."""

import asyncio

DISABLED = "disabled"
DISABLED_LANGUAGE = "disabled for this language"
DISABLED_PATH = "disabled for this file"
PROTECTED_FILE = "secret file"
MANUAL = "only when asked for"
SNOOZED = "snoozed"
POPUP = "the editor's list is open"
IN_COMMENT = "in a comment"
IN_STRING = "in a string"
IN_WORD = "inside a word"
PASTED = "after a paste"
UNDONE = "after undo"
REJECTED = "after rejections"
TYPED_ON = "typed on"
CURSOR_IN_KEY = "cursor inside a secret"
LOADING = "model loading"
RESTARTING = "engine restarting"
BUSY = "engine busy"
FAILED = "engine error"
CANCELLED = "cancelled"
TOO_SLOW = "model too slow"
UNSURE = "hardly ever accepted"
OFF_INDENT = "answer does not continue the line"
CLOSED = "document closed"
NOT_OPEN = "document not open"
READ_ONLY = "read-only document"
OUT_OF_STEP = "document out of step with the editor"

# These say nothing of the place: asked again, it may have an answer.
PASSING = frozenset({LOADING, RESTARTING, BUSY, FAILED, CANCELLED, TOO_SLOW})


class Silence(Exception):
    """No suggestion; its text is the reason."""


def of_cancelled(error: asyncio.CancelledError) -> str:
    """The reason given to `Task.cancel`, if it is one of ours."""
    return CLOSED if CLOSED in error.args else CANCELLED
