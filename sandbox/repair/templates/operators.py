"""Another operator, operands the other way round, a sign more or less."""

import ast
from collections.abc import Iterator

from sandbox.repair.change import Change, Replace
from sandbox.repair.spot import Spot
from sandbox.repair.wording import SIGNS, Binding

# What an operator is taken for, the likeliest first.
_INSTEAD = {
    **{"<": "<= > >= != ==", "<=": "< >= > == !=", ">": ">= < <= != ==", ">=": "> <= < == !="},
    **{"==": "!= is in <= >= < >", "!=": "== is-not not-in < >", "is": "is-not == in"},
    **{"is not": "is != not-in", "in": "not-in == is", "not in": "in != is-not"},
    **{"+": "- * | // / %", "-": "+ * // / %", "*": "+ ** // / -", "/": "// * % -"},
    **{"//": "/ % * -", "%": "// / + - *", "**": "* //", "@": "*"},
    **{"&": "| ^ and - &~", "|": "& ^ or +", "^": "& | **", "<<": ">> *", ">>": "<< //"},
}


def comparison(spot: Spot) -> Iterator[Change]:
    for node in spot.expressions:
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for left, op, right in zip(sides, node.ops, sides[1:], strict=False):
                yield from _others(spot, left, SIGNS[type(op)], right)


def boolean(spot: Spot) -> Iterator[Change]:
    for node in spot.expressions:
        if isinstance(node, ast.BoolOp):
            other = "or" if isinstance(node.op, ast.And) else "and"
            places = [
                spot.between(*pair) for pair in zip(node.values, node.values[1:], strict=False)
            ]
            for place in places:
                if place:
                    yield Replace(*place, other)
            found = [place for place in places if place]
            if len(found) > 1:  # all of them at once
                start, end = found[0][0], found[-1][1]
                text = spot.source.text
                for first, last in reversed(found):
                    text = text[:first] + other + text[last:]
                grown = len(found) * (len(other) - (found[0][1] - found[0][0]))
                yield Replace(start, end, text[start : end + grown])


def arithmetic(spot: Spot) -> Iterator[Change]:
    for node in spot.expressions:
        if isinstance(node, ast.BinOp) and not _formats(node):
            yield from _others(spot, node.left, SIGNS[type(node.op)], node.right)
    node = spot.node
    if isinstance(node, ast.AugAssign):
        place = spot.between(node.target, node.value)
        if place:
            for rank, other in enumerate(_INSTEAD[SIGNS[type(node.op)]].split()):
                yield Replace(*place, other.strip("~") + "=", 1 / (1 + rank))
            yield Replace(*place, "=")


def augmented(spot: Spot) -> Iterator[Change]:
    """`x = y` for `x += y` and the like."""
    node = spot.node
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
        if not isinstance(target, ast.Tuple | ast.List | ast.Starred):
            end = spot.source.span(target)[1]
            equals = spot.source.text.index("=", end)
            for rank, other in enumerate(("+=", "-=", "|=", "*=", "&=", "//=", "%=")):
                yield Replace(equals, equals + 1, other, 1 / (1 + rank))


def operands(spot: Spot) -> Iterator[Change]:
    """`b - a` for `a - b`, `b < a` for `a < b`, `b and a` for `a and b`."""
    for node in spot.expressions:
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(node, ast.BinOp):
            pairs = [(node.left, node.right)]
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            pairs = [(node.left, node.comparators[0])]
        elif isinstance(node, ast.BoolOp):
            pairs = list(zip(node.values, node.values[1:], strict=False))
        elif isinstance(node, ast.IfExp):
            pairs = [(node.body, node.orelse)]
        for left, right in pairs:
            yield swapped(spot, left, right)


def swapped(spot: Spot, left: ast.AST, right: ast.AST, weight: float = 1.0) -> Replace:
    """Two nodes in each other's places; `left` stands before `right`."""
    first, second = spot.put_node(left, right), spot.put_node(right, left)
    between = spot.source.text[first.end : second.start]
    return Replace(first.start, second.end, first.text + between + second.text, weight)


def signs(spot: Spot) -> Iterator[Change]:
    """`-x` for `x`, and the other way round."""
    for node in spot.expressions:
        if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Not):
            yield spot.put_node(node, node.operand, 3.0)
        elif isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call):
            parent = spot.parent(node)
            valued = isinstance(
                parent, ast.BinOp | ast.Compare | ast.Return | ast.Call | ast.keyword
            )
            if valued and not (isinstance(parent, ast.Call) and parent.func is node):
                yield spot.put(node, "-" + spot.of(node), Binding.UNARY)


def _others(spot: Spot, left: ast.expr, sign: str, right: ast.expr) -> Iterator[Change]:
    place = spot.between(left, right)
    if place is None:
        return
    text = spot.source.text
    for rank, other in enumerate(_INSTEAD.get(sign, "").split()):
        word = other.replace("-", " ") if other not in ("-", "-=") else other
        if word == "&~":
            word = "& ~"
        spaced = word
        if word[0].isalpha():  # `a<b` may stand without blanks, `a in b` may not
            spaced = ("" if text[place[0] - 1].isspace() else " ") + word
            spaced += "" if text[place[1]].isspace() else " "
        yield Replace(*place, spaced, 1 / (1 + rank))


def _formats(node: ast.BinOp) -> bool:
    left = node.left
    return isinstance(left, ast.Constant) and isinstance(left.value, str | bytes)
