"""A suspicious statement, and what templates ask of it."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from sandbox.repair import wording
from sandbox.repair.change import Replace, Splice
from sandbox.repair.names import Names
from sandbox.repair.pieces import Piece, Pieces
from sandbox.repair.source import SCOPES, Source, Statement, heads
from sandbox.repair.wording import Binding

_INNER = (ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop)


@dataclass(eq=False)
class Spot:
    """One statement of `source`. Templates read it and yield changes."""

    source: Source
    names: Names
    statement: Statement
    pieces: Pieces
    others: Iterable[Pieces] = ()

    @property
    def node(self) -> ast.stmt | ast.ExceptHandler:
        return self.statement.node

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """The nodes of the statement's own lines, outermost first. What stands in an f-string
        is left out: before Python 3.12 its places are not known."""
        found: list[ast.AST] = []
        waiting = list(heads(self.node))[::-1]
        seen: set[int] = set()
        while waiting:
            node = waiting.pop()
            if isinstance(node, _INNER) or id(node) in seen:
                continue
            seen.add(id(node))
            found.append(node)
            if not isinstance(node, ast.JoinedStr):
                waiting.extend(list(ast.iter_child_nodes(node))[::-1])
        return found

    @cached_property
    def expressions(self) -> list[ast.expr]:
        """Expressions of the statement's own lines that are read, no annotations among them."""
        return [
            node
            for node in self.nodes
            if isinstance(node, ast.expr)
            and not isinstance(getattr(node, "ctx", None), ast.Store | ast.Del)
            and not self._annotates(node)
        ]

    @cached_property
    def tests(self) -> list[ast.expr]:
        """Conditions: of if, while, assert, a conditional expression, a comprehension."""
        found: list[ast.expr] = []
        if isinstance(self.node, ast.If | ast.While | ast.Assert):
            found.append(self.node.test)
        for node in self.nodes:
            if isinstance(node, ast.IfExp):
                found.append(node.test)
            elif isinstance(node, ast.comprehension):
                found.extend(node.ifs)
        return found

    @property
    def values(self) -> list[str]:
        return self.names.values(self.statement)

    @property
    def line(self) -> int:
        return self.source.line(self.statement.start)

    def sees(self, piece: Piece) -> bool:
        """Every name that the piece reads is bound here."""
        return piece.names <= self.names.visible(self.statement)

    @cached_property
    def members(self) -> list[str]:
        """Attributes that stand near and whose names are bound here, the nearest first; those of
        the same function before all others."""
        own = self.statement.function
        first = own.lineno if own else 0
        last = (own.end_lineno or 0) if own else 0
        found: dict[str, tuple[bool, int]] = {}
        for piece in self.pieces.members:
            rank = not first <= piece.line <= last, abs(piece.line - self.line)
            if self.sees(piece) and rank < found.get(piece.text, (True, 1 << 30)):
                found[piece.text] = rank
        modules = self.names.modules
        kept = (text for text in found if text.split(".")[0] not in modules)
        return sorted(kept, key=lambda text: (found[text], text))

    def parent(self, node: ast.AST) -> ast.AST | None:
        return self.source.parents.get(node)

    def of(self, node: ast.AST) -> str:
        return self.source.of(node)

    def put(
        self, node: ast.AST, text: str, has: Binding = Binding.ATOM, weight: float = 1.0
    ) -> Replace:
        """`text`, which holds together as `has` says, in the node's place."""
        start, end = self.source.span(node)
        return Replace(
            start, end, wording.joined(text, has, wording.needed(self.source, node)), weight
        )

    def put_node(self, node: ast.AST, other: ast.AST, weight: float = 1.0) -> Replace:
        """Another node's text in a node's place."""
        needs = wording.needed(self.source, node)
        start, end = self.source.span(node)
        return Replace(start, end, wording.operand(self.source, other, needs), weight)

    def operand(self, node: ast.AST, needs: Binding) -> str:
        return wording.operand(self.source, node, needs)

    def between(self, after: ast.AST, before: ast.AST) -> tuple[int, int] | None:
        """Where the operator between two operands stands."""
        return wording.sign(self.source, self.source.span(after)[1], self.source.span(before)[0])

    def before(self, *texts: str, weight: float = 1.0) -> Iterator[Splice]:
        """New statements above this one."""
        yield from self._insert(0, texts, weight)

    def after(self, *texts: str, weight: float = 1.0) -> Iterator[Splice]:
        """New statements below this one."""
        yield from self._insert(1, texts, weight)

    def instead(self, *texts: str, weight: float = 1.0) -> Iterator[Splice]:
        """Other statements in this one's place."""
        block = self.statement.block
        if block is not None and block.clean:
            yield Splice(block, self.statement.index, self.statement.index + 1, texts, weight)

    def flat(self) -> str:
        return self.source.flat(self.statement)

    def _insert(self, below: int, texts: tuple[str, ...], weight: float) -> Iterator[Splice]:
        block = self.statement.block
        if block is not None and block.clean:
            at = self.statement.index + below
            yield Splice(block, at, at, texts, weight, below=below == 1)

    def _annotates(self, node: ast.expr) -> bool:
        child: ast.AST = node
        while child is not self.node:
            parent = self.source.parents[child]
            if isinstance(parent, ast.arg | ast.AnnAssign) and child is parent.annotation:
                return True
            if isinstance(parent, SCOPES) and child is getattr(parent, "returns", None):
                return True
            child = parent
        return False
