"""A check around a statement or before it; a check that is one too many."""

import ast
from collections.abc import Iterator

from sandbox.repair.change import Change, Splice
from sandbox.repair.source import indented
from sandbox.repair.spot import Spot
from sandbox.repair.templates.conditions import borrowed
from sandbox.repair.wording import Binding, joined

_MOST = 8


def around(spot: Spot) -> Iterator[Change]:
    """The statement only `if x is not None`, `if x`, `if i < len(a)`, or on a condition that the
    file has nearby."""
    if isinstance(spot.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import):
        return
    flat = spot.flat()
    inner = indented(flat, spot.source.indent)
    if inner is None:
        return
    for condition, weight in conditions(spot):
        text = f"if {condition}:{spot.source.newline}{spot.source.indent}{inner}"
        yield from spot.instead(text, weight=weight)


def before(spot: Spot) -> Iterator[Change]:
    """`if x is None: return ...` above the statement; `continue`, `break`, in a loop."""
    leaves: list[tuple[str, float]] = []
    if spot.statement.function is not None:
        leaves += [(text, 1 / (1 + rank / 2)) for rank, text in enumerate(returned(spot))]
        if spot.statement.function.name.startswith("__"):
            leaves.append(("return NotImplemented", 0.7))
    if spot.statement.loop:
        leaves += [("continue", 1.5), ("break", 0.7)]
    newline, indent = spot.source.newline, spot.source.indent
    for condition, weight in conditions(spot, negated=True):
        for leave, share in leaves:
            text = f"if {condition}:{newline}{indent}{leave}"
            yield from spot.before(text, weight=weight * share)


def default(spot: Spot) -> Iterator[Change]:
    """`if x is None: x = ...` above or below the statement."""
    newline, indent = spot.source.newline, spot.source.indent
    local = [name for name in spot.values if spot.names.is_local(name, spot.statement)]
    for rank, name in enumerate(local[:_MOST]):
        others = [f"self.{name}"] if "self" in local else []
        for place, value in enumerate((*others, "[]", "{}", '""', "0", "None", *local[:3])):
            if value != name:
                weight = 1 / (1 + rank / 2) / (1 + place / 2)
                for condition in (f"{name} is None", f"not {name}"):
                    text = f"if {condition}:{newline}{indent}{name} = {value}"
                    yield from spot.before(text, weight=weight)
                    yield from spot.after(text, weight=weight)


def without(spot: Spot) -> Iterator[Change]:
    """The body of an `if`, `with` or `try` alone; the statement without its `else`."""
    node, block = spot.node, spot.statement.block
    if block is None or not block.clean:
        return
    body = spot.source.inner(node)
    if isinstance(node, ast.If | ast.With | ast.Try | ast.While | ast.For) and body and body.clean:
        texts = tuple(spot.source.flat(one) for one in body.statements)
        at = spot.statement.index
        yield Splice(block, at, at + 1, texts)
        rest = spot.source.inner(node, "orelse")
        if rest and rest.clean and isinstance(node, ast.If):
            texts = tuple(spot.source.flat(one) for one in rest.statements)
            yield Splice(block, at, at + 1, texts)
            end = body.statements[-1].end
            yield Splice(block, at, at + 1, (spot.source.flat(spot.statement, end=end),))


def returned(spot: Spot) -> list[str]:
    """Statements that leave the function: those that it has, then the usual ones."""
    function = spot.statement.function
    assert function is not None
    found = dict.fromkeys(
        spot.of(node)
        for node in ast.walk(function)
        if isinstance(node, ast.Return | ast.Raise) and node.end_lineno == node.lineno
    )
    usual = ("return", "return None", "return False", "return []", "return 0", "return True")
    usual += ('return ""', "return {}")
    return [*list(found)[:4], *(one for one in usual if one not in found)][:8]


def conditions(spot: Spot, negated: bool = False) -> Iterator[tuple[str, float]]:
    """What to ask before the statement runs; `negated`: what keeps it from running."""
    subjects: dict[str, float] = {}
    for node in spot.nodes:
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(
            node.value, ast.Call | ast.Constant
        ):
            subjects.setdefault(spot.of(node.value), 2.0)
    for node in spot.nodes:
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            subjects.setdefault(spot.of(node), 1.0)
    skipped = {"self", "cls", *spot.names.modules, *spot.names.called}
    found = [text for text in subjects if text not in skipped and "\n" not in text][:_MOST]
    found += [name for name in spot.values[:4] if name not in subjects]
    for rank, text in enumerate(found):
        weight = subjects.get(text, 0.5) / (1 + rank / 3)
        if negated:
            yield f"not {text}", weight
            yield f"{text} is None", weight
            yield text, weight / 3
        else:
            yield text, weight
            yield f"{text} is not None", weight
            yield f"not {text}", weight / 2
            yield f"{text} is None", weight / 3
    for node in spot.nodes:
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Slice | ast.Tuple):
            key, of = spot.of(node.slice), spot.of(node.value)
            if isinstance(node.slice, ast.Name | ast.BinOp | ast.Attribute):
                yield (f"{key} >= len({of})" if negated else f"{key} < len({of})"), 1.0
            yield (f"{key} not in {of}" if negated else f"{key} in {of}"), 1.0
    owner, function = spot.statement.owner, spot.statement.function
    around = spot.parent(function) if function else None
    if negated and isinstance(around, ast.ClassDef) and owner is function and function:
        for one in function.args.args[1:2]:  # as the operators of a class ask
            yield f"not isinstance({one.arg}, {around.name})", 1.0
    for rank, piece in enumerate(borrowed(spot)[:_MOST]):
        yield piece.text, 1 / (1 + rank / 2)
        if not negated:
            yield f"not {joined(piece.text, piece.has, Binding.NOT)}", 0.5 / (1 + rank / 2)
