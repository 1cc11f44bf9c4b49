"""Why nothing is shown: every reason a trace can give, beside those of `filters.Reason`."""

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

# These say nothing of the place: asked again, it may have an answer.
PASSING = frozenset({LOADING, RESTARTING, BUSY, FAILED, CANCELLED, TOO_SLOW})


class Silence(Exception):
    """No suggestion; its text is the reason."""
