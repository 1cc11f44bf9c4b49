"""What mended this repository before, at another place: the rules of `sandbox.repair.rules`."""

import ast
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sandbox.repair import wording
from sandbox.repair.change import Change
from sandbox.repair.rules import HOLE, Rule, place
from sandbox.repair.search import parse
from sandbox.repair.source import Source, heads
from sandbox.repair.spot import Spot

MOST_FILLED = 12  # ways to fill the holes that the place does not
_NAMES = 6  # that such a hole is filled with
_UNLIKE = 0.2  # weight of statements that are put beside a statement of another kind
_BODIES = ("body", "orelse", "finalbody", "handlers", "cases")
_PASSED_OVER = (*_BODIES, "ctx", "kind", "type_comment")


@dataclass(frozen=True)
class Remembered:
    """The rules of one change of before, the largest first, as a template for `search`."""

    rules: Sequence[Rule]

    def __call__(self, spot: Spot) -> Iterator[Change]:
        for rule in self.rules:
            if rule.kind == "expression":
                yield from _expressions(spot, rule)
            else:
                yield from _statements(spot, rule)


def _expressions(spot: Spot, rule: Rule) -> Iterator[Change]:
    old, new = _expression(rule.old), _expression(rule.new)
    if old is None or new is None:
        return
    wanted, made = old.tree.body[0], new.tree.body[0]
    assert isinstance(wanted, ast.Expr)
    assert isinstance(made, ast.Expr)
    bare = isinstance(wanted.value, ast.Name) and HOLE.fullmatch(wanted.value.id)
    for node in spot.expressions:
        found: dict[str, ast.expr] = {}
        if bare and place(spot.source, node) != rule.place:
            continue
        if not matched(wanted.value, node, found):
            continue
        weight = 1.0 + sum(1 for _ in ast.walk(wanted)) - 2 * len(found)
        has = wording.binding(made.value)
        for texts, share in _filled(spot, new, found):
            yield spot.put(node, _put_in(new, texts)[1:-1], has, max(0.1, weight * share))


def _statements(spot: Spot, rule: Rule) -> Iterator[Change]:
    old, new = parse(("", rule.old)), parse(("", rule.new))
    if old is None or new is None or len(old.tree.body) != 1:
        return
    found: dict[str, ast.expr] = {}
    weight = 4.0
    if rule.kind == "instead":
        if not matched(old.tree.body[0], spot.node, found, whole=True):
            return
    elif not matched(old.tree.body[0], spot.node, found):
        found, weight = {}, _UNLIKE
    for texts, share in _filled(spot, new, found):
        block = parse(("", _put_in(new, texts)))
        if block is None:
            continue
        lines = [block.flat(one) for one in block.statements if one.parent is None]
        put = {"instead": spot.instead, "before": spot.before, "after": spot.after}[rule.kind]
        yield from put(*lines, weight=weight * share)


def matched(rule: ast.AST, node: ast.AST, found: dict[str, ast.expr], whole: bool = False) -> bool:
    """Whether a rule's piece fits a node; what its holes stand for goes into `found`. The bodies
    of statements are compared only where `whole` says so."""
    if isinstance(rule, ast.Name) and HOLE.fullmatch(rule.id):
        if not isinstance(node, ast.expr) or isinstance(node, ast.Starred):
            return False
        known = found.setdefault(rule.id, node)
        return known is node or ast.unparse(known) == ast.unparse(node)
    if type(rule) is not type(node):
        return False
    for name in rule._fields:
        if name in _PASSED_OVER and not (whole and name in _BODIES):
            continue
        one, other = getattr(rule, name, None), getattr(node, name, None)
        ones, others = (v if isinstance(v, list) else [v] for v in (one, other))
        if len(ones) != len(others):
            return False
        for mine, theirs in zip(ones, others, strict=True):
            if isinstance(mine, ast.AST) and isinstance(theirs, ast.AST):
                if not matched(mine, theirs, found, whole):
                    return False
            elif mine != theirs or type(mine) is not type(theirs):
                return False
    return True


def _filled(
    spot: Spot, new: Source, found: dict[str, ast.expr]
) -> Iterator[tuple[dict[ast.Name, str], float]]:
    """Texts for the holes of the new piece, with how well each way fits: what the place has, else
    names that are in scope, the nearest first."""
    holes = [node for node in ast.walk(new.tree) if isinstance(node, ast.Name)]
    fixed = [node for node in holes if not HOLE.fullmatch(node.id)]
    own = {node.id for node in fixed if not isinstance(node.ctx, ast.Load)}
    own |= {node.arg for node in ast.walk(new.tree) if isinstance(node, ast.arg)}
    if any(n.id not in own and not spot.names.known(n.id, spot.statement) for n in fixed):
        return
    holes = [node for node in holes if HOLE.fullmatch(node.id)]
    free = list(dict.fromkeys(node.id for node in holes if node.id not in found))
    names = list(dict.fromkeys([*_chains(spot), *spot.values]))[:_NAMES]
    ways = itertools.islice(itertools.permutations(names, len(free)), MOST_FILLED)
    for rank, way in enumerate(ways):
        chosen = dict(zip(free, way, strict=True))
        texts = {
            node: chosen[node.id]
            if node.id in chosen
            else spot.operand(found[node.id], wording.needed(new, node))
            for node in holes
        }
        yield texts, 1 / (1 + rank)


def _chains(spot: Spot) -> Iterator[str]:
    """Names and chains of attributes of the statement's own lines."""
    for head in heads(spot.node):
        for node in ast.walk(head):
            root = node
            while isinstance(root, ast.Attribute):
                root = root.value
            parent = spot.parent(node)
            called = isinstance(parent, ast.Call) and parent.func is node
            if isinstance(root, ast.Name) and not called and not isinstance(parent, ast.Attribute):
                yield ast.unparse(node)


def _put_in(new: Source, texts: dict[ast.Name, str]) -> str:
    text = new.text
    for node in sorted(texts, key=lambda node: new.span(node), reverse=True):
        start, end = new.span(node)
        text = text[:start] + texts[node] + text[end:]
    return text


def _expression(text: str) -> Source | None:
    """Parsed in parentheses, as it may have several lines."""
    found = parse(("", f"({text})"))
    if found is None or len(found.tree.body) != 1:
        return None
    return found if isinstance(found.tree.body[0], ast.Expr) else None
