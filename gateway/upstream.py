"""A back end's answer as it is read: in time and in pieces, or `Failed`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpcore

from gateway.backend import LOST, whole
from gateway.events import TooLong
from gateway.refusals import Failed


@contextlib.asynccontextmanager
async def within(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """Raises Failed for what a dead or slow back end raises, in the block or at its end."""
    try:
        async with asyncio.timeout(seconds) as deadline:
            yield deadline
    except httpcore.ConnectError:
        raise Failed("unreachable") from None
    except LOST as error:
        slow = isinstance(error, TimeoutError | httpcore.TimeoutException)
        raise Failed("slow" if slow else "lost", lost=not slow) from None


async def pieces(response: httpcore.Response) -> AsyncIterator[bytes]:
    """Raises Failed if it breaks off. How long it may say nothing is for `within` to know."""
    try:
        async for piece in response.aiter_stream():
            yield piece
    except LOST:
        raise Failed("lost", lost=True) from None


async def everything(response: httpcore.Response, limit: int) -> bytes:
    try:
        return await whole(response, limit)
    except TooLong:
        raise Failed("too_long") from None
