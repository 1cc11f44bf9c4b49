"""Constants other than numbers: truth values, empty things, strings."""

import ast
from collections.abc import Iterator

from sandbox.repair.change import Change, Replace
from sandbox.repair.spot import Spot
from sandbox.repair.templates.swaps import likest
from sandbox.repair.wording import Binding

_EMPTY = ("None", "[]", "{}", '""', "()", "set()", "0", "False", "True")
_MOST_SIBLINGS = 24
_EDGES = (" ", "/", ".", "-", "_", ":", ",", "\\n", "*", "+", "?", "$", "^", "#", "=", "s", "\\\\")


def flip(spot: Spot) -> Iterator[Change]:
    """True and False; None, 0, "", [], {} for one another."""
    for node in spot.expressions:
        empty = isinstance(node, ast.List | ast.Dict | ast.Tuple) and not any(
            (getattr(node, "elts", None), getattr(node, "keys", None))
        )
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield spot.put(node, str(not node.value), weight=5.0)
            empty = True
        if empty or (isinstance(node, ast.Constant) and node.value in (None, "", b"", 0)):
            text = spot.of(node)
            for other in _EMPTY:
                if other != text:
                    yield spot.put(node, other, weight=0.5)
            if text in ("[]", "()", "None"):
                yield spot.put(node, "[[]]")
                yield spot.put(node, "[None]", weight=0.5)
                for rank, name in enumerate(spot.values[:8]):
                    yield spot.put(node, f"[{name}]", weight=1 / (1 + rank / 2))
                    yield spot.put(node, name, weight=1 / (1 + rank / 2))


def display(spot: Spot) -> Iterator[Change]:
    """A list, tuple or set with an element more or less; `[x]` for `x` and back; a dict's item."""
    for node in spot.expressions:
        if isinstance(node, ast.List | ast.Set | ast.Tuple) and node.elts:
            for index, one in enumerate(node.elts):
                rest = [spot.of(e) for place, e in enumerate(node.elts) if place != index]
                text = ", ".join(rest)
                opened, closed = {"List": "[]", "Set": "{}"}.get(type(node).__name__, "()")
                comma = "," if isinstance(node, ast.Tuple) and len(rest) == 1 else ""
                if rest:
                    yield spot.put(node, f"{opened}{text}{comma}{closed}", weight=0.5)
                if len(node.elts) == 1:
                    yield spot.put_node(node, one)
                    if not isinstance(one, ast.Starred):
                        yield spot.put(node, f"{type(node).__name__.lower()}({spot.of(one)})")
            end = spot.source.span(node.elts[-1])[1]
            for rank, name in enumerate([*_siblings(spot, node.elts), *spot.values[:6]]):
                yield Replace(end, end, f", {name}", 0.5 / (1 + rank / 4))
        elif isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            parent = spot.parent(node)
            valued = isinstance(
                parent, ast.Return | ast.Assign | ast.Call | ast.BinOp | ast.keyword
            )
            if valued and not (isinstance(parent, ast.Call) and parent.func is node):
                yield spot.put(node, f"[{spot.of(node)}]", weight=0.7)
                yield spot.put(node, f"({spot.of(node)},)", weight=0.3)
        elif isinstance(node, ast.ListComp):
            inner = spot.of(node)[1:-1]
            yield spot.put(node, f"({inner})", weight=0.3)
            yield spot.put(node, f"{{{inner}}}", weight=0.3)
        elif isinstance(node, ast.GeneratorExp):
            inner = spot.of(node)
            inner = inner[1:-1] if inner.startswith("(") else inner
            start, end = spot.source.span(node)
            called = isinstance(spot.parent(node), ast.Call) and spot.of(node).startswith("(")
            text = f"([{inner}])" if called else f"[{inner}]"
            yield Replace(start, end, text, 0.5)


def _siblings(spot: Spot, elements: list[ast.expr]) -> list[str]:
    """`A.c` beside `A.a, A.b`, of what the file reads from A."""
    bases = {ast.unparse(one.value) for one in elements if isinstance(one, ast.Attribute)}
    if len(bases) != 1 or len(elements) < 2:
        return []
    (base,) = bases
    found = [f"{base}.{name}" for name in spot.names.attributes(base, False)[:_MOST_SIBLINGS]]
    return [text for text in found if text not in {ast.unparse(one) for one in elements}]


def string(spot: Spot) -> Iterator[Change]:
    """A character more or less at either end, another case, `f` before it, another string of the
    file."""
    for node in spot.expressions:
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)):
            continue
        text = spot.of(node)
        parts = _parts(text)
        if parts is None or "\n" in text or isinstance(spot.parent(node), ast.Expr):
            continue
        prefix, quote, body = parts
        for edge in _EDGES:
            yield spot.put(node, f"{prefix}{quote}{body}{edge}{quote}", weight=0.5)
            yield spot.put(node, f"{prefix}{quote}{edge}{body}{quote}", weight=0.5)
        if body:
            for other in (body[1:], body[:-1], body.strip(), body.lower(), body.upper()):
                yield spot.put(node, f"{prefix}{quote}{other}{quote}")
            for old, new in (
                ("-", "_"),
                ("_", "-"),
                (" ", ""),
                (".", "\\."),
                ("*", "+"),
                ("+", "*"),
            ):
                if old in body:
                    yield spot.put(node, f"{prefix}{quote}{body.replace(old, new)}{quote}")
        if not prefix:
            yield spot.put(node, f"f{text}", weight=2.0 if "{" in body else 0.2)
            yield spot.put(node, f"b{text}", weight=0.3)
            yield spot.put(node, f"r{text}", weight=1.0 if "\\" in body else 0.1)
        else:
            yield spot.put(node, text[len(prefix) :], weight=0.5)
        for rank, other in enumerate(likest(text, spot.pieces.strings)[:12]):
            yield spot.put(node, other, weight=1 / (1 + rank))


def concatenated(spot: Spot) -> Iterator[Change]:
    """`"text" % x` and the like, with `str(x)` or `repr(x)`; `%r` for `%s`."""
    for node in spot.expressions:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = spot.of(node)
            if "\n" in text:
                continue
            for old, new in (
                ("%s", "%r"),
                ("%r", "%s"),
                ("%d", "%s"),
                ("{}", "{!r}"),
                ("!r}", "}"),
            ):
                if old in text:
                    yield spot.put(node, text.replace(old, new), Binding.ATOM)


def _parts(text: str) -> tuple[str, str, str] | None:
    """Prefix, quote and inside of one string's text; None for several side by side."""
    prefix = text[: len(text) - len(text.lstrip("rRbBuUfF"))]
    rest = text[len(prefix) :]
    quote = rest[:3] if rest[:3] in ('"""', "'''") else rest[:1]
    if quote not in ("'", '"', '"""', "'''") or len(rest) < 2 * len(quote):
        return None
    body = rest[len(quote) : -len(quote)]
    return None if quote in body.replace("\\" + quote, "") else (prefix, quote, body)
