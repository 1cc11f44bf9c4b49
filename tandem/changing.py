"""A change that a chat model proposes: shown while it comes, made only to the text that was shown."""

import codecs
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.syntax import Syntax

from completion.chat_context import Selection, lines_of
from completion.chat_edit import diff_so_far
from completion.document import read_text
from tandem import paths
from tandem.errors import TandemError, UsageError
from tandem.visible import visible


class Difference:
    """A context manager that takes the pieces of an answer and draws the difference so far.

    It leaves nothing on the screen; `show` prints the whole one.
    """

    def __init__(self, console: Console, selection: Selection, name: str) -> None:
        self._selection = selection
        self._name = name
        self._answer = ""
        self._live = Live(console=console, transient=True, refresh_per_second=8)
        self._drawn = console.is_terminal

    def __enter__(self) -> "Difference":
        if self._drawn:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            self._live.stop()

    def __call__(self, piece: str) -> None:
        self._answer += piece
        if self._drawn and "\n" in piece:
            before, first = self._selection.text, self._selection.first
            self._live.update(_coloured(diff_so_far(before, self._answer, self._name, first)))


def show(console: Console, told: str) -> None:
    """A unified diff, coloured on a terminal."""
    if console.is_terminal:
        console.print(_coloured(told))
    else:
        print(visible(told))


def apply(selection: Selection, code: str) -> None:
    """Put `code` in the place of the selected lines of the file.

    Raises TandemError if the file is no longer as it was when the model was asked.
    """
    path = selection.document.path
    text, newline = read_text(path)
    if text != selection.document.text:
        raise TandemError(f"{path} has changed meanwhile.", "Ask again.")
    lines = lines_of(text)
    lines[selection.first : selection.last + 1] = [code]
    begins = codecs.BOM_UTF8 if path.read_bytes().startswith(codecs.BOM_UTF8) else b""
    changed = begins + "".join(lines).replace("\n", newline).encode()
    with paths.atomic_write(path, "wb", path.stat().st_mode & 0o7777) as stream:
        stream.write(changed)


def new_test_file(path: Path, root: Path | None) -> Path:
    """A name for tests of that file that nothing has yet."""
    folder = root / "tests" if root and (root / "tests").is_dir() else path.parent
    for number in ("", *(f"_{n}" for n in range(2, 100))):
        file = folder / f"test_{path.stem}{number}{path.suffix}"
        if not file.exists():
            return file
    raise UsageError(f"{folder} has too many tests of {path.name}.", "Remove some.")


def create(file: Path, code: str) -> None:
    """Raises TandemError if the file is there already."""
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(code if code.endswith("\n") else code + "\n")
    except OSError as error:
        raise TandemError(f"Cannot write {file}: {error.strerror}.") from error


def _coloured(told: str) -> Syntax:
    return Syntax(visible(told), "diff", background_color="default", word_wrap=True)
