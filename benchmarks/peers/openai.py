"""Servers with OpenAI's HTTP: asked as an editor asks them, streaming."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.peers import Answer


@dataclass(frozen=True)
class Asked:
    """An answer and the server's own account of it."""

    answer: Answer
    usage: dict[str, Any]
    finish: str


class Server:
    """Completions of one server. `heals` says whether it takes our field `heal`."""

    def __init__(
        self, name: str, url: str, token: str, pid: int, model: str = "", heals: bool = False
    ) -> None:
        self.name = name
        self.pid = pid
        self.heals = heals
        self._model = model
        self._http = httpx.Client(
            base_url=url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(300.0),
            trust_env=False,
        )

    def answer(
        self, prompt: str | Sequence[int], tokens: int, heal: str = "", prediction: str = ""
    ) -> Answer:
        return self.ask(prompt, tokens, heal, prediction).answer

    def ask(
        self, prompt: str | Sequence[int], tokens: int, heal: str = "", prediction: str = ""
    ) -> Asked:
        """Raises httpx.HTTPStatusError for an answer other than 200."""
        body: dict[str, Any] = {"prompt": prompt if isinstance(prompt, str) else list(prompt)}
        if heal:
            assert self.heals
            body["heal"] = heal
        return self._ask("completions", body, tokens, prediction)

    def chat(self, question: str, tokens: int, prediction: str = "") -> Asked:
        """The same of a chat that begins with this question."""
        body = {"messages": [{"role": "user", "content": question}]}
        return self._ask("chat/completions", body, tokens, prediction)

    def _ask(self, path: str, body: dict[str, Any], tokens: int, prediction: str) -> Asked:
        body |= {
            "max_tokens": tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self._model:
            body["model"] = self._model
        if prediction:
            body["prediction"] = {"type": "content", "content": prediction}
        pieces, first, usage, finish = [], 0.0, {}, ""
        began = time.perf_counter()
        with self._http.stream("POST", path, json=body) as response:
            if response.status_code != 200:
                response.read()
                response.raise_for_status()
            for line in response.iter_lines():
                if not line.startswith("data:") or line == "data: [DONE]":
                    continue
                event = json.loads(line.removeprefix("data:"))
                if "error" in event:
                    raise httpx.HTTPError(str(event["error"]))
                usage = event.get("usage") or usage
                for choice in event.get("choices", []):
                    text = choice.get("text") or choice.get("delta", {}).get("content") or ""
                    if text:
                        first = first or time.perf_counter() - began
                    pieces.append(text)
                    finish = choice.get("finish_reason") or finish
        total = time.perf_counter() - began
        details = usage.get("prompt_tokens_details") or {}
        answer = Answer(
            text="".join(pieces),
            tokens=usage["completion_tokens"],
            prompt_tokens=usage["prompt_tokens"],
            cached_tokens=details.get("cached_tokens") or 0,
            first_ms=(first or total) * 1000,
            total_ms=total * 1000,
        )
        return Asked(answer, usage, finish)

    def abandon(self, prompt: Sequence[int], tokens: int) -> None:
        """Ask, and hang up at the first sign of an answer."""
        body = {"prompt": list(prompt), "max_tokens": tokens, "stream": True}
        with self._http.stream("POST", "completions", json=body) as response:
            if response.status_code != 200:
                response.read()
                response.raise_for_status()
            next(response.iter_raw(), None)

    def close(self) -> None:
        self._http.close()
