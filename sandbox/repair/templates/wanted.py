"""What the failing tests say they want, made of it: an exception, a text, a string they name."""

import ast
from collections.abc import Iterator

from sandbox.repair.catalogue import Template
from sandbox.repair.change import Change, Replace
from sandbox.repair.source import indented
from sandbox.repair.spot import Spot
from sandbox.repair.templates.guards import conditions, returned
from sandbox.repair.wording import Binding
from sandbox.wanted import Wanted

# How likely each is the fix where a test gives a hint for it: guesses, as hints are rare and right
# often.
PRIORS = {"wanted.text": 0.5, "wanted.raise": 0.06, "wanted.string": 0.02, "wanted.catch": 0.03}


def templates(told: Wanted) -> dict[str, Template]:
    """Those that the hints allow, by name."""
    found: dict[str, Template] = {}
    if told.edits:
        found["wanted.text"] = lambda spot: _texts(spot, told)
    if told.raised:
        found["wanted.raise"] = lambda spot: _raised(spot, told)
    if told.strings:
        found["wanted.string"] = lambda spot: _strings(spot, told)
    if told.crashes:
        found["wanted.catch"] = lambda spot: _caught(spot, told)
    return found


def _texts(spot: Spot, told: Wanted) -> Iterator[Change]:
    """A piece of a string that came where another was due."""
    for node in spot.expressions:
        plain = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if plain or isinstance(node, ast.JoinedStr):
            text = spot.of(node)
            for rank, (old, new) in enumerate(told.edits):
                if old in text and not set("\"'\\\n{}") & set(new):
                    yield spot.put(node, text.replace(old, new), weight=len(old) / (1 + rank))


def _raised(spot: Spot, told: Wanted) -> Iterator[Change]:
    """`if x < 0: raise ValueError(...)` above the statement; that in the place of another `raise`
    or `return`; `except` for what came and `raise` for what was due."""
    if spot.statement.function is None:
        return
    newline, indent = spot.source.newline, spot.source.indent
    for place, (name, said) in enumerate(told.raised):
        text = _raise(spot, name, said)
        if text is None:
            continue
        share = 1 / (1 + place)
        if isinstance(spot.node, ast.Raise | ast.Return | ast.Pass | ast.Continue | ast.Assert):
            yield Replace(spot.statement.start, spot.statement.end, text, 3 * share)
        for condition, weight in (*_bounds(spot), *conditions(spot, negated=True)):
            check = f"if {condition}:{newline}{indent}{text}"
            yield from spot.before(check, weight=weight * share)
        inner = indented(spot.flat(), indent)
        if inner is not None and not isinstance(spot.node, ast.FunctionDef | ast.ClassDef):
            for kind in told.crashes:
                lines = (
                    f"try:{newline}{indent}{inner}{newline}except {kind}:{newline}{indent}{text}"
                )
                yield from spot.instead(lines, weight=2 * share)


def _strings(spot: Spot, told: Wanted) -> Iterator[Change]:
    """A string of the test for another, or beside others; `x == s` for `x in (s, t)`, and back."""
    for node in spot.expressions:
        for rank, string in enumerate(told.strings):
            weight = 1 / (1 + rank / 2)
            text = _quoted(spot, string)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if node.value != string and not isinstance(spot.parent(node), ast.JoinedStr):
                    yield spot.put(node, text, weight=weight)
            elif isinstance(node, ast.Tuple | ast.List | ast.Set) and node.elts:
                held = [one.value for one in node.elts if isinstance(one, ast.Constant)]
                if string not in held and any(isinstance(one, str) for one in held):
                    end = spot.source.span(node.elts[-1])[1]
                    yield Replace(end, end, f", {text}", 3 * weight)
            elif isinstance(node, ast.Compare) and len(node.ops) == 1:
                other = node.comparators[0]
                if isinstance(other, ast.Constant) and isinstance(other.value, str):
                    left = spot.operand(node.left, Binding.BIT_OR)
                    sign = {ast.Eq: "in", ast.NotEq: "not in"}.get(type(node.ops[0]))
                    if sign and other.value != string:
                        both = f"{left} {sign} ({spot.of(other)}, {text})"
                        yield spot.put(node, both, Binding.COMPARE, 3 * weight)


def _caught(spot: Spot, told: Wanted) -> Iterator[Change]:
    """The statement in a `try` with a handler for what came out of it."""
    function = spot.statement.function
    inner = indented(spot.flat(), spot.source.indent)
    if function is None or inner is None or isinstance(spot.node, ast.FunctionDef | ast.ClassDef):
        return
    newline, indent = spot.source.newline, spot.source.indent
    leaves = ["pass", *returned(spot), *(["continue"] if spot.statement.loop else [])]
    if isinstance(spot.node, ast.Assign) and len(spot.node.targets) == 1:
        target = spot.of(spot.node.targets[0])
        values = [name for name in spot.values[:3] if name != target]
        leaves[:0] = [f"{target} = {one}" for one in ("None", *values)]
    for kind in told.crashes:
        if spot.names.known(kind, spot.statement):
            for rank, leave in enumerate(leaves):
                text = (
                    f"try:{newline}{indent}{inner}{newline}except {kind}:{newline}{indent}{leave}"
                )
                yield from spot.instead(text, weight=1 / (1 + rank / 2))


def _raise(spot: Spot, name: str, said: str) -> str | None:
    """The statement, if the type is known in this file, by this name or by a module's."""
    last = name.rsplit(".", 1)[-1]
    kinds = [name, last] if last != name else [name]
    kinds += [f"{one}.{last}" for one in ("exceptions", "errors", "exc")]
    for kind in kinds:
        if kind and spot.names.known(kind.split(".")[0], spot.statement):
            return f"raise {kind}({_quoted(spot, said) if said else ''})"
    return None


def _bounds(spot: Spot) -> Iterator[tuple[str, float]]:
    """`x < 0` and the like, of the function's parameters."""
    function = spot.statement.function
    assert function is not None
    for rank, one in enumerate(function.args.args[:6]):
        if one.arg not in ("self", "cls"):
            weight = 1 / (1 + rank / 3)
            yield f"{one.arg} < 0", weight
            yield f"{one.arg} is not None and {one.arg} < 0", weight
            yield f"{one.arg} <= 0", weight / 2
            yield f"{one.arg} < 1", weight / 2


def _quoted(spot: Spot, text: str) -> str:
    """As a literal, in the quotes that the file uses more."""
    double = spot.source.text.count('"') >= spot.source.text.count("'")
    plain = repr(text)
    if double and '"' not in text and "\\" not in plain:
        return f'"{text}"'
    return plain
