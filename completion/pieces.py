"""What retrieval brings to a prompt: pieces of other files, each with the reason it is there."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from completion.templates import Snippet

Source = Literal["definitions", "members", "callees", "siblings", "lexical", "edits"]
SOURCES: tuple[Source, ...] = get_args(Source)


@dataclass(frozen=True)
class Piece:
    """Whole lines of another file.

    `path` as the index has it, relative to the workspace. `first` and `last`: the rows that the
    text stands for, from 0; a skeleton leaves some out. `symbol` is what it defines, "" for mere
    code. `tokens` of it as it stands in a prompt.
    """

    path: str
    text: str
    source: Source
    reason: str
    first: int
    last: int
    symbol: str = ""
    tokens: int = 0


@dataclass(frozen=True)
class Context:
    """The pieces in the order of the prompt.

    `ms`: milliseconds by source, and of `scope`, `merge`, `total`. `left_out`: by source, or by
    `all`, why it gave nothing: "gate: ...", "late", "no index yet".
    """

    pieces: tuple[Piece, ...] = ()
    ms: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        return sum(piece.tokens for piece in self.pieces)

    def told(self) -> list[dict[str, str | int]]:
        """For the trace: what it was, where from and why, without the text."""
        return [
            {
                "file": piece.path,
                "symbol": piece.symbol or f"line {piece.first + 1}",
                "source": piece.source,
                "reason": piece.reason,
                "tokens": piece.tokens,
            }
            for piece in self.pieces
        ]

    @property
    def snippets(self) -> list[Snippet]:
        """As a prompt shows them: neighbours of one file under one path, and members of one class
        under one header."""
        found: list[tuple[str, list[str]]] = []
        header = ""
        for piece in self.pieces:
            first, newline, rest = piece.text.partition("\n")
            if found and found[-1][0] == piece.path and piece.source != "edits":
                same = newline and first == header and rest.startswith((" ", "\t"))
                found[-1][1].append(rest if same else piece.text)
            else:
                found.append((piece.path, [piece.text]))
            header = first
        return [Snippet(path, "\n".join(texts)) for path, texts in found]
