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
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from mcp.server.mcpserver import Context, Elicit, ElicitationResult, ListRoots, MCPServer, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ListRootsResult, ToolAnnotations
from pydantic import BaseModel, Field

from completion import search as searching
from completion.counting import counter_for
from completion.document import Document, language_of, read_text
from completion.index import Index, Indexer
from completion.retrieve import Retriever
from lsp.documents import path_of
from sandbox import accept, once
from sandbox.allowed import shown
from sandbox.driven import Driven
from sandbox.fixrun import RunFolder
from sandbox.policy import Policy
from sandbox.ruling import Answer, Ruling
from tandem import __version__, config, secrets
from tandem.errors import TandemError, UsageError
from tandem.workspace import root_of

LONGEST_QUESTION = 20_000  # characters: what nobody reads nobody can approve
LONGEST_OUTPUT = 20_000
T = TypeVar("T")

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)
Repository = Annotated[str, Field(description="A folder below the roots; default: the first root.")]


class Yes(BaseModel):
    """What the client's user is asked."""

    yes: bool = Field(title="Yes, do this", description="No leaves everything as it is.")


class Place(BaseModel):
    path: str
    line: int
    text: str
    kind: str


class Piece(BaseModel):
    path: str
    line: int
    text: str
    reason: str


class Fixed(BaseModel):
    """`run` is what `apply_fix` takes; `diff` "" if no patch was found."""

    run: str
    ended: str
    diff: str
    label: str
    verdict: str
    failing: list[str]
    notes: list[str]


class Written(BaseModel):
    files: list[str]
    backup: str


class Ran(BaseModel):
    """`exit_code` None: it was killed, and `killed` says why."""

    exit_code: int | None
    killed: str
    stdout: str
    stderr: str


def roots(ctx: Context) -> ListRoots | ListRootsResult:
    """What the client says it works on; nothing if it cannot say."""
    able = ctx.client_capabilities
    asks = able is not None and able.roots is not None
    return ListRoots() if asks else ListRootsResult(roots=[])


Roots = Annotated[ListRootsResult, Resolve(roots)]


def may_apply(run: str, told: Roots, ctx: Context) -> Elicit[Yes]:
    """The question before a patch is written: its repository and its whole diff."""
    with _told():
        _must_ask(ctx, f"Or run: tandem fix --resume {run} --apply")
        said = RunFolder.known(run).reported()
        _folder(ctx, said["repository"], told)
        accept.texts(run)
        diff = shown(said["found"][0]["diff"])
        return _question(f"Apply this patch to {said['repository']}?\n\n{diff}")


def may_run(
    command: list[str], repository: str, timeout_s: float, told: Roots, ctx: Context
) -> Elicit[Yes]:
    """The question before a command runs: its words, and where."""
    with _told():
        _must_ask(ctx, "Or run: tandem sandbox run -- COMMAND")
        words = shown(shlex.join(command))
        folder = _folder(ctx, repository, told)
        where, ruled = shown(str(folder)), _ruling(folder, command)
        because = "".join(f"\nbecause of a rule: {reason}" for reason in ruled.reasons)
        return _question(
            f"Run this in a sandbox, on a copy of {where}, for at most {timeout_s:g} s?\n\n{words}"
            f"{because}"
        )


class _Served(MCPServer):
    """The SDK's server, of which a question's function finds ours."""

    tandem: "Server"


class Server:
    """Of one client. `folders` are those that the person gave; without any, the client's roots
    alone say where it may look, and without those the current folder does."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._folders = [folder.resolve() for folder in folders]
        self.mcp = _Served(
            "tandem",
            version=__version__,
            instructions="Searches a repository, finds proved patches for its failing tests, and "
            "runs commands on a copy of it in a sandbox.",
            log_level="ERROR",
        )
        self.mcp.tandem = self
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
        with _told():
            root = self.folder(repository, told)
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
        with _told():
            path = self.folder(file, told)
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

        with _told():
            root = self.folder(repository, told)
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
        with _told():
            self.folder(RunFolder.known(run).reported()["repository"], told)
            _must_be_yes(approval)
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
        with _told():
            root = self.folder(repository, told)
            _ruling(root, command)
            _must_be_yes(approval)
            return await asyncio.to_thread(_run, root, command, timeout_s)

    def folder(self, named: str, told: ListRootsResult) -> Path:
        """A path that the client may look at, links resolved. Raises UsageError for others."""
        own = [path_of(str(root.uri)).resolve() for root in told.roots]
        sets = [some for some in (self._folders, own) if some] or [[Path.cwd()]]
        first = sets[-1][0]
        path = (first / named).resolve()
        if not all(any(path.is_relative_to(folder) for folder in some) for some in sets):
            where = ", ".join(str(folder) for folder in sets[0])
            raise UsageError(f"{shown(str(path))} is outside of {where}.", "Name a path inside.")
        return path


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


def _ruling(root: Path, command: Sequence[str]) -> Ruling:
    """Why a rule wants a person to be asked. Raises UsageError for what the rules refuse."""
    ruling = Policy(config.load(root_of(root / "file")).agent, ()).command(command)
    if ruling.answer is Answer.REFUSE:
        raise UsageError(f"The rules refuse it: {'; '.join(ruling.reasons)}.", "See your settings.")
    return ruling


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


def _question(words: str) -> Elicit[Yes]:
    if len(words) > LONGEST_QUESTION:
        raise UsageError(
            "This is too long to be approved here.", "Use tandem's own command line for it."
        )
    return Elicit(secrets.redact(words), Yes)


def _folder(ctx: Context, named: str, told: ListRootsResult) -> Path:
    assert isinstance(ctx.mcp_server, _Served)
    return ctx.mcp_server.tandem.folder(named, told)


def _must_ask(ctx: Context, otherwise: str) -> None:
    able = ctx.client_capabilities
    if able is None or able.elicitation is None:
        raise UsageError("This client cannot ask its user, so nothing is done.", otherwise)


def _must_be_yes(approval: ElicitationResult[Yes]) -> None:
    if approval.action != "accept" or not approval.data.yes:
        raise UsageError("The user did not say yes: nothing was done.")


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Our errors as the tool's answer, in one line."""
    try:
        yield
    except TandemError as error:
        raise ToolError(secrets.redact(str(error))) from error
