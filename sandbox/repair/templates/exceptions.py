"""Exceptions: another type, one more, a handler where there is none."""

import ast
from collections.abc import Iterator

from sandbox.repair.change import Change, Replace
from sandbox.repair.source import indented
from sandbox.repair.spot import Spot
from sandbox.repair.templates.guards import returned
from sandbox.repair.templates.swaps import exception_names

_OFTEN = (
    *("ValueError", "KeyError", "TypeError", "AttributeError", "IndexError", "OSError"),
    *("ImportError", "UnicodeDecodeError", "Exception"),
)


def handled(spot: Spot) -> Iterator[Change]:
    """Another type for an `except` clause, one more or one less; a bare one."""
    node = spot.node
    if not isinstance(node, ast.ExceptHandler):
        return
    if node.type is None:
        start = spot.statement.start + len("except")
        for name in _names(spot):
            yield Replace(start, start, f" {name}")
        return
    own = [node.type]
    if isinstance(node.type, ast.Tuple):
        own = node.type.elts
    texts = [spot.of(one) for one in own]
    for rank, name in enumerate(_names(spot)):
        if name not in texts:
            yield spot.put(node.type, f"({', '.join([*texts, name])})", weight=2 / (1 + rank / 4))
            yield spot.put(node.type, name, weight=1 / (1 + rank / 4))
    for text in texts if len(texts) > 1 else ():
        rest = [one for one in texts if one != text]
        yield spot.put(node.type, rest[0] if len(rest) == 1 else f"({', '.join(rest)})")


def catch(spot: Spot) -> Iterator[Change]:
    """The statement in a `try`, with a usual handler."""
    if isinstance(spot.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return
    newline, indent = spot.source.newline, spot.source.indent
    inner = indented(spot.flat(), indent)
    if inner is None:
        return
    leaves = ["pass"]
    leaves += ["continue"] if spot.statement.loop else []
    leaves += returned(spot)[:5] if spot.statement.function is not None else []
    if isinstance(spot.node, ast.Assign) and len(spot.node.targets) == 1:
        target = spot.of(spot.node.targets[0])
        leaves += [f"{target} = None", f'{target} = ""', f"{target} = []"]
    for rank, name in enumerate(_names(spot)[: len(_OFTEN) + 3]):
        for place, leave in enumerate(leaves):
            text = f"try:{newline}{indent}{inner}{newline}except {name}:{newline}{indent}{leave}"
            yield from spot.instead(text, weight=1 / (1 + rank / 2) / (1 + place / 2))


def raised(spot: Spot) -> Iterator[Change]:
    """Another type to raise; `from None`, `from error`."""
    node = spot.node
    if not isinstance(node, ast.Raise) or node.exc is None:
        return
    called = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    text = spot.of(called)
    for rank, name in enumerate(_names(spot)):
        if name != text:
            yield spot.put(called, name, weight=1 / (1 + rank / 4))
    if node.cause is None:
        end = spot.statement.end
        yield Replace(end, end, " from None", 0.5)
        handler = spot.statement.parent
        if handler and isinstance(handler.node, ast.ExceptHandler) and handler.node.name:
            yield Replace(end, end, f" from {handler.node.name}", 0.5)
    if isinstance(node.exc, ast.Name):
        yield spot.put(node.exc, f"{text}()", weight=0.3)


def _names(spot: Spot) -> list[str]:
    """Exception types: those that the file names, the usual ones, the rest."""
    own = dict.fromkeys(spot.pieces.exceptions)
    own |= dict.fromkeys(
        name
        for name in spot.names.callables(spot.statement)
        if name.endswith(("Error", "Exception", "Exit"))
    )
    return list(dict.fromkeys([*list(own)[:12], *_OFTEN, *exception_names()]))
