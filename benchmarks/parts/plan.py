"""What a row of a replay would be: its keys, and how long they take to type without suggestions."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks import common
from benchmarks.parts.rhythm import Rhythm
from benchmarks.parts.scripts import Script
from benchmarks.parts.typist import Typist


def plan(texts: Sequence[Script], speed: float, closing: bool, file: Path | None) -> None:
    """Print it, typed without a server."""
    rows = []
    for script in texts:
        rhythm, gaps = Rhythm(speed), []
        spans, language = script.spans, script.language
        typist = Typist(script.text, spans, script.seed, rhythm, language, closing, script.prose)
        while not typist.finished:
            gaps.append(typist.pause())
            typist.press()
        rows.append((len(gaps), script.keys, script.put_in, sum(gaps)))
    presses, keys, put_in, seconds = (sum(column) for column in zip(*rows, strict=True))
    common.report(
        f"A row without suggestions: {len(texts)} files",
        ["", "keys", "put in", "keys with slips", "s", "ms from key to key", "ms a key"],
        [["all", keys, put_in, presses, seconds, 1000 * seconds / presses, 1000 * seconds / keys]],
        ("seconds_a_row", f"{seconds:.0f}"),
        {"keys": keys, "put_in": put_in, "presses": presses, "seconds": seconds},
        file,
    )
