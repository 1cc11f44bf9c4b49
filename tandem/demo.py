"""`tandem demo`: ghost text in a real file, through the real language server, with its times.

A few lines of the file are taken out of the copy in memory and typed again key by key. Each key
is an edit and a request, as in an editor; a request that the next key overtakes is cancelled.
"""

import asyncio
import io
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from tandem import config, progress, trace
from tandem.errors import ModelError, TandemError, UsageError

if TYPE_CHECKING:
    from lsp.client import Editor

KEY_SECONDS = 0.07
LINES_ABOVE, LINES_BELOW = 4, 2
SVG_WIDTH = 100
SPOTS = 3

_STATEMENT = re.compile(r"\s+(return |[\w.]+ = )[^#]{6,60}\Z")
TOUR_FILE = Path(__file__).parents[1] / "lsp" / "documents.py"


@dataclass(frozen=True)
class Spot:
    """A line to type again (0-based) and the column, in characters, to pause at."""

    line: int
    start: int
    pause: int


@dataclass(frozen=True)
class Shot:
    """What the editor showed at one pause."""

    lines: list[str]
    spot: Spot
    ghost: str
    event: dict[str, Any]


def demo(
    file: Annotated[
        Path | None, typer.Argument(help="A Python file; without it, one of Tandem's own.")
    ] = None,
    svg: Annotated[Path | None, typer.Option("--svg", help="Save a picture of the output.")] = None,
) -> None:
    """Type a few lines of a real file and show the ghost text that comes."""
    path = (file or TOUR_FILE).resolve()
    lines = _read(path)
    spots = choose(lines)
    console = Console()
    have_model()
    shots = asyncio.run(_tour(path, lines, spots, console))
    picture = story(path, lines, shots)
    console.print(picture)
    if svg is not None:
        recording = Console(record=True, width=SVG_WIDTH, file=io.StringIO(), force_terminal=True)
        recording.print(picture)
        picture_text = recording.export_svg(title="tandem demo")
        # rich links a font from a server of others; a picture must not call anybody.
        svg.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture_text, flags=re.DOTALL), "utf-8")
    if not any(shot.ghost for shot in shots):
        raise TandemError("No ghost text came.", "Run: tandem doctor, then tandem trace")


def choose(lines: Sequence[str]) -> list[Spot]:
    """Places worth a pause, spread over the file: right after `return` or `=` in a function."""
    candidates = []
    for number, line in enumerate(lines):
        match = _STATEMENT.match(line)
        if match and line.isascii():
            candidates.append(Spot(number, match.start(1), match.end(1)))
    if not candidates:
        raise UsageError(
            "This file has no statement to type.", "Name a Python file with functions."
        )
    step = max(len(candidates) // SPOTS, 1)
    return candidates[step // 2 :: step][:SPOTS]


def have_model() -> None:
    """Fetch the model if the engine will need it and it is missing."""
    from completion import models

    settings = config.load()
    if settings.endpoint:
        return
    try:
        models.resolve(settings.model)
    except ModelError:
        with progress.on_stderr(sizes=True) as tell:
            models.pull(settings.model, tell)


async def _tour(path: Path, lines: list[str], spots: list[Spot], console: Console) -> list[Shot]:
    from lsp.client import Editor, capabilities

    editor = Editor()
    await editor.start(sys.executable, "-m", "tandem", "lsp")
    try:
        with console.status("Starting the language server"):
            await editor.initialize(capabilities(["utf-32"]), folders=[path.parent])
        with console.status("Loading the model"):
            outcome = await editor.loaded()
        if editor.messages:
            raise TandemError(editor.messages[-1].removeprefix("Tandem: "))
        console.print(Text(f"{outcome}.", style="green"))
        return [await _type(editor, path, lines, spot, console) for spot in spots]
    finally:
        await editor.close()


async def _type(
    editor: "Editor", path: Path, lines: list[str], spot: Spot, console: Console
) -> Shot:
    """Type one line that is missing from a copy, up to the pause; the ghost text there."""
    from lsprotocol.types import Position

    uri, line = path.as_uri(), lines[spot.line]
    typed = [*lines[: spot.line], line[: spot.start], *lines[spot.line + 1 :]]
    editor.open(uri, "\n".join(typed))
    version, asked = 0, []
    with Live(console=console, transient=True, auto_refresh=False) as screen:
        for column in range(spot.start, spot.pause):
            if asked:
                editor.cancel(asked[-1][0])
            here = Position(spot.line, column)
            version = editor.change(uri, (here, here, line[column]))
            asked.append(editor.request_inline(uri, spot.line, column + 1))
            typed[spot.line] = line[: column + 1]
            screen.update(_code(typed, spot, ""), refresh=True)
            await asyncio.sleep(KEY_SECONDS)
        answers = await asyncio.gather(*(answer for _, answer in asked), return_exceptions=True)
    editor.shut(uri)
    last = answers[-1]
    if isinstance(last, BaseException):
        raise TandemError(f"The language server failed: {last}.", "Run: tandem doctor")
    ghost = str(last.items[0].insert_text) if last.items else ""
    return Shot(typed, spot, ghost, _event(path, version))


def _event(path: Path, version: int) -> dict[str, Any]:
    """The trace event of the request for this version of the document."""
    for event in reversed(trace.read(last=50)):
        if event["file"] == str(path) and event["details"].get("version") == version:
            return event
    raise TandemError("The request left no trace.", "Run: tandem doctor")


def story(path: Path, lines: list[str], shots: list[Shot]) -> Group:
    """What was typed, what came, how long each stage took, and what to do next."""
    parts: list[RenderableType] = [
        Text.assemble(("Tandem", "bold"), f" completes {path.name}; ghost text is dim."),
    ]
    for shot in shots:
        place = f"{path.name}, line {shot.spot.line + 1}"
        parts.append(Panel(_code(shot.lines, shot.spot, shot.ghost), title=place))
        parts.append(_caption(shot, lines[shot.spot.line][shot.spot.pause :]))
    return Group(*parts, Text(), _times(shots), Text(), _next_steps(path, shots))


def _code(lines: list[str], spot: Spot, ghost: str) -> Text:
    """The lines around the cursor with the ghost text in place."""
    top = max(spot.line - LINES_ABOVE, 0)
    before = "\n".join(lines[top : spot.line + 1]).lstrip("\n")
    after = "".join("\n" + line for line in lines[spot.line + 1 : spot.line + 1 + LINES_BELOW])
    code = Syntax("", "python", background_color="default").highlight(before + ghost + after)
    code.rstrip()
    code.stylize("reset", len(before), len(before) + len(ghost))
    code.stylize("dim italic", len(before), len(before) + len(ghost))
    return code


def _caption(shot: Shot, really: str) -> Text:
    if not shot.ghost:
        return Text(f"  no ghost text: {shot.event['reason']}", style="yellow")
    first = shot.ghost.split("\n")[0]
    verdict = "as in the file" if first.strip() == really.strip() else f"the file has: {really}"
    return Text.assemble("  ghost text: ", (shot.ghost, "bold"), (f"   ({verdict})", "dim"))


def _times(shots: list[Shot]) -> Table:
    table = Table(title="Time of each stage, ms", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("stage")
    for shot in shots:
        table.add_column(f"line {shot.spot.line + 1}", justify="right")
    stages = dict.fromkeys(name for shot in shots for name in shot.event["stages_ms"])
    for name in stages:
        times = (shot.event["stages_ms"].get(name) for shot in shots)
        style = "bold" if name == "total" else ""
        table.add_row(name, *("" if ms is None else f"{ms:.1f}" for ms in times), style=style)
    return table


def _next_steps(path: Path, shots: list[Shot]) -> Text:
    spot = shots[0].spot
    return Text.assemble(
        ("What next\n", "bold"),
        "  tandem doctor                 what is here, what is missing, how to mend it\n",
        "  tandem complete FILE --line N --col M\n",
        f"                                e.g. {path.name} --line {spot.line + 1} --col {spot.pause}\n",
        "  tandem trace                  why each request showed what it showed\n",
        "  an editor                     let it run `tandem lsp` for Python files",
    )


def _read(path: Path) -> list[str]:
    from completion.document import read_text

    return read_text(path)[0].split("\n")
