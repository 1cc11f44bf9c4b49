"""An expression with a term more or less: `e + x`, `e or x`, `e if c else None`."""

import ast
from collections.abc import Iterator

from sandbox.repair.change import Change
from sandbox.repair.spot import Spot
from sandbox.repair.templates.numbers import numeric
from sandbox.repair.wording import SIGNS, Binding, binding

_MOST = 8
_DEFAULTS = ("None", "[]", "{}", '""', "0", "()", "False", "True")


def operand(spot: Spot) -> Iterator[Change]:
    """`e + x`, `e - x`, `x + e`, `e * x`, `e ** 2`, `e // 2` for `e`."""
    for node in spot.expressions:
        weight = numeric(spot, node) or _joined(spot, node)
        if not weight:
            continue
        text = spot.of(node)
        for rank, name in enumerate([v for v in spot.values[:_MOST] if v != text]):
            near = weight / (1 + rank / 2)
            loose = spot.operand(node, Binding.SUM)
            yield spot.put(node, f"{loose} + {name}", Binding.SUM, near)
            yield spot.put(node, f"{loose} - {name}", Binding.SUM, near)
            yield spot.put(node, f"{name} + {spot.operand(node, Binding.TERM)}", Binding.SUM, near)
            yield spot.put(
                node, f"{name} - {spot.operand(node, Binding.TERM)}", Binding.SUM, near / 3
            )
            tight = spot.operand(node, Binding.TERM)
            yield spot.put(node, f"{tight} * {name}", Binding.TERM, near / 2)
            yield spot.put(node, f"{tight} % {name}", Binding.TERM, near / 4)
        if not isinstance(node, ast.Constant):
            yield spot.put(node, f"{spot.operand(node, Binding.AWAIT)} ** 2", Binding.POWER, weight)
            for tail in ("// 2", "* 2", "/ 2", "% 2"):
                tight = spot.operand(node, Binding.TERM)
                yield spot.put(node, f"{tight} {tail}", Binding.TERM, weight / 2)


def drop(spot: Spot) -> Iterator[Change]:
    """`a` and `b` for `a + b`, and for any other operator."""
    for node in spot.expressions:
        if isinstance(node, ast.BinOp):
            yield spot.put_node(node, node.left)
            yield spot.put_node(node, node.right)


def default(spot: Spot) -> Iterator[Change]:
    """`e or x`, `x or e` for `e`, with a variable or a usual value."""
    for node in _values(spot):
        text = spot.operand(node, Binding.OR)
        for rank, other in enumerate(_DEFAULTS):
            yield spot.put(node, f"{text} or {other}", Binding.OR, 1 / (1 + rank / 2))
        for rank, name in enumerate([v for v in spot.values[:_MOST] if v != text]):
            yield spot.put(node, f"{text} or {name}", Binding.OR, 1 / (1 + rank))
            yield spot.put(node, f"{name} or {text}", Binding.OR, 1 / (1 + rank))
            yield spot.put(node, f"{text} and {name}", Binding.AND, 0.3 / (1 + rank))
            yield spot.put(node, f"{name} and {text}", Binding.AND, 0.5 / (1 + rank))


def conditional(spot: Spot) -> Iterator[Change]:
    """`e if x else d` for `e`; `e` and `d` for `e if c else d`."""
    for node in spot.expressions:
        if isinstance(node, ast.IfExp):
            yield spot.put_node(node, node.body, 3.0)
            yield spot.put_node(node, node.orelse, 3.0)
    for node in _values(spot):
        text = spot.operand(node, Binding.OR)
        bases = [
            spot.of(n.value) for n in ast.walk(node) if isinstance(n, ast.Attribute | ast.Subscript)
        ]
        bases += [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
        skipped = {"self", "cls", *spot.names.modules, *spot.names.called}
        near = [b for b in dict.fromkeys([*bases, *spot.values[:4]]) if b not in skipped]
        for rank, name in enumerate(near[:6]):
            for place, other in enumerate(_DEFAULTS[:5]):
                weight = 1 / (1 + rank) / (1 + place / 2)
                for test in (name, f"{name} is not None"):
                    yield spot.put(node, f"{text} if {test} else {other}", Binding.TEST, weight)


def listed(spot: Spot) -> Iterator[Change]:
    """`[x] + e`, `e + [x]` for `e`, where a list may stand."""
    for node in _values(spot):
        if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.List | ast.ListComp):
            text = spot.of(node)
            for rank, name in enumerate([v for v in spot.values[:_MOST] if v != text]):
                yield spot.put(node, f"[{name}] + {text}", Binding.SUM, 1 / (1 + rank))
                yield spot.put(node, f"{text} + [{name}]", Binding.SUM, 1 / (1 + rank))


def deeper(spot: Spot) -> Iterator[Change]:
    """`a - (b - c)` for `a - b - c`, and the other way round."""
    for node in spot.expressions:
        if isinstance(node, ast.BinOp) and isinstance(node.left, ast.BinOp):
            left, sign = node.left, SIGNS[type(node.op)]
            inner = f"{spot.operand(left.right, Binding.SUM)} {sign} {spot.operand(node.right, Binding.SUM)}"
            outer = f"{spot.operand(left.left, binding(left))} {SIGNS[type(left.op)]} ({inner})"
            yield spot.put(node, outer, binding(left))
        if isinstance(node, ast.BinOp) and isinstance(node.right, ast.BinOp):
            right, sign = node.right, SIGNS[type(node.op)]
            inner = f"{spot.operand(node.left, Binding.SUM)} {sign} {spot.operand(right.left, Binding.SUM)}"
            outer = f"({inner}) {SIGNS[type(right.op)]} {spot.operand(right.right, Binding.UNARY)}"
            yield spot.put(node, outer, binding(right))


def _values(spot: Spot) -> Iterator[ast.expr]:
    """What is assigned, returned or passed, or gone through."""
    for node in spot.expressions:
        parent = spot.parent(node)
        if isinstance(node, ast.Constant | ast.BoolOp | ast.GeneratorExp | ast.Starred | ast.IfExp):
            continue
        if isinstance(node, ast.Tuple) and spot.of(node)[0] != "(":
            continue
        match parent:
            case ast.Assign() | ast.AnnAssign() | ast.Return() | ast.keyword():
                yield node
            case ast.Call(func=func) if func is not node:
                yield node
            case ast.For(iter=place) | ast.comprehension(iter=place) if place is node:
                yield node
            case ast.Dict() | ast.BinOp() | ast.Yield() | ast.YieldFrom():
                yield node


def _joined(spot: Spot, node: ast.expr) -> float:
    """Whether something may be put before or behind it: a string, a list, a sum."""
    parent = spot.parent(node)
    if isinstance(parent, ast.JoinedStr | ast.FormattedValue | ast.Expr):
        return 0
    if isinstance(node, ast.Constant):
        return 0.3 if isinstance(node.value, str | int) and not isinstance(node.value, bool) else 0
    if isinstance(node, ast.BinOp | ast.List | ast.ListComp):
        return 0.5
    return 0
