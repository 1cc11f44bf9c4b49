"""What a request may say: known fields within bounds, so that nothing odd reaches a model server.

Model servers have been crashed and made to fetch addresses by fields of a request: templates,
tensors, grammars, images by URL, huge counts (vLLM's CVE-2025-62164, -62426, -48944). So only the
fields below pass on, what could run something is refused by name, and the body that goes on is
written anew: it has each key once, and no NaN.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import from_json

from completion.engine.api import MAX_ANSWERS, MAX_CHAT_LOGPROBS, MAX_STOPS, ApiError
from completion.engine.request import CHAT, FIRST, LAST
from gateway import schemas
from gateway.config import Role
from gateway.schemas import wrong

Kind = Literal["completion", "chat"]
MAX_STOP, MAX_DOCUMENT, MAX_BIASES = 1024, 4096, 1024
# Rough, and only for what has no count yet: code has 3 to 4 characters a token.
CHARACTERS_PER_TOKEN = 4

_BOTH = {
    *("model", "temperature", "top_p", "seed", "stop", "stream", "stream_options", "n"),
    *("max_tokens", "prediction", "tandem", "presence_penalty", "frequency_penalty"),
    *("logit_bias", "logprobs"),
}
ALLOWED: Mapping[Kind, set[str]] = {
    "completion": _BOTH | {"prompt", "heal", "echo", "suffix", "best_of"},
    "chat": _BOTH
    | {"messages", "max_completion_tokens", "top_logprobs", "tools", "tool_choice"}
    | {"parallel_tool_calls", "response_format"},
}
_REFUSED = re.compile(r"prompt_embeds|chat_template.*|mm_processor.*|guided_.*|structured_outputs")


@dataclass(frozen=True)
class Ask:
    """A request that may go on. `model` is empty if any will do; `size` is its characters;
    `limit` is how many tokens of each answer may be waited for, said or not."""

    kind: Kind
    role: Role
    model: str
    body: dict[str, Any]
    stream: bool
    wants_usage: bool
    size: int
    max_tokens: int
    limit: int

    @property
    def prompt_tokens(self) -> int:
        return self.size // CHARACTERS_PER_TOKEN

    @property
    def most_tokens(self) -> int:
        """What it may use, about."""
        return self.prompt_tokens + self.max_tokens * (self.body.get("n") or 1)

    @property
    def most_events(self) -> int:
        """More than any stream of its answers has: servers send one a token, and a few besides."""
        return 2 * self.limit * (self.body.get("n") or 1) + 64

    def for_backend(self, model: str, tenant: str, more: list[str], salt: bool) -> dict[str, Any]:
        """The body that a back end gets: the tenant is in all that one could share."""
        allowed = ALLOWED[self.kind] | {*more}
        body = {name: value for name, value in self.body.items() if name in allowed}
        body["model"] = model
        told = dict(body.get("tandem") or {})
        if told.get("document"):
            told["document"] = _hash(tenant, told["document"])
            body["tandem"] = told
        if salt:
            body["cache_salt"] = _hash(tenant, "salt")
        if self.stream:
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        return body


def parse(kind: Kind, data: bytes, most_tokens: int) -> Ask:
    """Raises ApiError (400) naming the field that is wrong."""
    try:
        body = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise ApiError(400, f"The body is not valid JSON: {error}.") from None
    if not isinstance(body, dict):
        raise ApiError(400, "The body must be a JSON object.")
    for name in body:
        if _REFUSED.fullmatch(name):
            raise wrong(name, "is not let through")
    body = {name: value for name, value in body.items() if value is not None}
    if body.get("stream") is False:  # as without it, for the cache too
        del body["stream"]
    _plain(body)
    _numbers(body)
    _tandem(body, kind)
    max_tokens = 0
    for name in ("max_tokens", "max_completion_tokens"):
        if name in body:
            body[name] = max_tokens = min(body[name], most_tokens)
    if kind == "completion":
        _prompt(body)
    else:
        _messages(body)
        schemas.check(body)
    options = body.get("stream_options") or {}
    default = 16 if kind == "completion" else most_tokens
    return Ask(
        kind=kind,
        role="completion" if kind == "completion" else "agent" if body.get("tools") else "chat",
        model=body.get("model", ""),
        body=body,
        stream=body.get("stream", False),
        wants_usage=bool(options.get("include_usage")),
        size=len(data),
        max_tokens=max_tokens or default,
        limit=max_tokens or most_tokens,
    )


def _plain(body: dict[str, Any]) -> None:
    for name, kind in (("model", str), ("stream", bool), ("stream_options", dict), ("heal", str)):
        if name in body and not isinstance(body[name], kind):
            raise wrong(name, f"must be {'an object' if kind is dict else f'a {kind.__name__}'}")
    stops = body.get("stop", [])
    stops = [stops] if isinstance(stops, str) else stops
    if not isinstance(stops, list) or len(stops) > MAX_STOPS:
        raise wrong("stop", f"must be at most {MAX_STOPS} texts")
    if not all(isinstance(stop, str) and 0 < len(stop) <= MAX_STOP for stop in stops):
        raise wrong("stop", f"must be texts of 1 to {MAX_STOP} characters")
    bias = body.get("logit_bias", {})
    if not isinstance(bias, dict) or len(bias) > MAX_BIASES:
        raise wrong("logit_bias", f"must be an object of at most {MAX_BIASES}")
    for token, value in bias.items():
        number = type(value) in (int, float) and -100 <= value <= 100
        if not (number and token.isascii() and token.isdecimal() and len(token) < 10):
            raise wrong("logit_bias", "must be numbers of -100 to 100 by token ids")


def _numbers(body: dict[str, Any]) -> None:
    bounds: dict[str, tuple[float, float]] = {
        "temperature": (0, 2),
        "top_p": (0, 1),
        "presence_penalty": (-2, 2),
        "frequency_penalty": (-2, 2),
    }
    whole = {
        "n": (1, MAX_ANSWERS),
        "best_of": (1, MAX_ANSWERS),
        "max_tokens": (1, 2**31),
        "max_completion_tokens": (1, 2**31),
        "seed": (-(2**63), 2**63 - 1),
        "top_logprobs": (0, MAX_CHAT_LOGPROBS),
        "logprobs": (0, MAX_CHAT_LOGPROBS),
    }
    for name, (low, high) in {**bounds, **whole}.items():
        value = body.get(name, low)
        if name == "logprobs" and isinstance(value, bool):  # as a chat says it
            continue
        kinds = int if name in whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            raise wrong(name, f"must be a number of {low} to {high}")


def _tandem(body: dict[str, Any], kind: Kind) -> None:
    told = body.get("tandem", {})
    if not isinstance(told, dict):
        raise wrong("tandem", "must be an object")
    if told.get("memory") is not None:
        raise wrong("tandem.memory", "is not carried by a gateway: memories belong to one engine")
    document = told.get("document", "")
    if not isinstance(document, str) or len(document) > MAX_DOCUMENT:
        raise wrong("tandem.document", f"must be a text of at most {MAX_DOCUMENT} characters")
    priority = told.get("priority")
    if priority is not None:
        if type(priority) is not int or not FIRST <= priority <= LAST:
            raise wrong("tandem.priority", f"must be {FIRST} to {LAST}")
        # Nobody goes before those who type.
        told["priority"] = max(priority, FIRST if kind == "completion" else CHAT)


def _prompt(body: dict[str, Any]) -> None:
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        body["prompt"] = prompt = prompt[0]
    tokens = isinstance(prompt, list) and all(type(t) is int and 0 <= t < 2**31 for t in prompt)
    if not prompt or not (isinstance(prompt, str) or tokens):
        raise wrong("prompt", "must be one string or list of token ids")


def _messages(body: dict[str, Any]) -> None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise wrong("messages", "must be a list of at least one")
    for at, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise wrong(f"messages.{at}", "must be an object with a role")
        content = message.get("content")
        if isinstance(content, list):
            # An image by its address would make the server fetch that address.
            if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
                raise wrong(f"messages.{at}.content", "must be text")
        elif content is not None and not isinstance(content, str):
            raise wrong(f"messages.{at}.content", "must be text")


def _hash(tenant: str, text: str) -> str:
    data = f"{tenant}\0{text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=16).hexdigest()
