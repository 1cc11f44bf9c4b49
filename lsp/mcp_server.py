"""`tandem mcp`: what Tandem knows and can do, for other programs' models, over stdio.

search       definitions by name, or lines by their words, from the index
context      what a completion would see at a place
fix          a patch for failing tests, proved in the sandbox; writes nothing
apply_fix    writes that patch, after the client's user said yes to its diff
sandbox_run  a command on a copy of the repository, without a network, after a yes

A client is another program, and its model reads what nobody vouches for. So all is confined to
the client's roots, and to the folders that `tandem mcp` was given; secrets leave as one word;
and what writes or runs asks the person through elicitation, in the exact words of what will be
done. A client that cannot ask gets no such thing.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from mcp.server.mcpserver import Context, ElicitationResult, Resolve
from mcp_types import ToolAnnotations
from pydantic import Field

from completion import search as searching
from completion.counting import counter_for
from completion.document import Document, language_of, read_text
from completion.index import Index, Indexer
from completion.retrieve import Retriever
from lsp.mcp_answers import Fixed, Piece, Place, Ran, Written, told_errors
from lsp.mcp_consent import Yes, may_apply, may_run, must_be_yes, ruling
from lsp.mcp_roots import Folders, Roots, Served
from sandbox import accept, once
from sandbox.driven import Driven
from sandbox.fixrun import RunFolder
from tandem import __version__, config, secrets
from tandem.errors import UsageError
from tandem.workspace import root_of

LONGEST_OUTPUT = 20_000
T = TypeVar("T")

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)
Repository = Annotated[str, Field(description="A folder below the roots; default: the first root.")]


class Server:
    """Of one client. `folders` are those that the person gave: see `mcp_roots`."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._folders = Folders(folders)
        self.mcp = Served(
            "tandem",
            version=__version__,
            instructions="Searches a repository, finds proved patches for its failing tests, and "
            "runs commands on a copy of it in a sandbox.",
            log_level="ERROR",
        )
        self.mcp.folders = self._folders
        for tool, hints in (
            (self.search, _READS),
            (self.context, _READS),
            (self.fix, _READS),
            (self.apply_fix, _WRITES),
            (self.sandbox_run, ToolAnnotations(read_only_hint=True, open_world_hint=False)),
        ):
            self.mcp.tool(annotations=hints)(tool)

    async def search(
        self,
        query: str,
        told: Roots,
        kind: Literal["symbols", "text"] = "text",
        repository: Repository = "",
        limit: Annotated[int, Field(ge=1, le=100)] = 20,
    ) -> list[Place]:
        """Find where a name is defined (`symbols`), or lines that say these words (`text`)."""
        with told_errors():
            root = self._folders.inside(repository, told)
            find = searching.symbols if kind == "symbols" else searching.text
            found = await asyncio.to_thread(_asked, root, lambda index: find(index, query, limit))
            return [Place(path=m.path, line=m.line, text=m.text, kind=m.kind) for m in found]

    async def context(
        self,
        file: str,
        line: Annotated[int, Field(ge=1, description="From 1.")],
        told: Roots,
        column: Annotated[int, Field(ge=0, description="From 0, in characters.")] = 0,
        tokens: Annotated[int, Field(ge=1, le=8192)] = 1024,
    ) -> list[Piece]:
        """The pieces of other files that matter at a place, each with the reason why."""
        with told_errors():
            path = self._folders.inside(file, told)
            found = await asyncio.to_thread(_context, path, line, column, tokens)
            return [
                Piece(
                    path=one.path,
                    line=one.first + 1,
                    text=secrets.redact(one.text),
                    reason=f"{one.source}: {one.reason}",
                )
                for one in found
            ]

    async def fix(
        self,
        ctx: Context,
        told: Roots,
        repository: Repository = "",
        test: Annotated[str, Field(description="How to run the tests; default: found out.")] = "",
        seconds: Annotated[float, Field(ge=1, le=3600, description="For the search.")] = 300.0,
        model: Annotated[bool, Field(description="Let Tandem's own model propose.")] = True,
    ) -> Fixed:
        """Find a patch that makes the failing tests pass and breaks none. Works on a copy, in a
        sandbox; nothing is written: see apply_fix."""
        stages: asyncio.Queue[str] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(stage: str, done: int, total: int) -> None:
            loop.call_soon_threadsafe(stages.put_nowait, stage)

        with told_errors():
            root = self._folders.inside(repository, told)
            driven = Driven.begin(root, test=test, seconds=seconds, model=model, tell=tell)
            telling = asyncio.create_task(_tell(ctx, stages))
            try:
                report = await driven.finished()
            finally:
                telling.cancel()
            best = report.found[0] if report.found else None
            return Fixed(
                run=report.id,
                ended=report.ended,
                diff=secrets.redact(best.diff) if best else "",
                label=best.label if best else "",
                verdict=best.verdict if best else "",
                failing=list(report.failing),
                notes=[secrets.redact(note) for note in report.notes],
            )

    async def apply_fix(
        self,
        run: Annotated[str, Field(description="As `fix` told it.")],
        told: Roots,
        approval: Annotated[ElicitationResult[Yes], Resolve(may_apply)],
    ) -> Written:
        """Write the patch of a run to its repository, if the user says yes to its diff."""
        with told_errors():
            self._folders.inside(RunFolder.known(run).reported()["repository"], told)
            must_be_yes(approval)
            done = await asyncio.to_thread(
                accept.write, run, accept.Told(), by="the user of an MCP client"
            )
            return Written(files=list(done.files), backup=done.ref)

    async def sandbox_run(
        self,
        command: Annotated[list[str], Field(min_length=1, description="Words, not a shell line.")],
        told: Roots,
        approval: Annotated[ElicitationResult[Yes], Resolve(may_run)],
        repository: Repository = "",
        timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0,
    ) -> Ran:
        """Run a command on a copy of the repository, without a network, if the user says yes."""
        with told_errors():
            root = self._folders.inside(repository, told)
            ruling(root, command)
            must_be_yes(approval)
            return await asyncio.to_thread(_run, root, command, timeout_s)


def run(folders: Sequence[Path]) -> None:
    """Serve one client over stdio until it hangs up. Raises UsageError for what is no folder."""
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"There is no folder {folder}.", "Name folders that exist.")
    asyncio.run(Server(folders).mcp.run_stdio_async())


def _asked(root: Path, ask: Callable[[Index], T]) -> T:
    """An answer of the index, after it was brought up to date."""
    indexer = Indexer(root)
    indexer.update()
    indexer.close()
    with contextlib.closing(Index(root)) as index:
        return ask(index)


def _context(file: Path, line: int, column: int, tokens: int) -> Sequence[Any]:
    if secrets.is_secret_file(file):
        raise UsageError(f"{file.name} holds secrets by its name.", "Name another file.")
    text, _ = read_text(file)
    lines = text.split("\n")
    if line > len(lines):
        raise UsageError(f"{file.name} has {len(lines)} lines.", "Name one of them.")
    offset = sum(len(one) + 1 for one in lines[: line - 1]) + min(column, len(lines[line - 1]))
    root = root_of(file) or file.parent
    count = counter_for(config.load(root_of(file)))

    def ask(index: Index) -> Sequence[Any]:
        retriever = Retriever(index, count, time_box_ms=float("inf"))
        return retriever.context(Document(file, language_of(file), text), offset, tokens).pieces

    return _asked(root, ask)


def _run(root: Path, command: Sequence[str], timeout_s: float) -> Ran:
    ran = once.run(root, command, timeout_s=timeout_s)
    said = (_trimmed(ran.stdout), _trimmed(ran.stderr))
    return Ran(exit_code=ran.exit_code, killed=ran.killed, stdout=said[0], stderr=said[1])


def _trimmed(output: bytes) -> str:
    """The output's end, where a failure says what it is."""
    text = secrets.redact(output.decode("utf-8", "replace"))
    return text if len(text) <= LONGEST_OUTPUT else f"[…]\n{text[-LONGEST_OUTPUT:]}"


async def _tell(ctx: Context, stages: asyncio.Queue[str]) -> None:
    """Stages as progress notifications; how many there will be nobody knows."""
    number = 0
    while True:
        stage = await stages.get()
        number += 1
        await ctx.report_progress(number, message=stage)
