"""A call more or less: around an expression, behind it, or one of its arguments."""

import ast
from collections.abc import Iterator

from sandbox.repair.change import Change, Replace
from sandbox.repair.spot import Spot

_AROUND = (
    *("len", "list", "str", "int", "sorted", "set", "tuple", "bool", "abs", "reversed", "max"),
    *("min", "sum", "float", "any", "all", "repr", "dict", "iter", "next", "enumerate", "type"),
    *("bytes", "frozenset", "round", "range"),
)
_BEHIND = (
    *("copy()", "strip()", "lower()", "items()", "values()", "keys()", "encode()", "decode()"),
    *(
        "rstrip()",
        "lstrip()",
        "split()",
        "upper()",
        "splitlines()",
        "read()",
        "close()",
        "resolve()",
    ),
)
_MOST_TERMS = 8


def wrap(spot: Spot) -> Iterator[Change]:
    """`f(e)` for `e`; `max(e, x)` and `min(e, x)` with a variable or what is assigned to."""
    own = [n for n in spot.pieces.single_argument_functions if n not in _AROUND][:12]
    for node in _whole(spot):
        text = spot.of(node)
        near = _expected(spot, node)
        for rank, name in enumerate(_AROUND):
            if not text.startswith(f"{name}("):
                yield spot.put(node, f"{name}({text})", weight=near.get(name, 1 / (1 + rank / 4)))
        for rank, name in enumerate(own):
            if not text.startswith(f"{name}("):
                yield spot.put(node, f"{name}({text})", weight=1 / (1 + rank))


def bound(spot: Spot) -> Iterator[Change]:
    """`max(e, x)` and `min(e, x)` for `e`."""
    for node in _whole(spot):
        text = spot.of(node)
        if isinstance(node, ast.Call | ast.Name | ast.BinOp | ast.Attribute | ast.Subscript):
            for rank, term in enumerate([*_targets(spot), "0", "1", *spot.values[:_MOST_TERMS]]):
                if term != text:
                    for name in ("max", "min"):
                        yield spot.put(node, f"{name}({term}, {text})", weight=1 / (1 + rank))


def unwrap(spot: Spot) -> Iterator[Change]:
    """`e` for `f(e, ...)`; `e` for `e.method(...)`."""
    for node in spot.expressions:
        if isinstance(node, ast.Call):
            for argument in node.args:
                if not isinstance(argument, ast.Starred):
                    yield spot.put_node(node, argument)
            for keyword in node.keywords:
                if keyword.arg:
                    yield spot.put_node(node, keyword.value, 0.3)
            if isinstance(node.func, ast.Attribute):
                yield spot.put_node(node, node.func.value)


def method(spot: Spot) -> Iterator[Change]:
    """`e.copy()`, `e.strip()` and so on for `e`."""
    for node in _whole(spot):
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call):
            text = spot.of(node)
            for rank, call in enumerate(_BEHIND):
                if not text.endswith(f".{call}"):
                    yield spot.put(node, f"{text}.{call}", weight=1 / (1 + rank / 4))


def called(spot: Spot) -> Iterator[Change]:
    """`f()` for `f`, and `f` for `f()`."""
    for node in spot.expressions:
        if isinstance(node, ast.Call):
            if not node.args and not node.keywords:
                yield spot.put_node(node, node.func)
        elif isinstance(node, ast.Attribute | ast.Name):
            parent = spot.parent(node)
            callee = isinstance(parent, ast.Call) and parent.func is node
            if not callee and not isinstance(parent, ast.Attribute):
                name = node.attr if isinstance(node, ast.Attribute) else node.id
                seen = name in spot.names.called or name in spot.names.all_attributes(True)
                yield spot.put(node, f"{spot.of(node)}()", weight=1.0 if seen else 0.1)


def argument(spot: Spot) -> Iterator[Change]:
    """One argument more or less."""
    for node in spot.nodes:
        if not isinstance(node, ast.Call):
            continue
        given = [*node.args, *node.keywords]
        for index in range(len(given)):
            yield _drop(spot, given, index)
        inside = spot.source.span(node)[1] - 1  # before the closing parenthesis
        if given:
            inside = spot.source.span(given[-1])[1]
        if len(given) == 1 and isinstance(given[0], ast.GeneratorExp):
            continue
        comma = ", " if given else ""
        taken = {keyword.arg for keyword in node.keywords}
        for rank, name in enumerate(spot.names.keywords(ast.unparse(node.func))):
            if name in taken or name in ("self", "cls"):
                continue
            visible = spot.names.known(name, spot.statement)
            weight = 3.0 if visible else 1 / (1 + rank)
            for value in ([name] if visible else []) + ["True", "False", "None"]:
                yield Replace(inside, inside, f"{comma}{name}={value}", weight)
            if name in spot.names.attributes("self", False):
                yield Replace(inside, inside, f"{comma}{name}=self.{name}", 1.0)
        if not node.keywords:
            values = [v for v in spot.values if v not in {spot.of(a) for a in node.args}]
            for rank, value in enumerate([*values[:12], "None", "0", "1", "True"]):
                yield Replace(inside, inside, f"{comma}{value}", 1 / (1 + rank))
            for rank, value in enumerate(values[:6] if node.args else ()):
                at = spot.source.span(node.args[0])[0]
                yield Replace(at, at, f"{value}, ", 0.5 / (1 + rank))


def starred(spot: Spot) -> Iterator[Change]:
    """`*x` for `x` in a call or a display, and back; `yield from` for `yield`, and back."""
    for node in spot.nodes:
        if isinstance(node, ast.Starred):
            yield spot.put_node(node, node.value)
        elif isinstance(node, ast.Call):
            for one in node.args:
                if isinstance(one, ast.Name | ast.Attribute | ast.Call):
                    yield spot.put(one, f"*{spot.of(one)}", weight=0.3)
        elif isinstance(node, ast.YieldFrom):
            start = spot.source.span(node)[0]
            value = spot.source.span(node.value)[0]
            yield Replace(start, value, "yield ", 2.0)
        elif isinstance(node, ast.Yield) and node.value:
            start = spot.source.span(node)[0]
            yield Replace(start, start + len("yield"), "yield from", 2.0)


def _drop(spot: Spot, given: list[ast.expr | ast.keyword], index: int) -> Replace:
    start, end = spot.source.span(given[index])
    if index + 1 < len(given):
        end = spot.source.span(given[index + 1])[0]
    elif index:
        start = spot.source.span(given[index - 1])[1]
    stars = isinstance(given[index], ast.keyword) and spot.source.text[start:end].startswith("**")
    return Replace(start, end, "", 0.3 if stars else 1.0)


def _whole(spot: Spot) -> Iterator[ast.expr]:
    """Expressions that are somebody's value as a whole, not a callee or an attribute's receiver."""
    for node in spot.expressions:
        parent = spot.parent(node)
        if isinstance(node, ast.Starred | ast.GeneratorExp | ast.Yield | ast.YieldFrom | ast.Slice):
            continue
        if isinstance(node, ast.Constant) or (
            isinstance(node, ast.Tuple) and spot.of(node)[0] != "("
        ):
            continue
        match parent:
            case ast.Call(func=func) if func is node:
                continue
            case ast.Attribute() | ast.Expr() | ast.Raise() | ast.withitem() | ast.Starred():
                continue
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.ExceptHandler():
                continue
            case _:
                yield node


def _expected(spot: Spot, node: ast.expr) -> dict[str, float]:
    """Functions that fit an expression's place better than elsewhere."""
    match spot.parent(node):
        case ast.For() | ast.comprehension() | ast.AsyncFor():
            return dict.fromkeys(("list", "reversed", "sorted", "enumerate", "set", "range"), 2.0)
        case ast.Compare():
            return {"len": 2.0, "abs": 1.0, "str": 1.5, "int": 1.5}
        case ast.BinOp():
            return {"str": 2.0, "list": 1.5, "int": 1.5, "len": 1.5, "abs": 1.0}
        case ast.Return():
            return {"list": 2.0, "bool": 1.5, "sorted": 1.5, "int": 1.5, "str": 1.5, "tuple": 1.5}
        case ast.Subscript():
            return {"int": 2.0, "len": 1.0}
        case _:
            return {}


def _targets(spot: Spot) -> list[str]:
    node = spot.node
    if isinstance(node, ast.Assign):
        return [spot.of(one) for one in node.targets if not isinstance(one, ast.Tuple)]
    return []
