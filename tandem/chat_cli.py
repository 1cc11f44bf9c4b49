"""`tandem chat`: a conversation about a workspace in the terminal, kept from one time to the next."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from tandem import ask_cli
from tandem.workspace import root_of


def chat(
    new: Annotated[bool, typer.Option("--new", help="Begin anew instead of going on.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List this workspace's chats.")] = False,
    model: Annotated[str | None, typer.Option(help="Instead of chat.model.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Instead of chat.endpoint.")] = None,
) -> None:
    """Talk with the chat model about this repository; /help lists what it can do."""
    from completion import chat_history
    from tandem.talk import Talk

    root = root_of(Path.cwd() / "here")
    workspace = root or Path.cwd()
    if listed:
        _list(workspace)
        return
    settings = ask_cli.settings_for(root, model, endpoint)
    history = chat_history.new(workspace) if new else chat_history.latest(workspace)
    with ask_cli.opened_index(root) as index, asyncio.Runner() as runner:
        model_there = runner.run(ask_cli.connected(settings, "chat"))
        try:
            failed = Talk(model_there, index, history, root, runner.run).run()
        finally:
            runner.run(model_there.close())
    if failed:
        sys.exit(1)


def _list(workspace: Path) -> None:
    from completion import chat_history
    from tandem.visible import visible

    found = chat_history.of_workspace(workspace)
    if not found:
        typer.echo("There are no chats about this workspace yet.")
    for one in found:
        lines = one.lines()
        if lines:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(lines[0].time))
            first = " ".join(visible(lines[0].message.content).split())[:60]
            typer.echo(f"{when}  {len(lines):3} messages  {first}")
