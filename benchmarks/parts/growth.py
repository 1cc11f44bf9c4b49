"""How time grows: with the prompt's length, and with the requests that come at once."""

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.parts import Part
from benchmarks.parts.speed import Prompts
from benchmarks.peers import Peer
from benchmarks.peers.openai import Server

LENGTHS = (128, 256, 512, 1024, 2048, 4096)
WAITING = (1, 2, 4, 8, 16, 32)
WRITTEN = 16  # tokens after each prompt
SHORT = 128  # tokens of the prompts that come at once


def measure(
    peers: Sequence[Peer], ours: Server, prompts: Prompts, rounds: int, context: int
) -> Part:
    """The model's own context may allow less than the longest prompt."""
    lengths = [n for n in LENGTHS if n + WRITTEN < context]
    by_length = {
        peer.name: {n: _asked(peer, prompts, n, rounds) for n in lengths} for peer in peers
    }
    by_waiting = {
        n: statistics.median(_together(ours, prompts, n) for _ in range(rounds)) for n in WAITING
    }
    rows: list[list[Any]] = []
    for name, row in by_length.items():
        for length, (first, token) in row.items():
            rows.append([name, f"a prompt of {length}", first, "-" if token is None else token])
    for count, ms in by_waiting.items():
        what = f"{count} requests at once, {SHORT} + {WRITTEN} tokens"
        rows.append([ours.name, what, ms, ms / count / WRITTEN])
    columns = ["", "", "until the first token, or the last answer, ms", "ms a token"]
    return Part("Growth", columns, rows, {"prompt": by_length, "waiting": by_waiting})


def _asked(peer: Peer, prompts: Prompts, length: int, rounds: int) -> tuple[float, float | None]:
    """Median milliseconds until the first token, and of each further one."""
    answers = [peer.answer(prompts.fresh(length), WRITTEN) for _ in range(rounds)]
    token = [answer.token_ms for answer in answers if answer.tokens > 1]
    first = statistics.median(answer.first_ms for answer in answers)
    return first, statistics.median(token) if token else None


def _together(server: Server, prompts: Prompts, count: int) -> float:
    """Milliseconds until `count` requests sent at once are all answered."""
    asked = [prompts.fresh(SHORT) for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        began = time.perf_counter()
        list(pool.map(lambda prompt: server.answer(prompt, WRITTEN), asked))
        return (time.perf_counter() - began) * 1000


def draw(figures: dict[str, Any], target: Path, caption: str) -> None:
    """An SVG or PNG, by the target's ending, of what `measure` found."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    # A fixed salt: the same figures give the same bytes.
    mpl.rcParams["svg.hashsalt"] = "tandem"
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name, row in figures["prompt"].items():
        left.loglog(
            list(row), [first for first, _ in row.values()], marker="o", markersize=3, label=name
        )
    left.set_xlabel("tokens of the prompt, nothing cached")
    left.set_ylabel("ms until the first token")
    left.legend(frameon=False)
    waiting = figures["waiting"]
    right.loglog(list(waiting), list(waiting.values()), marker="o", markersize=3, color="tab:green")
    right.set_xlabel(f"requests at once ({SHORT} tokens read, {WRITTEN} written)")
    right.set_ylabel("ms until all are answered")
    for axes in (left, right):
        axes.set_xticks(LENGTHS if axes is left else WAITING)
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.minorticks_off()
        axes.grid(alpha=0.2)
    figure.suptitle(caption, fontsize=7)
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)
    pyplot.close(figure)
