"""The indentation that was typed is the indentation that was meant.

A small model often goes on deeper than the cursor stands: its habit of four more spaces is
stronger than what it reads. The statement it wants is right all the same, so its lines are moved
left to the cursor.
"""

from completion.hole import Hole
from completion.lexer import columns


class Dedent:
    """Takes a streamed answer and gives it back, moved to the cursor's column.

    Nothing is changed where code stands left of the cursor, where nothing was typed yet (the
    model may then choose the indentation), or where the block needs more than was typed.
    """

    def __init__(self, prefix: str, hole: Hole) -> None:
        left = prefix[prefix.rfind("\n") + 1 :]
        typed = bool(left) and not left.strip()
        self._surplus = -1 if typed and columns(left) >= hole.indent else 0
        self._held = ""  # blanks of the first line, until it is known how many there are
        self._drop = 0  # blanks still to be dropped on the current line

    def feed(self, piece: str) -> str:
        return "".join(map(self._step, piece))

    def _step(self, ch: str) -> str:
        if self._surplus < 0:
            return self._first_blanks(ch)
        if ch == "\n":
            self._drop = self._surplus
        elif self._drop and ch in " \t":
            self._drop -= 1
            return ""
        else:
            self._drop = 0
        return ch

    def _first_blanks(self, ch: str) -> str:
        if ch in " \t":
            self._held += ch
            return ""
        # A line break first: the cursor's line stays empty, and the next one is free.
        held, self._held = self._held, ""
        self._surplus = 0 if ch == "\n" else len(held)
        return (held if ch == "\n" else "") + ch
