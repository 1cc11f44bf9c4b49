"""Why nothing is shown: every reason a trace can give, beside those of `filters.Reason`."""

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


class Silence(Exception):
    """No suggestion; its text is the reason."""
