"""What an answer other than 200 of a back end means, and how much of it a client may read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_core import from_json

from completion.engine.api import ApiError
from tandem import secrets

MAX_MESSAGE = 400
BUSY = "backends_busy"
# Not about what was asked: another server may well answer. 401 and 403 are about our token.
ELSEWHERE = frozenset({401, 403, 408, 425, 429, 529})
# A machine's name is known by its domain or by its port.
_ADDRESS = re.compile(
    r"\b[a-z0-9+]{2,12}://\S+|(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?"
    r"|(?<![\w:])\[?(?=[\da-fA-F]*:[\da-fA-F]*:)(?:[\da-fA-F]{1,4}:){0,7}:?"
    r"(?:[0-9a-fA-F]{0,4}:)+[0-9a-fA-F]{1,4}\b"
    r"(?:%\w+)?(?:\](?::\d+)?)?"
    r"|0x[0-9a-fA-F]{6,}|\b[\w.-]+\.(?:local|internal|lan)\b(?::\d+)?"
    r"|\b(?:localhost|[\w-]+(?:\.[\w-]+)+|[a-zA-Z]\w*-[\w-]+):\d{2,5}\b"
)
_PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:\\|\\\\|~?/)[\w.@+-]+(?:[/\\][\w.@+-]+)+")
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass
class Failed(Exception):
    """A back end gave no answer, and nothing of it went to the client. `lost`: its connection
    broke off, which a fresh one may mend. `busy`: it has too much to do."""

    code: str
    lost: bool = False
    busy: bool = False


def meaning(status: int, data: bytes) -> ApiError | Failed:
    """Of a refusal: one that the client should read, or a reason to ask elsewhere."""
    if status in (429, 529):
        return Failed("busy", busy=True)
    if status in ELSEWHERE or status >= 500 or status < 400:
        return Failed(f"status_{status}")
    message, code = _told(data)
    return ApiError(status, clean(message) or f"The server answered {status}.", code=code)


def nobody(failures: Sequence[Failed], waits: Sequence[float]) -> ApiError:
    """What the client reads if no back end answered; `waits` are seconds until each is tried."""
    retry = {"Retry-After": str(max(1, round(min(waits, default=1))))}
    if failures and all(failure.busy for failure in failures):
        message = "The model's servers are busy. Try again in a second."
        return ApiError(429, message, code=BUSY, headers=retry)
    message = "No server of this model answers now. Try again in a moment."
    return ApiError(503, message, code="no_backend", headers=retry)


def clean(message: str) -> str:
    """Without addresses, paths and secrets of the server that said it."""
    line = " ".join(message.split())[:MAX_MESSAGE]
    return secrets.redact(_PATH.sub("(path)", _ADDRESS.sub("(address)", line)))


def in_stream(error: dict[str, object]) -> ApiError:
    """An error that a stream told."""
    message = clean(str(error.get("message", ""))) or "The server broke off."
    return ApiError(500, message, code=_code(error.get("code")) or "backend_error")


def _told(data: bytes) -> tuple[str, str | None]:
    try:
        error = from_json(data, allow_inf_nan=False)["error"]
        return str(error["message"]), _code(error.get("code"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", None


def _code(told: object) -> str | None:
    """A word for programs, which our log keeps as well."""
    return told if isinstance(told, str) and _CODE.fullmatch(told) else None
