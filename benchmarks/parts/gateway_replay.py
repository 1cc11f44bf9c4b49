"""Developers who type at the same time: how long until the first token, by who they are sent to.

Each is a user with files of their own, typed by `keystrokes` at a human rhythm; a key asks when
the answer to the last one is there, as completions in an editor do once older ones are cancelled.
"""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.parts.keystrokes import Prompter, files_in, keystrokes
from tests.gateways import Running

PAUSE_SECONDS = 1.0  # mean, between an answer and the next key
# Every so many keys of a file one asks; the others came while an answer was under way.
EVERY = 3


@dataclass(frozen=True)
class Ask:
    """A request as the client makes it."""

    prompt: str
    heal: str
    document: str


@dataclass(frozen=True)
class Got:
    """Milliseconds to the first event with text, and the share of the prompt found read."""

    first_ms: float
    cached: float


def work_of(
    developers: int, keys: int, prompter: Prompter, folders: Sequence[Path], seed: int = 3
) -> list[list[Ask]]:
    """Of each developer, in two files that they change between."""
    files = files_in(folders, seed, 2 * developers)
    work = []
    for number in range(developers):
        own = files[2 * number : 2 * number + 2]
        asks = [_asks(f, keys // 2, prompter, f"{seed} {number}") for f in own]
        work.append(_in_stretches(asks, 8))
    return work


def _in_stretches(asks: Sequence[list[Ask]], length: int) -> list[Ask]:
    """So many in one file, then in the other."""
    mixed: list[Ask] = []
    longest = max(len(a) for a in asks)
    for start in range(0, longest, length):
        for one in asks:
            mixed += one[start : start + length]
    return mixed


def _asks(file: Path, count: int, prompter: Prompter, seed: str) -> list[Ask]:
    keys = keystrokes([file], random.Random(seed).randrange(1 << 30), count * EVERY)[::EVERY]
    prompts = [prompter.prompt(key, heals=True) for key in keys]
    return [Ask(p.text, p.heal, str(file)) for p in prompts if p is not None]


async def replay(running: Running, work: Sequence[list[Ask]], model: str) -> list[Got]:
    """All developers at once; user N is `dev-N`."""
    got: list[Got] = []
    await asyncio.gather(
        *(
            _developer(running, f"dev-{number}", asks, model, got)
            for number, asks in enumerate(work)
        )
    )
    return got


async def _developer(
    running: Running, user: str, asks: Sequence[Ask], model: str, got: list[Got]
) -> None:
    rng = random.Random(user)
    async with running.asynchronous(user) as client:
        for ask in asks:
            await asyncio.sleep(rng.expovariate(1 / PAUSE_SECONDS))
            got.append(await _ask(client, ask, model))


async def _ask(client: httpx.AsyncClient, ask: Ask, model: str) -> Got:
    body = {
        "model": model,
        "prompt": ask.prompt,
        "heal": ask.heal,
        "max_tokens": 8,
        "temperature": 0.0005,  # greedy, but not from the gateway's cache
        "stream": True,
        "stream_options": {"include_usage": True},
        "tandem": {"document": ask.document},
    }
    began, first, usage = time.perf_counter(), 0.0, {}
    async with client.stream("POST", "completions", json=body) as response:
        assert response.status_code == 200, (await response.aread())[:300]
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            first = first or time.perf_counter()
            usage = json.loads(line[6:]).get("usage") or usage
    cached = usage["prompt_tokens_details"]["cached_tokens"] / usage["prompt_tokens"]
    return Got((first - began) * 1000, cached)
