"""The statements of a Python file by line: where each starts, what it reads and sets. Pure.

A compound statement stands for its header only (`if x:`), a simple one for all of its lines.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# How much can be wrong in an expression of this kind: a wrong operator, index, argument, name.
_RISKY = (ast.Compare, ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.Subscript, ast.Call, ast.Slice)


@dataclass(frozen=True)
class Statement:
    """`weight`, 0..1: how much there is in it to be wrong. `loop` and `function`: the lines where
    those around it start, 0 if there is none; a loop's header belongs to its loop. `under`: the
    innermost header (if, loop, with, try) that decides whether it runs.
    """

    line: int
    last: int
    weight: float
    reads: frozenset[str]
    writes: frozenset[str]
    loop: int
    function: int
    under: int


def statements(text: str) -> Mapping[int, Statement]:
    """Each line's statement; lines without one are left out, and {} for what does not parse."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[int, Statement] = {}
    for statement in _walk(tree.body, 0, 0, 0):
        for line in range(statement.line, statement.last + 1):
            found.setdefault(line, statement)
    return found


def _walk(body: list[ast.stmt], loop: int, function: int, under: int) -> Iterator[Statement]:
    for node in body:
        here = node.lineno if isinstance(node, _LOOPS) else loop
        yield _statement(node, here, function, under)
        inner = (here, function, node.lineno)
        if isinstance(node, _FUNCTIONS):
            inner = (0, node.lineno, 0)
        for child in _bodies(node):
            yield from _walk(child, *inner)


def _bodies(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        if isinstance(inner := getattr(node, name, None), list):
            yield inner
    for one in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]:
        yield one.body


def _statement(node: ast.stmt, loop: int, function: int, under: int) -> Statement:
    last = node.end_lineno or node.lineno
    inner = [child[0].lineno for child in _bodies(node) if child]
    if inner:
        last = max(node.lineno, min(inner) - 1)
    header = list(_header(node))
    reads = {n.id for n in header if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    writes = {n.id for n in header if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    writes |= _changed(node)
    return Statement(
        node.lineno,
        last,
        _weight(node, header),
        frozenset(reads),
        frozenset(writes),
        loop,
        function,
        under,
    )


def _header(node: ast.stmt) -> Iterator[ast.AST]:
    """The statement's own expressions, not those of the statements in it."""
    waiting: list[ast.AST] = [c for c in ast.iter_child_nodes(node) if not isinstance(c, ast.stmt)]
    while waiting:
        one = waiting.pop()
        yield one
        if not isinstance(one, ast.ExceptHandler | ast.match_case):
            waiting += ast.iter_child_nodes(one)


def _changed(node: ast.stmt) -> set[str]:
    """Names whose object is changed: `x[i] = …`, `x.a = …`, `x.append(…)`."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        targets = [node.value.func]
    names = set()
    for target in targets:
        while isinstance(target, ast.Subscript | ast.Attribute):
            target = target.value
        if (isinstance(target, ast.Name) and not isinstance(node, ast.Expr)) or (
            isinstance(target, ast.Name) and isinstance(targets[0], ast.Attribute)
        ):
            names.add(target.id)
    return names


def _weight(node: ast.stmt, header: list[ast.AST]) -> float:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Global | ast.Nonlocal | ast.ClassDef):
        return 0.0
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return 0.0  # a docstring
    if isinstance(node, _FUNCTIONS):
        return 0.1 if node.args.defaults or node.args.kw_defaults else 0.0
    risky = sum(isinstance(one, _RISKY) for one in header)
    # Conditions are where most one-line fixes are; then it grows slowly with what is in it.
    header_of = (
        0.25 if isinstance(node, ast.If | ast.While) else 0.15 if isinstance(node, _LOOPS) else 0
    )
    return min(1.0, 0.2 + header_of + 0.2 * min(risky, 3))
