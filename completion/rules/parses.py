"""Parse errors that the answer brings into a file that had none.

Code at a cursor is broken before the answer comes. So an answer with which the file does not
parse is held against what could stand there instead: nothing, one name, or no line at all. If
the file parses with none of these, it tells nothing about the answer.
"""

import time
from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache

from tree_sitter import Tree

from completion import syntax
from completion.hole import Hole
from completion.lexer import OPENERS

FIRST_LIMIT_S = 0.05  # for the file without the cursor's line: once a line
LIMIT_S = 0.01  # for all that is parsed for one answer; what is not done then is not judged
LARGEST = 400_000  # characters of a document that are parsed for this
_NAME = "x"
# Rows around the cursor's in which a file without that line may have errors for want of it.
_NEAR = 3
_MOST_ERRORS = 50
# Languages with a preprocessor: its lines cut through all that the grammar knows.
_PREPROCESSED = ("c", "cpp", "csharp")
# The last trees: the next one is made of the nearest. With the editor's next key, or its next
# line, that saves nine tenths of the time.
_recent: deque[tuple[str, Tree, bytes]] = deque(maxlen=6)


@dataclass
class Parses:
    """Whether the file with a hole parses with a text in it.

    Where the file has errors elsewhere there is no telling, which is known before anything is
    parsed but the file without the cursor's line, once a line.
    """

    prefix: str
    suffix: str
    hole: Hole
    _known: dict[str, bool | None] = field(default_factory=dict)
    _ends: float = 0.0

    def with_text(self, text: str) -> bool | None:
        """None if there is no telling: no grammar, no time, errors elsewhere."""
        if text not in self._known:
            told = self._elsewhere() is False
            document = self.prefix + text + self.suffix
            self._known[text] = self._parses(document) if told else None
        return self._known[text]

    def _elsewhere(self) -> bool | None:
        """Whether the file has errors that are not for want of the cursor's line; None if nobody
        knows."""
        found = without_line(self.prefix, self.suffix, self.hole.lexer.language.name)
        if found is None:
            return None
        row = self.prefix.count("\n")
        return any(last < row - _NEAR or first > row + _NEAR for first, last in found)

    def takes(self, text: str) -> bool:
        """Also true if it parses once that is closed which was open at the cursor, or if there is
        no telling."""
        alone = self.with_text(text)
        if alone is not False:
            return True
        closers = self._closers(text)
        return bool(closers) and self.with_text(text + closers) is not False

    def tells(self) -> bool:
        """Whether the file parses with something that is fine in any hole."""
        if self._in_preprocessor():
            return False
        closers = self._closers("")
        return (
            without_line(self.prefix, self.suffix, self.hole.lexer.language.name) == ()
            or any(self.with_text(text) for text in ("", _NAME))
            or (bool(closers) and any(self.with_text(text + closers) for text in ("", _NAME)))
        )

    def prove(self, text: str) -> bool:
        """Whether the file parses with this text, and that says that its brackets are paired."""
        return self.with_text(text) is True and not self._in_preprocessor()

    def _in_preprocessor(self) -> bool:
        above, _, line = self.prefix.rpartition("\n")
        goes_on = line.lstrip().startswith("#") or above.endswith("\\")
        return self.hole.lexer.language.name in _PREPROCESSED and goes_on

    def _parses(self, document: str) -> bool | None:
        now = time.monotonic()
        self._ends = self._ends or now + LIMIT_S
        if now >= self._ends:
            return None
        tree = _tree(document, self.hole.lexer.language.name, self._ends - now)
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
    if around.takes(text) or not around.tells():
        return text
    while text and not around.takes(text):
        text = _shorter(text, around.hole)
    return text


def _shorter(text: str, hole: Hole) -> str:
    """One line less, and no header is left without its body."""
    opener = hole.lexer.language.opener
    while True:
        text = text[: max(0, text.rfind("\n"))].rstrip()
        if not opener or not text.endswith(opener):
            return text
