"""Which candidates are the same: statements compiled one at a time, so that a whole file never is.

A statement's key is what the compiler makes of it in a place like its own: two texts with one
key have the same tree but for what Python itself ignores (comments, layout, parentheses). What
does not compile has no key. Compiling a line takes 50 µs; parsing the file and dumping its tree
takes 10 ms and more.
"""

import ast
from collections.abc import Hashable, Iterator, Sequence
from types import CodeType

from sandbox.repair.change import Replace, Splice
from sandbox.repair.source import SCOPES, Block, Function, Source, Statement, indented

Key = tuple[Hashable, ...]
# Of statements that share a line with others and have no indentation of their own.
_DEEP = " " * 8


class Normal:
    """Keys of changes to one source: equal for changes with equal results, None for a change
    that changes nothing or does not compile."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._whole: dict[int, Hashable] = {}
        self._heads: dict[int, Hashable | None] = {}
        self._yielding: dict[int, bool] = {}
        self._returning: dict[int, set[int]] = {}
        self._compiled_before: dict[str, Hashable | None] = {}

    def replaced(self, statement: Statement, change: Replace) -> Key | None:
        """Of other text within a statement, or within a compound one's header."""
        text = self._source.text
        new = text[statement.start : change.start] + change.text
        new += text[change.end : statement.head_end]
        key = self._compiled(statement, new, head=statement.compound)
        if key is None or key == self.head(statement):
            return None
        if statement.block is None or statement.compound:
            return ("head", id(statement), key)
        return self._differs(statement.block, statement.index, statement.index + 1, [key])

    def spliced(self, change: Splice) -> Key | None:
        """Of other statements in the place of some."""
        block = change.block
        keys: list[Hashable] = []
        for text in change.texts:
            moved = indented(text, block.indent)
            key = None if moved is None else self._compiled(block.statements[0], moved)
            if key is None:
                return None
            keys.append(key)
        return self._differs(block, change.first, change.last, keys)

    def head(self, statement: Statement) -> Hashable | None:
        """The key of a statement; of a compound one's header alone."""
        if id(statement) not in self._heads:
            text = self._source.text[statement.start : statement.head_end]
            self._heads[id(statement)] = self._compiled(statement, text, head=statement.compound)
        return self._heads[id(statement)]

    def whole(self, statement: Statement) -> Hashable:
        """The key of a statement with all that is in it."""
        if id(statement) not in self._whole:
            text = self._source.text[statement.start : statement.end]
            key = self._compiled(statement, text)
            # `nonlocal` of a name that is not in the statement, for one, does not compile alone.
            self._whole[id(statement)] = ast.dump(statement.node) if key is None else key
        return self._whole[id(statement)]

    def _differs(self, block: Block, first: int, last: int, keys: Sequence[Hashable]) -> Key | None:
        """What differs between a block's statements before and after: to delete either of two
        equal neighbours is one change."""
        old = [self.whole(one) for one in block.statements]
        new = [*old[:first], *keys, *old[last:]]
        least = min(len(old), len(new))
        head = next((i for i in range(least) if old[i] != new[i]), least)
        tails = range(least - head)
        tail = next((i for i in tails if old[-1 - i] != new[-1 - i]), least - head)
        if head == len(old) == len(new):
            return None
        return ("splice", id(block), head, len(old) - tail, *new[head : len(new) - tail])

    def _compiled(self, place: Statement, text: str, head: bool = False) -> Hashable | None:
        """The key of a statement's text in the place of another one; `head`: without its body."""
        source = self._source
        before = source.text[source.line_start(place.start) : place.start]
        own = before if not before.strip() else _DEEP
        text = own + (text[2:] if text.startswith("elif") else text).lstrip(" \t")
        if head and isinstance(place.node, ast.ExceptHandler):
            text = f"{own}try: pass\n{text}"
        if head:
            text += f"\n{own} case _: pass" if isinstance(place.node, ast.Match) else " pass"
        whole = "\n".join([*self._around(place, own), text])
        if whole not in self._compiled_before:
            self._compiled_before[whole] = _compiled(whole)
        return self._compiled_before[whole]

    def _around(self, place: Statement, own: str) -> list[str]:
        """Lines that make a function or a loop of what follows with the indentation `own`."""
        if place.function is None:
            return ["while _:" if place.loop else "if _:"] if own else []
        lines = ["def _():"]
        if isinstance(place.function, ast.AsyncFunctionDef):
            lines = ["async def _():"]
            # One that yields cannot return a value.
            if self._generates(place.function):
                lines.append(own[:1] + "yield")
            elif self._returns(place.function, place.node):
                lines.append(own[:1] + "if _: return _")
        if place.loop:
            lines.append(own[:1] + "while _:")
        return lines

    def _generates(self, function: Function) -> bool:
        if id(function) not in self._yielding:
            inner = (node for statement in function.body for node in _own(statement))
            self._yielding[id(function)] = any(isinstance(node, ast.Yield) for node in inner)
        return self._yielding[id(function)]

    def _returns(self, function: Function, but: ast.AST) -> bool:
        """Whether a statement of the function other than `but` returns a value."""
        if id(function) not in self._returning:
            inner = (node for statement in function.body for node in _own(statement))
            found = (one for one in inner if isinstance(one, ast.Return) and one.value)
            self._returning[id(function)] = {id(one) for one in found}
        return bool(self._returning[id(function)] - {id(but)})


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function's statement that are not another function's."""
    yield node
    if not isinstance(node, (*SCOPES, ast.Lambda)):
        for child in ast.iter_child_nodes(node):
            yield from _own(child)


def _compiled(text: str) -> Hashable | None:
    try:
        return _key(compile(text, "", "exec", dont_inherit=True))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _key(code: CodeType) -> Hashable:
    """What a code object does, without where it stands."""
    consts = tuple(
        _key(one) if isinstance(one, CodeType) else (type(one).__name__, repr(one))
        for one in code.co_consts
    )
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    return hash((code.co_code, consts, names, counts, code.co_exceptiontable))
