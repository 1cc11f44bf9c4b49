"""Parse errors that the answer brings into a file that had none.

Code at a cursor is broken before the answer comes. So an answer with which the file does not
parse is held against what could stand there instead: nothing, one name, or no line at all. If
the file parses with none of these, it tells nothing about the answer, unless what follows waits
for something that the answer has to be, as a body does for its head.
"""

import time
from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache

from tree_sitter import Tree

from completion import syntax
from completion.hole import Hole
from completion.lexer import OPENERS
from completion.rules.pairs import Pairs

FIRST_LIMIT_S = 0.05  # for the file without the cursor's line: once a line
LIMIT_S = 0.01  # for all that is parsed for one answer; what is not done then is not judged
LARGEST = 400_000  # characters of a document that are parsed for this
_NAME = "x"
# Rows around the cursor's in which a file without that line may have errors for want of it.
_NEAR = 3
_MOST_ERRORS = 50
# What may be all that a line wants at its end, where that is not a semicolon.
_ENDS = {
    "python": (":", "():"),
    "javascriptreact": (";", ">"),
    "typescriptreact": (";", ">"),
}
# Languages with a preprocessor: its lines cut through all that the grammar knows.
_PREPROCESSED = ("c", "cpp", "csharp")
# The last trees: the next one is made of the nearest. With the editor's next key, or its next
# line, that saves nine tenths of the time.
_recent: deque[tuple[str, Tree, bytes]] = deque(maxlen=6)


@dataclass
class Parses:
    """Whether the file with a hole parses with a text in it."""

    prefix: str
    suffix: str
    hole: Hole
    pairs: Pairs
    _known: dict[str, bool | None] = field(default_factory=dict)
    _left: float = field(default_factory=lambda: LIMIT_S)

    def with_text(self, text: str) -> bool | None:
        """None if there is no telling: no grammar, or no time."""
        if text not in self._known:
            # Its tree makes the others cheap; a file that takes too long is left alone.
            told = self._without_line() is not None
            self._known[text] = self._parses(self.prefix + text + self.suffix) if told else None
        return self._known[text]

    def allows(self, text: str) -> bool:
        """Whether it may be shown: it parses, or parses once that is closed which was open at the
        cursor, or nothing says that it should."""
        if self.with_text(text) is not False or self._in_preprocessor():
            return True
        closers = self._closers(text)
        if closers and self.with_text(text + closers) is not False:
            return True
        return not (self._breaks_near(text) if self._completes(text) else self._tells())

    def _tells(self) -> bool:
        """Whether the file parses with something that is fine in any hole, or without the line."""
        errors = self._without_line()
        if not errors:
            return errors is not None
        row = self.prefix.count("\n")
        if any(last < row - _NEAR or first > row + _NEAR for first, last in errors):
            return False  # it has errors elsewhere
        name, closers = self.hole.lexer.language.name, self._closers("")
        ends = ("", *_ENDS.get(name, (";",)))
        texts = (
            text + close + end
            for end in ends
            for close in dict.fromkeys(("", closers))
            for text in ("", _NAME)
        )
        return any(self.with_text(text) for text in texts)

    def _completes(self, text: str) -> bool:
        """Whether what follows waits for brackets or a string that only a text here can open, and
        this text does: then the file has no excuse."""
        before = self.pairs.with_text("")
        return (before.closers > 0 or not before.told) and self.pairs.with_text(text).none

    def _breaks_near(self, text: str) -> bool:
        document = self.prefix + text + self.suffix
        errors = _error_rows(document, self.hole.lexer.language.name) or ()
        first = self.prefix.count("\n")
        last = first + text.count("\n")
        return any(end >= first - _NEAR and start <= last + _NEAR for start, end in errors)

    def _without_line(self) -> tuple[tuple[int, int], ...] | None:
        return without_line(self.prefix, self.suffix, self.hole.lexer.language.name)

    def prove(self, text: str) -> bool:
        """Whether the file parses with this text, and that says that its brackets are paired."""
        if self.with_text(text) is not True or self._in_preprocessor():
            return False
        # In a macro's arguments anything parses; between tags a quote is no quote.
        tags = self.hole.lexer.language.name.endswith("react")
        return tags or not self.pairs.with_text(text).hides

    def _in_preprocessor(self) -> bool:
        above, _, line = self.prefix.rpartition("\n")
        goes_on = line.lstrip().startswith("#") or above.endswith("\\")
        return self.hole.lexer.language.name in _PREPROCESSED and goes_on

    def _parses(self, document: str) -> bool | None:
        if self._left <= 0:
            return None
        began = time.thread_time()
        tree = _tree(document, self.hole.lexer.language.name, self._left)
        self._left -= time.thread_time() - began
        return not tree.root_node.has_error if tree else None

    def _closers(self, text: str) -> str:
        """What closes the string and the brackets that were open at the cursor and still are,
        where the suffix does not."""
        lexer = self.hole.lexer.copy()
        lowest, in_string = len(lexer.stack), bool(lexer.quote)
        for ch in text:
            lexer.step(ch)
            lowest = min(lowest, len(lexer.stack))
            in_string = in_string and bool(lexer.quote)
        quote = lexer.quote if in_string and not self.hole.string_closed else ""
        still_open = reversed(lexer.stack[self.hole.floor : lowest])
        return quote + "".join(OPENERS[bracket] for bracket in still_open)


def without_line(prefix: str, suffix: str, language: str) -> tuple[tuple[int, int], ...] | None:
    """Where a file has errors, as first and last rows, when the cursor's line is left out.

    None without a grammar, or if it takes too long. Called while the model is at work, it costs
    the answer nothing.
    """
    above, newline = prefix[: prefix.rfind("\n") + 1], suffix.find("\n")
    return _error_rows(above + (suffix[newline + 1 :] if newline >= 0 else ""), language)


@lru_cache(maxsize=16)
def _error_rows(document: str, language: str) -> tuple[tuple[int, int], ...] | None:
    """Cached: it is the same text while one types on a line."""
    tree = _tree(document, language, FIRST_LIMIT_S)
    if tree is None:
        return None
    rows: list[tuple[int, int]] = []
    stack = [tree.root_node] if tree.root_node.has_error else []
    while stack and len(rows) < _MOST_ERRORS:
        node = stack.pop()
        if node.is_error or node.is_missing:
            rows.append((node.start_point.row, node.end_point.row))
        else:
            stack += [child for child in node.children if child.has_error or child.is_missing]
    return tuple(rows)


def _tree(document: str, language: str, limit_s: float) -> Tree | None:
    if len(document) > LARGEST or syntax.grammar_of(language) is None:
        return None
    data = syntax.encoded(document)
    tree = syntax.tree_of(data, language, limit_s, _nearest(data, language))
    if tree is not None:
        _recent.append((language, tree, data))
    return tree


def _nearest(data: bytes, language: str) -> tuple[Tree, bytes] | None:
    """A known tree of a text that differs from this one in less than its half."""
    best, least = None, len(data) // 2
    for name, tree, old in tuple(_recent):
        if name == language and abs(len(old) - len(data)) < least:
            start, old_end, new_end = syntax.edit_between(old, data)
            changed = max(old_end, new_end) - start
            if changed < least:
                best, least = (tree, old), changed
    return best


def cut_to_what_parses(text: str, around: Parses) -> str:
    """The text without the last lines that do not parse; "" if none of it does."""
    while text and not around.allows(text):
        text = _shorter(text, around.hole)
    return text


def _shorter(text: str, hole: Hole) -> str:
    """One line less, and no header is left without its body."""
    opener = hole.lexer.language.opener
    while True:
        text = text[: max(0, text.rfind("\n"))].rstrip()
        if not opener or not text.endswith(opener):
            return text
