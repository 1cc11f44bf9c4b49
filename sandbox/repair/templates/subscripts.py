"""Indices, slices, and lookups that may fail or not."""

import ast
from collections.abc import Iterator

from sandbox.repair.change import Change, Replace
from sandbox.repair.spot import Spot
from sandbox.repair.wording import Binding

_MOST = 6
_READ = ast.Name | ast.Attribute | ast.Subscript | ast.Call


def index(spot: Spot) -> Iterator[Change]:
    """`e[0]`, `e[-1]`, `e[i]` for `e`; `e` for `e[i]`."""
    for node in spot.expressions:
        if isinstance(node, ast.Subscript):
            yield spot.put_node(node, node.value, 2.0)
        if isinstance(node, _READ) and _has_items(spot, node):
            text = spot.of(node)
            for rank, key in enumerate(["0", "-1", "1", *spot.values[:_MOST]]):
                if key != text:
                    yield spot.put(node, f"{text}[{key}]", weight=1 / (1 + rank / 2))


def part(spot: Spot) -> Iterator[Change]:
    """`e[1:]`, `e[:-1]`, `e[i:]`, `e[:i]`, `e[:]` for `e`."""
    for node in spot.expressions:
        if isinstance(node, _READ) and _has_items(spot, node):
            text = spot.of(node)
            usual = ("1:", ":-1", ":", "::-1", ":1", "-1:", "2:")
            for rank, key in enumerate(usual):
                yield spot.put(node, f"{text}[{key}]", weight=1 / (1 + rank / 2))
            for rank, name in enumerate([v for v in spot.values[:_MOST] if v != text]):
                for key in (f"{name}:", f":{name}"):
                    yield spot.put(node, f"{text}[{key}]", weight=1 / (1 + rank / 2))


def limits(spot: Spot) -> Iterator[Change]:
    """A slice with another bound, one more or one less."""
    for node in spot.nodes:
        if not isinstance(node, ast.Slice):
            continue
        low, high = (spot.of(one) if one else "" for one in (node.lower, node.upper))
        step = f":{spot.of(node.step)}" if node.step else ""
        others = {f"{low}:": 1.0, f":{high}": 1.0, f"{high}:{low}": 0.5, f"{high}:": 1.0}
        others |= {f":{low}": 1.0, ":": 0.3}
        if not low:
            others |= {f"1:{high}": 1.0} | {f"{name}:{high}": 0.5 for name in spot.values[:_MOST]}
        if not high:
            others |= {f"{low}:-1": 1.0} | {f"{low}:{name}": 0.5 for name in spot.values[:_MOST]}
        others |= {f"{low}:{high}:-1": 0.3} if not step else {f"{low}:{high}": 1.0}
        start, end = spot.source.span(node)
        for text, weight in others.items():
            yield Replace(start, end, text + (step if text != f"{low}:{high}" else ""), weight)
        if not isinstance(spot.parent(node), ast.Tuple):
            single = low or high
            if single:
                yield Replace(start, end, single, 0.5)


def key(spot: Spot) -> Iterator[Change]:
    """`e[i]` with another key: a variable, or a slice from or to it."""
    for node in spot.expressions:
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Slice | ast.Tuple):
            text = spot.of(node.slice)
            start, end = spot.source.span(node.slice)
            for other in (f"{text}:", f":{text}"):
                yield Replace(start, end, other, 0.5)
            for other in ("0", "-1", *spot.values[:_MOST]):
                if other != text:
                    yield Replace(start, end, other, 0.5)


def lookup(spot: Spot) -> Iterator[Change]:
    """`d.get(k)` for `d[k]` and back; a default; `getattr(x, "name", None)` for `x.name`."""
    for node in spot.expressions:
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Slice | ast.Tuple):
            of, text = spot.operand(node.value, Binding.ATOM), spot.of(node.slice)
            yield spot.put(node, f"{of}.get({text})", weight=3.0)
            for rank, default in enumerate(("None", '""', "[]", "{}", "0", "False", text)):
                yield spot.put(node, f"{of}.get({text}, {default})", weight=1 / (1 + rank / 2))
            yield spot.put(node, f"{of}.pop({text}, None)", weight=0.3)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            of = spot.operand(node.func.value, Binding.ATOM)
            first = spot.of(node.args[0])
            if node.func.attr in ("get", "pop", "setdefault"):
                yield spot.put(node, f"{of}[{first}]", weight=2.0)
                for default in ("None", '""', "[]", "{}", "0", "False", "True", "()"):
                    yield spot.put(node, f"{of}.{node.func.attr}({first}, {default})")
                if len(node.args) > 1:
                    yield spot.put(
                        node, f"{of}.get({first}) or {spot.of(node.args[1])}", Binding.OR
                    )
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            parent = spot.parent(node)
            if not (isinstance(parent, ast.Call) and parent.func is node):
                of = spot.of(node.value)
                for default in ("None", '""', "False", "[]"):
                    text = f'getattr({of}, "{node.attr}", {default})'
                    yield spot.put(node, text, weight=0.5)


def _has_items(spot: Spot, node: ast.expr) -> bool:
    """It may be a sequence there: not a callee, a module, a receiver or a lone call."""
    parent = spot.parent(node)
    if isinstance(parent, ast.Call) and parent.func is node:
        return False
    if isinstance(node, ast.Name) and node.id in ("self", "cls", *spot.names.modules):
        return False
    return not isinstance(parent, ast.Attribute | ast.Expr | ast.Raise | ast.ExceptHandler)
