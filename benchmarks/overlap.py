"""Fuzz of what is shown: holes in real files, bad answers, and an independent look at the rest.

    python -m benchmarks.overlap --repos FOLDER... [--holes 10000] [--model [NAME]] [--json FILE]

Answers are made from the true text and the file around it: with the suffix after it, brackets too
many, special tokens, loops, other indentation, lines from above, cut at any place. With --model
the installed model gives them. They go through the dedent, the stop rule and the filters as in the
editor. Ends with 1 if anything shown repeats the suffix, unbalances brackets, leaks a special
token, or hides the code right of the cursor in a comment or string.
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
from benchmarks.parts import checks
from benchmarks.parts.fuzz_holes import Spot, answer, cuts, files_by_group, spots
from completion.asking import FILTERED_SUFFIX
from completion.filters import Filtered, StopRule, finish
from completion.hole import hole_kind
from completion.indent import Dedent
from tandem.config import CompletionConfig
from tandem.errors import TandemError, UsageError

LANGUAGES = ("python", "javascript", "typescript", "go", "rust", "c")
QUICK, QUICK_WITH_MODEL = 400, 20
MAX_LINES = CompletionConfig().max_lines


@dataclass
class Tally:
    """One language's counts. `judged`: shown in files that parse with the true text."""

    holes: int = 0
    shown: int = 0
    judged: int = 0
    parsed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    ms: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Example:
    error: str
    spot: Spot
    made: str
    answer: str
    shown: str

    def __str__(self) -> str:
        spot = self.spot
        line = spot.prefix.count("\n") + 1
        return (
            f"{self.error}: {spot.path}:{line} ({self.made})\n  before {spot.prefix[-80:]!r}\n"
            f"  truth  {spot.middle!r}\n  after  {spot.suffix[:80]!r}\n"
            f"  answer {self.answer[:300]!r}\n  shown  {self.shown!r}"
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


def fuzz(folders: list[Path], holes: int, seed: int) -> Iterator[tuple[Spot, str, str, bool]]:
    """Each hole with an answer: how it was made, its text, whether the model ended it."""
    groups = _groups(folders)
    for number, (group, paths) in enumerate(groups.items()):
        rng = random.Random(f"{seed} {group}")
        others: list[str] = []
        count = holes // len(groups) + (number < holes % len(groups))
        for spot in spots(paths, count, rng):
            yield spot, *answer(spot, rng, others)
            others = [*others[-50:], spot.middle]


def ask(
    folders: list[Path], holes: int, seed: int, name: str
) -> Iterator[tuple[Spot, str, str, bool]]:
    """Each hole with the model's answer; none where the editor would not ask."""
    from completion import models
    from completion.engine import shipped
    from completion.engine.request import Request
    from finetune import variant
    from finetune.cases import Case

    found = models.resolve(name)
    decoder = variant.load(found.folder, shipped=shipped.of(found))
    asked = variant.Variant(name, decoder, shipped.template_of(found))
    groups = _groups(folders)
    for number, (group, paths) in enumerate(groups.items()):
        rng = random.Random(f"{seed} {group}")
        count = holes // len(groups) + (number < holes % len(groups))
        for spot in cuts(paths, count, rng):
            hole = hole_kind(spot.prefix + spot.suffix, spot.start, spot.language)
            case = Case(
                group, spot.path.name, spot.language, spot.prefix, spot.middle or "\n",
                spot.suffix, "fuzz", hole.kind,
            )  # fmt: skip
            built = asked.prompt(case)
            if built is None:
                yield spot, name, "", True
                continue
            tokens = tuple(decoder.tokenizer.encode(built.text, begin=True))
            request = Request(
                tokens, CompletionConfig().max_tokens, stop=built.stop, heal=built.heal
            )
            text, ended = "", False
            for chunk in decoder.generate(request):
                text += chunk.text
                ended = chunk.finish == "stop"
                if text.count("\n") > MAX_LINES or (hole.kind == "line" and "\n" in text.strip()):
                    break
            yield spot, name, text, ended


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
    folders = [folder.resolve() for folder in arguments.repos]
    seed, model = arguments.seed, arguments.model
    asked = ask(folders, holes, seed, model) if model else fuzz(folders, holes, seed)
    rng = random.Random(arguments.seed)
    tallies: dict[str, Tally] = {}
    examples: list[Example] = []
    unparsed: list[Example] = []
    for done, (spot, made, text, ended) in enumerate(asked):
        tally = tallies.setdefault(spot.group, Tally())
        began = time.perf_counter()
        kept = shown(spot, text, ended, rng)
        tally.ms.append((time.perf_counter() - began) * 1000)
        tally.holes += 1
        tally.rules.update(kept.rules)
        if kept.text:
            tally.shown += 1
            wrong = checks.errors(spot, kept.text)
            tally.errors.update(wrong)
            examples += [Example(one, spot, made, text, kept.text) for one in wrong]
            if checks.parses(spot.text, spot.language):
                tally.judged += 1
                fits = checks.parses(spot.prefix + kept.text + spot.suffix, spot.language)
                tally.parsed += fits
                if not fits:
                    unparsed.append(Example("does not parse", spot, made, text, kept.text))
        if done % 1000 == 999:
            print(f"{done + 1} of {holes} holes", file=sys.stderr, flush=True)
    for example in (examples + unparsed)[: arguments.examples]:
        print(example)
    _report(tallies, arguments)
    return not examples


def _report(tallies: dict[str, Tally], arguments: argparse.Namespace) -> None:
    total = Tally()
    for one in tallies.values():
        total.holes, total.shown = total.holes + one.holes, total.shown + one.shown
        total.judged, total.parsed = total.judged + one.judged, total.parsed + one.parsed
        total.errors += one.errors
        total.rules += one.rules
        total.ms += one.ms
    every = {**tallies, "all": total}
    rows = [
        [
            name,
            one.holes,
            one.shown,
            *(one.errors[error] for error in checks.ERRORS),
            f"{one.parsed / one.judged:.1%} of {one.judged}" if one.judged else "-",
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
        ["", "holes", "shown", *checks.ERRORS, "parses", "ms, p50 / p99"],
        rows,
        ("overlap_errors", str(sum(total.errors.values()))),
        {
            name: {
                "holes": one.holes,
                "shown": one.shown,
                "errors": dict(one.errors),
                "rules": dict(one.rules),
                "parsed": one.parsed,
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
