"""`tandem mcp` and `tandem acp`: Tandem for other programs, over standard input and output."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def mcp(
    root: Annotated[
        list[Path] | None,
        typer.Option(help="A folder that clients may see; more than once. Default: their roots."),
    ] = None,
) -> None:
    """Serve search, context, fix and the sandbox to a program that speaks MCP."""
    from lsp import mcp_server

    _warn("Model Context Protocol")
    mcp_server.run(root or ())


def acp() -> None:
    """Be the agent of an editor that speaks the Agent Client Protocol, such as Zed."""
    from lsp import acp_agent

    _warn("Agent Client Protocol")
    acp_agent.run()


def _warn(protocol: str) -> None:
    if sys.stdin.isatty():
        print(f"This speaks the {protocol}: let a program start it.", file=sys.stderr)
