"""`tandem gateway`: one address for many model servers."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tandem import config as user_settings
from tandem import paths
from tandem.errors import UsageError

if TYPE_CHECKING:
    from gateway.stats import Sums

app = typer.Typer(no_args_is_help=False, invoke_without_command=True)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Settings; default: gateway.toml in the settings folder."),
]


@app.callback()
def gateway(
    context: typer.Context,
    config: ConfigOption = None,
    port: Annotated[int | None, typer.Option(help="Instead of the settings' port.")] = None,
    allow_remote: Annotated[
        bool, typer.Option(help="Let other machines in; put TLS in front.")
    ] = False,
) -> None:
    """One address for many model servers, until Ctrl-C."""
    if context.invoked_subcommand is not None:
        if config is not None or port is not None or allow_remote:
            raise UsageError("Options of the gateway go with no command.", "Leave them out.")
        return
    from gateway import config as settings
    from gateway import server

    file = config or settings.default_file()
    found = settings.load(file)
    changes: dict[str, object] = {"allow_remote": found.allow_remote or allow_remote}
    if port is not None:
        changes["port"] = port
    server.run(
        found.model_copy(update=changes),
        tell=lambda line: print(line, flush=True),
        place=file.absolute().parent,
    )


@app.command()
def init(
    user: Annotated[str, typer.Option(help="The first user's name.")] = "me",
) -> None:
    """Write a settings file to begin with."""
    from gateway import config as settings

    file = settings.default_file()
    if file.exists():
        raise UsageError(f"{file} exists already.", "Edit it, or remove it first.")
    name = json.dumps(user, ensure_ascii=False)
    model = json.dumps(user_settings.load().model)[1:-1]
    text = settings.EXAMPLE.replace("{user}", name).replace("{model}", model)
    with paths.atomic_write(file) as stream:
        stream.write(text)
    settings.load(file)
    typer.echo(f"Wrote {file}. Next: tandem gateway token {user}")


@app.command()
def token(
    user: Annotated[str, typer.Argument(help="A user of the settings.")],
    revoke: Annotated[bool, typer.Option(help="Take the user's token away.")] = False,
    config: ConfigOption = None,
) -> None:
    """Make a user's token; it is shown once, and an older one ends."""
    from gateway import config as settings
    from gateway import tokens

    if revoke:
        had = tokens.revoke(user, tokens.default_file())
        typer.echo(f"{user} has no token now." if had else f"{user} had no token.")
        return
    known = settings.load(config or settings.default_file()).users
    if user not in known:
        raise UsageError(
            f"{user} is not in the gateway's settings.", f"Add a table [users.{json.dumps(user)}]."
        )
    typer.echo(tokens.make(user, tokens.default_file()))
    typer.echo("Shown this once; kept as a hash. It counts at once.", err=True)


@app.command()
def stats(
    by: Annotated[
        Literal["user", "tenant", "model", "backend"], typer.Option(help="What to add up by.")
    ] = "user",
    days: Annotated[float, typer.Option(min=0, help="How far back.")] = 7.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: ConfigOption = None,
) -> None:
    """Cost, hit rates and waiting times, from the request log."""
    from gateway import ledger
    from gateway.stats import sums

    since = time.time() - days * 86_400
    groups, whole = sums(ledger.read(ledger.default_file(), since), by)
    if as_json:
        told = {name: group.figures() for name, group in groups.items()}
        typer.echo(json.dumps({"by": by, "groups": told, "all": whole.figures()}, indent=1))
    elif not whole.requests:
        typer.echo(f"No request in {days:g} days.")
    else:
        _show(groups, whole, by, days, _currency(config))


def _currency(config: Path | None) -> str:
    from gateway import config as settings

    file = config or settings.default_file()
    return settings.load(file).currency if file.exists() else ""


def _show(groups: "dict[str, Sums]", whole: "Sums", by: str, days: float, currency: str) -> None:
    from rich.console import Console
    from rich.table import Table

    money = f"cost{', ' + currency if currency else ''}"
    columns = [by, "requests", "no answer", "from cache", "prefix hits", "tokens in", "out"]
    table = Table(*columns, money, "saved", "first p50, ms", "p95", title=f"{days:g} days")
    rows = [*groups.items()]
    if len(rows) > 1:
        rows.append(("all", whole))
    for name, row in rows:
        lost = sum(row.ends.get(end, 0) for end in ("refused", "failed", "cut"))
        p50, p95 = row.first(0.5), row.first(0.95)
        table.add_row(
            name,
            str(row.requests),
            str(lost),
            f"{row.answer_hits:.0%}",
            f"{row.prefix_hits:.0%}",
            str(row.prompt_tokens),
            str(row.completion_tokens),
            f"{row.cost:.4f}",
            f"{row.saved:.4f}",
            "" if p50 is None else f"{p50:.1f}",
            "" if p95 is None else f"{p95:.1f}",
        )
    Console(width=120).print(table)
