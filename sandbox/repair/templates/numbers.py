"""Off by one: in constants, indices, slices, ranges, bounds."""

import ast
from collections.abc import Iterator

from sandbox.repair.change import Change
from sandbox.repair.spot import Spot
from sandbox.repair.wording import Binding


def constant(spot: Spot) -> Iterator[Change]:
    for node in spot.expressions:
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            near = {value + 1: 3.0, value - 1: 3.0, 0: 1.0, 1: 1.0, 2: 0.5, -1: 1.0}
            near |= {value * 2: 0.3, value * 10: 0.3, value // 2: 0.3}
            for other, weight in near.items():
                if other != value:
                    has = Binding.UNARY if other < 0 else Binding.ATOM
                    yield spot.put(node, repr(other), has, weight)


def offset(spot: Spot) -> Iterator[Change]:
    """`e + 1` and `e - 1` for `e`, where it may be a number."""
    for node in spot.expressions:
        weight = numeric(spot, node)
        if weight:
            text = spot.operand(node, Binding.SUM)
            yield spot.put(node, f"{text} + 1", Binding.SUM, weight)
            yield spot.put(node, f"{text} - 1", Binding.SUM, weight)


def bounds(spot: Spot) -> Iterator[Change]:
    """`range(1, n)` for `range(n)` and back; a step."""
    for node in spot.expressions:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        if node.func.id == "range" and not node.keywords:
            given = [spot.of(argument) for argument in node.args]
            if len(given) == 1:
                yield spot.put(node, f"range(1, {given[0]})", weight=2.0)
                yield spot.put(node, f"range({given[0]}, -1, -1)")
                yield spot.put(node, f"range({given[0]} - 1, -1, -1)")
                for name in spot.values[:6]:
                    yield spot.put(node, f"range({name}, {given[0]})", weight=0.5)
                    yield spot.put(node, f"range({given[0]}, {name})", weight=0.2)
            elif len(given) == 2:
                yield spot.put(node, f"range({given[1]})")
                yield spot.put(node, f"range({given[0]}, {given[1]}, -1)")
                yield spot.put(node, f"range({given[1]}, {given[0]}, -1)")
        if node.func.id == "enumerate" and len(node.args) == 1 and not node.keywords:
            yield spot.put(node, f"enumerate({spot.of(node.args[0])}, 1)")
            yield spot.put(node, f"enumerate({spot.of(node.args[0])}, start=1)")


def numeric(spot: Spot, node: ast.expr) -> float:
    """How well a number, not anything else, fits there; 0 where it does not."""
    if isinstance(node, ast.BinOp):
        if not isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.FloorDiv | ast.Mod):
            return 0
    elif not isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call):
        return 0
    if isinstance(node, ast.Name) and node.id in ("self", "cls", *spot.names.modules):
        return 0
    parent = spot.parent(node)
    match parent:
        case ast.Subscript(slice=place) if place is node:
            return 3
        case ast.Slice():
            return 3
        case ast.Call(func=ast.Name(id="range")):
            return 3
        case ast.Call(func=func) if func is not node:
            return 1
        case ast.Compare():
            sized = any(not isinstance(op, ast.Is | ast.IsNot) for op in parent.ops)
            return 2 if sized else 0
        case ast.BinOp(left=left):
            text = isinstance(left, ast.Constant) and isinstance(left.value, str | bytes)
            return 0 if text else 1
        case ast.Return() | ast.AugAssign() | ast.keyword():
            return 1
        case ast.Assign() | ast.Tuple() | ast.IfExp():
            return 0.7
        case _:
            return 0
