"""`tandem eval completion --context`: what pieces of other files are worth, with and without a
model."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from completion.counting import counter_for
from completion.templates import templates
from tandem import paths, progress
from tandem.config import Config
from tandem.errors import TandemError, UsageError

if TYPE_CHECKING:  # `tandem --help` must not wait for torch
    from finetune.cases import Case
    from finetune.cross_file import CrossCase
    from finetune.report import Report
    from finetune.variant import Variant

INTERRUPTED = 130
FORMAT = 1
CROSS_FILE, RANDOM = "cross-file holes", "random holes"
# What a person wants to know; the JSON has all there is.
_METRICS = ("exact", "first_line", "similarity", "shown", "loss", "found", "asked", "context")
_RECALL = ("found", "asked", "pieces", "context")


def run(
    repos: Sequence[Path],
    n: int,
    seed: int,
    settings: Config,
    model: "Callable[[], Variant] | None",
    json_file: Path | None,
) -> None:
    """In each repository `n` holes where context must help and, with a model, `n` anywhere.

    Raises UsageError if there are none, if no context is wanted, or if the model knows none.
    """
    from finetune.context import Comparison
    from finetune.cross_file import cross_file_holes
    from finetune.held_out import repository_cases
    from finetune.sight import sight_of

    budget = settings.completion.context_tokens
    if not budget:
        raise UsageError("completion.context_tokens is 0: no context is wanted.", "Raise it.")
    with progress.on_stderr() as tell, ExitStack() as stack:
        cutting = partial(tell, "cutting holes")
        cross = [one for repo in repos for one in cross_file_holes(repo, n, seed, cutting)]
        sets: dict[str, Sequence[CrossCase | Case]] = {CROSS_FILE: cross}
        variant = model() if model else None
        if variant is not None:
            if not templates()[variant.template].uses_snippets:
                raise UsageError(
                    f"The template '{variant.template}' has no place for pieces of other files.",
                    "Use a model that has one, or --recall-only.",
                )
            sets[RANDOM] = [one for repo in repos for one in repository_cases(repo, n, seed)]
        reports: dict[str, Report] = {}
        count, indexing = counter_for(settings), partial(tell, "indexing")
        sights = {
            repo.resolve().name: stack.enter_context(sight_of(repo, count, budget, indexing))
            for repo in repos
        }
        comparison = Comparison(sights, variant)
        for name, holes in sets.items():
            reports[name] = comparison.run(holes, partial(tell, name))
            if not reports[name].complete:
                break
    complete = all(report.complete for report in reports.values())
    if complete and not all(report.holes for report in reports.values()):
        raise TandemError("No hole could be asked for.", "Raise engine.context, or use other code.")
    _show(reports, variant is not None)
    if json_file is not None:
        figures = {name: report.to_json() for name, report in reports.items()}
        with paths.atomic_write(json_file) as stream:
            stream.write(json.dumps({"v": FORMAT, "sets": figures}, indent=1) + "\n")
    if not complete:
        raise typer.Exit(INTERRUPTED)


def _show(reports: "dict[str, Report]", answered: bool) -> None:
    from finetune import context_report

    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    for name, report in reports.items():
        if not report.holes:
            continue
        console.rule(name)
        tables = report.tables(_METRICS if answered else _RECALL, _groups(report, answered))
        for table in tables if answered else tables[:1]:
            console.print(table)
        for table in context_report.tables(report):
            console.print(table)


def _groups(report: "Report", answered: bool) -> Sequence[str]:
    """With a model's figures there are too many groups for a screen."""
    from finetune.cross_file import FIRST, NAMES

    if not answered:
        return report.groups
    named = [one for one in report.groups if one.endswith(f", {NAMES}")]
    return ["all", *named, FIRST]
