"""From a repository and its tests to the suspicious lines, found in the sandbox and shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from sandbox import tester, wanted
from sandbox.baseline import Baseline, measure
from sandbox.localize import Suspect, localize
from sandbox.suite import Suite

if TYPE_CHECKING:
    from sandbox.pool import Pool

MOST_BYTES = 1 << 20  # of one source


@dataclass(frozen=True)
class Found:
    """The suspects, most suspicious first, and what they were found from."""

    suspects: tuple[Suspect, ...]
    baseline: Baseline
    sources: Mapping[str, str]


def find(snapshot: Path, suite: Suite, pool: "Pool", ids: Sequence[str] | None = None) -> Found:
    """Run the suite of the repository copy `snapshot`, which the pool's sandboxes hold, and rank.

    No failing test gives no suspects; the baseline says why. Raises SandboxError.
    """
    with pool.sandbox() as sandbox:
        server = tester.in_sandbox(sandbox, suite, snapshot)
        try:
            baseline = measure(server, ids)
        finally:
            server.close()
    sources = sources_of(snapshot, baseline)
    return Found(ranked(baseline, sources), baseline, sources)


def ranked(baseline: Baseline, sources: Mapping[str, str]) -> tuple[Suspect, ...]:
    """What the tests ran, and data that holds a text which should not have come."""
    ran = localize(baseline.results, baseline.covered, sources)
    data = wanted.places(wanted.wanted(baseline.failing, sources), ran, sources)
    return tuple(sorted([*ran, *data], key=lambda one: -one.score))


def sources_of(snapshot: Path, baseline: Baseline) -> dict[str, str]:
    """The texts of the Python files that the failing tests ran or failed in."""
    bad = [*baseline.failing, *baseline.broken]
    named = {path for result in bad for path in baseline.covered.get(result.id, {})}
    named |= {frame.path for result in bad for frame in (*result.frames, *result.returned)}
    root, texts = snapshot.resolve(), {}
    for path in sorted(named):
        file = (root / path).resolve()
        # The names come from inside: only plain files of the copy are read.
        if file.is_relative_to(root) and file.is_file() and file.stat().st_size < MOST_BYTES:
            texts[path] = file.read_text("utf-8", errors="replace")
    return texts


def table(found: Found, most: int = 20) -> Table:
    """Path and line, score, the line's text, and why. Texts of the repository are shown as text."""
    shown = Table("line", "score", "text", "why", title="Suspicious lines", expand=False)
    for suspect in found.suspects[:most]:
        shown.add_row(
            Text(f"{suspect.path}:{suspect.line}", overflow="fold"),
            f"{suspect.score:.2f}",
            Text(_plain(line_of(found.sources, suspect)), no_wrap=True, overflow="ellipsis"),
            Text(_plain("; ".join(suspect.why))),
        )
    if len(found.suspects) > most:
        shown.caption = f"{len(found.suspects) - most} more"
    return shown


def line_of(sources: Mapping[str, str], suspect: Suspect) -> str:
    lines = sources.get(suspect.path, "").splitlines()
    return lines[suspect.line - 1].strip() if suspect.line <= len(lines) else ""


def _plain(text: str) -> str:
    """Nothing that a terminal would act on or that hides what is there."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
