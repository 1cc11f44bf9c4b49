"""`tandem adapters push | pull | team | key | trust`: adapters of a team, over its gateway."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tandem import config
from tandem.errors import UsageError

if TYPE_CHECKING:  # importing it takes long; `tandem --help` must not wait
    from finetune.sharing import Team

Repo = Annotated[Path | None, typer.Option(help="The repository; the one we are in if not given.")]
TokenFile = Annotated[
    Path | None, typer.Option(help="Holds the gateway's token; else TANDEM_TOKEN or `token`.")
]
_URL = "The gateway, such as https://models/v1; default: the setting `endpoint`."
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def push(
    name: Annotated[
        str, typer.Argument(help="An adapter here; default: the one in use for the repository.")
    ] = "",
    to: Annotated[str, typer.Option(help=_URL)] = "",
    as_name: Annotated[str, typer.Option("--as", help="What the team calls it.")] = "",
    repo: Repo = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Send an adapter to the team's gateway, signed with your key, if the gate lets it pass."""
    from completion import adapters
    from tandem.adapters_cli import repository_of

    if name:
        adapter = adapters.read(name)
        root = repository_of(repo or Path(adapter.manifest.repository))
    else:
        root = repository_of(repo or Path.cwd())
        adapter = adapters.read(_in_use(root))
    with team(to, token_file) as server:
        told = server.push(adapter, root, as_name)
    if as_json:
        print(json.dumps(told, indent=1))
        return
    typer.echo(f"{adapter.name} is {told['name']} for the team, version {_version(told)}.")
    _tell_servers(told)
    typer.echo(f"To go back: tandem adapters rollback {told['name']} --at URL")


def pull(
    source: Annotated[str, typer.Option("--from", help=_URL)] = "",
    older: Annotated[
        bool, typer.Option("--older", help="Take a version older than one that was here.")
    ] = False,
    repo: Repo = None,
    token_file: TokenFile = None,
) -> None:
    """Fetch the team's adapter of a repository, check who signed it, and use it here."""
    from tandem.adapters_cli import base_named, repository_of

    root = repository_of(repo or Path.cwd())
    with team(source, token_file) as server:
        found = server.pull(root, base_named, older)
    known = "" if found.new else " (it was here already)"
    typer.echo(f"{root} now uses {found.statement.served}, signed by {found.signer}{known}.")
    typer.echo("To go back: tandem adapters rollback")


def listed(
    at: Annotated[str, typer.Option(help=_URL)] = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """The team's adapters that you may use: versions, and where each is loaded."""
    with team(at, token_file) as server:
        rows = server.rows()
    if as_json:
        print(json.dumps(rows, indent=1))
    elif not rows:
        typer.echo("No adapters for you there. Send one: tandem adapters push")
    for row in rows if not as_json else []:
        typer.echo(f"{row['name']}: {_version(row)}, {len(row['versions'])} versions kept")
        _tell_servers(row)


def roll_back_at(name: str, url: str, repo: Path | None, token_file: Path | None) -> None:
    """`tandem adapters rollback --at`."""
    from tandem.adapters_cli import repository_of

    root = None if name else repository_of(repo or Path.cwd())
    with team(url, token_file) as server:
        told = server.roll_back(name, root)
    typer.echo(f"{told['name']}: {_version(told)} is in use for the team now.")
    _tell_servers(told)


def key() -> None:
    """Your public key, for the gateway's signers and your colleagues' `trust`."""
    from completion import signing

    typer.echo(signing.own_key())


def trust(
    key: Annotated[str, typer.Argument(help="What `tandem adapters key` prints there.")],
    name: Annotated[str, typer.Argument(help="Whose it is.")],
) -> None:
    """Let `pull` install what this key signed."""
    from completion import signing

    signing.trust(key, name)
    typer.echo(f"Adapters signed by {name} are installed from now on.")
    typer.echo(f"To end that, take the line out of {signing.signers_file()}.")


def team(url: str, token_file: Path | None) -> "Team":
    """The gateway to talk to. The token of the settings goes to their endpoint alone, unless
    they have none. Raises UsageError."""
    from finetune.sharing import Team

    settings = config.load()
    url = url or settings.endpoint
    if not url:
        raise UsageError("Which gateway?", "Name it with --to, --from or --at URL.")
    if token_file is not None:
        try:
            token = token_file.expanduser().read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"Cannot read {token_file}: {error}.", "Mend --token-file.") from None
    elif settings.endpoint.rstrip("/") in ("", url.rstrip("/")):
        token = settings.token.get_secret_value()
    else:
        raise UsageError(f"{url} is not your `endpoint`.", "Name its token with --token-file.")
    return Team(url, token)


def _in_use(root: Path) -> str:
    from completion import activations

    used = activations.in_use(activations.history())
    names = {name for (repository, _), name in used.items() if repository == activations.key(root)}
    if len(names) != 1:
        raise UsageError(f"{root} uses {len(names)} adapters.", "Name one to push.")
    return names.pop()


def _version(row: dict[str, Any]) -> str:
    return row["in_use"]["version"] if row["in_use"] else "the base"


def _tell_servers(row: dict[str, Any]) -> None:
    for server, state in (row.get("servers") or {}).items():
        typer.echo(f"  {server}: {state}")
