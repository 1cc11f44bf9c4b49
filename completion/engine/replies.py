"""A request's answer on its way to the client: in one body, or as a stream.

Chunks come in the model's thread and leave on the event loop. Whoever hangs up, or stops reading,
has the jobs cancelled before their next token.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from completion.engine import answers, wire
from completion.engine.api import ApiError
from completion.engine.request import Chunk, Request, Usage
from completion.engine.served import Loaded

log = logging.getLogger(__name__)


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
