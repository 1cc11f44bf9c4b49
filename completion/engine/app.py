"""The engine's HTTP face: OpenAI-compatible routes over a scheduler.

A request's life: `guard` admits it, `api` parses it, its text becomes token ids in a worker
thread, the scheduler queues it, and its chunks come back from the model's thread through
`Answer`. Whoever hangs up, or stops reading, has the job cancelled before its next token.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from completion.engine import answers, api, lending, wire
from completion.engine.api import ApiError, ChatRequest, CompletionRequest, MemoryUpdate
from completion.engine.request import Chunk, Request, Usage
from completion.engine.served import Loaded, ServedModel
from tandem import __version__
from tandem.errors import TandemError

log = logging.getLogger(__name__)


def build(served: ServedModel) -> Starlette:
    """Routes for what `served` serves. Wrap them in `guard.Guard` before they meet a socket."""
    routes = Routes(served)
    return wire.application(
        [
            Route("/health", routes.health),
            Route("/v1/models", routes.models),
            Route("/v1/models/{name:path}", routes.model),
            Route("/v1/completions", routes.completions, methods=["POST"]),
            Route("/v1/chat/completions", routes.chat, methods=["POST"]),
            Route("/v1/tandem/memory/{name}", routes.remember, methods=["PUT"]),
            Route("/v1/tandem/memory/{name}", routes.forget, methods=["DELETE"]),
            *lending.routes(served),
        ],
        "engine",
    )


class Routes:
    """The endpoints."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served

    async def health(self, request: HttpRequest) -> Response:
        served = self._served
        body: dict[str, Any] = {"status": served.status}
        if request.state.trusted:
            body |= {
                "model": served.name,
                "pid": os.getpid(),
                "version": __version__,
                "uptime_seconds": round(time.monotonic() - served.began, 3),
                "error": served.error,
                "stats": served.stats(),
            }
        return JSONResponse(body, 200 if served.status == "ok" else 503)

    async def models(self, request: HttpRequest) -> Response:
        context = self._served.ready().decoder.context
        cards = await asyncio.to_thread(self._cards, context)
        return JSONResponse({"object": "list", "data": cards})

    async def model(self, request: HttpRequest) -> Response:
        context = self._served.ready().decoder.context
        name = await self._adapter(request.path_params["name"]) or self._served.name
        cards = await asyncio.to_thread(self._cards, context)
        return JSONResponse(next(card for card in cards if card["id"] == name))

    async def completions(self, request: HttpRequest) -> Response:
        loaded = self._served.ready()
        body = api.parse(CompletionRequest, await wire.read_body(request))
        adapter = await self._adapter(body.model)
        tokens = await asyncio.to_thread(_tokens, loaded, body.prompt)
        recall, told = loaded.recall(body.tandem.memory)
        shape = self._shape("completion", loaded, body, adapter, told)
        asked = replace(body.request(tokens, loaded.decoder.context, adapter), memory=recall)
        return self._submit(loaded, asked, shape, body)

    async def chat(self, request: HttpRequest) -> Response:
        loaded = self._served.ready()
        body = api.parse(ChatRequest, await wire.read_body(request))
        adapter = await self._adapter(body.model)
        tokens = await asyncio.to_thread(_chat_tokens, loaded, body)
        recall, told = loaded.recall(body.tandem.memory)
        shape = self._shape("chat", loaded, body, adapter, told)
        asked = replace(body.request(tokens, loaded.decoder.context, adapter), memory=recall)
        return self._submit(loaded, asked, shape, body)

    async def remember(self, request: HttpRequest) -> Response:
        """Files for a memory, which is made if there is none of that name."""
        name = _memory_name(request)
        loaded = self._served.ready()
        body = api.parse(MemoryUpdate, await wire.read_body(request))
        held = await asyncio.to_thread(loaded.remember, name, body)
        return JSONResponse({"name": name, **asdict(held)})

    async def forget(self, request: HttpRequest) -> Response:
        name = _memory_name(request)
        if not self._served.ready().memories.drop(name):
            raise ApiError(404, f"There is no memory {name} here.", code="memory_not_found")
        return JSONResponse({"name": name})

    def _shape(
        self,
        kind: Literal["completion", "chat"],
        loaded: Loaded,
        body: CompletionRequest | ChatRequest,
        adapter: str,
        memory: str,
    ) -> answers.Shape:
        name, bytes_at = adapter or self._served.name, loaded.decoder.tokenizer.bytes_at
        return answers.Shape(kind, name, body.usage_in, bytes_at, memory)

    def _submit(
        self,
        loaded: Loaded,
        request: Request,
        shape: answers.Shape,
        body: CompletionRequest | ChatRequest,
    ) -> Response:
        # The model may have been told to stop while the prompt was read.
        self._served.ready()
        answer = Answer(loaded, request)
        return Stream(answer, shape) if body.streams else Whole(answer, shape)

    def _cards(self, context: int) -> list[answers.Json]:
        """The base model's, then one for each adapter that can be asked for now."""
        served = self._served
        template = served.fim_template
        return [
            answers.model_card(served.name, served.created, context, template),
            *(
                answers.model_card(found.name, found.created, context, template, served.name)
                for found in served.usable_adapters()
            ),
        ]

    async def _adapter(self, model: str | None) -> str:
        """The adapter that a request's `model` names; empty for the base. Raises ApiError."""
        if not model or model == self._served.name:
            return ""
        await asyncio.to_thread(self._served.check_adapter, model)
        return model


class Answer:
    """The chunks of a request's answers, carried from the model's thread to the event loop.

    The queue needs no bound of its own: a job has at most one chunk a token, and the context
    bounds the tokens. Raises ApiError if the scheduler has no room.
    """

    def __init__(self, loaded: Loaded, request: Request) -> None:
        self.request = request
        self._arrived: asyncio.Queue[tuple[int, Chunk]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def listener(index: int) -> Callable[[Chunk], None]:
            def on_chunk(chunk: Chunk) -> None:
                # A loop that is closed has nobody left who listens.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._arrived.put_nowait, (index, chunk))

            return on_chunk

        wanted = [(request.numbered(index), listener(index)) for index in range(request.n)]
        self._jobs = loaded.submit(wanted)

    @contextlib.asynccontextmanager
    async def listened_to(
        self, receive: Receive
    ) -> AsyncIterator[AsyncIterator[tuple[int, Chunk]]]:
        """The chunks, as long as the client is there. Leaving the block ends the jobs."""
        watcher = asyncio.create_task(self._watch(receive))
        try:
            yield self._chunks()
        finally:
            self._cancel()
            watcher.cancel()

    def _cancel(self) -> None:
        for job in self._jobs:
            job.cancel()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._cancel()
        # A job that still waits in the queue would tell us only when its turn comes.
        self._arrived.put_nowait((0, Chunk(finish="cancelled")))

    async def _chunks(self) -> AsyncIterator[tuple[int, Chunk]]:
        """Which answer and a piece of it, up to the last of each.

        Raises ApiError for what went wrong in the engine.
        """
        left = len(self._jobs)
        while left:
            index, chunk = await self._arrived.get()
            if chunk.error:
                raise ApiError(500, chunk.error, code="engine_error")
            if chunk.finish == "cancelled":
                raise ApiError(503, "The engine is stopping.", code="model_stopping")
            if chunk.finish == "superseded":
                raise ApiError(
                    409, "A newer request of this document took its place.", code="superseded"
                )
            yield index, chunk
            left -= chunk.last


class Whole(Response):
    """The answers in one body, sent when they are complete."""

    def __init__(self, answer: Answer, shape: answers.Shape) -> None:
        self._answer = answer
        self._shape = shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = self._answer.request
        wants = request.logprobs is not None
        choices = [answers.Choice("", "", [] if wants else None) for _ in range(request.n)]
        counts = [Usage() for _ in choices]
        async with self._answer.listened_to(receive) as chunks:
            async for index, chunk in chunks:
                choice = choices[index]
                choice.text += chunk.text
                choice.finish = str(chunk.finish)
                if choice.logprobs is not None:
                    choice.logprobs += chunk.logprobs
                counts[index] = chunk.usage
        body = self._shape.whole(choices, answers.together(counts))
        await JSONResponse(body)(scope, receive, send)


class Stream(Response):
    """The answers as server-sent events, token by token."""

    def __init__(self, answer: Answer, shape: answers.Shape) -> None:
        self._answer = answer
        self._shape = shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            async with self._answer.listened_to(receive) as chunks:
                async for event in self._events(chunks):
                    await wire.send_in_time(send, f"data: {event}\n\n".encode(), more=True)
            await wire.send_in_time(send, b"", more=False)
        except TimeoutError:  # the client does not read: the server closes the connection
            log.warning("a client stopped reading its stream")

    async def _events(self, chunks: AsyncIterator[tuple[int, Chunk]]) -> AsyncIterator[str]:
        shape, number = self._shape, self._answer.request.n
        counts = [Usage() for _ in range(number)]
        lengths = [0] * number
        for index in range(number):
            if (opening := shape.opening(index)) is not None:
                yield json.dumps(opening)
        try:
            async for index, chunk in chunks:
                counts[index] = chunk.usage
                total = answers.together(counts)
                form = shape.piece if chunk.finish is None else shape.closing
                yield json.dumps(form(chunk, total, index, lengths[index]))
                lengths[index] += len(chunk.text)
            if (event := shape.total(answers.together(counts))) is not None:
                yield json.dumps(event)
        except ApiError as error:  # the status line is long gone
            yield json.dumps(error.body())
        else:
            yield "[DONE]"


def _memory_name(request: HttpRequest) -> str:
    name = request.path_params["name"]
    if not re.fullmatch(api.MEMORY_NAME, name):
        raise ApiError(400, "A memory's name is letters, digits, '.', '_' and '-'.", param="name")
    return name


def _tokens(loaded: Loaded, prompt: str | list[int]) -> list[int]:
    decoder = loaded.decoder
    tokens = decoder.tokenizer.encode(prompt, begin=True) if isinstance(prompt, str) else prompt
    if not tokens:
        raise ApiError(400, "The prompt is empty.", param="prompt")
    vocabulary = decoder.model.config.vocabulary
    if min(tokens) < 0 or max(tokens) >= vocabulary:
        raise ApiError(
            400, f"prompt: token ids of this model are 0 to {vocabulary - 1}.", param="prompt"
        )
    return tokens


def _chat_tokens(loaded: Loaded, body: ChatRequest) -> list[int]:
    tokenizer = loaded.decoder.tokenizer
    try:
        return tokenizer.encode(tokenizer.chat([message.plain() for message in body.messages]))
    except TandemError as error:  # no chat template, or one that refuses these messages
        raise ApiError(400, str(error), param="messages") from None
