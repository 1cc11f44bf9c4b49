"""How a chat request is worded for OpenAI-compatible servers, and what their refusals mean."""

import email.utils
import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import httpx

from completion import chat_tools
from completion.client import Busy, TooMuch, Unavailable
from completion.messages import Message, Tool, ToolCall
from tandem import secrets, trace
from tandem.errors import EngineError
from tandem.sections import ChatConfig

_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_TOO_LONG = re.compile(r"context.?(?:length|size|window)|too many tokens|prompt is too long", re.I)


@dataclass
class Manner:
    """How a model wants to be asked, as its server's refusals taught us."""

    prompt_tools: bool = False
    without: set[str] = field(default_factory=set)


@lru_cache(maxsize=256)
def manner_of(url: str, model: str) -> Manner:
    return Manner()


class Again(Exception):
    """An attempt gave nothing and may be repeated after `wait` seconds (None: as we like)."""

    def __init__(self, error: EngineError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


@dataclass(frozen=True)
class Wanted:
    """What an answer is asked for with; its messages hold no secrets."""

    messages: Sequence[Message]
    tools: Sequence[Tool]
    max_tokens: int
    temperature: float | None
    prediction: str

    def body(
        self, model: str, options: ChatConfig, manner: Manner, predicts: bool
    ) -> dict[str, Any]:
        """`predicts`: the server takes a prediction."""
        in_prompt = options.tools == "prompt" or (options.tools == "auto" and manner.prompt_tools)
        messages = self.messages
        if in_prompt:
            messages = chat_tools.told(messages, self.tools)
        temperature = options.temperature if self.temperature is None else self.temperature
        body: dict[str, Any] = {
            "model": model,
            "messages": [_spoken(message) for message in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": self.max_tokens or options.max_tokens,
            "temperature": temperature,
        }
        if self.tools and not in_prompt:
            body["tools"] = [_offered(tool) for tool in self.tools]
        if self.prediction and predicts:
            body["prediction"] = {"type": "content", "content": self.prediction}
        if "max_tokens" in manner.without:
            body["max_completion_tokens"] = body["max_tokens"]
        return {key: value for key, value in body.items() if key not in manner.without}


def refusal(
    url: str,
    response: httpx.Response,
    text: str,
    body: dict[str, Any],
    manner: Manner,
    options: ChatConfig,
) -> EngineError | Again:
    """What an answer other than 200 means; `manner` learns from it."""
    status, message = response.status_code, message_of(text)
    told = f"{url} answered {status}: {message}"
    if _TOO_LONG.search(text) and status in (400, 413, 422, 500):
        return TooMuch(f"{url}: {message}", "Ask with less context.")
    name = _unwanted(status, text, body)
    if name == "tools" and options.tools == "native":
        return EngineError(f"{url} takes no tools: {message}", "Set chat.tools to auto.")
    if name:
        manner.prompt_tools = manner.prompt_tools or name == "tools"
        manner.without.add(name)
        return Again(EngineError(told), 0.0)
    if status in (401, 403):
        return EngineError(f"{url} refused the token: {message}", "Set a valid token.")
    if status in _BUSY:
        kind = Busy if status == 429 else Unavailable
        return Again(kind(told, "Try again."), _seconds(response.headers.get("retry-after", "")))
    return EngineError(told)


def _seconds(text: str) -> float | None:
    """Seconds that a Retry-After header asks for; it has a number or a date."""
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _unwanted(status: int, text: str, body: dict[str, Any]) -> str:
    """The field of ours that a refusal is about, if we can do without it."""
    if status not in (400, 404, 422, 500, 501):
        return ""
    lower = text.lower()
    if "tools" in body and re.search(r"\btools?\b|tool_choice|function.?call", lower):
        return "tools"
    if "max_tokens" in body and "max_completion_tokens" in lower:
        return "max_tokens"
    names = ("stream_options", "temperature", "prediction")
    return next((name for name in names if name in body and name in lower), "")


def message_of(text: str) -> str:
    """What an error's body says, in one line."""
    try:
        told = json.loads(text)
        told = told.get("error", told.get("detail", told))
        told = told.get("message", told) if isinstance(told, dict) else told
        return " ".join(str(told).split())[:300]
    except (ValueError, AttributeError):
        return " ".join(text.split())[:200] or "no message"


def _spoken(message: Message) -> dict[str, Any]:
    """A message in OpenAI's form."""
    spoken: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        spoken["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call)},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        spoken["tool_call_id"] = message.tool_call_id
    return spoken


def _arguments(call: ToolCall) -> str:
    """Broken ones go back as an object that holds them: servers refuse what is no JSON."""
    known = call.arguments if isinstance(call.arguments, dict) else {"broken": call.arguments}
    return json.dumps(known, ensure_ascii=False)


def _offered(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return {"type": "function", "function": function}


def without_secrets(messages: Sequence[Message]) -> tuple[list[Message], Counter[str]]:
    """The messages to send, and how many secrets of each kind were taken out."""
    found: Counter[str] = Counter()
    safe = []
    for message in messages:
        content, kinds = _redacted(message.content)
        found.update(kinds)
        calls = tuple(
            replace(call, arguments=trace.scrub(call.arguments)) for call in message.tool_calls
        )
        safe.append(replace(message, content=content, tool_calls=calls))
    return safe, found


@lru_cache(maxsize=1024)
def _redacted(text: str) -> tuple[str, tuple[str, ...]]:
    kinds = tuple(secret.kind for secret in secrets.find(text))
    return (secrets.redact(text), kinds) if kinds else (text, ())
