"""`tandem eval`: how good the suggestions are, on code that you name."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from completion import templates
from tandem import config, progress, workspace
from tandem.errors import TandemError, UsageError

if TYPE_CHECKING:  # `tandem --help` must not wait for torch
    from completion.adapters import Adapter
    from completion.models import InstalledModel
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
    repos: Annotated[
        list[Path], typer.Argument(metavar="REPO...", help="A folder with source files.")
    ],
    n: Annotated[int, typer.Option("--n", min=1, max=100_000, help="Holes to fill.")] = 100,
    adapter: Annotated[str, typer.Option(help="Also measure this adapter.")] = "",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write all figures there.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed draws other holes.")] = 0,
    context: Annotated[
        bool, typer.Option("--context", help="Compare without and with pieces of other files.")
    ] = False,
    recall_only: Annotated[
        bool,
        typer.Option("--recall-only", help="Only whether context holds what is used; no model."),
    ] = False,
) -> None:
    """Cut holes in a repository's code and see how well they are filled.

    Shown are means with their 95% intervals. Ctrl-C shows what was measured until then. With
    --context several repositories may be named: so many holes in each.
    """
    repo = repos[0]
    if len(repos) > 1 and not (context or recall_only):
        raise UsageError("Only with --context are several repositories measured.", "Name one.")
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {json_file.absolute().parent}.", "Make it first.")
    if context or recall_only:
        from tandem import eval_context_cli

        best = None if recall_only else partial(_best, repo, adapter)
        return eval_context_cli.run(repos, n, seed, config.load(_root(repo)), best, json_file)
    from finetune import evaluate
    from finetune.held_out import repository_cases

    cases = repository_cases(repo, n, seed)
    if len(cases) < n:
        _tell(f"{repo} has room for {len(cases)} holes only.")
    with progress.on_stderr() as tell:
        variants = _variants(repo, adapter)
        report = evaluate.run(cases, variants, partial(tell, "filling holes"))
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
    """The base model left to right, what is served by default, and an adapter: the one named,
    else the one that the repository uses.

    Raises TandemError if a model or the adapter named cannot be loaded.
    """
    from completion import models
    from completion.engine import shipped
    from finetune import variant
    from finetune.evaluate import Variant

    settings = config.load(_root(repo))
    if settings.endpoint:
        raise UsageError(
            f"Suggestions come from {settings.endpoint}; only models here are measured.",
            "Run: tandem models use tandem-135m",
        )
    found = models.resolve(settings.model)
    engine = settings.engine
    tokens = settings.completion.prompt_tokens
    options = {"dtype": engine.dtype, "threads": engine.threads, "context": engine.context}
    chosen = _adapter(repo, found, adapter)
    difference = shipped.of(found)
    base = served = variant.load(found.folder, **options)
    if difference is not None:
        served = variant.load(found.folder, **options, shipped=difference)
    variants = [Variant("base, left to right", base, templates.PLAIN, prompt_tokens=tokens)]
    template = settings.template or shipped.template_of(found)
    if template != templates.PLAIN or served is not base:
        variants.append(Variant(found.name, served, template, prompt_tokens=tokens))
    if chosen is not None:
        from completion.engine.adapters import with_adapter

        decoder = with_adapter(served, chosen.folder, found.folder)
        variants.append(Variant(chosen.name, decoder, template, prompt_tokens=tokens))
    return variants


def _best(repo: Path, adapter: str) -> "Variant":
    """What is served for this repository."""
    return _variants(repo, adapter)[-1]


def _adapter(repo: Path, model: "InstalledModel", name: str) -> "Adapter | None":
    """The adapter named, else the one in use, if it can be used. Raises TandemError if the one
    named cannot."""
    from completion import activations, adapters

    root = _root(repo)
    wanted = name or (root and activations.active_for(root, model.name))
    if not wanted:
        return None
    try:
        return adapters.resolve(wanted, adapters.Base.of(model.name, model.folder), thorough=True)
    except TandemError as error:
        if name:
            raise
        _tell(f"{error} Measured without it.")
        return None


def _root(folder: Path) -> Path | None:
    return workspace.root_of(folder.resolve() / "file")


def _tell(message: str) -> None:
    print(f"tandem: {message}", file=sys.stderr)
