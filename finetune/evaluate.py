"""Compares models, and ways to ask them, on the same holes in code they have not seen.

    python -m finetune.evaluate --cases CASES.jsonl --base FOLDER [--tuned FOLDER] [--json FILE]

What counts is what the editor would show: also the base model, asked left to right, gets our
stop rule and filters, so that a gain is the model's. Whether a model knows where its answer ends
is read from its raw text.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from rich.console import Console

from completion.engine.weights import usable_cores
from finetune import cases, metrics, variant
from finetune.bootstrap import difference, interval
from finetune.cases import Case
from finetune.report import GROUPS, METRICS, Figure, Report
from finetune.variant import Answer, Variant
from tandem.config import CompletionConfig

if TYPE_CHECKING:
    from completion.engine.generate import Decoder

__all__ = ["Figure", "Report", "Scored", "Variant", "answer_all", "report", "run", "score"]

Progress = Callable[[int, int], None]
Hole = TypeVar("Hole")


@dataclass(frozen=True)
class Scored:
    """All variants' scores on one case, by variant and metric; a metric may be missing.

    `tokens` is the length of its true middle. `named`: the groups it counts in besides "all", by
    length and by cut if none are told.
    """

    case: Case
    scores: Mapping[str, Mapping[str, float]]
    tokens: int
    named: tuple[str, ...] = ()

    @property
    def file(self) -> tuple[str, str]:
        return self.case.source, self.case.path

    @property
    def groups(self) -> tuple[str, ...]:
        length = GROUPS[1] if self.case.lines == 1 else GROUPS[2]
        return "all", *(self.named or (length, self.case.cut))


def run(
    found: Sequence[Case],
    variants: Sequence[Variant],
    on_progress: Progress = lambda done, total: None,
) -> Report:
    """Answer every case with every variant, and compare. A KeyboardInterrupt ends it early:
    the report is then of the holes answered until that, and not `complete`."""
    assert len({one.name for one in variants}) == len(variants) > 0
    done = score_all(found, lambda case: answer_all(case, variants), on_progress)
    return report(done.scored, [one.name for one in variants], done.skipped, done.complete)


@dataclass(frozen=True)
class Done:
    """`skipped` holes could not be asked; `complete` is false after a KeyboardInterrupt."""

    scored: list[Scored]
    skipped: int
    complete: bool


def score_all(
    found: Sequence[Hole], answer: Callable[[Hole], Scored | None], on_progress: Progress
) -> Done:
    """Answer one hole after the other, until a KeyboardInterrupt."""
    scored: list[Scored] = []
    skipped, complete = 0, True
    try:
        for done, hole in enumerate(found):
            on_progress(done, len(found))
            one = answer(hole)
            if one is None:
                skipped += 1
            else:
                scored.append(one)
        on_progress(len(found), len(found))
    except KeyboardInterrupt:
        complete = False
    return Done(scored, skipped, complete)


def answer_all(case: Case, variants: Sequence[Variant]) -> Scored | None:
    """None if one of the variants cannot be asked: then none is, so that all see the same."""
    return answer_each([(case, one) for one in variants])


def answer_each(pairs: Sequence[tuple[Case, Variant]]) -> Scored | None:
    """The same for cases of one hole that differ in their snippets."""
    asked = [(case, one, built) for case, one in pairs if (built := one.prompt(case)) is not None]
    if len(asked) < len(pairs):
        return None
    scores: dict[str, dict[str, float]] = {}
    tokens = 0
    for case, one, built in asked:
        answer = one.answer(case, built)
        scores[one.name] = score(case, answer, one)
        tokens = tokens or answer.tokens
    return Scored(pairs[0][0], scores, tokens)


def score(case: Case, answer: Answer, variant: Variant) -> dict[str, float]:
    """The metrics of one answer, by the names in `report.METRICS`."""
    truth, shown = case.middle, answer.shown
    exact = metrics.exact_match(shown, truth)
    values = {
        "exact": exact,
        "similarity": metrics.edit_similarity(shown, truth),
        "first_line": metrics.first_line_match(shown, truth),
        "saved": metrics.tokens_saved(shown, truth, variant.decoder.tokenizer),
        "clean": metrics.ends_cleanly(answer.raw, answer.ended, truth),
        "shown": bool(shown),
        "loss": answer.loss,
        "end_loss": answer.end_loss,
    }
    if shown:  # silence would improve this one: `shown` stands beside it
        values["exact_of_shown"] = exact
    return {name: float(value) for name, value in values.items()}


def report(
    scored: Sequence[Scored], names: Sequence[str], skipped: int = 0, complete: bool = True
) -> Report:
    """Figures by group: all, single-line and multi-line holes, then the others."""
    groups: dict[str, int] = dict.fromkeys(GROUPS, 0)
    for one in scored:
        for group in one.groups:
            groups[group] = groups.get(group, 0) + 1
    rates: list[Figure] = []
    differences: list[Figure] = []
    for group in (name for name, size in groups.items() if size):
        members = [one for one in scored if group in one.groups]
        rates += _rates(group, members, names)
        differences += _differences(group, members, names)
    return Report(tuple(names), len(scored), skipped, tuple(rates), tuple(differences), complete)


def _rates(group: str, members: Sequence[Scored], names: Sequence[str]) -> Iterable[Figure]:
    for name in names:
        for metric in METRICS:
            held = [one for one in members if metric in one.scores[name]]
            if held:
                values = [one.scores[name][metric] for one in held]
                files = [one.file for one in held]
                yield Figure(name, group, metric, interval(values, files, _weights(metric, held)))


def _differences(group: str, members: Sequence[Scored], names: Sequence[str]) -> Iterable[Figure]:
    files = [one.file for one in members]
    for first, second in combinations(names, 2):
        for metric in METRICS:
            measured = (metric in one.scores[name] for one in members for name in (first, second))
            if not all(measured):  # of other holes in each variant: not paired
                continue
            a, b = ([one.scores[name][metric] for one in members] for name in (first, second))
            found = difference(a, b, files, _weights(metric, members))
            yield Figure(second, group, metric, found, against=first)


def _weights(metric: str, members: Sequence[Scored]) -> list[float] | None:
    """A loss is a mean over tokens, all else over holes."""
    return [one.tokens for one in members] if metric == "loss" else None


def standard_variants(
    base: "Decoder", tuned: "Decoder | None", snippets: bool, prompt_tokens: int
) -> list[Variant]:
    """Base left to right first: it is what all else is compared with."""
    found = [
        Variant("base, left to right", base, "plain", prompt_tokens=prompt_tokens),
        Variant("base, suffix first", base, "tandem", prompt_tokens=prompt_tokens),
    ]
    if tuned is not None:
        full = Variant("tuned", tuned, "tandem", prompt_tokens=prompt_tokens)
        found += [full, replace(full, name="tuned, no suffix", suffix=False)]
        if snippets:
            found.append(replace(full, name="tuned, no snippets", snippets=False))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, required=True, metavar="FILE")
    parser.add_argument("--base", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--tuned", type=Path, metavar="FOLDER|FILE", help="or a difference to BASE")
    parser.add_argument(
        "--only", default="", help="variants A and B of A|B, by name or a part of it"
    )
    parser.add_argument("--n", type=int, default=0, help="the first N cases; 0 means all")
    parser.add_argument("--prompt-tokens", type=int, default=CompletionConfig().prompt_tokens)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--dtype", default="auto", help="of the weights, as engine.dtype")
    parser.add_argument("--beside", default="", metavar="DTYPE", help="tuned once more, with these")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found = cases.load(arguments.cases)[: arguments.n or None]
    base = variant.load(arguments.base, threads=arguments.threads, dtype=arguments.dtype)
    tuned = _tuned(arguments, arguments.dtype) if arguments.tuned else None
    snippets = any(case.snippets for case in found)
    variants = standard_variants(base, tuned, snippets, arguments.prompt_tokens)
    if arguments.tuned and arguments.beside:
        full = next(one for one in variants if one.name == "tuned")
        other = _tuned(arguments, arguments.beside)
        variants.append(replace(full, name=f"tuned, {arguments.beside}", decoder=other))
    # Each engine asks for the threads that it alone would need; in one process the last one's hold.
    torch.set_num_threads(arguments.threads or usable_cores())
    wanted = arguments.only.split("|")
    names = {one.name for one in variants}
    variants = [
        one
        for one in variants
        if any(word == one.name if word in names else word in one.name for word in wanted)
    ]
    result = run(found, variants, tell)
    for table in result.tables():
        Console(width=200 if not sys.stdout.isatty() else None).print(table)
    if arguments.json:
        result.save(arguments.json)


def _tuned(arguments: argparse.Namespace, dtype: str) -> "Decoder":
    from completion.engine import shipped

    path, options = arguments.tuned, {"threads": arguments.threads, "dtype": dtype}
    if path.is_dir():
        return variant.load(path, **options)
    return variant.load(arguments.base, shipped=shipped.read(path), **options)


def tell(done: int, total: int) -> None:
    """A line on standard error at each tenth."""
    if total and (done * 10 // total) != ((done - 1) * 10 // total):
        print(f"{done} of {total} holes", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
