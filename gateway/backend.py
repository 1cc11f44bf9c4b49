"""One back end as it is now: its connections, its breaker, what runs there, what it serves."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpcore

from gateway import config
from gateway.breaker import Breaker
from gateway.events import TooLong

CONNECT_SECONDS = 2.0
# Without a byte in the middle of an answer.
STALL_SECONDS = 60.0
POLL_SECONDS = 5.0
MAX_LIST = 4 * 1024 * 1024
# What a server that is down, or breaks off, looks like from here.
LOST = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    OSError,
    TimeoutError,
)


class Backend:
    """`running` counts requests under way; `cards` are its models by name, as it lists them."""

    def __init__(self, settings: config.Backend) -> None:
        self.settings = settings
        self.breaker = Breaker(time.monotonic)
        self.running = 0
        self.cards: dict[str, dict[str, Any]] = {}
        self._url = settings.url
        self._headers = [("content-type", "application/json")]
        if token := settings.bearer():
            self._headers.append(("authorization", f"Bearer {token}"))
        # httpcore and not httpx over it: that costs a millisecond a request.
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=4096, max_keepalive_connections=64, keepalive_expiry=30.0
        )

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def slots(self) -> int:
        return self.settings.slots

    def adapters(self) -> list[str]:
        return [
            name
            for name, card in self.cards.items()
            if card.get("parent") and name not in self.settings.models
        ]

    def version(self, model: str) -> str:
        """Changes when another model comes under the same name."""
        card = self.cards.get(model, {})
        return f"{card.get('root', '')} {card.get('created', '')}"

    @contextlib.asynccontextmanager
    async def post(self, path: str, body: dict[str, Any]) -> AsyncIterator[httpcore.Response]:
        """Leaving the block early closes the connection, which cancels the request there.

        Raises one of LOST.
        """
        content = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
        timeouts = {"connect": CONNECT_SECONDS, "write": STALL_SECONDS, "read": None}
        self.running += 1
        try:
            async with self._pool.stream(
                "POST",
                f"{self._url}/{path}",
                headers=self._headers,
                content=content,
                extensions={"timeout": timeouts},
            ) as response:
                yield response
        finally:
            self.running -= 1

    async def get(self, path: str) -> tuple[int, bytes]:
        """The status and the body. Raises one of LOST, or TooLong."""
        async with (
            asyncio.timeout(POLL_SECONDS),
            self._pool.stream("GET", f"{self._url}/{path}", headers=self._headers) as response,
        ):
            return response.status, await whole(response, MAX_LIST)

    async def poll(self) -> bool:
        """Ask for its models: what they are, and whether anybody is there. Never raises."""
        try:
            status, data = await self.get("models")
            if status != 200:
                return False
            rows = json.loads(data)["data"]
            self.cards = {str(row["id"]): dict(row) for row in rows}
        except (*LOST, TooLong, ValueError, KeyError, TypeError, RecursionError):
            return False
        self.breaker.revived()
        return True


async def whole(response: httpcore.Response, limit: int) -> bytes:
    """Raises TooLong above so many bytes, and what LOST has."""
    pieces, size = [], 0
    async for piece in response.aiter_stream():
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise TooLong
    return b"".join(pieces)
