"""A chat model behind any OpenAI-compatible server: `say` sends a conversation, an answer streams back.

Secrets are taken out of what is sent, always. What a server does not take (native tools, a
temperature, usage in streams) is left out from then on. Each answer leaves one trace event, or
the reason why there is none. The model, prices and limits are in the section `chat` of the settings.
"""

import asyncio
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Literal
from urllib.parse import urlsplit

import httpx

from completion import chat_tools
from completion.chat_stream import Gathering, loop_in
from completion.chat_wire import Again, Wanted, manner_of, message_of, refusal, without_secrets
from completion.choice import choose
from completion.client import Busy, Client, ServedModel, Unavailable
from completion.counting import Counter, counter_for, estimate
from completion.messages import Finish, Message, Role, Said, Tool, ToolCall, Usage
from tandem import trace
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
_SHOWN = 2000  # characters of an answer that the trace keeps

OnText = Callable[[str], None]


class Chat:
    """One model at one server. Close it, or use it as an async context manager.

    `url` ends in /v1; `context` is in tokens; `capabilities` are those of `/v1/models`; `count`
    gives a text's length in tokens. Several answers may be asked for at once.
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
        self.count: Counter = estimate
        self._source = source
        self._manner = manner_of(self.url, model)
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
        safe, found = without_secrets(messages)
        event = trace.Event("chat", self._source, model=self.model)
        event.details = {"server": urlsplit(self.url).netloc, "messages": len(messages)}
        if found:
            event.details["redacted"] = dict(found)
        wanted = Wanted(safe, tools, max_tokens, temperature, prediction)
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

    async def _said(self, wanted: Wanted, on_text: OnText, event: trace.Event) -> Said:
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
            except Again as again:
                if gathered.empty:
                    await _wait(again, attempt, deadline)
                    continue
            return self._answer(wanted, gathered)

    async def _attempt(self, wanted: Wanted, gathered: Gathering, on_text: OnText) -> None:
        """Fill `gathered`. Raises Again for what may pass, EngineError for what will not."""
        predicts = "prediction" in self.capabilities
        body = wanted.body(self.model, self.options, self._manner, predicts)
        try:
            async with self._http.stream("POST", "chat/completions", json=body) as response:
                if response.status_code != 200:
                    text = (await response.aread()).decode("utf-8", "replace")
                    raise refusal(self.url, response, text, body, self._manner, self.options)
                if response.headers.get("content-type", "").startswith("application/json"):
                    on_text(self._take(await response.aread(), gathered))
                    gathered.done = True
                    return
                async for line in response.aiter_lines():
                    if not line.startswith("data:"):
                        continue
                    data = line.removeprefix("data:").strip()
                    if data == "[DONE]":
                        gathered.done = True
                        break
                    if piece := self._take(data, gathered):
                        on_text(piece)
                        if (start := loop_in(gathered.text)) >= 0:
                            gathered.text, gathered.finish = gathered.text[:start], "loop"
                            return
        except httpx.TimeoutException:
            raise
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise Again(
                Unavailable(f"{self.url} cannot be reached: {reason}.", "Is the server running?")
            ) from error
        if gathered.empty and not gathered.finish:
            raise Again(EngineError(f"{self.url} ended its answer before it began."))

    def _take(self, data: str | bytes, gathered: Gathering) -> str:
        """Add an event; returns its piece of text. Raises Again for an error or no event at all."""
        try:
            event = json.loads(data)
            if "error" in event:
                raise Again(EngineError(f"{self.url}: {message_of(json.dumps(event))}"))
            return gathered.add(event)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Again(EngineError(f"{self.url} sent a broken answer: {error}.")) from error

    def _answer(self, wanted: Wanted, gathered: Gathering) -> Said:
        text, calls, finish = gathered.text, gathered.calls(), gathered.ended()
        names = {tool.name for tool in wanted.tools}
        if names and not calls and self.options.tools != "native":
            text, calls = chat_tools.read(text, names, chat_tools.calls_in(wanted.messages))
            if calls:
                finish = "tool_calls" if finish == "stop" else finish
                self._manner.prompt_tools = True
        return Said(text or gathered.refusal, calls, finish, self._usage(wanted, gathered))

    def _usage(self, wanted: Wanted, gathered: Gathering) -> Usage:
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
    chat = Chat(
        url,
        served.id,
        token,
        options,
        context=served.context,
        capabilities=served.capabilities,
        source=source,
    )
    if own and not config.endpoint:
        chat.count = await asyncio.to_thread(counter_for, config)
    return chat


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


async def _wait(again: Again, attempt: int, deadline: float) -> None:
    """Until the next attempt. Raises the error if there can be none before the deadline."""
    wait = again.wait
    if wait is None:
        # Attempts that run side by side should not come back all at once.
        wait = FIRST_WAIT_S * 2 ** (attempt - 1) * random.uniform(0.8, 1.2)
    left = deadline - asyncio.get_running_loop().time()
    if attempt >= ATTEMPTS or wait >= left:
        raise again.error
    await asyncio.sleep(wait)
