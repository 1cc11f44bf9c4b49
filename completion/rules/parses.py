"""Parse errors that the answer brings into a file that had none.

Code at a cursor is broken before the answer comes. So an answer with which the file does not
parse is held against what could stand there instead: nothing, one name, or no line at all. If
the file parses with none of these, it tells nothing about the answer.
"""

from collections import deque
from dataclasses import dataclass, field

from tree_sitter import Tree

from completion import syntax
from completion.hole import Hole
from completion.lexer import OPENERS

LIMIT_S = 0.05  # for one parse; what takes longer is not judged
LARGEST = 400_000  # characters of a document that are parsed for this
_NAME = "x"
# Languages with a preprocessor: its lines cut through all that the grammar knows.
_PREPROCESSED = ("c", "cpp", "csharp")
# The last trees without errors: the next one is made of the nearest. With the editor's next key,
# or its next line, that saves nine tenths of the time.
_good: deque[tuple[str, Tree, bytes]] = deque(maxlen=6)


@dataclass
class Parses:
    """Whether the file with a hole parses with a text in it."""

    prefix: str
    suffix: str
    hole: Hole
    _known: dict[str, bool | None] = field(default_factory=dict)

    def with_text(self, text: str) -> bool | None:
        """None without a grammar, or if it takes too long."""
        if text not in self._known:
            self._known[text] = self._parses(self.prefix + text + self.suffix)
        return self._known[text]

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
        line_start, line_end = self.prefix.rfind("\n") + 1, self.suffix.find("\n")
        below = self.suffix[line_end:] if line_end >= 0 else ""
        closers = self._closers("")
        return (
            self._parses(self.prefix[:line_start] + below) is True
            or any(self.with_text(text) for text in ("", _NAME))
            or (bool(closers) and any(self.with_text(text + closers) for text in ("", _NAME)))
        )

    def prove(self, text: str) -> bool:
        """Whether the file parses with this text, and that says that its brackets are paired."""
        return self.with_text(text) is True and not self._in_preprocessor()

    def _in_preprocessor(self) -> bool:
        line = self.prefix[self.prefix.rfind("\n") + 1 :]
        return self.hole.lexer.language.name in _PREPROCESSED and line.lstrip().startswith("#")

    def _parses(self, document: str) -> bool | None:
        language = self.hole.lexer.language.name
        if len(document) > LARGEST or syntax.grammar_of(language) is None:
            return None
        data = syntax.encoded(document)
        tree = syntax.tree_of(data, language, LIMIT_S, _nearest(data, language))
        if tree is None:
            return None
        if not tree.root_node.has_error:
            _good.append((language, tree, data))
        return not tree.root_node.has_error

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


def _nearest(data: bytes, language: str) -> tuple[Tree, bytes] | None:
    """A tree without errors of a text that differs from this one in less than its half."""
    best, least = None, len(data) // 2
    for name, tree, old in tuple(_good):
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
