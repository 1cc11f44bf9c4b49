"""Functions' own lines: defaults, parameters, decorators; and `async` and `await`."""

import ast
from collections.abc import Iterator

from sandbox.repair.change import Change, Replace, Splice
from sandbox.repair.spot import Spot
from sandbox.repair.wording import Binding

_DEFAULTS = ("None", "True", "False", "0", "1", '""', "()", "[]", "{}")


def default(spot: Spot) -> Iterator[Change]:
    """Another default, one more, one less."""
    for node in spot.nodes:
        if not isinstance(node, ast.arguments):
            continue
        places = [*node.posonlyargs, *node.args]
        missing = len(places) - len(node.defaults)
        given = [*[None] * missing, *node.defaults, *node.kw_defaults]
        for argument, value in zip([*places, *node.kwonlyargs], given, strict=True):
            _start, end = spot.source.span(argument)
            equals = " = " if argument.annotation else "="
            if value is None:
                if argument.arg not in ("self", "cls"):
                    for rank, text in enumerate(_DEFAULTS):
                        yield Replace(end, end, equals + text, 1 / (1 + rank))
            else:
                own = spot.of(value)
                for rank, text in enumerate(_DEFAULTS):
                    if text != own:
                        yield spot.put(value, text, weight=1 / (1 + rank / 2))
                yield Replace(end, spot.source.span(value)[1], "", 0.5)


def mutable(spot: Spot) -> Iterator[Change]:
    """`None` for a default that is shared between calls, and the value made in the body."""
    node, block = spot.node, spot.statement.block
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    if block is None or not block.clean:
        return
    body = spot.source.inner(node)
    if body is None or not body.clean:
        return
    places = [*node.args.posonlyargs, *node.args.args]
    pairs = list(
        zip(places[len(places) - len(node.args.defaults) :], node.args.defaults, strict=True)
    )
    pairs += [(a, d) for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d]
    first = body.statements[0].node
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    at = 1 if documented and len(body.statements) > 1 else 0
    place = spot.source.line_start(body.statements[at].start)
    inner = body.indent[len(block.indent) :]
    newline = spot.source.newline
    for argument, value in pairs:
        if isinstance(value, ast.List | ast.Dict | ast.Set | ast.Call):
            start, end = spot.source.span(value)
            name = argument.arg
            head = spot.source.flat(spot.statement, spot.statement.start, start)
            middle = spot.source.flat(spot.statement, end, place)
            middle = middle.rstrip(" \t")
            check = f"{inner}if {name} is None:{newline}"
            check += f"{inner}{spot.source.indent}{name} = {spot.of(value)}{newline}"
            rest = spot.source.flat(spot.statement, place, spot.statement.end)
            rest = rest.removeprefix(block.indent)
            text = f"{head}None{middle}{check}{rest}"
            yield Splice(block, spot.statement.index, spot.statement.index + 1, (text,))


def parameter(spot: Spot) -> Iterator[Change]:
    """`*args`, `**kwargs`; two parameters in each other's places; one less."""
    node = spot.node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    own = node.args
    if own.args:
        end = max(spot.source.span(one)[1] for one in [*own.args, *own.defaults])
        if own.vararg is None and not own.kwonlyargs:
            yield Replace(end, end, ", *args", 0.3)
            if own.kwarg is None:
                yield Replace(end, end, ", **kwargs", 0.5)
                yield Replace(end, end, ", *args, **kwargs", 0.5)
    for first, second in zip(own.args, own.args[1:], strict=False):
        a, b = spot.source.span(first), spot.source.span(second)
        text = spot.source.text
        swapped = text[b[0] : b[1]] + text[a[1] : b[0]] + text[a[0] : a[1]]
        if first.arg not in ("self", "cls"):
            yield Replace(a[0], b[1], swapped, 0.3)


def decorator(spot: Spot) -> Iterator[Change]:
    """`@property`, `@staticmethod`, `@classmethod`: one more or one less."""
    node = spot.node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    start = spot.statement.start
    indent = spot.statement.block.indent if spot.statement.block else ""
    if isinstance(spot.statement.owner, ast.ClassDef):
        for name in ("property", "staticmethod", "classmethod"):
            yield Replace(start, start, f"@{name}{spot.source.newline}{indent}", 0.5)
    for index, one in enumerate(node.decorator_list):
        first = spot.source.text.rindex("@", 0, spot.source.span(one)[0])
        following = node.decorator_list[index + 1 :]
        last = spot.source.span(node)[0]
        if following:
            last = spot.source.text.rindex("@", 0, spot.source.span(following[0])[0])
        yield Replace(first, last, "", 0.5)


def awaits(spot: Spot) -> Iterator[Change]:
    """`await` before a call, and a call without; `async` before `def`, `for`, `with`."""
    inside = isinstance(spot.statement.function, ast.AsyncFunctionDef)
    for node in spot.expressions:
        if isinstance(node, ast.Await):
            yield spot.put_node(node, node.value, 0.5)
        elif inside and isinstance(node, ast.Call) and not isinstance(spot.parent(node), ast.Await):
            yield spot.put(node, f"await {spot.of(node)}", Binding.AWAIT)
    start = spot.source.span(spot.node)[0]
    if isinstance(spot.node, ast.For | ast.With) and inside:
        yield Replace(start, start, "async ")
    elif isinstance(spot.node, ast.FunctionDef) and spot.pieces.has_async:
        yield Replace(start, start, "async ", 0.5)
    elif isinstance(spot.node, ast.AsyncFor | ast.AsyncWith | ast.AsyncFunctionDef):
        end = spot.source.text.index("async", start) + len("async")
        while spot.source.text[end].isspace():
            end += 1
        yield Replace(start, end, "", 0.3)
