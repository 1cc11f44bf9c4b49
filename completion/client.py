"""OpenAI-compatible HTTP, from the client's side: which model, and its streamed completions."""

import json
import math
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from tandem.errors import EngineError


class Unavailable(EngineError):
    """Nobody answers there, or the server is loading or broke off: worth another try later."""


class Busy(EngineError):
    """The server has too much to do right now."""


class TooMuch(EngineError):
    """More than the server takes."""


class Superseded(EngineError):
    """A newer request of the same document took this one's place."""


@dataclass(frozen=True)
class ServedModel:
    """One row of `/v1/models`. Capabilities are empty for servers other than ours; `parent` is
    an adapter's base model, as ours and vLLM tell it; `repository` is the `identity` of the one that
    a gateway says it is for."""

    id: str
    capabilities: frozenset[str] = frozenset()
    template: str = ""
    context: int = 0
    parent: str = ""
    repository: str = ""


@dataclass(frozen=True)
class TokenTold:
    """A token of an answer, in nats, and how likely the likeliest ones in its place were.

    An empty text is the end of the answer. The first one's may begin with what was healed.
    """

    text: str
    logprob: float
    top: dict[str, float]

    @property
    def margin(self) -> float:
        """How much likelier it was than any other that was told; 0 if one was likelier."""
        others = [value for text, value in self.top.items() if text != self.text]
        return max(0.0, self.logprob - max(others)) if others else math.inf


@dataclass
class Answer:
    """What a stream told besides its text; of its tokens if the body asked for `logprobs`.

    `model` is the one that answers, as the server names it.
    """

    finish: str = ""
    model: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    tokens: list[TokenTold] = field(default_factory=list)


class Client:
    """One server. Close it, or use it as an async context manager."""

    def __init__(self, url: str, token: str = "", timeout: float = 10.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._url = url.rstrip("/")
        # trust_env off: a proxy variable must not send code off the machine.
        self._http = httpx.AsyncClient(
            base_url=self._url + "/",
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=3.0),
            trust_env=False,
        )

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def models(self) -> list[ServedModel]:
        """What the server serves. Raises EngineError."""
        try:
            response = await self._http.get("models")
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        self._check(response.status_code, response.text)
        try:
            return [_served(row) for row in response.json()["data"]]
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(
                f"{self._url}/models does not answer in OpenAI's format.",
                "Give the address that ends in /v1.",
            ) from error

    async def remember(
        self, memory: str, files: Mapping[str, str], drop: Collection[str] = ()
    ) -> int:
        """Give a memory of our engine texts by path, and take paths from it; returns how many
        files it has then. Raises EngineError, TooMuch if there is no room for it."""
        rows = [{"path": path, "text": text} for path, text in files.items()]
        body = {"files": rows, "drop": list(drop)}
        try:
            response = await self._http.put(f"tandem/memory/{memory}", json=body)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.status_code == 413:
            raise TooMuch(_error_message(response.text))
        self._check(response.status_code, response.text)
        return int(response.json()["files"])

    async def complete(self, body: dict[str, Any], answer: Answer) -> AsyncGenerator[str, None]:
        """Pieces of text as they come; `answer` is filled in on the way.

        Closing the iterator early closes the connection, which cancels the request. Raises
        Unavailable, Busy or EngineError.
        """
        body = {"stream_options": {"include_usage": True}, **body, "stream": True}
        try:
            async with self._http.stream("POST", "completions", json=body) as response:
                if response.status_code != 200:
                    text = (await response.aread()).decode("utf-8", "replace")
                    self._check(response.status_code, text)
                async for line in response.aiter_lines():
                    if not line.startswith("data:") or line == "data: [DONE]":
                        continue
                    event = json.loads(line.removeprefix("data:"))
                    if "error" in event:
                        raise _told(event["error"])
                    answer.usage = event.get("usage") or answer.usage
                    answer.model = str(event.get("model") or answer.model)
                    for choice in event.get("choices", []):
                        answer.finish = choice.get("finish_reason") or answer.finish
                        answer.tokens += _tokens(choice.get("logprobs"))
                        if choice.get("text"):
                            yield choice["text"]
        except httpx.TimeoutException as error:
            raise Busy(f"{self._url} did not answer in time.", "Try again.") from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        except ValueError as error:
            raise EngineError(f"{self._url} sent a broken stream: {error}.") from error

    def _unreachable(self, error: Exception) -> Unavailable:
        reason = str(error) or type(error).__name__
        return Unavailable(f"{self._url} cannot be reached: {reason}.", "Is the server running?")

    def _check(self, status: int, text: str) -> None:
        if status == 200:
            return
        message = _error_message(text)
        if status == 409 and '"superseded"' in text:
            raise Superseded(message)
        if status in (401, 403):
            raise EngineError(f"{self._url} refused the token: {message}", "Set a valid token.")
        if status == 429:
            raise Busy(f"{self._url} is busy: {message}", "Try again.")
        if status in (502, 503, 504):
            raise Unavailable(f"{self._url} is not ready: {message}", "Try again in a moment.")
        raise EngineError(f"{self._url} answered {status}: {message}")


def _served(row: dict[str, Any]) -> ServedModel:
    return ServedModel(
        id=str(row["id"]),
        capabilities=frozenset(row.get("capabilities") or ()),
        template=str(row.get("fim_template") or ""),
        context=int(row.get("context_length") or row.get("max_model_len") or 0),
        parent=str(row.get("parent") or ""),
        repository=str(row.get("repository") or ""),
    )


def _tokens(told: dict[str, Any] | None) -> list[TokenTold]:
    """Servers may leave parts of it out, or give null."""
    told = told or {}
    texts, logprobs = told.get("tokens") or (), told.get("token_logprobs") or ()
    top = told.get("top_logprobs") or [None] * len(texts)
    return [
        TokenTold(text, logprob, others or {})
        for text, logprob, others in zip(texts, logprobs, top, strict=False)
        if logprob is not None
    ]


def _told(error: Any) -> EngineError:
    """The error of an event in a stream."""
    if not isinstance(error, dict):
        return EngineError(str(error))
    kind = Superseded if error.get("code") == "superseded" else EngineError
    return kind(str(error.get("message", error)))


def _error_message(text: str) -> str:
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:200] or "no message"
