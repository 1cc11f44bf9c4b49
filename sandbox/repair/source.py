"""A Python file to repair: its text, its tree, and where each piece stands in the text.

Built on `ast` and not on tree-sitter: what a candidate means is decided by the same parser, and
nodes carry their exact places. They count columns in UTF-8 bytes; everything here is in characters
of the text, so that edits keep its formatting.
"""

import ast
import itertools
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

Function = ast.FunctionDef | ast.AsyncFunctionDef
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_LINE_END = re.compile(r"\r\n|\r|\n")
_COLON = re.compile(r"(?:[^:#]|#[^\r\n]*)*:")


@dataclass(eq=False)
class Block:
    """Statements in a row. `clean`: each begins and ends its own lines, so that whole lines can
    be taken out and put in."""

    owner: ast.AST
    name: str
    statements: list["Statement"] = field(default_factory=list)
    clean: bool = True
    indent: str = ""


@dataclass(eq=False)
class Statement:
    """A statement, or an `except` clause, which has no `block`.

    `start` includes decorators. `head_end` is behind the colon of a compound statement's first
    line, else `end`. `function`, `owner` (a class or function) and `loop` are what it stands in.
    """

    node: ast.stmt | ast.ExceptHandler
    start: int
    end: int
    head_end: int
    block: Block | None
    index: int
    parent: "Statement | None"
    function: Function | None
    owner: ast.AST | None
    loop: bool

    @property
    def compound(self) -> bool:
        return hasattr(self.node, "body") or isinstance(self.node, ast.Match)


class Source:
    """Raises SyntaxError or ValueError for what this Python cannot parse."""

    def __init__(self, text: str, path: str = "") -> None:
        self.text = text
        self.path = path
        self.tree = ast.parse(text)
        self._lines = [0, *(match.end() for match in _LINE_END.finditer(text))]
        self.blocks: list[Block] = []
        self._inner: dict[tuple[ast.AST, str], Block] = {}
        self.statements: list[Statement] = []
        self.parents: dict[ast.AST, ast.AST] = {}
        for node in ast.walk(self.tree):
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
        self._block(self.tree, "body", None, None, None, False)

    def offset(self, line: int, column: int) -> int:
        """The character at a line (from 1) and a column in UTF-8 bytes, as nodes have them."""
        start = self._lines[line - 1]
        if self.text.isascii():
            return start + column
        end = self._lines[line] if line < len(self._lines) else len(self.text)
        return start + len(self.text[start:end].encode()[:column].decode())

    def line(self, offset: int) -> int:
        """The line, from 1, of a character."""
        return bisect_right(self._lines, offset)

    def line_start(self, offset: int) -> int:
        return self._lines[self.line(offset) - 1]

    def line_end(self, offset: int) -> int:
        """Behind the line break of the line that holds a character."""
        line = self.line(offset)
        return self._lines[line] if line < len(self._lines) else len(self.text)

    def span(self, node: ast.AST) -> tuple[int, int]:
        line, column = node.lineno, node.col_offset  # type: ignore[attr-defined]
        last, behind = node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]
        return self.offset(line, column), self.offset(last, behind)

    def of(self, node: ast.AST) -> str:
        """The node's text."""
        start, end = self.span(node)
        return self.text[start:end]

    @cached_property
    def newline(self) -> str:
        found = _LINE_END.search(self.text)
        return found[0] if found else "\n"

    @cached_property
    def indent(self) -> str:
        """One level of indentation, as the file's first indented block has it."""
        return next((b.indent for b in self.blocks if b.indent and b.clean), "    ")

    @cached_property
    def string_lines(self) -> frozenset[int]:
        return string_lines(self.tree)

    def flat(self, statement: Statement, start: int | None = None, end: int | None = None) -> str:
        """A statement's text, or the part of it between two offsets, as it would stand in
        column 0."""
        start = statement.start if start is None else start
        end = statement.end if end is None else end
        indent = statement.block.indent if statement.block else ""
        lines = split_lines(self.text[start:end])
        first = self.line(start)
        kept = [
            line if number == 0 or first + number in self.string_lines else _without(line, indent)
            for number, line in enumerate(lines)
        ]
        return "".join(kept)

    def inner(self, node: ast.AST, name: str = "body") -> Block | None:
        """A compound statement's block of that name."""
        return self._inner.get((node, name))

    def at_line(self, line: int) -> list[Statement]:
        """The statements whose own lines (a compound one's first lines) hold `line`, the outermost
        first; for a blank line or a comment the next one below."""
        found = []
        for one in self.statements:
            first, last = self.line(one.start), self.line(max(one.start, one.head_end - 1))
            if first <= line <= last:
                found.append(one)
        if not found:
            below = (one for one in self.statements if self.line(one.start) > line)
            found = sorted(below, key=lambda one: one.start)[:1]
        return found

    def _block(
        self,
        owner: ast.AST,
        name: str,
        parent: Statement | None,
        function: Function | None,
        scope: ast.AST | None,
        loop: bool,
    ) -> None:
        nodes: list[ast.stmt] = getattr(owner, name)
        if not nodes:
            return
        block = Block(owner, name)
        self.blocks.append(block)
        self._inner[owner, name] = block
        for index, node in enumerate(nodes):
            one = self._statement(node, block, index, parent, function, scope, loop)
            block.statements.append(one)
            begins = self.text[self.line_start(one.start) : one.start]
            tail = self.text[one.end : self.line_end(max(one.start, one.end - 1))].strip()
            if begins.strip() or (tail and not tail.startswith("#")):
                block.clean = False
            if index == 0:
                block.indent = begins if not begins.strip() else ""
        if isinstance(owner, ast.If) and self.text.startswith("elif", block.statements[0].start):
            block.clean = False

    def _statement(
        self,
        node: ast.stmt | ast.ExceptHandler,
        block: Block | None,
        index: int,
        parent: Statement | None,
        function: Function | None,
        scope: ast.AST | None,
        loop: bool,
    ) -> Statement:
        start, end = self.span(node)
        decorators = getattr(node, "decorator_list", None)
        if decorators:
            start = self.text.rindex("@", 0, self.span(decorators[0])[0])
        one = Statement(node, start, end, end, block, index, parent, function, scope, loop)
        self.statements.append(one)
        if one.compound:
            one.head_end = self._head_end(one)
        inner, owner, looped = function, scope, loop
        if isinstance(node, SCOPES):
            inner = None if isinstance(node, ast.ClassDef) else node
            owner, looped = node, False
        elif isinstance(node, _LOOPS):
            looped = True
        for name in ("body", "orelse", "finalbody"):
            if isinstance(getattr(node, name, None), list):
                in_loop = loop if name != "body" and isinstance(node, _LOOPS) else looped
                self._block(node, name, one, inner, owner, in_loop)
        for handler in getattr(node, "handlers", ()):
            self._statement(handler, None, 0, one, function, scope, loop)
        for case in getattr(node, "cases", ()):
            self._block(case, "body", one, inner, owner, looped)
        return one

    def _head_end(self, statement: Statement) -> int:
        """Behind the colon that ends the header: the first one after its last expression."""
        behind = self.span(statement.node)[0]
        for child in heads(statement.node):
            if hasattr(child, "end_lineno"):
                behind = max(behind, self.span(child)[1])
        match = _COLON.match(self.text, behind)
        assert match, "a compound statement's header ends with a colon"
        return match.end()


def heads(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a statement's own lines: all of a simple one, a compound one's header."""
    for name, value in ast.iter_fields(node):
        if name in ("body", "orelse", "finalbody", "handlers", "cases") and isinstance(value, list):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child
                if not hasattr(child, "end_lineno"):  # arguments, with items: no place of their own
                    yield from heads(child)


def split_lines(text: str) -> list[str]:
    """Lines with their ends. A form feed ends none for Python, unlike `str.splitlines`."""
    cuts = [0, *(match.end() for match in _LINE_END.finditer(text)), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(cuts) if a < b]


def indented(text: str, indent: str) -> str | None:
    """A statement's text from column 0, moved to the right but for its first line and the insides
    of strings; None if it cannot be parsed."""
    lines = split_lines(text)
    if len(lines) < 2 or not indent:
        return text
    kept: frozenset[int] = frozenset()
    if '"""' in text or "'''" in text or "\\\n" in text:  # else no string goes over a line's end
        try:
            kept = string_lines(ast.parse(text))
        except (SyntaxError, ValueError):
            return None
    moved = [
        line if number in kept or not line.strip() else indent + line
        for number, line in enumerate(lines[1:], 2)
    ]
    return lines[0] + "".join(moved)


def string_lines(tree: ast.AST) -> frozenset[int]:
    """Lines that begin inside a string: their indentation must stay."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
        ):
            found.update(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1))
    return frozenset(found)


def _without(line: str, indent: str) -> str:
    if line.startswith(indent):
        return line[len(indent) :]
    return line.lstrip(" \t") if not line.strip() else line
