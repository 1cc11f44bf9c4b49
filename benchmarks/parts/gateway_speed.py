"""What the gateway costs: the same requests direct and through it, in turns; and many at once."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from completion.engine.background import Address

# Requests before those that count.
WARM = 20


@dataclass(frozen=True)
class Times:
    """Of one request, in milliseconds."""

    first: float
    whole: float


def client(address: Address) -> httpx.Client:
    headers = {"Authorization": f"Bearer {address.token}"}
    return httpx.Client(base_url=f"{address.url}/", headers=headers, trust_env=False, verify=False)


def in_turns(
    addresses: Sequence[Address], body: dict[str, Any], requests: int, warm: int = WARM
) -> list[list[Times]]:
    """Each asked the same, one after the other, so that the machine's moods hit all alike."""
    found: list[list[Times]] = [[] for _ in addresses]
    clients = [client(address) for address in addresses]
    try:
        for number in range(requests + warm):
            # The first line differs and is short: what is measured is no cache of answers.
            asked = {**body, "prompt": f"{body['prompt']}{number}", "stream": True}
            # Whoever asks second finds the prompt read: each is second in turn.
            order = range(len(clients)) if number % 2 else reversed(range(len(clients)))
            for at in order:
                times = _ask(clients[at], asked)
                if number >= warm:
                    found[at].append(times)
    finally:
        for one in clients:
            one.close()
    return found


def _ask(one: httpx.Client, body: dict[str, Any]) -> Times:
    began = time.perf_counter()
    with one.stream("POST", "completions", json=body) as response:
        pieces = response.iter_raw()
        next(pieces)
        first = time.perf_counter()
        rest = b"".join(pieces)
        ended = time.perf_counter()
    assert response.status_code == 200
    assert b"[DONE]" in rest, "a stream did not end"
    return Times((first - began) * 1000, (ended - began) * 1000)


@dataclass(frozen=True)
class Crowd:
    """Streams at once: how many ended well, how many events, how many seconds all took, and
    the most that were open at the same time."""

    well: int
    events: int
    seconds: float
    most_open: int


async def at_once(address: Address, body: dict[str, Any], streams: int) -> Crowd:
    open_now = most = 0
    headers = {"Authorization": f"Bearer {address.token}"}
    limits = httpx.Limits(max_connections=None)

    async with httpx.AsyncClient(
        base_url=f"{address.url}/",
        headers=headers,
        limits=limits,
        trust_env=False,
        verify=False,
        timeout=240,
    ) as one:

        async def ask(number: int) -> int:
            nonlocal open_now, most
            asked = {**body, "prompt": f"{number} {body['prompt']}", "stream": True}
            events, done = 0, False
            open_now += 1
            most = max(most, open_now)
            try:
                async with one.stream("POST", "completions", json=asked) as response:
                    async for line in response.aiter_lines():
                        if line.startswith("data: {"):
                            events += bool(json.loads(line[6:]).get("choices"))
                        done |= line == "data: [DONE]"
            finally:
                open_now -= 1
            return events if done else -1

        began = time.perf_counter()
        counts = await asyncio.gather(*(ask(number) for number in range(streams)))
        seconds = time.perf_counter() - began
    well = [count for count in counts if count >= 0]
    return Crowd(len(well), sum(well), seconds, most)
