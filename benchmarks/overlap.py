"""Fuzz of what is shown: holes in real files, bad answers, and an independent look at the rest.

    python -m benchmarks.overlap --repos FOLDER... [--holes 10000] [--seed 7] [--json FILE]
    python -m benchmarks.overlap --repos FOLDER... --model [NAME] [--holes 600] [--answers FILE]

Answers are made from the true text and the file around it: with the suffix after it, brackets too
many, special tokens, loops, other indentation, lines from above, cut at any place. With --model
the installed model gives them. They go through the dedent, the stop rule and the filters as in the
editor; of the model's the likely part that is shown first is judged too. Ends with 1 if anything
shown repeats the suffix, unbalances brackets, leaks a special token, or hides
the code right of the cursor in a comment or string.
"""

import argparse
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import common
from benchmarks.parts import answers, checks
from benchmarks.parts.answers import MAX_LINES, Answer
from benchmarks.parts.fuzz_holes import Spot, files_by_group
from completion.asking import FILTERED_SUFFIX
from completion.filters import Filtered, StopRule, finish, may_end
from completion.hole import hole_kind
from completion.indent import Dedent
from completion.sure import sure_part
from tandem.errors import TandemError, UsageError

LANGUAGES = ("python", "javascript", "typescript", "go", "rust", "c")
QUICK, QUICK_WITH_MODEL = 400, 20


@dataclass
class Tally:
    """One language's counts. `judged`: shown in files that parse with the true text; `parsed` of
    them with all of what may be shown, `begun` with the part that is shown first alone."""

    holes: int = 0
    answers: int = 0
    shown: int = 0
    judged: int = 0
    parsed: int = 0
    begun: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    ms: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Example:
    error: str
    answer: Answer
    shown: str

    def __str__(self) -> str:
        spot = self.answer.spot
        line = spot.prefix.count("\n") + 1
        return (
            f"{self.error}: {spot.path}:{line} ({self.answer.made})\n  before {spot.prefix[-80:]!r}\n"
            f"  truth  {spot.middle!r}\n  after  {spot.suffix[:80]!r}\n"
            f"  answer {self.answer.text[:300]!r}\n  shown  {self.shown!r}"
        )


def shown(spot: Spot, text: str, ended: bool, rng: random.Random) -> Filtered:
    """What the editor would show of an answer that streams in."""
    prefix, suffix = spot.prefix, spot.suffix
    hole = hole_kind(prefix + suffix, len(prefix), spot.language)
    dedent = Dedent(prefix, hole)
    stop = StopRule(prefix, suffix[:FILTERED_SUFFIX], hole, MAX_LINES)
    at = 0
    while at < len(text) and not stop.stopped:
        size = rng.randint(1, 8)
        stop.feed(dedent.feed(text[at : at + size]))
        at += size
    return finish(stop.text, prefix, suffix, hole, stop.stopped or ended)


def start(one: Answer, kept: str) -> str:
    """The part of it that the editor shows first."""
    if not one.text.startswith(kept):  # a repaired text has no tokens
        return kept
    prefix, suffix = one.spot.prefix, one.spot.suffix
    hole = hole_kind(prefix + suffix, len(prefix), one.spot.language)
    return kept[: sure_part(kept, one.tokens, may_end(prefix, suffix, hole))]


def _groups(folders: list[Path]) -> dict[str, list[Path]]:
    groups = files_by_group(folders, LANGUAGES)
    if not groups:
        raise UsageError(
            f"No files of {', '.join(LANGUAGES)} in these folders.", "Name others with --repos."
        )
    return groups


def run(arguments: argparse.Namespace) -> bool:
    """Whether nothing shown had an overlap error."""
    missing = [folder for folder in arguments.repos if not folder.is_dir()]
    if missing:
        raise UsageError(f"There is no folder {missing[0]}.", "Name folders of code with --repos.")
    usual = (QUICK_WITH_MODEL if arguments.model else QUICK) if arguments.quick else 10_000
    holes = arguments.holes or usual
    if holes < 1:
        raise UsageError("--holes must be above zero.")
    rng = random.Random(arguments.seed)
    tallies: dict[str, Tally] = {}
    examples: list[Example] = []
    unparsed: list[Example] = []
    for done, one in enumerate(_answers(arguments, holes)):
        spot = one.spot
        tally = tallies.setdefault(spot.group, Tally())
        began = time.thread_time()
        kept = shown(spot, one.text, one.ended, rng)
        part = start(one, kept.text) if kept.text else ""
        tally.ms.append((time.thread_time() - began) * 1000)
        tally.answers += bool(one.text.strip())
        tally.holes += 1
        tally.rules.update(kept.rules)
        if kept.text:
            tally.shown += 1
            wrong = checks.errors(spot, kept.text)
            tally.errors.update(wrong)
            examples += [Example(error, one, kept.text) for error in wrong]
            if part != kept.text:
                wrong = [error for error in checks.errors(spot, part) if error not in wrong]
                tally.errors.update(wrong)
                examples += [Example(error, one, part) for error in wrong]
            if checks.parses(spot.text, spot.language):
                tally.judged += 1
                fits = checks.parses(spot.prefix + kept.text + spot.suffix, spot.language)
                tally.parsed += fits
                begins = (
                    fits
                    if part == kept.text
                    else checks.parses(spot.prefix + part + spot.suffix, spot.language)
                )
                tally.begun += begins
                if not fits:
                    unparsed.append(Example("does not parse", one, kept.text))
        if done % 1000 == 999:
            print(f"{done + 1} of {holes} holes", file=sys.stderr, flush=True)
    for example in (examples + unparsed)[: arguments.examples]:
        print(example)
    _report(tallies, arguments)
    return not examples


def _answers(arguments: argparse.Namespace, holes: int) -> Iterator[Answer]:
    kept: Path | None = arguments.answers
    if kept is not None and kept.is_file():
        yield from answers.load(kept)
        return
    groups = _groups([folder.resolve() for folder in arguments.repos])
    if not arguments.model:
        yield from answers.made(groups, holes, arguments.seed)
        return
    asked = answers.asked(groups, holes, arguments.seed, arguments.model)
    if kept is None:
        yield from asked
        return
    part = kept.with_name(kept.name + ".part")
    with part.open("w", encoding="utf-8") as stream:
        for one in asked:
            stream.write(answers.save(one) + "\n")
            stream.flush()
            yield one
    part.rename(kept)


def _report(tallies: dict[str, Tally], arguments: argparse.Namespace) -> None:
    total = Tally()
    for one in tallies.values():
        total.holes, total.shown = total.holes + one.holes, total.shown + one.shown
        total.judged, total.parsed = total.judged + one.judged, total.parsed + one.parsed
        total.answers, total.begun = total.answers + one.answers, total.begun + one.begun
        total.errors += one.errors
        total.rules += one.rules
        total.ms += one.ms
    every = {**tallies, "all": total}
    rows = [
        [
            name,
            one.holes,
            f"{one.shown} ({one.shown / max(1, one.answers):.0%})",
            *(one.errors[error] for error in checks.ERRORS),
            f"{one.parsed / one.judged:.1%} of {one.judged}" if one.judged else "-",
            f"{one.begun / one.judged:.1%}" if one.judged else "-",
            f"{common.percentile(one.ms, 0.5):.1f} / {common.percentile(one.ms, 0.99):.1f}",
        ]
        for name, one in every.items()
    ]
    common.show(
        "How often each rule acted", ["rule", "answers"], [list(row) for row in total.rules.most_common()]
    )  # fmt: skip
    title = "Answers of the model" if arguments.model else "Bad answers"
    common.report(
        f"{title} in real files: errors in what is shown",
        ["", "holes", "shown", *checks.ERRORS, "parses", "its first part", "ms, p50 / p99"],
        rows,
        ("overlap_errors", str(sum(total.errors.values()))),
        {
            name: {
                "holes": one.holes,
                "shown": one.shown,
                "errors": dict(one.errors),
                "rules": dict(one.rules),
                "answers": one.answers,
                "parsed": one.parsed,
                "starts_parsed": one.begun,
                "judged": one.judged,
                "ms_p50": common.percentile(one.ms, 0.5),
                "ms_p99": common.percentile(one.ms, 0.99),
            }
            for name, one in every.items()
        },
        arguments.json,
    )


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("--repos", type=Path, nargs="+", metavar="FOLDER", required=True)
    parser.add_argument("--holes", type=int, default=0, help="in all; 10,000 if not given")
    parser.add_argument("--seed", type=int, default=7, help="of holes and answers")
    parser.add_argument(
        "--model", nargs="?", const="tandem-135m", default="", help="ask it; a name of the store"
    )
    parser.add_argument(
        "--answers", type=Path, metavar="FILE", help="the model's: kept there, read if it is there"
    )
    parser.add_argument("--examples", type=int, default=0, metavar="N", help="print N errors")
    arguments = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        clean = run(arguments)
    except TandemError as error:
        sys.exit(f"overlap: {error}")
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    main()
