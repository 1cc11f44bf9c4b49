"""What a function gives back: another value, one more return, one less."""

import ast
from collections.abc import Iterator

from sandbox.repair.change import Change, Replace
from sandbox.repair.spot import Spot
from sandbox.repair.wording import Binding

_MOST = 8
_ENDS = ("None", "True", "False", "0", "1", "-1", "[]", "{}", '""', "set()", "()")


def value(spot: Spot) -> Iterator[Change]:
    """Another value: a variable, a usual one, what the function returns elsewhere, or for a
    truth value a comparison of variables."""
    node = spot.node
    if not isinstance(node, ast.Return | ast.Assign | ast.Yield):
        return
    old = node.value
    if old is None:
        start, end = spot.source.span(node)
        for text, weight in _values(spot):
            yield Replace(start, end, f"return {text}", weight)
        return
    for text, weight in _values(spot) if isinstance(node, ast.Return) else ():
        yield spot.put(old, text, weight=weight)
    if isinstance(old, ast.Constant) and isinstance(old.value, bool):
        yield from _truths(spot, old)


def add(spot: Spot) -> Iterator[Change]:
    """`return e` for `e`; a return below; for `return e`, `e` or nothing."""
    node, function = spot.node, spot.statement.function
    if function is None:
        return
    if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
        yield Replace(spot.statement.start, spot.statement.start, "return ", 4.0)
    if isinstance(node, ast.Return) and node.value is not None:
        start, end = spot.source.span(node)
        yield Replace(start, spot.source.span(node.value)[0], "", 0.5)
        yield Replace(start, end, "return", 0.5)
        yield Replace(start, start + len("return"), "yield", 0.5)
        yield Replace(start, start + len("return"), "yield from", 0.3)
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        start = spot.source.span(node)[0]
        yield Replace(start, spot.source.span(node.value)[0], "return ", 1.0)
        if isinstance(node.targets[0], ast.Name):
            yield from spot.after(f"return {node.targets[0].id}", weight=2.0)
    if not isinstance(node, ast.Return | ast.Raise | ast.Continue | ast.Break):
        last = spot.statement.block and spot.statement is spot.statement.block.statements[-1]
        for text, weight in _values(spot):
            yield from spot.after(f"return {text}", weight=weight * (1.0 if last else 0.3))
        yield from spot.after("return", weight=0.5)


def _values(spot: Spot) -> Iterator[tuple[str, float]]:
    function = spot.statement.function
    for rank, name in enumerate(spot.values[:_MOST]):
        yield name, 1 / (1 + rank / 2)
        yield f"[{name}]", 0.3 / (1 + rank / 2)
    for rank, name in enumerate(spot.members[:_MOST]):
        yield name, 0.5 / (1 + rank / 2)
    for node in ast.walk(function) if function else ():
        if isinstance(node, ast.Return) and node.value and node is not spot.node:
            text = spot.of(node.value)
            if "\n" not in text:
                yield text, 1.0
    for text in _ENDS:
        yield text, 0.5
    if spot.names.is_local("self", spot.statement):
        yield "self", 0.5


def _truths(spot: Spot, old: ast.Constant) -> Iterator[Change]:
    """Conditions in the place of True or False."""
    names = spot.values[:_MOST]
    for rank, name in enumerate(names):
        weight = 1 / (1 + rank / 2)
        yield spot.put(old, f"not {name}", Binding.NOT, weight)
        yield spot.put(old, f"bool({name})", Binding.ATOM, weight / 2)
        for text in (f"{name} == 0", f"{name} is None", f"{name} is not None", f"{name} != 0"):
            yield spot.put(old, text, Binding.COMPARE, weight / 2)
        yield spot.put(old, f"len({name}) == 0", Binding.COMPARE, weight / 2)
        for other in names[rank + 1 :][:4]:
            yield spot.put(old, f"{name} == {other}", Binding.COMPARE, weight / 3)
            yield spot.put(old, f"{name} in {other}", Binding.COMPARE, weight / 4)
