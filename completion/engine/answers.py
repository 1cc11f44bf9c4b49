"""What the engine answers, in OpenAI's shapes: whole bodies, and the pieces of a stream.

One `Shape` for each of the two kinds of request, so that the server has one code path.
"""

import secrets
import time
from typing import Any, Literal

from completion.engine.request import Usage

Json = dict[str, Any]
UsageIn = Literal["none", "last event", "every event"]
# "usage": a stream can tell its usage in every event, for clients that stop early.
CAPABILITIES = ["heal", "usage"]


def usage(counts: Usage) -> Json:
    """Token counts; `tandem` adds what a trace wants to know, times in milliseconds."""
    return {
        "prompt_tokens": counts.prompt_tokens,
        "completion_tokens": counts.completion_tokens,
        "total_tokens": counts.prompt_tokens + counts.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": counts.cached_tokens},
        "tandem": {
            "prefill_ms": round(counts.prefill_ms, 2),
            "decode_ms": round(counts.decode_ms, 2),
            "drafted_tokens": counts.drafted_tokens,
            "accepted_tokens": counts.accepted_tokens,
        },
    }


def model_card(
    name: str, created: int, context: int, fim_template: str, parent: str | None = None
) -> Json:
    """One entry of /v1/models. Clients that do not see our capabilities do without them.

    `parent` is an adapter's base, as in vLLM's list.
    """
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "tandem",
        "root": parent or name,
        "parent": parent,
        "capabilities": CAPABILITIES,
        "context_length": context,
        "fim_template": fim_template,
    }


class Shape:
    """Bodies of one answer: `whole`, or `opening`, many `piece`s, a `closing`, maybe `total`."""

    def __init__(
        self, kind: Literal["completion", "chat"], model: str, usage_in: UsageIn = "none"
    ) -> None:
        self._chat = kind == "chat"
        self._usage_in = usage_in
        prefix = "chatcmpl" if self._chat else "cmpl"
        self._head = {"id": f"{prefix}-{secrets.token_hex(12)}", "created": int(time.time())}
        self._head["model"] = model

    def whole(self, text: str, finish: str, counts: Usage) -> Json:
        kind = "chat.completion" if self._chat else "text_completion"
        message = {"role": "assistant", "content": text, "refusal": None}
        part: Json = {"message": message} if self._chat else {"text": text}
        choice = {"index": 0, **part, "logprobs": None, "finish_reason": finish}
        return {**self._head, "object": kind, "choices": [choice], "usage": usage(counts)}

    def opening(self) -> Json | None:
        """Chat streams begin with the role."""
        return self._delta({"role": "assistant", "content": ""}) if self._chat else None

    def piece(self, text: str, counts: Usage) -> Json:
        event = self._delta({"content": text}) if self._chat else self._text(text)
        return self._counted(event, counts)

    def closing(self, text: str, finish: str, counts: Usage) -> Json:
        """The last text, which is often empty, with the reason why it is the last."""
        if not self._chat:
            return self._counted(self._text(text, finish), counts)
        return self._counted(self._delta({"content": text} if text else {}, finish), counts)

    def total(self, counts: Usage) -> Json | None:
        """The event without choices that `stream_options.include_usage` asks for."""
        if self._usage_in == "none":
            return None
        return {**self._event([]), "usage": usage(counts)}

    def _counted(self, event: Json, counts: Usage) -> Json:
        return {**event, "usage": usage(counts)} if self._usage_in == "every event" else event

    def _delta(self, delta: Json, finish: str | None = None) -> Json:
        return self._event(
            [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        )

    def _text(self, text: str, finish: str | None = None) -> Json:
        return self._event([{"index": 0, "text": text, "logprobs": None, "finish_reason": finish}])

    def _event(self, choices: list[Json]) -> Json:
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        event = {**self._head, "object": kind, "choices": choices}
        # OpenAI: with include_usage each event has the field, null until the last one.
        return event if self._usage_in == "none" else {**event, "usage": None}
