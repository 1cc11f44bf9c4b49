"""An answer as it is spoken: Markdown on a terminal, the text itself in a pipe.

On a terminal each finished block is printed for good, and only the last one is drawn anew as it
grows, so that answers longer than the screen scroll as they should.
"""

import re
import sys

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown

from tandem.visible import visible

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_REDRAWN_PER_SECOND = 8


class Spoken:
    """A context manager; call it with pieces of text. `text` is all that came.

    `plain` leaves the Markdown as it is on a terminal too.
    """

    def __init__(self, console: Console | None = None, plain: bool = False) -> None:
        self._console = console or Console()
        self._plain = plain or not self._console.is_terminal
        self._live: Live | None = None
        self._printed = 0
        self.text = ""

    def __enter__(self) -> "Spoken":
        return self

    def __exit__(self, *_: object) -> None:
        """What came is printed whole, also when it was interrupted."""
        if self._live is not None:
            self._live.update(Markdown(""))
            self._live.stop()
            self._console.print(Markdown(self.text[self._printed :]))
        elif self._plain and self.text and not self.text.endswith("\n"):
            self._write("\n")

    def __call__(self, piece: str) -> None:
        piece = visible(piece)
        self.text += piece
        if self._plain:
            self._write(piece)
            return
        if self._live is None:
            self._live = Live(
                console=self._console,
                transient=True,
                refresh_per_second=_REDRAWN_PER_SECOND,
                vertical_overflow="ellipsis",
            )
            self._live.start()
        end = settled(self.text, self._printed)
        if end > self._printed:
            self._live.console.print(Markdown(self.text[self._printed : end]))
            self._printed = end
        self._live.update(Markdown(self.text[self._printed :]))

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()


def settled(text: str, start: int = 0) -> int:
    """Where the blocks end that nothing can change any more: after the last empty line outside of
    a fence. `start` is where a block begins."""
    end, fence = start, ""
    at = start
    for line in text[start:].splitlines(keepends=True):
        at += len(line)
        opening = _FENCE.match(line)
        if opening and not fence:
            fence = opening[1]
        elif opening and opening[1][0] == fence[0] and len(opening[1]) >= len(fence):
            fence = ""
        if not fence and not line.strip() and line.endswith("\n"):
            end = at
    return end


def aside(message: str, style: str = "dim") -> None:
    """A remark about an answer, on standard error, where no pipe takes it for part of it."""
    print_to = Console(stderr=True, soft_wrap=True)
    print_to.print(visible(message), style=style, markup=False, highlight=False)


def interactive() -> bool:
    """Whether a person reads what is printed and can answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()
