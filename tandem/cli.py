"""The `tandem` command: what each subcommand takes, and how errors reach a person.

An error is one line that says what happened and what to do next; `--debug` (or TANDEM_DEBUG=1)
adds the traceback. Exit codes: 0 done, 1 it failed, 2 wrong usage, 130 interrupted.

Commands import what they need when they run: `tandem --help` must not wait for torch.
"""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from tandem import (
    __version__,
    adapters_cli,
    ask_cli,
    audit_cli,
    chat_cli,
    demo,
    doctor_cli,
    eval_cli,
    fix_cli,
    gate_cli,
    gateway_cli,
    index_cli,
    memory_cli,
    models_cli,
    protocols_cli,
    sandbox_cli,
    serve_cli,
    snooze_cli,
    stats_cli,
    swebench_cli,
    trace_cli,
    tune_cli,
)
from tandem.errors import TandemError, UsageError

INTERRUPTED = 130

app = typer.Typer(
    name="tandem",
    help="A private AI pair programmer that runs on your own machines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(models_cli.app, name="models", help="Models on this machine, and which one to use.")
app.add_typer(adapters_cli.app, name="adapters", help="What repositories taught the model.")
app.add_typer(eval_cli.app, name="eval", help="How good the suggestions are.")
app.add_typer(gate_cli.app, name="gate", help="What decides whether a suggestion is shown.")
app.add_typer(gateway_cli.app, name="gateway", help="One address for many model servers.")
app.add_typer(audit_cli.app, name="audit", help="Logs of fix runs that show if they were changed.")
app.add_typer(memory_cli.app, name="memory", help="What fixed what in a repository.")
app.add_typer(sandbox_cli.app, name="sandbox", help="Containers that run what needs no trust.")
app.add_typer(swebench_cli.app, name="swebench", help="Judge predictions in SWE-bench's format.")
app.command("index")(index_cli.index)
app.command("fix")(fix_cli.fix)
app.command("ask")(ask_cli.ask)
app.command("chat")(chat_cli.chat)
app.command("tune")(tune_cli.tune)
app.command("mcp")(protocols_cli.mcp)
app.command("acp")(protocols_cli.acp)
app.command("serve")(serve_cli.serve)
app.command("demo")(demo.demo)
app.command("snooze")(snooze_cli.snooze)
app.command("trace")(trace_cli.trace)
app.command("stats")(stats_cli.stats)
app.command("doctor")(doctor_cli.doctor)
app.command("uninstall")(doctor_cli.uninstall)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tandem {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    if debug:
        os.environ["TANDEM_DEBUG"] = "1"


@app.command()
def complete(
    file: Annotated[Path, typer.Argument(help="The file to complete in.")],
    line: Annotated[int, typer.Option(help="Line of the cursor, from 1.")],
    col: Annotated[int, typer.Option(help="Column of the cursor, from 0, in characters.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the suggestion for a place in a file."""
    from tandem import complete_cli

    complete_cli.run(file, line, col, as_json)


@app.command()
def context(
    file: Annotated[Path, typer.Argument(help="The file to complete in.")],
    line: Annotated[int, typer.Option(help="Line of the cursor, from 1.")],
    col: Annotated[int, typer.Option(help="Column of the cursor, from 0, in characters.")],
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Budget; default: completion.context_tokens.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which pieces of other files a suggestion there would see, and why."""
    from tandem import context_cli

    context_cli.run(file, line, col, tokens, as_json)


@app.command()
def lsp(
    tcp: Annotated[
        int | None,
        typer.Option(help="Listen on 127.0.0.1:PORT instead of stdio.", min=0, max=65535),
    ] = None,
    stdio: Annotated[
        bool, typer.Option("--stdio", help="As without --tcp; some editors say it.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log to the state folder.")] = False,
) -> None:
    """Run the language server that editors talk to."""
    from lsp.transport import run

    if stdio and tcp is not None:
        raise UsageError("--stdio and --tcp exclude each other.", "Leave one of them out.")
    run(tcp, debug=debug)


@app.command()
def trust(
    file: Annotated[Path, typer.Argument(help="A repository's .tandem.toml.")],
) -> None:
    """Let a repository's settings file, as it is now, set everything."""
    from tandem import config

    if not file.is_file():
        raise UsageError(f"{file} does not exist.", f"Name a {config.REPO_FILE} file.")
    config.load(file.parent)
    digest = config.trust(file)
    typer.echo(f"Trusted {file} as it is now (sha256 {digest[:12]}…). A change needs a new yes.")


def main() -> None:
    """Run the command line and exit the process."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code for these arguments, with errors told on standard error."""
    try:
        result = app(arguments, prog_name="tandem", standalone_mode=False)
        if result == INTERRUPTED:  # typer turns Ctrl-C into this exit code, without a word
            return _tell("Interrupted. Nothing was left half done.", INTERRUPTED)
        return result if isinstance(result, int) else 0
    except TandemError as error:
        return _tell(str(error), error.exit_code)
    except typer.Abort:  # no answer, or no, to a question
        return _tell("Stopped. Nothing was changed.", 1)
    except KeyboardInterrupt:
        return _tell("Interrupted. Nothing was left half done.", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        # typer carries its own click; its errors are told apart by what they offer.
        format_message = getattr(error, "format_message", None)
        if format_message is not None:
            told = f"{format_message().rstrip('.')}. See: tandem --help"
            return _tell(told, getattr(error, "exit_code", 2))
        return _tell(f"Unexpected {type(error).__name__}: {error}. Run again with --debug.", 1)


def _tell(message: str, code: int) -> int:
    if os.environ.get("TANDEM_DEBUG"):
        traceback.print_exc()
    print(f"tandem: {' '.join(message.split())}", file=sys.stderr)
    return code
