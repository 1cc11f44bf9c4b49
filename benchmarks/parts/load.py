"""The same keys while another program wants the cores, as a compiler does."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks.parts import Part, ratio, replay
from benchmarks.parts.keystrokes import Key, Prompter
from benchmarks.peers import Peer

CORES = (0, 1, 2)


@contextlib.contextmanager
def busy(cores: int) -> Iterator[None]:
    """So many processes that never wait, at our own priority."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    time.sleep(0.3)
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def measure(peers: Sequence[Peer], keys: Sequence[Key], prompter: Prompter) -> Part:
    """Warm requests only count: each load has its own first, cold ones."""
    found: dict[str, dict[int, dict[str, float | None]]] = {peer.name: {} for peer in peers}
    for cores in CORES:
        with busy(cores):
            answers = replay.complete(replay.ask(peers, keys, prompter))
        for name, row in answers.items():
            found[name][cores] = replay.figures(row)
    ours = found[peers[0].name]
    rows = []
    for name, by_cores in found.items():
        for cores, row in by_cores.items():
            rows.append(
                [
                    name,
                    cores,
                    row["p50_ms"],
                    ratio(row["p50_ms"] or 0.0, by_cores[0]["p50_ms"]),
                    row["p95_ms"],
                    ratio(ours[cores]["p50_ms"] or 0.0, row["p50_ms"]),
                ]
            )
    columns = ["", "cores taken", "p50, ms", "beside idle", "p95, ms", "ours is"]
    title = f"Under load: {len(keys)} keys, {replay.TOKENS} tokens each"
    return Part(title, columns, rows, found)
