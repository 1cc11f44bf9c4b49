"""Many requests of all sizes, four at a time, some of them given up: does memory stay bounded?"""

import contextlib
import random
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from benchmarks.parts import Part, memory
from benchmarks.parts.speed import Prompts
from benchmarks.peers.ours import Ours, used_home

AT_ONCE = 4
SAMPLES = 50
GIVEN_UP = 0.1
BUSY = 429


def measure(model: Path, prompts: Prompts, requests: int, context: int) -> Part:
    """`context` bounds the prompts, in tokens."""
    rng, sizes = random.Random(7), []
    counts = {"answered": 0, "given up": 0, "refused": 0}
    step = max(AT_ONCE, requests // SAMPLES)
    with (
        used_home(model) as (home, _),
        contextlib.closing(Ours(model, "auto", home)) as engine,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        for start in range(0, requests, step):
            asked = []
            for _ in range(min(step, requests - start)):
                length = int(2 ** rng.uniform(3, 8.9))
                prompt = prompts.fresh(min(length, context - 32))
                asked.append((engine, prompt, rng.randint(1, 16), rng.random() < GIVEN_UP))
            for outcome in pool.map(lambda each: _ask(*each), asked):
                counts[outcome] += 1
            sizes.append((start + len(asked), memory.resident_mb(engine.pid)))
            told = "# {} requests: {:.0f} MB".format(*sizes[-1])
            print(told, file=sys.stderr, flush=True)
        stats = engine.health()["stats"]
    grown = _last_tenth(sizes) - _early(sizes)
    shown = [sizes[int(n * (len(sizes) - 1) / 10)] for n in range(11)]
    rows = [[f"after {count} requests", f"{mb:.0f} MB"] for count, mb in dict(shown).items()]
    rows += [[name, str(count)] for name, count in counts.items()]
    rows.append(["last tenth above the second", f"{grown:+.1f} MB"])
    figures = {"sizes_mb": sizes, "grown_mb": grown, **counts, "stats": stats}
    title = f"Soak: {requests} requests, {AT_ONCE} at a time; resident size of the engine"
    return Part(title, ["", ""], rows, figures)


def _ask(engine: Ours, prompt: list[int], tokens: int, given_up: bool) -> str:
    """What became of it."""
    try:
        if given_up:
            engine.abandon(prompt, tokens)
            return "given up"
        engine.answer(prompt, tokens)
    except httpx.HTTPStatusError as error:
        if error.response.status_code != BUSY:
            raise
        return "refused"
    return "answered"


def _early(sizes: list[tuple[int, float]]) -> float:
    """The median of the second tenth: by then every cache has been filled."""
    tenth = max(1, len(sizes) // 10)
    return statistics.median(mb for _, mb in sizes[tenth : 2 * tenth] or sizes[:1])


def _last_tenth(sizes: list[tuple[int, float]]) -> float:
    return statistics.median(mb for _, mb in sizes[-max(1, len(sizes) // 10) :])
