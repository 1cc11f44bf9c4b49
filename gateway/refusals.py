"""What an answer other than 200 of a back end means, and how much of it a client may read."""

import json
import re
from dataclasses import dataclass

from completion.engine.api import ApiError
from tandem import secrets

MAX_MESSAGE = 400
# Not about what was asked: another server may well answer. 401 and 403 are about our token.
ELSEWHERE = frozenset({401, 403, 408, 425, 429, 529})
_ADDRESS = re.compile(
    r"https?://\S+|(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?|\[[0-9a-fA-F:]{2,}\](?::\d+)?"
    r"|0x[0-9a-fA-F]{6,}|\b[\w.-]+\.(?:local|internal|lan)\b(?::\d+)?"
)
_PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:\\|~?/)[\w.@+-]+(?:[/\\][\w.@+-]+)+")


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


def clean(message: str) -> str:
    """Without addresses, paths and secrets of the server that said it."""
    line = " ".join(message.split())[:MAX_MESSAGE]
    return secrets.redact(_PATH.sub("(path)", _ADDRESS.sub("(address)", line)))


def in_stream(error: dict[str, object]) -> ApiError:
    """An error that a stream told."""
    code = error.get("code")
    message = clean(str(error.get("message", ""))) or "The server broke off."
    return ApiError(500, message, code=code if isinstance(code, str) else "backend_error")


def _told(data: bytes) -> tuple[str, str | None]:
    try:
        error = json.loads(data)["error"]
        code = error.get("code")
        return str(error["message"]), code if isinstance(code, str) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", None
