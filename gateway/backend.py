"""One back end as it is now: its connections, its breaker, what runs there, what it serves."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpcore
from pydantic_core import from_json

from gateway import config
from gateway.breaker import Breaker
from gateway.events import TooLong

CONNECT_SECONDS = 2.0
# Without a byte in the middle of an answer.
STALL_SECONDS = 60.0
POLL_SECONDS = 5.0
MAX_LIST = 4 * 1024 * 1024
MAX_NAME = 256
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
    """`running` counts requests under way; `cards` are its models by name, as it lists them.

    Each tenant has connections of their own. A server that sends more than its answer leaves the
    rest on the connection, where httpcore takes it for the answer to whatever is asked next.
    """

    def __init__(self, settings: config.Backend) -> None:
        self.settings = settings
        self.breaker = Breaker(time.monotonic)
        self.running = 0
        self.cards: dict[str, dict[str, Any]] = {}
        self._url = settings.url
        self._headers = [("content-type", "application/json")]
        if token := settings.bearer():
            self._headers.append(("authorization", f"Bearer {token}"))
        self._pools: dict[str, httpcore.AsyncConnectionPool] = {}

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
    async def post(
        self, path: str, body: dict[str, Any], tenant: str = ""
    ) -> AsyncIterator[httpcore.Response]:
        """Leaving the block early closes the connection, which cancels the request there. No
        `tenant` is the gateway itself.

        Raises one of LOST.
        """
        content = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
        timeouts = {"connect": CONNECT_SECONDS, "write": STALL_SECONDS, "read": None}
        self.running += 1
        try:
            async with self._pool(tenant).stream(
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
            self._pool("").stream("GET", f"{self._url}/{path}", headers=self._headers) as response,
        ):
            return response.status, await whole(response, MAX_LIST)

    async def poll(self) -> bool:
        """Ask for its models: what they are, and whether anybody is there. Never raises."""
        await self._close_old()
        try:
            status, data = await self.get("models")
            if status != 200:
                return False
            # Strict, as these rows are told to all: no NaN and no half characters.
            rows = from_json(data, allow_inf_nan=False)["data"]
            self.cards = {row["id"]: row for row in rows if _is_card(row)}
        except (*LOST, TooLong, ValueError, KeyError, TypeError, RecursionError):
            return False
        self.breaker.revived()
        return True

    def mixed_up(self, answer: Any, model: str) -> bool:
        """Whether an answer says that it is of another adapter than was asked for."""
        told = answer.get("model") if isinstance(answer, dict) else None
        return isinstance(told, str) and told != model and told in self.adapters()

    def _pool(self, tenant: str) -> httpcore.AsyncConnectionPool:
        # httpcore and not httpx over it: that costs a millisecond a request.
        if tenant not in self._pools:
            self._pools[tenant] = httpcore.AsyncConnectionPool(
                max_connections=4096, max_keepalive_connections=64, keepalive_expiry=30.0
            )
        return self._pools[tenant]

    async def _close_old(self) -> None:
        """Pools look at their idle connections when they are asked for one, which may be never."""
        for tenant, pool in [*self._pools.items()]:
            if all(line.is_idle() and line.has_expired() for line in pool.connections):
                del self._pools[tenant]
                await pool.aclose()


def _is_card(row: Any) -> bool:
    """A row that the others can be listed and sorted with; a list of odd ones is no list."""
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        return False
    parent, capabilities = row.get("parent"), row.get("capabilities") or []
    return (
        0 < len(row["id"]) <= MAX_NAME
        and (parent is None or isinstance(parent, str))
        and isinstance(capabilities, list)
        and all(isinstance(one, str) for one in capabilities)
    )


async def whole(response: httpcore.Response, limit: int) -> bytes:
    """Raises TooLong above so many bytes, and what LOST has."""
    data = bytearray()  # a list of pieces takes 40 bytes a byte where a piece is a byte
    async for piece in response.aiter_stream():
        data += piece
        if len(data) > limit:
            raise TooLong
    return bytes(data)
