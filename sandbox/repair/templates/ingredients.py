"""Pieces from elsewhere in the repository: expressions and statements whose names are in scope.

Most fixes are made of what the code base already has, most often of what stands in the same file.
"""

import ast
from collections.abc import Iterator

from sandbox.repair.change import Change
from sandbox.repair.pieces import LONGEST, Piece
from sandbox.repair.spot import Spot
from sandbox.repair.templates.swaps import alike

_MOST_EXPRESSIONS = 16  # for each expression of the statement
_MOST_STATEMENTS = 40
_REPLACED = ast.Name | ast.Call | ast.Attribute | ast.Subscript | ast.BinOp | ast.Compare
_REPLACED |= ast.List | ast.Dict
_PLAIN = ast.Assign | ast.AugAssign | ast.Expr | ast.Return | ast.Raise | ast.Assert | ast.AnnAssign


def expression(spot: Spot) -> Iterator[Change]:
    """An expression like one of the statement's, from the same file or its neighbours."""
    pieces = _nearness(spot)
    for node in spot.expressions:
        parent = spot.parent(node)
        callee = isinstance(parent, ast.Call) and parent.func is node
        if callee or isinstance(parent, ast.Expr) or not isinstance(node, _REPLACED):
            continue
        text = spot.of(node)
        if len(text) > LONGEST:
            continue
        scored = [(-alike(other, text) - near, other) for other, (near, _) in pieces.items()]
        for score, other in sorted(scored)[: _MOST_EXPRESSIONS + 1]:
            if other != text:
                yield spot.put(node, other, pieces[other][1].has, score**2)


def statement(spot: Spot) -> Iterator[Change]:
    """A statement of the same file, the likest and nearest ones, below, above or instead."""
    own = spot.flat()
    own = own if len(own) < LONGEST else ""
    found: dict[str, float] = {}
    for pieces in (spot.pieces, *spot.others):
        same_file = pieces is spot.pieces
        for piece in pieces.statements:
            near = 0.2
            if same_file and piece.function and piece.function is spot.statement.function:
                near = 1.0
            elif same_file:
                near = 1 / (1 + abs(piece.line - spot.line) / 20)
            if piece.text != own and near > found.get(piece.text, 0.0) and spot.sees(piece):
                found[piece.text] = near
    weights = {text: (near + alike(text, own)) ** 2 for text, near in found.items()}
    for text in sorted(weights, key=lambda text: (-weights[text], text))[:_MOST_STATEMENTS]:
        yield from spot.after(text, weight=weights[text])
        yield from spot.before(text, weight=weights[text])
        if isinstance(spot.node, _PLAIN):
            yield from spot.instead(text, weight=weights[text])


def _nearness(spot: Spot) -> dict[str, tuple[float, Piece]]:
    """Expressions whose names the statement sees, each with how near it is."""
    found: dict[str, tuple[float, Piece]] = {}
    for pieces in (spot.pieces, *spot.others):
        for piece in pieces.expressions:
            near = 1 / (1 + abs(piece.line - spot.line) / 10) if pieces is spot.pieces else 0.1
            known = found.get(piece.text)
            if (known is None or near > known[0]) and spot.sees(piece):
                found[piece.text] = near, piece
    return found
