"""What the engine answers, in OpenAI's shapes: whole bodies, and the pieces of a stream.

One `Shape` for each of the two kinds of request, so that the server has one code path.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from completion.engine.request import Chunk, TokenLogprob, Usage

Json = dict[str, Any]
UsageIn = Literal["none", "last event", "every event"]
# "usage": a stream can tell its usage in every event, for clients that stop early. "documents":
# a newer request of a document takes an older one's place. "memory": see `memories`.
CAPABILITIES = ["heal", "usage", "documents", "prediction", "logprobs", "memory"]


def usage(counts: Usage, memory: str = "") -> Json:
    """Token counts; `tandem` adds what a trace wants to know, times in milliseconds.

    `memory` is what became of the one that was asked for.
    """
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
            **({"memory": memory} if memory else {}),
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


@dataclass
class Choice:
    """One whole answer: its text, why it ended, and its tokens' log-probabilities if asked for."""

    text: str
    finish: str
    logprobs: list[TokenLogprob] | None = None


class Shape:
    """Bodies of one request: `whole`, or `opening`, many `piece`s, a `closing`, maybe `total`.

    `bytes_at` spells a token, for log-probabilities; `memory` goes into usage.
    """

    def __init__(
        self,
        kind: Literal["completion", "chat"],
        model: str,
        usage_in: UsageIn = "none",
        bytes_at: Callable[[int], bytes] = lambda _: b"",
        memory: str = "",
    ) -> None:
        self._memory = memory
        self._chat = kind == "chat"
        self._usage_in = usage_in
        self._bytes_at = bytes_at
        prefix = "chatcmpl" if self._chat else "cmpl"
        self._head = {"id": f"{prefix}-{secrets.token_hex(12)}", "created": int(time.time())}
        self._head["model"] = model

    def whole(self, choices: Sequence[Choice], counts: Usage) -> Json:
        kind = "chat.completion" if self._chat else "text_completion"
        found = []
        for index, choice in enumerate(choices):
            message = {"role": "assistant", "content": choice.text, "refusal": None}
            part: Json = {"message": message} if self._chat else {"text": choice.text}
            logprobs = self._logprobs(choice.logprobs)
            found.append(
                {"index": index, **part, "logprobs": logprobs, "finish_reason": choice.finish}
            )
        return {
            **self._head,
            "object": kind,
            "choices": found,
            "usage": usage(counts, self._memory),
        }

    def opening(self, index: int = 0) -> Json | None:
        """Chat streams begin with the role."""
        return self._delta(index, {"role": "assistant", "content": ""}) if self._chat else None

    def piece(self, chunk: Chunk, counts: Usage, index: int = 0, offset: int = 0) -> Json:
        """`offset` counts the characters of the answer before this piece."""
        logprobs = self._logprobs(chunk.logprobs or None, offset)
        if self._chat:
            event = self._delta(index, {"content": chunk.text}, None, logprobs)
        else:
            event = self._text(index, chunk.text, None, logprobs)
        return self._counted(event, counts)

    def closing(self, chunk: Chunk, counts: Usage, index: int = 0, offset: int = 0) -> Json:
        """The last text, which is often empty, with the reason why it is the last."""
        logprobs = self._logprobs(chunk.logprobs or None, offset)
        if not self._chat:
            return self._counted(self._text(index, chunk.text, chunk.finish, logprobs), counts)
        delta = {"content": chunk.text} if chunk.text else {}
        return self._counted(self._delta(index, delta, chunk.finish, logprobs), counts)

    def total(self, counts: Usage) -> Json | None:
        """The event without choices that `stream_options.include_usage` asks for."""
        if self._usage_in == "none":
            return None
        return {**self._event([]), "usage": usage(counts, self._memory)}

    def _counted(self, event: Json, counts: Usage) -> Json:
        if self._usage_in != "every event":
            return event
        return {**event, "usage": usage(counts, self._memory)}

    def _delta(
        self, index: int, delta: Json, finish: str | None = None, logprobs: Json | None = None
    ) -> Json:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return self._event([choice])

    def _text(self, index: int, text: str, finish: str | None, logprobs: Json | None) -> Json:
        choice = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}
        return self._event([choice])

    def _event(self, choices: list[Json]) -> Json:
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        event = {**self._head, "object": kind, "choices": choices}
        # OpenAI: with include_usage each event has the field, null until the last one.
        return event if self._usage_in == "none" else {**event, "usage": None}

    def _logprobs(self, tokens: Sequence[TokenLogprob] | None, offset: int = 0) -> Json | None:
        if tokens is None:
            return None
        if self._chat:
            return {"content": [self._chat_token(token) for token in tokens], "refusal": None}
        texts = [self._spell(token.token) for token in tokens]
        return {
            "tokens": texts,
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [
                # Of tokens spelled alike the likeliest: it comes first, and so is written last.
                {self._spell(other): logprob for other, logprob in reversed(token.top)} or None
                for token in tokens
            ],
            "text_offset": [offset + n for n in accumulate(map(len, texts), initial=0)][:-1],
        }

    def _chat_token(self, token: TokenLogprob) -> Json:
        return {
            **self._spelled(token.token, token.logprob),
            "top_logprobs": [self._spelled(*other) for other in token.top],
        }

    def _spelled(self, token: int, logprob: float) -> Json:
        return {
            "token": self._spell(token),
            "logprob": logprob,
            "bytes": list(self._bytes_at(token)),
        }

    def _spell(self, token: int) -> str:
        return self._bytes_at(token).decode("utf-8", "replace")


def together(counts: Sequence[Usage]) -> Usage:
    """The usage of several answers to one prompt, which counts once, as OpenAI counts it."""
    first = counts[0]
    return Usage(
        prompt_tokens=first.prompt_tokens,
        cached_tokens=first.cached_tokens,
        completion_tokens=sum(count.completion_tokens for count in counts),
        drafted_tokens=sum(count.drafted_tokens for count in counts),
        accepted_tokens=sum(count.accepted_tokens for count in counts),
        prefill_ms=max(count.prefill_ms for count in counts),
        decode_ms=max(count.decode_ms for count in counts),
    )
