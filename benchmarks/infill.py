"""How well holes in Python code are filled, for any file of FIM records.

A record is one line of JSON with `prompt`, `suffix` and `canonical_solution`, as in
HumanEval-Infilling (Bavarian et al. 2022); plain or gzipped. Each is asked for as an editor asks,
of the embedded engine or of --endpoint, and what would be shown is compared with the solution.
Functional tests (`test`, `entry_point`) are code that a model wrote, so they run in the sandbox or
not at all. Without --data, --quick cuts holes in the standard library of this Python.
"""

import argparse
import asyncio
import gzip
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import common
from completion.document import Document
from completion.engine import background
from completion.session import Session
from finetune import metrics
from finetune.bootstrap import Interval, interval
from finetune.held_out import general_cases
from tandem import config
from tandem.errors import TandemError, UsageError

# Of general code: what a quick run finishes on two slow cores.
QUICK = 10
# Longer than an editor would wait: we measure what is answered, not how fast.
SETTINGS = {"completion": {"timeout_ms": 120_000, "max_tokens": 96}}


@dataclass(frozen=True)
class Record:
    """`problem` names what several records may have been cut from."""

    problem: str
    prefix: str
    middle: str
    suffix: str
    has_test: bool = False


def read(file: Path) -> list[Record]:
    """Raises UsageError for a file without records, or with a line that is none."""
    opened = gzip.open if file.suffix == ".gz" else open
    found = []
    try:
        with opened(file, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    found.append(_record(line, f"{file}, line {number}"))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read {file}: {error}.", "Name a JSONL file.") from error
    if not found:
        raise UsageError(f"{file} has no records.", "Name a JSONL file of FIM records.")
    return found


def _record(line: str, place: str) -> Record:
    try:
        row = json.loads(line)
        texts = [row[key] for key in ("prompt", "canonical_solution", "suffix")]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("not a string")
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{place} is no FIM record: {error}.",
            "It needs prompt, suffix and canonical_solution, each a string.",
        ) from error
    problem = row.get("entry_point") or row.get("task_id") or place
    prefix, middle, suffix = (text.replace("\r\n", "\n") for text in texts)
    return Record(str(problem), prefix, middle, suffix, bool(row.get("test")))


def standard_library(count: int) -> list[Record]:
    return [
        Record(case.path, case.prefix, case.middle, case.suffix)
        for case in general_cases(count, seed=1)
    ]


async def answers(records: Sequence[Record], settings: config.Config) -> tuple[list[str], str]:
    """What would be shown for each, and by which model."""
    session = Session(settings, source="benchmark")
    await session.start()
    shown = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for number, record in enumerate(records):
                text = record.prefix + record.suffix
                document = Document(Path(folder, f"{number}.py"), "python", text)
                completion = await session.complete(document, len(record.prefix))
                shown.append("".join(completion.items))
                if (number + 1) % max(1, len(records) // 10) == 0:
                    print(f"{number + 1} of {len(records)} holes", file=sys.stderr, flush=True)
        return shown, session.model
    finally:
        await session.close()


def scores(records: Sequence[Record], shown: Sequence[str]) -> dict[str, Interval]:
    pairs = [(answer, record.middle) for answer, record in zip(shown, records, strict=True)]
    values = {
        "exact match": [metrics.exact_match(*pair) for pair in pairs],
        "edit similarity": [metrics.edit_similarity(*pair) for pair in pairs],
        "first line right": [metrics.first_line_match(*pair) for pair in pairs],
        "shown": [bool(answer) for answer in shown],
    }
    problems = [record.problem for record in records]
    return {name: interval([float(v) for v in row], problems) for name, row in values.items()}


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("--data", type=Path, metavar="FILE", help="FIM records, JSONL or .gz")
    parser.add_argument("--n", type=int, default=0, help="so many of them, drawn with a fixed seed")
    parser.add_argument("--endpoint", default="", metavar="URL", help="an OpenAI-compatible server")
    parser.add_argument("--model", default="", help="the model to ask for there")
    parser.add_argument(
        "--template", default="", help="FIM template; by the model's name if not given"
    )
    arguments = parser.parse_args()
    try:
        run(arguments)
    except TandemError as error:
        sys.exit(f"infill: {error}")


def run(arguments: argparse.Namespace) -> None:
    if arguments.n < 0:
        raise UsageError("--n must be above zero.")
    if arguments.data is None and not arguments.quick:
        raise UsageError("Without --data only --quick runs.", "Give a file of FIM records.")
    wanted = arguments.n or (QUICK if arguments.quick else 0)
    if arguments.data is None:
        records, source = standard_library(wanted), "the standard library (no --data given)"
    else:
        records, source = read(arguments.data), arguments.data.name
        if 0 < wanted < len(records):
            records = random.Random(1).sample(records, wanted)
    named = {key: getattr(arguments, key) for key in ("endpoint", "model", "template")}
    settings = config.load(options={**SETTINGS, **{k: v for k, v in named.items() if v}})
    running = settings.endpoint or background.find(settings)
    try:
        shown, model = asyncio.run(answers(records, settings))
    finally:
        if not running:
            background.stop(settings)
    _report(
        records, scores(records, shown), f"{len(records)} holes of {source}, {model}", arguments
    )


def _report(
    records: Sequence[Record],
    found: dict[str, Interval],
    title: str,
    arguments: argparse.Namespace,
) -> None:
    rows: list[list[Any]] = []
    for name, one in found.items():
        bounds = "-"
        if one.low is not None and one.high is not None:
            bounds = f"{one.low:.1%} to {one.high:.1%}"
        rows.append([name, f"{one.mean:.1%}", bounds])
    tests = sum(record.has_test for record in records)
    rows.append(["pass@1", "not measured, no sandbox", f"{tests} records have tests"])
    figures = {name: vars(one) for name, one in found.items()} | {"pass@1": None, "title": title}
    headline = ("infill_exact_match", f"{found['exact match'].mean:.3f}")
    common.report(title, ("", "mean", "95% interval"), rows, headline, figures, arguments.json)


if __name__ == "__main__":
    main()
