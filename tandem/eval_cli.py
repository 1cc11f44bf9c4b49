"""`tandem eval`: how good the suggestions are, on code that you name."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tandem import config
from tandem.errors import TandemError, UsageError

if TYPE_CHECKING:  # `tandem --help` must not wait for torch
    from finetune.evaluate import Variant

INTERRUPTED = 130
# What a person wants to know; the JSON has all there is.
_METRICS = ("exact", "similarity", "first_line", "saved", "clean", "shown", "exact_of_shown")

app = typer.Typer(no_args_is_help=True, help="How good the suggestions are.")


@app.callback()
def _group() -> None:
    """One command so far; without this typer would make it the group itself."""


@app.command()
def completion(
    repo: Annotated[Path, typer.Argument(help="A folder with source files.")],
    n: Annotated[int, typer.Option("--n", min=1, max=100_000, help="Holes to fill.")] = 100,
    adapter: Annotated[str, typer.Option(help="Also measure this adapter.")] = "",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write all figures there.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed draws other holes.")] = 0,
) -> None:
    """Cut holes in a repository's code and see how well they are filled.

    Shown are means with their 95% intervals. Ctrl-C shows what was measured until then.
    """
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {json_file.absolute().parent}.", "Make it first.")
    from finetune import evaluate
    from finetune.held_out import repository_cases

    cases = repository_cases(repo, n, seed)
    if len(cases) < n:
        _tell(f"{repo} has room for {len(cases)} holes only.")
    with progress_on_stderr("loading the model") as draw:
        variants = _variants(repo, adapter)
        report = evaluate.run(cases, variants, draw)
    if not report.holes and report.complete:
        raise TandemError("No hole could be asked for.", "Raise engine.context, or use other code.")
    if report.holes:
        console = Console()
        if not console.is_terminal:
            console = Console(width=140)
        for table in report.tables(_METRICS):
            console.print(table)
        if json_file is not None:
            report.save(json_file)
    if not report.complete:
        raise typer.Exit(INTERRUPTED)


def _variants(repo: Path, adapter: str) -> "list[Variant]":
    """The default model as it is served, the base left to right, and the adapter if named.

    Raises TandemError if a model cannot be loaded here.
    """
    from completion import adapters, models
    from completion.engine import shipped
    from finetune import variant
    from finetune.evaluate import Variant

    settings = config.load(repo)
    if settings.endpoint:
        raise UsageError(
            f"Suggestions come from {settings.endpoint}; only models here are measured.",
            "Run: tandem models use tandem-135m",
        )
    found = models.resolve(settings.model)
    engine = settings.engine
    budget = settings.completion.prompt_tokens
    options = {"dtype": engine.dtype, "threads": engine.threads, "context": engine.context}
    served = variant.load(found.folder, shipped=shipped.of(found), **options)
    template = settings.template or shipped.template_of(found)
    variants = [Variant("left to right", served, "plain", prompt_tokens=budget)]
    if template != "plain":
        variants.append(Variant(found.name, served, template, prompt_tokens=budget))
    if adapter:
        from completion.engine.adapters import with_adapter

        base = adapters.Base.of(found.name, found.folder)
        tuned = with_adapter(served, adapters.resolve(adapter, base).folder, found.folder)
        variants.append(Variant(adapter, tuned, template, prompt_tokens=budget))
    return variants


@contextmanager
def progress_on_stderr(waiting: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with the time left on a terminal, a line a tenth elsewhere."""
    if not sys.stderr.isatty():
        from finetune.evaluate import tell

        yield tell
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(waiting, total=None)
        yield lambda done, total: bar.update(
            task, description="filling holes", completed=done, total=total
        )


def _tell(message: str) -> None:
    print(f"tandem: {message}", file=sys.stderr)
