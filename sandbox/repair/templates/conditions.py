"""Conditions: negated, cut down, extended, made constant; what counts as true."""

import ast
from collections.abc import Iterator

from sandbox.repair.change import Change
from sandbox.repair.pieces import Piece
from sandbox.repair.spot import Spot
from sandbox.repair.wording import Binding

_TYPES = (
    *("str", "bytes", "int", "float", "list", "tuple", "dict", "set", "bool", "Exception"),
    *("Mapping", "Sequence", "Iterable", "Path"),
)
_MOST_VALUES = 8
_MOST_BORROWED = 16


def negate(spot: Spot) -> Iterator[Change]:
    """`not c` for `c`, and back, of whole conditions and of their parts."""
    for node in spot.expressions:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield spot.put_node(node, node.operand, 2.0)
    for node in parts(spot):
        text = spot.operand(node, Binding.NOT)
        yield spot.put(node, f"not {text}", Binding.NOT)


def drop(spot: Spot) -> Iterator[Change]:
    """A condition without one of the parts joined by `and` or `or`."""
    for node in spot.expressions:
        if isinstance(node, ast.BoolOp):
            for index, part in enumerate(node.values):
                if len(node.values) == 2:
                    yield spot.put_node(node, node.values[1 - index])
                    continue
                start, end = spot.source.span(part)
                if index:
                    start = spot.source.span(node.values[index - 1])[1]
                else:
                    end = spot.source.span(node.values[1])[0]
                whole = spot.source.span(node)
                text = spot.source.text
                kept = text[whole[0] : start] + text[end : whole[1]]
                yield spot.put(node, kept.strip(), Binding.OR)


def truth(spot: Spot) -> Iterator[Change]:
    """`x is not None`, `x is None`, `not x`, `x`, `len(x) > 1`: one for another."""
    for node in parts(spot):
        value: ast.expr | None = None
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call | ast.NamedExpr):
            value = node
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            value = node.operand
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            right = node.comparators[0]
            empty = isinstance(right, ast.Constant) and right.value in (None, 0, "", False, True)
            value = node.left if empty else None
        if value is None or isinstance(value, ast.BoolOp):
            continue
        text = spot.operand(value, Binding.BIT_OR)
        for other, has in (
            (f"{text} is not None", Binding.COMPARE),
            (f"{text} is None", Binding.COMPARE),
            (f"{text} is True", Binding.COMPARE),
            (f"{text} is False", Binding.COMPARE),
            (f"not {text}", Binding.NOT),
            (text, Binding.BIT_OR),
            (f"len({text}) > 1", Binding.COMPARE),
            (f"len({text}) > 0", Binding.COMPARE),
            (f"len({text}) == 1", Binding.COMPARE),
            (f"{text} > 0", Binding.COMPARE),
            (f"{text} >= 0", Binding.COMPARE),
        ):
            weight = 3.0 if "None" in other else 1.0 if "len" not in other else 0.5
            yield spot.put(node, other, has, weight)


def constant(spot: Spot) -> Iterator[Change]:
    """A variable for a condition; True or False."""
    for node in spot.tests:
        fixed = isinstance(node, ast.Constant)
        for text in ("True", "False"):
            yield spot.put(node, text, weight=0.5)
        for rank, name in enumerate(spot.values[:_MOST_VALUES]):
            yield spot.put(node, name, weight=(2.0 if fixed else 0.5) / (1 + rank))
            yield spot.put(node, f"not {name}", Binding.NOT, (1.0 if fixed else 0.3) / (1 + rank))


def extend(spot: Spot) -> Iterator[Change]:
    """`c and t`, `c or t`, `t and c`, `t or c` with a term about what is in scope."""
    for node in spot.tests:
        both = {"and": Binding.AND, "or": Binding.OR}
        for term, has, weight in terms(spot, node):
            for word, binding in both.items():
                added = term if has > binding else f"({term})"
                own = spot.operand(node, binding)
                yield spot.put(node, f"{own} {word} {added}", binding, weight)
                # What guards the rest has to come first.
                yield spot.put(node, f"{added} {word} {own}", binding, weight)


def terms(spot: Spot, node: ast.expr) -> Iterator[tuple[str, Binding, float]]:
    """Conditions that the names there allow: of what the condition itself uses, of other
    variables, and conditions from elsewhere in the file; each with a weight."""
    seen: set[str] = {spot.of(node)}
    inner = [n for n in ast.walk(node) if isinstance(n, ast.Attribute | ast.Subscript)]
    bases = [spot.of(n.value) for n in inner] + [
        spot.of(n)
        for n in ast.walk(node)
        if isinstance(n, ast.Name | ast.Attribute) and isinstance(n.ctx, ast.Load)
    ]
    subjects = [b for b in dict.fromkeys(bases) if b not in ("self", "cls")]
    called = spot.names.called
    subjects = [b for b in subjects if b not in called and b not in spot.names.modules]
    used = {name: 2.0 / (1 + rank / 2) for rank, name in enumerate(subjects[:6])}
    for rank, name in enumerate(spot.values[: _MOST_VALUES + 4]):
        used.setdefault(name, 1.0 / (1 + rank / 2))
    for rank, name in enumerate(spot.members[:_MOST_VALUES]):
        used.setdefault(name, 0.7 / (1 + rank / 2))
    for text, weight in used.items():
        for kind in ("str", "dict", "list", "bytes"):
            yield f"isinstance({text}, {kind})", Binding.ATOM, weight / 10
            yield f"not isinstance({text}, {kind})", Binding.NOT, weight / 10
        for term, has, share in (
            (f"{text} is None", Binding.COMPARE, 1.0),
            (f"{text} is not None", Binding.COMPARE, 1.0),
            (f"not {text}", Binding.NOT, 0.7),
            (text, Binding.ATOM, 0.7),
        ):
            if term not in seen:
                seen.add(term)
                yield term, has, weight * share
    for rank, name in enumerate([one for one in subjects if one.isidentifier()][:3]):
        for place, member in enumerate(spot.names.attributes(name, False)[:6]):
            for term, has in (
                (f"{name}.{member}", Binding.ATOM),
                (f"not {name}.{member}", Binding.NOT),
            ):
                if term not in seen:
                    seen.add(term)
                    yield term, has, 0.5 / (1 + rank / 2) / (1 + place / 2)
    for rank, piece in enumerate(borrowed(spot)):
        if piece.text not in seen:
            seen.add(piece.text)
            yield piece.text, piece.has, 1.0 / (1 + rank / 4)


def borrowed(spot: Spot) -> list[Piece]:
    """Conditions of the file, the nearest first, whose names the statement can see."""
    found: dict[str, Piece] = {}
    for piece in sorted(spot.pieces.conditions, key=lambda one: abs(one.line - spot.line)):
        if piece.text not in found and spot.sees(piece):
            found[piece.text] = piece
            if len(found) >= _MOST_BORROWED:
                break
    return list(found.values())


def types(spot: Spot) -> Iterator[Change]:
    """`isinstance(x, (A, B))` for `isinstance(x, A)`, and fewer; another type."""
    for node in spot.expressions:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        if node.func.id not in ("isinstance", "issubclass") or len(node.args) != 2:
            continue
        given = node.args[1]
        own = [spot.of(one) for one in given.elts] if isinstance(given, ast.Tuple) else []
        own = own or [spot.of(given)]
        classes = [name for name in spot.names.callables(spot.statement) if name[:1].isupper()]
        for rank, name in enumerate([*_TYPES, *classes[:12]]):
            known = spot.names.known(name, spot.statement)
            if name not in own and known:
                yield spot.put(given, f"({', '.join([*own, name])})", weight=2 / (1 + rank / 4))
                yield spot.put(given, name, weight=1 / (1 + rank / 4))
        for one in own if len(own) > 1 else ():
            rest = [other for other in own if other != one]
            yield spot.put(given, rest[0] if len(rest) == 1 else f"({', '.join(rest)})")


def parts(spot: Spot) -> list[ast.expr]:
    """Conditions, what they join by `and` and `or`, and what `not` stands before."""
    waiting = list(spot.tests)
    waiting += [n for n in spot.expressions if isinstance(n, ast.BoolOp)]
    found: dict[int, ast.expr] = {}
    while waiting:
        node = waiting.pop(0)
        if id(node) not in found:
            found[id(node)] = node
            waiting.extend(node.values if isinstance(node, ast.BoolOp) else [])
    return list(found.values())
