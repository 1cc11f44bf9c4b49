"""What the engine holds in memory above a bare `import torch`, and how soon it is ready."""

import contextlib
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from benchmarks.parts import Part
from benchmarks.parts.speed import Prompts
from benchmarks.peers import Peer
from benchmarks.peers.ours import Ours, used_home

MB = 1e6
STARTS = 5


def resident_mb(pid: int) -> float:
    """Of a process and what it started; pages of mapped files count as far as they were read."""
    process = psutil.Process(pid)
    total = 0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            total += each.memory_info().rss
    return total / MB


def bare_torch_mb() -> float:
    """Resident size of a Python that did nothing but `import torch`."""
    code = "import sys, torch; print(flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdout.readline()
        return resident_mb(process.pid)
    finally:
        process.communicate()


def measure(model: Path, prompts: Prompts, context: int, peers: Sequence[Peer]) -> Part:
    """An engine with default settings, as it is at all starts but the first.

    Its caches are filled with as many long prompts as it may want to keep. `peers` have been
    asked things already.
    """
    bare = bare_torch_mb()
    with used_home(model) as (home, first_ms):
        engine = Ours(model, "auto", home)
        try:
            ready = resident_mb(engine.pid)
            for _ in range(8):
                engine.answer(prompts.fresh(context - 32), 24)
            filled = resident_mb(engine.pid)
        finally:
            engine.close()
        times = [engine.ready_ms, *_more_starts(model, home)]
    found = {
        "bare_torch_mb": bare,
        "ready_mb": ready - bare,
        "filled_mb": filled - bare,
        "first_ready_ms": first_ms,
        "ready_ms": statistics.median(times),
    }
    rows = [
        ["a bare import of torch", f"{bare:.0f} MB"],
        ["engine, ready, above that", f"{found['ready_mb']:.0f} MB"],
        [f"engine, after 8 prompts of {context - 32} tokens", f"{found['filled_mb']:.0f} MB"],
        ["engine, ready after, the very first time", f"{first_ms / 1000:.1f} s"],
        [f"later, median of {STARTS}", f"{found['ready_ms'] / 1000:.1f} s"],
    ]
    others = {peer.name: resident_mb(peer.pid) for peer in peers}
    rows += [[f"{name}, all of it", f"{mb:.0f} MB"] for name, mb in others.items()]
    return Part("Memory, resident, and start", ["", ""], rows, {**found, "peers_mb": others})


def _more_starts(model: Path, home: Path) -> Iterator[float]:
    """Milliseconds until the engine was ready, of each but the first of STARTS."""
    for _ in range(STARTS - 1):
        engine = Ours(model, "auto", home)
        engine.close()
        yield engine.ready_ms
