"""A chat model behind any OpenAI-compatible server: `say` sends a conversation, an answer streams back.

Secrets are taken out of what is sent, always. What a server does not take (native tools, a
temperature, usage in streams) is left out from then on. Each answer leaves one trace event, or
the reason why there is none. The model, prices and limits are in the section `chat` of the settings.
"""

import asyncio
import email.utils
import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from completion import chat_tools
from completion.chat_stream import Gathering
from completion.choice import choose
from completion.client import Busy, Client, ServedModel, TooMuch, Unavailable
from completion.counting import estimate
from completion.messages import Finish, Message, Role, Said, Tool, ToolCall, Usage
from tandem import secrets, trace
from tandem.config import Config
from tandem.errors import ConfigError, EngineError
from tandem.sections import ChatConfig

__all__ = [
    "Chat",
    "Finish",
    "Message",
    "Role",
    "Said",
    "Tool",
    "ToolCall",
    "Usage",
    "connect",
]

DEFAULT_CONTEXT = 8192
ATTEMPTS = 6
FIRST_WAIT_S = 0.5
_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_TOO_LONG = re.compile(r"context.?(?:length|size|window)|too many tokens|prompt is too long", re.I)
_SHOWN = 2000  # characters of an answer that the trace keeps

OnText = Callable[[str], None]


@dataclass
class _Manner:
    """How a model wants to be asked, as its server's refusals taught us."""

    prompt_tools: bool = False
    without: set[str] = field(default_factory=set)


@lru_cache(maxsize=256)
def _manner(url: str, model: str) -> _Manner:
    return _Manner()


class _Again(Exception):
    """An attempt gave nothing and may be repeated after `wait` seconds (None: as we like)."""

    def __init__(self, error: EngineError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


class Chat:
    """One model at one server. Close it, or use it as an async context manager.

    `url` ends in /v1; `context` is in tokens; `capabilities` are those of `/v1/models`. Several
    answers may be asked for at once.
    """

    def __init__(
        self,
        url: str,
        model: str,
        token: str = "",
        options: ChatConfig | None = None,
        *,
        context: int = 0,
        capabilities: frozenset[str] = frozenset(),
        source: str = "chat",
    ) -> None:
        self.options = options or ChatConfig()
        self.model = model
        self.url = url.rstrip("/")
        self.context = self.options.context or context or DEFAULT_CONTEXT
        self.capabilities = capabilities
        self._source = source
        self._manner = _manner(self.url, model)
        # trust_env off: a proxy variable must not send code off the machine.
        self._http = httpx.AsyncClient(
            base_url=self.url + "/",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(self.options.timeout_s, connect=10.0),
            trust_env=False,
        )

    async def __aenter__(self) -> "Chat":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def say(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        max_tokens: int = 0,
        temperature: float | None = None,
        prediction: str = "",
        on_text: OnText | None = None,
    ) -> Said:
        """The model's answer to a conversation; `on_text` gets its pieces as they come.

        `max_tokens` 0 and `temperature` None are as set. `prediction` is text that the answer
        will be much like, used where the server can. A busy or broken server is asked again
        until `options.timeout_s` is over, as long as nothing of an answer came; what came of one
        that broke off is given with the finish "cut". Cancelling closes the connection. Raises
        Busy, Unavailable, TooMuch (the context is too small) or EngineError.
        """
        safe, found = _without_secrets(messages)
        event = trace.Event("chat", self._source, model=self.model)
        event.details = {"server": urlsplit(self.url).netloc, "messages": len(messages)}
        if found:
            event.details["redacted"] = dict(found)
        wanted = _Wanted(safe, tools, max_tokens, temperature, prediction)
        start = time.perf_counter()

        def on_piece(piece: str) -> None:
            event.stages_ms.setdefault("first_token", 1000 * (time.perf_counter() - start))
            if on_text is not None:
                on_text(piece)

        event.reason = "cancelled"
        try:
            said = await self._said(wanted, on_piece, event)
            event.reason, event.shown = "", said.text[:_SHOWN]
            event.details |= {"finish": said.finish, "calls": [call.name for call in said.calls]}
            event.details["usage"] = {"prompt": said.usage.prompt, "answer": said.usage.completion}
        except EngineError as error:
            event.reason = str(error)
            raise
        finally:
            event.stages_ms["total"] = 1000 * (time.perf_counter() - start)
            trace.write(event)
        return said

    async def _said(self, wanted: "_Wanted", on_text: OnText, event: trace.Event) -> Said:
        """Attempts until one gives an answer, or time is over."""
        deadline = asyncio.get_running_loop().time() + self.options.timeout_s
        attempt = 0
        while True:
            attempt += 1
            event.details["attempts"] = attempt
            gathered = Gathering()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._attempt(wanted, gathered, on_text)
            except (TimeoutError, httpx.TimeoutException) as error:
                if gathered.empty:
                    seconds = f"{self.options.timeout_s:g} s"
                    raise Busy(
                        f"{self.url} did not answer within {seconds}.",
                        "Try again, or raise chat.timeout_s.",
                    ) from error
            except _Again as again:
                if gathered.empty:
                    await _wait(again, attempt, deadline)
                    continue
            return self._answer(wanted, gathered)

    async def _attempt(self, wanted: "_Wanted", gathered: Gathering, on_text: OnText) -> None:
        """Fill `gathered`. Raises _Again for what may pass, EngineError for what will not."""
        body = wanted.body(self, self._manner)
        try:
            async with self._http.stream("POST", "chat/completions", json=body) as response:
                if response.status_code != 200:
                    text = (await response.aread()).decode("utf-8", "replace")
                    self._refused(response, text, body)
                if response.headers.get("content-type", "").startswith("application/json"):
                    on_text(gathered.add(json.loads(await response.aread())))
                    gathered.done = True
                    return
                async for line in response.aiter_lines():
                    if not line.startswith("data:"):
                        continue
                    data = line.removeprefix("data:").strip()
                    if data == "[DONE]":
                        gathered.done = True
                        return
                    event = json.loads(data)
                    if "error" in event:
                        raise _Again(EngineError(f"{self.url}: {_message(data)}"))
                    if piece := gathered.add(event):
                        on_text(piece)
        except httpx.TimeoutException:
            raise
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise _Again(
                Unavailable(f"{self.url} cannot be reached: {reason}.", "Is the server running?")
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _Again(EngineError(f"{self.url} sent a broken answer: {error}.")) from error
        if gathered.empty and not gathered.finish:
            raise _Again(EngineError(f"{self.url} ended its answer before it began."))

    def _answer(self, wanted: "_Wanted", gathered: Gathering) -> Said:
        text, calls, finish = gathered.text, gathered.calls(), gathered.ended()
        names = {tool.name for tool in wanted.tools}
        if names and not calls and self.options.tools != "native":
            text, calls = chat_tools.read(text, names, chat_tools.calls_in(wanted.messages))
            if calls:
                finish = "tool_calls" if finish == "stop" else finish
                self._manner.prompt_tools = True
        return Said(text or gathered.refusal, calls, finish, self._usage(wanted, gathered))

    def _usage(self, wanted: "_Wanted", gathered: Gathering) -> Usage:
        told = gathered.usage
        prompt, answer = told.get("prompt_tokens"), told.get("completion_tokens")
        guessed = prompt is None or answer is None
        if prompt is None:
            prompt = sum(estimate(message.content) for message in wanted.messages)
        if answer is None:
            calls = "".join(str(call.arguments) for call in gathered.calls())
            answer = estimate(gathered.text + calls)
        prices = self.options.prices.get(self.model, (0.0, 0.0))
        cost = (int(prompt) * prices[0] + int(answer) * prices[1]) / 1e6
        return Usage(int(prompt), int(answer), cost, guessed)

    def _refused(self, response: httpx.Response, text: str, body: dict[str, Any]) -> None:
        """Raises what an answer other than 200 means."""
        status, message = response.status_code, _message(text)
        if _TOO_LONG.search(text) and status in (400, 413, 422, 500):
            raise TooMuch(f"{self.url}: {message}", "Ask with less context.")
        name = _unwanted(status, text, body)
        if name == "tools" and self.options.tools == "native":
            raise EngineError(f"{self.url} takes no tools: {message}", "Set chat.tools to auto.")
        if name:
            if name == "tools":
                self._manner.prompt_tools = True
            self._manner.without.add(name)
            raise _Again(EngineError(f"{self.url} answered {status}: {message}"), 0.0)
        if status in (401, 403):
            raise EngineError(f"{self.url} refused the token: {message}", "Set a valid token.")
        if status in _BUSY:
            kind = Busy if status == 429 else Unavailable
            wait = _retry_after(response.headers.get("retry-after", ""))
            raise _Again(kind(f"{self.url} answered {status}: {message}", "Try again."), wait)
        raise EngineError(f"{self.url} answered {status}: {message}")


@dataclass(frozen=True)
class _Wanted:
    """What an answer is asked for with; its messages hold no secrets."""

    messages: Sequence[Message]
    tools: Sequence[Tool]
    max_tokens: int
    temperature: float | None
    prediction: str

    def body(self, chat: Chat, manner: _Manner) -> dict[str, Any]:
        options = chat.options
        in_prompt = options.tools == "prompt" or (options.tools == "auto" and manner.prompt_tools)
        messages = self.messages
        if in_prompt:
            messages = chat_tools.told(messages, self.tools)
        temperature = options.temperature if self.temperature is None else self.temperature
        body: dict[str, Any] = {
            "model": chat.model,
            "messages": [_spoken(message) for message in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": self.max_tokens or options.max_tokens,
            "temperature": temperature,
        }
        if self.tools and not in_prompt:
            body["tools"] = [_offered(tool) for tool in self.tools]
        if self.prediction and "prediction" in chat.capabilities:
            body["prediction"] = {"type": "content", "content": self.prediction}
        if "max_tokens" in manner.without:
            body["max_completion_tokens"] = body["max_tokens"]
        return {key: value for key, value in body.items() if key not in manner.without}


async def connect(
    config: Config,
    role: Literal["", "planner", "executor"] = "",
    *,
    source: str = "chat",
    progress: Callable[[str], None] | None = None,
) -> Chat:
    """The chat model of the settings; the embedded engine is started if it is that.

    `source` is who asks, for the trace. Raises TandemError.
    """
    options = config.chat
    url, token = options.endpoint, options.token.get_secret_value()
    if url and not token and options.token_env:
        token = os.environ.get(options.token_env, "")
        if not token:
            raise ConfigError(
                f"chat.token_env names {options.token_env}, which is not set.", "Set it, or token."
            )
    own = not url
    if own:
        url, token = config.endpoint, config.token.get_secret_value()
    if not url:
        # Imported here: a remote model's user need not wait for torch.
        from completion.engine import background

        address = await asyncio.to_thread(background.ensure, config, progress)
        url, token = address.url, address.token
    name = {"": "", "planner": options.planner, "executor": options.executor}[role]
    served = await _served(url, token, name or options.model, config if own else None)
    return Chat(
        url,
        served.id,
        token,
        options,
        context=served.context,
        capabilities=served.capabilities,
        source=source,
    )


async def _served(url: str, token: str, name: str, own: Config | None) -> ServedModel:
    """The model of that name, or where there is none the first. Servers that keep no list are
    asked for the name all the same. Raises EngineError."""
    async with Client(url, token) as client:
        try:
            models = await client.models()
        except Unavailable:
            raise
        except EngineError:
            if not name:
                raise
            return ServedModel(name)
    if name:
        return next((model for model in models if model.id == name), ServedModel(name))
    if own is not None:
        return choose(models, own)
    if not models:
        raise EngineError(f"{url} serves no model.", "Load one there, or set chat.model.")
    return next((model for model in models if not model.parent), models[0])


async def _wait(again: _Again, attempt: int, deadline: float) -> None:
    """Until the next attempt. Raises the error if there can be none before the deadline."""
    wait = again.wait
    if wait is None:
        # Attempts that run side by side should not come back all at once.
        wait = FIRST_WAIT_S * 2 ** (attempt - 1) * random.uniform(0.8, 1.2)
    left = deadline - asyncio.get_running_loop().time()
    if attempt >= ATTEMPTS or wait >= left:
        raise again.error
    await asyncio.sleep(wait)


def _retry_after(text: str) -> float | None:
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


def _message(text: str) -> str:
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


def _without_secrets(messages: Sequence[Message]) -> tuple[list[Message], Counter[str]]:
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
