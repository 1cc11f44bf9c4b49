"""Whole statements: left out, moved, doubled, or a usual one put in."""

import ast
from collections.abc import Iterator

from sandbox.repair.change import Change, Replace, Splice
from sandbox.repair.source import Block, Statement, indented
from sandbox.repair.spot import Spot

_LEAVES = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_GROWING = ("append", "add", "extend", "update", "remove", "discard", "insert", "pop")
_MOST = 6


def delete(spot: Spot) -> Iterator[Change]:
    block = spot.statement.block
    if block is not None:
        at = spot.statement.index
        alone = len(block.statements) == 1 and not isinstance(block.owner, ast.Module)
        if block.clean:
            yield Splice(block, at, at + 1, ("pass",) if alone else ())


def swap(spot: Spot) -> Iterator[Change]:
    """With the statement above or below."""
    block = spot.statement.block
    if block is not None and block.clean:
        for first in (spot.statement.index - 1, spot.statement.index):
            if 0 <= first < len(block.statements) - 1:
                pair = block.statements[first : first + 2]
                texts = tuple(spot.source.flat(one) for one in reversed(pair))
                yield Splice(block, first, first + 2, texts)


def move(spot: Spot) -> Iterator[Change]:
    """Out of its block, behind or before it; into the block above or below."""
    one, source = spot.statement, spot.source
    block, parent = one.block, one.parent
    if block is None or not block.clean:
        return
    yield from _out(spot, block, parent)
    for other in (one.index - 1, one.index + 1):
        if 0 <= other < len(block.statements):
            beside = block.statements[other]
            inner = [source.inner(beside.node, name) for name in ("body", "orelse")]
            bodies = [b for b in inner if b and b.clean]
            if isinstance(beside.node, ast.ClassDef | _DEFS):
                continue
            if other > one.index:
                bodies = bodies[:1]
            for body in bodies:
                whole = _grown(spot, beside, body, block, front=other > one.index)
                if whole:
                    first = min(other, one.index)
                    yield Splice(block, first, first + 2, (whole,))


def leave(spot: Spot) -> Iterator[Change]:
    """`break` for `continue` and the like; one below the statement, in a loop."""
    node, one = spot.node, spot.statement
    words = ["pass"] + (["break", "continue"] if one.loop else [])
    words += ["return"] if one.function is not None else []
    if isinstance(node, ast.Break | ast.Continue | ast.Pass | ast.Return):
        for word in words:
            yield Replace(one.start, one.end, word)
    elif one.loop and not isinstance(node, _LEAVES):
        yield from spot.after("break")
        yield from spot.after("continue", weight=0.5)


def call(spot: Spot) -> Iterator[Change]:
    """`x.append(y)`, `x.add(y)`, `x.update(y)` and the like, with what is in scope."""
    values = spot.values[:_MOST]
    holders: dict[str, list[str]] = {}
    function = spot.statement.function or spot.source.tree
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            text = spot.of(node.func.value)
            if node.func.attr in _GROWING and "\n" not in text:
                holders.setdefault(text, []).append(node.func.attr)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            for method in _growth(node.value):
                holders.setdefault(spot.of(node.targets[0]), []).append(method)
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            text = spot.of(node.comparators[0])
            if isinstance(node.comparators[0], ast.Name | ast.Attribute):
                holders.setdefault(text, []).extend(("add", "append"))
    for name in values:
        if name not in holders and name.endswith("s"):
            holders[name] = ["append", "add"]
    for place, (holder, methods) in enumerate(list(holders.items())[: 2 * _MOST]):
        for method in dict.fromkeys(methods):
            for rank, value in enumerate([v for v in values if v != holder]):
                text = f"{holder}.{method}({value})"
                weight = 1 / (1 + rank / 2) / (1 + place / 4)
                yield from spot.after(text, weight=weight)
                yield from spot.before(text, weight=weight)
                yield from _inside(spot, text, weight)


def assign(spot: Spot) -> Iterator[Change]:
    """`x = y`, `x += 1`, `self.x = x`, `x = []` below or above the statement."""
    values = [n for n in spot.values if spot.names.is_local(n, spot.statement)][:_MOST]
    for rank, name in enumerate(values):
        weight = 1 / (1 + rank / 2)
        texts = {f"{name} += 1": 0.5, f"{name} -= 1": 0.3, f"{name} = None": 0.5}
        texts |= {f"{name} = []": 0.3, f"{name} = {{}}": 0.2, f"{name} = 0": 0.3}
        texts |= {f"{name} = {other}": 0.7 for other in values if other != name}
        texts |= {f"{name} = {other}": 0.4 for other in spot.members[:_MOST]}
        texts |= {f"{other} = {name}": 0.4 for other in spot.members[:_MOST]}
        texts |= {f"{name} = True": 0.2, f"{name} = False": 0.2, f"{name} = list({name})": 0.2}
        if spot.names.is_local("self", spot.statement):
            texts |= {f"self.{name} = {name}": 0.7}
        for text, share in texts.items():
            yield from spot.after(text, weight=weight * share)
            yield from spot.before(text, weight=weight * share)
            yield from _inside(spot, text, weight * share)


def store(spot: Spot) -> Iterator[Change]:
    """`x[y] = ...` and `self.x = ...` for `x = ...`; `x = ...` for `x[y] = ...`; `x = e` for `e`."""
    node = spot.node
    if isinstance(node, ast.Expr):
        text = spot.of(node.value)
        for rank, name in enumerate(spot.values[:_MOST]):
            yield from spot.instead(f"{name} = {text}", weight=1 / (1 + rank))
    targets = node.targets if isinstance(node, ast.Assign) else []
    targets = [node.target] if isinstance(node, ast.AugAssign | ast.AnnAssign) else targets
    for target in targets:
        if isinstance(target, ast.Subscript):
            yield spot.put_node(target, target.value)
        if isinstance(target, ast.Name | ast.Attribute | ast.Subscript):
            text = spot.of(target)
            for rank, name in enumerate(spot.values[:_MOST]):
                if name != text:
                    yield spot.put(target, f"{text}[{name}]", weight=1 / (1 + rank))
        if isinstance(target, ast.Name) and spot.names.is_local("self", spot.statement):
            yield spot.put(target, f"self.{target.id}")
        if isinstance(target, ast.Attribute):
            yield spot.put(target, target.attr, weight=0.5)
    names = targets[0] if len(targets) == 1 else None
    if isinstance(names, ast.Tuple):
        for index in range(len(names.elts)):  # one variable more or less is unpacked
            rest = [spot.of(one) for place, one in enumerate(names.elts) if place != index]
            yield spot.put(names, ", ".join(rest), weight=0.2)


_DEFS = ast.FunctionDef | ast.AsyncFunctionDef


def _inside(spot: Spot, text: str, weight: float) -> Iterator[Change]:
    """As the first or the last statement of a compound one's body."""
    body = spot.source.inner(spot.node)
    if body and body.clean:
        last = len(body.statements)
        if not isinstance(body.statements[-1].node, _LEAVES):
            yield Splice(body, last, last, (text,), weight)
        yield Splice(body, 0, 0, (text,), weight)


def _growth(node: ast.expr) -> tuple[str, ...]:
    """Methods that make an empty thing grow."""
    text = ast.unparse(node)
    if isinstance(node, ast.List | ast.ListComp) or text.startswith("list("):
        return ("append", "extend")
    if isinstance(node, ast.Set | ast.SetComp) or text.startswith("set("):
        return ("add", "update")
    return ("update",) if isinstance(node, ast.Dict | ast.DictComp) else ()


def _out(spot: Spot, block: Block, parent: Statement | None) -> Iterator[Change]:
    """Behind or before the statement whose body this one ends or begins."""
    if parent is None or block.owner is not parent.node or block.name != "body":
        return
    outer, one = parent.block, spot.statement
    if outer is None or not outer.clean or isinstance(parent.node, ast.ClassDef | _DEFS):
        return
    last, first = one is block.statements[-1], one.index == 0
    if len(block.statements) > 1 and (last or first):
        whole = _cut(spot, parent, one)
        if whole:
            pair = (whole, spot.flat()) if last else (spot.flat(), whole)
            yield Splice(outer, parent.index, parent.index + 1, pair)


def _cut(spot: Spot, parent: Statement, one: Statement) -> str | None:
    """The text of `parent` without one statement of its body."""
    source = spot.source
    start, end = source.line_start(one.start), source.line_end(max(one.start, one.end - 1))
    head = source.text[parent.start : start]
    flat = source.flat(parent, parent.start, start).rstrip() if head else ""
    rest = source.text[end : parent.end]
    if rest.strip():
        outer = parent.block.indent if parent.block else ""
        tail = source.flat(parent, end, parent.end)
        kept = tail[len(outer) :] if tail.startswith(outer) else tail
        return flat + source.newline + kept
    return flat


def _grown(spot: Spot, beside: Statement, body: Block, block: Block, front: bool) -> str | None:
    """The text of a compound statement with the spot's statement put into its body."""
    source = spot.source
    inner = body.indent[len(block.indent) :]
    if not body.indent.startswith(block.indent) or not inner:
        return None
    moved = indented(spot.flat(), inner)
    if moved is None:
        return None
    at = source.line_start(body.statements[0].start)
    if not front:
        last = body.statements[-1]
        at = source.line_end(max(last.start, last.end - 1))
    whole = source.flat(beside)
    # Offsets in the flat text: what stands before `at` shrinks by each line's indentation.
    before = source.flat(beside, beside.start, min(at, beside.end))
    rest = whole[len(before) :]
    if before and not before.endswith(("\n", "\r")):
        before += source.newline
    return before + inner + moved + (source.newline + rest if rest.strip() else "")
