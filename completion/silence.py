"""Why nothing is shown: every reason a trace can give, beside those of `filters.Reason`."""

import asyncio

DISABLED = "disabled"
DISABLED_LANGUAGE = "disabled for this language"
PROTECTED_FILE = "secret file"
CURSOR_IN_KEY = "cursor inside a secret"
LOADING = "model loading"
RESTARTING = "engine restarting"
BUSY = "engine busy"
FAILED = "engine error"
CANCELLED = "cancelled"
TOO_SLOW = "model too slow"
OFF_INDENT = "answer does not continue the line"
CLOSED = "document closed"
NOT_OPEN = "document not open"
READ_ONLY = "read-only document"
OUT_OF_STEP = "document out of step with the editor"


class Silence(Exception):
    """No suggestion; its text is the reason."""


def of_cancelled(error: asyncio.CancelledError) -> str:
    """The reason given to `Task.cancel`, if it is one of ours."""
    return CLOSED if CLOSED in error.args else CANCELLED
