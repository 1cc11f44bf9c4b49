"""What one file has that could be used again: expressions, conditions, statements, strings."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from sandbox.repair.source import Function, Source
from sandbox.repair.wording import Binding, binding

# Longer ones are hardly ever a fix's ingredient.
LONGEST = 120
_EXPRESSIONS = ast.Call | ast.Attribute | ast.Subscript | ast.BinOp | ast.Compare
_EXPRESSIONS |= ast.List | ast.Tuple | ast.Dict
_PLAIN = ast.Assign | ast.AugAssign | ast.Expr | ast.Return | ast.Raise | ast.Assert | ast.AnnAssign


@dataclass(frozen=True)
class Piece:
    """One line of text. `names`: what it reads and does not bind itself."""

    text: str
    line: int
    names: frozenset[str]
    has: Binding = Binding.ATOM
    function: Function | None = None


class Pieces:
    """In the order of the file; read only as far as they are asked for."""

    def __init__(self, source: Source) -> None:
        self.source = source

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes but those inside f-strings, whose places are not known before Python 3.12."""
        found: list[ast.AST] = []
        waiting: list[ast.AST] = [self.source.tree]
        while waiting:
            node = waiting.pop()
            found.append(node)
            if not isinstance(node, ast.JoinedStr):
                waiting.extend(ast.iter_child_nodes(node))
        return sorted(found[1:], key=lambda node: getattr(node, "lineno", 0))

    @cached_property
    def expressions(self) -> list[Piece]:
        return list(
            self._read(
                node
                for node in self.nodes
                if isinstance(node, ast.expr)
                and isinstance(node, _EXPRESSIONS)
                and not isinstance(getattr(node, "ctx", None), ast.Store | ast.Del)
            )
        )

    @cached_property
    def members(self) -> list[Piece]:
        """Attributes that are read and not called."""
        callees = {id(node.func) for node in self.nodes if isinstance(node, ast.Call)}
        return list(
            self._read(
                node
                for node in self.nodes
                if isinstance(node, ast.Attribute)
                and id(node) not in callees
                and not isinstance(self.source.parents.get(node), ast.Attribute)
            )
        )

    @cached_property
    def conditions(self) -> list[Piece]:
        return list(self._read(self._tests()))

    @cached_property
    def statements(self) -> list[Piece]:
        """Simple ones of one line, docstrings left out."""
        found = []
        for one in self.source.statements:
            text = self.source.text[one.start : one.end]
            if not isinstance(one.node, _PLAIN) or len(text) > LONGEST or "\n" in text:
                continue
            if isinstance(one.node, ast.Expr) and isinstance(one.node.value, ast.Constant):
                continue
            names = _free(one.node)
            found.append(Piece(text, one.node.lineno, names, function=one.function))
        return found

    @cached_property
    def strings(self) -> list[str]:
        """Texts of short strings, each once."""
        parents = self.source.parents
        found = {
            self.source.of(node): None
            for node in self.nodes
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and 0 < len(node.value) < 40
            and not isinstance(parents[node], ast.JoinedStr | ast.FormattedValue | ast.Expr)
        }
        return [text for text in found if "\n" not in text]

    @cached_property
    def exceptions(self) -> list[str]:
        """Types that `except` clauses name."""
        found: dict[str, None] = {}
        for node in self.nodes:
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                types = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                found.update(dict.fromkeys(self.source.of(one) for one in types))
        return [name for name in found if "\n" not in name]

    @cached_property
    def has_async(self) -> bool:
        return any(isinstance(node, ast.AsyncFunctionDef) for node in self.nodes)

    @cached_property
    def single_argument_functions(self) -> list[str]:
        """Functions that are called with one argument somewhere, the commonest first."""
        counted: dict[str, int] = {}
        for node in self.nodes:
            if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
                name = node.func
                own = isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name)
                if isinstance(name, ast.Name) or (own and name.value.id == "self"):  # type: ignore[union-attr]
                    text = ast.unparse(name)
                    counted[text] = counted.get(text, 0) + 1
        return sorted(counted, key=lambda name: (-counted[name], name))

    def _tests(self) -> Iterator[ast.expr]:
        for node in self.nodes:
            tests: list[ast.expr] = []
            if isinstance(node, ast.If | ast.While | ast.Assert | ast.IfExp):
                tests = [node.test]
            elif isinstance(node, ast.comprehension):
                tests = node.ifs
            elif isinstance(node, ast.BoolOp):
                tests = node.values
            yield from (t for t in tests if not isinstance(t, ast.Constant | ast.BoolOp))

    def _read(self, nodes: Iterator[ast.expr]) -> Iterator[Piece]:
        for node in nodes:
            text = self.source.of(node)
            bare = isinstance(node, ast.Tuple) and text[0] != "("
            if not bare and len(text) <= LONGEST and "\n" not in text:
                yield Piece(text, node.lineno, _free(node), binding(node))


def _free(node: ast.AST) -> frozenset[str]:
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    bound = {n.id for n in names if not isinstance(n.ctx, ast.Load)}
    bound |= {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
    return frozenset(n.id for n in names) - bound
