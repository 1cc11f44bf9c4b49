"""The engine's HTTP face: OpenAI-compatible routes over a scheduler.

A request's life: `guard` admits it, `api` parses it, its text becomes token ids in a worker
thread, the scheduler queues it, and `replies` carries its chunks to the client.
"""

import asyncio
import os
import re
import time
from dataclasses import asdict, replace
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from completion.engine import answers, api, lending, wire
from completion.engine.api import ApiError, ChatRequest, CompletionRequest, MemoryUpdate
from completion.engine.replies import Answer, Stream, Whole
from completion.engine.request import Request
from completion.engine.served import Loaded, ServedModel
from tandem import __version__
from tandem.errors import TandemError


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
        recall, told = loaded.recall(body.tandem.memory, body.cache_salt)
        shape = self._shape("completion", loaded, body, adapter, told)
        asked = replace(body.request(tokens, loaded.decoder.context, adapter), memory=recall)
        return self._submit(loaded, asked, shape, body)

    async def chat(self, request: HttpRequest) -> Response:
        loaded = self._served.ready()
        body = api.parse(ChatRequest, await wire.read_body(request))
        adapter = await self._adapter(body.model)
        tokens = await asyncio.to_thread(_chat_tokens, loaded, body)
        recall, told = loaded.recall(body.tandem.memory, body.cache_salt)
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


def _memory_name(request: HttpRequest) -> str:
    name = request.path_params["name"]
    if not re.fullmatch(api.MEMORY_NAME, name):
        raise ApiError(400, "A memory's name is letters, digits, '.', '_' and '-'.", param="name")
    return name


def _tokens(loaded: Loaded, prompt: str | list[int]) -> list[int]:
    decoder = loaded.decoder
    if isinstance(prompt, str):
        _may_fit(loaded, prompt, "prompt")
        tokens = decoder.tokenizer.encode(prompt, begin=True)
    else:
        tokens = prompt
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
        text = tokenizer.chat([message.plain() for message in body.messages])
    except TandemError as error:  # no chat template, or one that refuses these messages
        raise ApiError(400, str(error), param="messages") from None
    _may_fit(loaded, text, "messages")
    return tokenizer.encode(text)


def _may_fit(loaded: Loaded, text: str, param: str) -> None:
    """Seconds of work are not done for a text that is too long whatever its tokens. Raises
    ApiError."""
    least, context = loaded.decoder.tokenizer.least(text), loaded.decoder.context
    if least >= context:
        raise ApiError(
            400,
            f"The prompt has at least {least} tokens and leaves no room for an answer: "
            f"this model's context is {context} tokens.",
            param=param,
            code="context_length_exceeded",
        )
