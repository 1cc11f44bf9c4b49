"""Where a client of `tandem mcp` may look: below its roots, and below the folders that a person gave."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from mcp.server.mcpserver import Context, ListRoots, MCPServer, Resolve
from mcp_types import ListRootsResult

from lsp.documents import path_of
from sandbox.allowed import shown
from tandem.errors import UsageError


def roots(ctx: Context) -> ListRoots | ListRootsResult:
    """What the client says it works on; nothing if it cannot say."""
    able = ctx.client_capabilities
    asks = able is not None and able.roots is not None
    return ListRoots() if asks else ListRootsResult(roots=[])


Roots = Annotated[ListRootsResult, Resolve(roots)]


class Folders:
    """Those that the person gave; without any, the client's roots alone say where it may look, and
    without those the current folder does."""

    def __init__(self, given: Sequence[Path] = ()) -> None:
        self._given = [folder.resolve() for folder in given]

    def inside(self, named: str, told: ListRootsResult) -> Path:
        """A path that the client may look at, links resolved. Raises UsageError for others."""
        own = [path_of(str(root.uri)).resolve() for root in told.roots]
        sets = [some for some in (self._given, own) if some] or [[Path.cwd()]]
        first = sets[-1][0]
        path = (first / named).resolve()
        if not all(any(path.is_relative_to(folder) for folder in some) for some in sets):
            where = ", ".join(str(folder) for folder in sets[0])
            raise UsageError(f"{shown(str(path))} is outside of {where}.", "Name a path inside.")
        return path


class Served(MCPServer):
    """The SDK's server, of which a question's function finds the folders."""

    folders: Folders


def folder_of(ctx: Context, named: str, told: ListRootsResult) -> Path:
    """As `Folders.inside`, for whoever has but the context."""
    assert isinstance(ctx.mcp_server, Served)
    return ctx.mcp_server.folders.inside(named, told)
