"""Pieces from elsewhere in the repository: expressions and statements whose names are in scope.

Most fixes are made of what the code base already has, most often of what stands in the same file.
"""

import ast
from collections.abc import Iterator

from sandbox.repair.change import Change
from sandbox.repair.source import Source
from sandbox.repair.spot import Spot
from sandbox.repair.templates.conditions import visible
from sandbox.repair.templates.swaps import alike
from sandbox.repair.wording import binding

_MOST_EXPRESSIONS = 16  # for each expression of the statement
_MOST_STATEMENTS = 40
_LONGEST = 120
_KINDS = ast.Call | ast.Attribute | ast.Subscript | ast.BinOp | ast.Compare | ast.List | ast.Tuple
_PLAIN = ast.Assign | ast.AugAssign | ast.Expr | ast.Return | ast.Raise | ast.Assert | ast.AnnAssign


def expression(spot: Spot) -> Iterator[Change]:
    """An expression like one of the statement's, from the same file or its neighbours."""
    pieces = _expressions(spot)
    for node in spot.expressions:
        if not isinstance(node, _KINDS | ast.Name) or isinstance(spot.parent(node), ast.Expr):
            continue
        callee = isinstance(parent := spot.parent(node), ast.Call) and parent.func is node
        if isinstance(node, ast.Tuple) or callee:
            continue
        text = spot.of(node)
        if len(text) > _LONGEST:
            continue
        scored = [
            (alike(other, text) + near, other, has)
            for other, (near, has) in pieces.items()
            if other != text
        ]
        scored.sort(key=lambda one: (-one[0], one[1]))
        for score, other, has in scored[:_MOST_EXPRESSIONS]:
            yield spot.put(node, other, has, score**2)


def statement(spot: Spot) -> Iterator[Change]:
    """A statement of the same file, the likest and nearest ones, below, above or instead."""
    own = spot.flat() if len(spot.flat()) < _LONGEST else ""
    here = spot.source.line(spot.statement.start)
    found: dict[str, float] = {}
    for source in (spot.source, *spot.others):
        for one in source.statements:
            if not isinstance(one.node, _PLAIN) or one.end - one.start > _LONGEST:
                continue
            text = source.text[one.start : one.end]
            if text == own or "\n" in text or _is_docstring(one.node):
                continue
            if text in found and source is not spot.source:
                continue
            near = 0.2
            if source is spot.source:
                same = one.function is spot.statement.function and one.function is not None
                near = 1.0 if same else 1 / (1 + abs(source.line(one.start) - here) / 20)
            if visible(spot, one.node):
                found[text] = max(found.get(text, 0.0), near + alike(text, own))
    ordered = sorted(found, key=lambda text: (-found[text], text))[:_MOST_STATEMENTS]
    for text in ordered:
        weight = found[text] ** 2
        yield from spot.after(text, weight=weight)
        yield from spot.before(text, weight=weight)
        if isinstance(spot.node, _PLAIN):
            yield from spot.instead(text, weight=weight)


def _expressions(spot: Spot) -> dict[str, tuple[float, object]]:
    """Texts of expressions whose names the statement sees, each with how near it is."""
    here = spot.source.line(spot.statement.start)
    found: dict[str, tuple[float, object]] = {}
    for source in (spot.source, *spot.others):
        for node in source.parents:
            if not isinstance(node, _KINDS) or not isinstance(getattr(node, "ctx", None), ast.Load | None):
                continue
            if node.end_lineno != node.lineno or _in_format(source, node):
                continue
            text = source.of(node)
            if len(text) > _LONGEST or (isinstance(node, ast.Tuple) and text[0] != "("):
                continue
            near = 0.1
            if source is spot.source:
                near = 1 / (1 + abs(node.lineno - here) / 10)
            if text in found:
                found[text] = (max(near, found[text][0]), found[text][1])
            elif visible(spot, node):
                found[text] = (near, binding(node))
    return found


def _in_format(source: Source, node: ast.AST) -> bool:
    while node in source.parents:
        node = source.parents[node]
        if isinstance(node, ast.JoinedStr):
            return True
        if isinstance(node, ast.stmt):
            return False
    return False


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
