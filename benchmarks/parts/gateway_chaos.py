"""Back ends killed and revived under a replay: is every request answered right, or with an error?

Each developer is a tenant with an adapter of their own, and all ask the same prompts, so that an
answer from another's cache, adapter or connection is another text. What is right was asked of
one engine alone before. Half of the requests may come from the gateway's cache. Back ends die by
the count of requests, so that a faster replay has as many deaths.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from completion.client import Answer, Client
from completion.engine.background import Address
from tandem.errors import EngineError
from tests.gateways import Running
from tests.replicas import Replica

PROMPTS = [f"def tiny_{n}(model):\n    return model.settings[{n}]\n\nclass" for n in range(24)]
TOKENS = 12
# Greedy for the engine, but nothing that the gateway would keep.
GREEDY, UNCACHED = 0.0, 0.0005
LEAVES = 0.1  # of the requests, in the middle of their answer
HANGS_SECONDS = 60.0
# Requests of all together between two kills, in the mean: two minutes of eight developers.
KILL_EVERY = 190
Texts = dict[tuple[str, str], str]


@dataclass
class Told:
    """How requests ended: "right", "mixed" (another tenant's text, or an answer that bears the name
    of another adapter), "wrong" (any other text), "error" (told to the client), "left" (by the
    client), "lost" (no end and no error). `errors` counts messages, `kills` of back ends."""

    ends: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        bad = ", ".join(f"{self.ends[end]} {end}" for end in ("error", "wrong", "lost", "mixed"))
        return f"{self.ends.total()} requests, {self.kills} kills: {bad}"


def body(model: str, prompt: str, temperature: float = GREEDY) -> dict[str, Any]:
    return {"model": model, "prompt": prompt, "max_tokens": TOKENS, "temperature": temperature}


async def right(address: Address, models: Sequence[str]) -> Texts:
    """What one engine says to all prompts, adapter by adapter."""
    texts: Texts = {}
    async with Client(address.url, address.token, HANGS_SECONDS) as client:
        for model in models:
            for prompt in PROMPTS:
                pieces = [piece async for piece in client.complete(body(model, prompt), Answer())]
                texts[model, prompt] = "".join(pieces)
    return texts


async def replay(
    running: Running,
    models: dict[str, str],
    texts: Texts,
    replicas: Sequence[Replica],
    requests: int,
    *,
    pace: float = 0.0,
    kill_every: int = KILL_EVERY,
    tell: Callable[[str], object] = lambda _: None,
    seed: int = 1,
) -> Told:
    """`requests` of all users of `models` (user: adapter) together; replicas die meanwhile.

    Each user asks every `pace` seconds in the mean, or as soon as they can. `tell` hears how far
    it is, ten times.
    """
    told, over = Told(), asyncio.Event()
    began = time.monotonic()
    rng = random.Random(seed)
    helpers = [asyncio.create_task(_telling(told, over, requests, tell))]
    if replicas:
        helpers.append(asyncio.create_task(_kill(replicas, told, over, rng, kill_every)))
    share = -(-requests // len(models))
    async with AsyncExitStack() as stack:
        work = []
        for user, model in models.items():
            client = Client(running.url, running.tokens[user], HANGS_SECONDS)
            await stack.enter_async_context(client)
            own = random.Random(f"{seed} {user}")
            work.append(_developer(client, model, texts, share, pace, own, told))
        await asyncio.gather(*work)
    told.seconds = time.monotonic() - began
    over.set()
    await asyncio.gather(*helpers)
    return told


async def _telling(
    told: Told, over: asyncio.Event, requests: int, tell: Callable[[str], object]
) -> None:
    step = requests / 10
    due = step
    while not over.is_set():
        if told.ends.total() >= due:
            tell(str(told))
            due += step
        await asyncio.sleep(0.1)


async def _developer(
    client: Client,
    model: str,
    texts: Texts,
    requests: int,
    pace: float,
    rng: random.Random,
    told: Told,
) -> None:
    due = time.monotonic()
    for _ in range(requests):
        if pace:
            due += rng.expovariate(1 / pace)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        prompt = rng.choice(PROMPTS)
        asked = body(model, prompt, rng.choice((GREEDY, UNCACHED)))
        if rng.random() < LEAVES:
            told.ends[await _left(client, asked, told)] += 1
            continue
        try:
            async with asyncio.timeout(2 * HANGS_SECONDS):
                end = await _asked(client, asked, prompt, texts)
        except EngineError as error:
            end = "error"
            told.errors[error.message.partition(": ")[2] or error.message] += 1
            await asyncio.sleep(rng.uniform(0.1, 0.5))
        except TimeoutError:
            end = "lost"
        told.ends[end] += 1


async def _asked(client: Client, asked: dict[str, Any], prompt: str, texts: Texts) -> str:
    answer, own = Answer(), asked["model"]
    text = "".join([piece async for piece in client.complete(asked, answer)])
    if answer.model != own:
        return "mixed"
    if not answer.finish:
        return "lost"
    if text == texts[own, prompt]:
        return "right"
    theirs = any(text == told for (model, _), told in texts.items() if model != own)
    return "mixed" if theirs else "wrong"


async def _left(client: Client, asked: dict[str, Any], told: Told) -> str:
    pieces = client.complete(asked, Answer())
    try:
        async with asyncio.timeout(2 * HANGS_SECONDS):
            await anext(pieces, None)
    except EngineError as error:
        told.errors[error.message.partition(": ")[2] or error.message] += 1
        return "error"
    except TimeoutError:
        return "lost"
    finally:
        await pieces.aclose()
    return "left"


async def _kill(
    replicas: Sequence[Replica], told: Told, over: asyncio.Event, rng: random.Random, every: int
) -> None:
    """One after another, whether the last one is back or not."""
    due = 0.0
    while True:
        due += every * rng.uniform(0.5, 1.5)
        while told.ends.total() < due:
            if over.is_set():
                return
            await asyncio.sleep(0.05)
        victim = rng.choice(replicas)
        await asyncio.to_thread(victim.kill)
        told.kills += 1
        await asyncio.sleep(rng.uniform(0.2, 2.0))
        victim.start()
        patience = rng.uniform(2.0, 12.0)  # some are killed again while they load
        while patience > 0 and not over.is_set() and not await asyncio.to_thread(victim.ready):
            await asyncio.sleep(0.2)
            patience -= 0.2
