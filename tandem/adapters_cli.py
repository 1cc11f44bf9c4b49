"""`tandem adapters`: what repositories taught the model, and which adapter each one uses."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tandem import config, team_adapters_cli, workspace
from tandem.errors import TandemError, UsageError

if TYPE_CHECKING:  # importing the store takes long; `tandem --help` must not wait
    from completion.adapters import Adapter, Base
    from finetune.gate import Figures

app = typer.Typer(no_args_is_help=True, help="Adapters: list, show, use, roll back, remove.")
app.command("push")(team_adapters_cli.push)
app.command("pull")(team_adapters_cli.pull)
app.command("team")(team_adapters_cli.listed)
app.command("key")(team_adapters_cli.key)
app.command("trust")(team_adapters_cli.trust)

Name = Annotated[str, typer.Argument(help="An adapter's name, see `tandem adapters list`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True)
class Row:
    """An adapter as it stands. `adapter` is None if its manifest cannot be read."""

    name: str
    adapter: "Adapter | None"
    state: str
    reason: str
    users: list[str]


@app.command("list")
def list_adapters(as_json: AsJson = False) -> None:
    """The adapters on this machine; a star marks those in use."""
    from completion import adapters

    rows = [_row(name) for name in adapters.names()]
    if as_json:
        print(json.dumps([_summary(row) for row in rows], indent=1))
        return
    if not rows:
        typer.echo("No adapters yet. Run: tandem tune REPO")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("", "name", "state", "base", "gain", "repository", "made"):
        table.add_column(heading)
    for row in rows:
        known = row.adapter.manifest if row.adapter else None
        cells = [known.base, _gain(row), known.repository, known.created] if known else [""] * 4
        table.add_row(*map(Text, ("*" if row.users else "", row.name, row.state, *cells)))
    Console().print(table)
    for row in rows:
        if row.reason:
            typer.echo(row.reason, err=True)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """An adapter's manifest, what the gate says of it, and where it is or was in use."""
    from completion import activations, adapters
    from finetune import registry

    adapter = adapters.read(name)
    row, known = _row(name), adapter.manifest
    entries = [entry for entry in activations.history() if entry.name == name]
    refusals = registry.verdict(adapter).refusals
    if as_json:
        history = [entry.model_dump() for entry in entries]
        print(json.dumps({**_summary(row), **known.model_dump(), "history": history}, indent=1))
        return
    rows: dict[str, Any] = {
        "name": name,
        "folder": str(adapter.folder),
        "state": f"{row.state}. {row.reason}" if row.reason else row.state,
        "base": f"{known.base}, weights {known.base_hash[:12]}…",
        "repository": known.repository,
        "data": known.data_hash[:12],
        "made": known.created,
        "licence": known.licence,
        "note": known.note,
        "recipe": _pairs(known.recipe),
        "gain": _gain(row),
        "general set": _general(_figures(row)),
        "gate": f"refuses: {'; '.join(refusals)}" if refusals else "passes",
        "in use for": ", ".join(row.users),
    }
    table = Table(box=None, pad_edge=False, show_header=False)
    for heading, value in rows.items():
        if value:
            table.add_row(Text(heading, style="dim"), Text(value, overflow="fold"))
    for entry in entries:
        forced = f" (--force: {'; '.join(entry.overridden)})" if entry.overridden else ""
        text = f"{entry.action} {entry.repository}{forced}"
        table.add_row(Text(entry.time, style="dim"), Text(text, overflow="fold"))
    Console().print(table)


@app.command()
def use(
    name: Name,
    repo: Annotated[
        Path | None, typer.Option(help="The repository; the one it was tuned on if not given.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overrule the gate.")] = False,
) -> None:
    """Complete a repository's files with an adapter, if the gate lets it pass."""
    from completion import adapters
    from finetune import registry

    known = adapters.read(name).manifest
    repository = repository_of(repo or Path(known.repository))
    verdict = registry.activate(name, repository, base_named(known.base), force)
    typer.echo(f"{repository} now uses {name}. To go back: {_rollback(repository)}")
    if not verdict.passed:
        typer.echo(f"--force overruled the gate: {'; '.join(verdict.refusals)}.", err=True)
    if repository != Path(known.repository):
        typer.echo(f"Its figures were taken on {known.repository}.", err=True)


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="With --at: the adapter's name there.")] = "",
    at: Annotated[str, typer.Option(help="Roll back at this gateway, for the team.")] = "",
    repo: team_adapters_cli.Repo = None,
    token_file: team_adapters_cli.TokenFile = None,
) -> None:
    """Go back to the adapter that a repository used before, or to the base model."""
    from finetune import registry

    if at:
        team_adapters_cli.roll_back_at(name, at, repo, token_file)
        return
    if name or token_file:
        raise UsageError("Which gateway?", "Name it with --at URL; here, leave the name out.")

    repository = repository_of(repo or Path.cwd())
    base = base_named(config.load().model)
    back = registry.roll_back(repository, base)
    typer.echo(f"{repository} now uses {back or f'{base.name} without an adapter'}.")


@app.command()
def remove(
    name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Delete an adapter. Where it was in use, the base model is used again."""
    from completion import adapters
    from finetune import registry

    adapters.folder_of(name)
    if not yes:
        where = ", ".join(registry.users(name))
        used = f", in use for {where}" if where else ""
        typer.confirm(f"Delete the adapter {name}{used}?", abort=True)
    used = registry.remove(name)
    typer.echo(f"{name} is removed.")
    for repository in used:
        typer.echo(f"{repository} uses the base model again.")


def base_named(name: str) -> "Base":
    """The base model of that name: in the store, or the folder that the settings name.

    Raises ModelError if it is neither.
    """
    from completion import models
    from completion.adapters import Base

    for candidate in (config.load().model, name):
        try:
            model = models.resolve(candidate)
        except TandemError:
            if candidate == name:
                raise
            continue
        if name in (model.name, candidate):
            return Base.of(model.name, model.folder)
    raise AssertionError("the second candidate is found or raises")


def _row(name: str) -> Row:
    from completion import adapters
    from finetune import registry

    adapter = None
    try:
        adapter = adapters.read(name)
        adapters.resolve(name, base_named(adapter.manifest.base))
        state, reason = "ready", ""
    except adapters.StaleAdapter as error:
        state, reason = "stale", str(error)
    except TandemError as error:
        state, reason = "unusable" if adapter else "damaged", str(error)
    try:
        users = registry.users(name)
    except TandemError as error:
        users, reason = [], reason or str(error)
    return Row(name, adapter, state, reason, users)


def _summary(row: Row) -> dict[str, Any]:
    from finetune import registry

    summary: dict[str, Any] = {
        "name": row.name,
        "state": row.state,
        "reason": row.reason,
        "in_use_for": row.users,
    }
    if row.adapter:
        known, verdict = row.adapter.manifest, registry.verdict(row.adapter)
        summary |= known.model_dump(include={"base", "repository", "created", "licence", "figures"})
        summary |= {"folder": str(row.adapter.folder), "size": row.adapter.size}
        summary["gate"] = {"passed": verdict.passed, "refusals": list(verdict.refusals)}
    return summary


def _figures(row: Row) -> "Figures | None":
    from finetune.gate import Figures

    return Figures.from_json(row.adapter.manifest.figures) if row.adapter else None


def _gain(row: Row) -> str:
    from finetune.gate import points

    if (f := _figures(row)) is None:
        return "not measured"
    return f"{points(f.gain_mean)} ({points(f.gain_low)} to {points(f.gain_high)})"


def _general(f: "Figures | None") -> str:
    from finetune.gate import points

    if f is None:
        return ""
    return f"{points(f.general_mean)} ({points(f.general_low)} to {points(f.general_high)})"


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def repository_of(path: Path) -> Path:
    """The root of the repository that a path lies in. Raises UsageError."""
    real = path.expanduser().resolve()
    root = workspace.root_of(real / "file")
    if root is None:
        raise UsageError(f"{path} is in no repository.", "Name one with --repo.")
    return root


def _rollback(repository: Path) -> str:
    here = workspace.root_of(Path.cwd() / "file") == repository
    return "tandem adapters rollback" + ("" if here else f" --repo {repository}")
