"""A change of a Python file as rules by which other places can be rewritten, names abstracted.

Names that functions bind become holes, `_0`, `_1`: `range(_0, _1)` becomes `range(_0, _1 + 1)`.
Names of the module, of builtins, of what is called, new ones that the change binds, and constants
stay. The innermost expression that differs gives a rule, and so do those around it: the larger one
fits fewer places and is likelier to be right there.
"""

import ast
import builtins
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from sandbox.repair.search import parse
from sandbox.repair.source import SCOPES, Source, Statement

LEVELS = 3  # expressions, from the innermost outwards
LONGEST = 600  # characters of a rule's side
HOLE = re.compile(r"_\d+")
_BUILTINS = frozenset(dir(builtins))

Kind = Literal["expression", "instead", "before", "after"]


@dataclass(frozen=True)
class Rule:
    """`old` becomes `new`.

    "expression": both are expressions; `place` is what the old one stood in, as "Call.args".
    "instead": a statement becomes statements, or none. "before" and "after": `new` are statements
    that were put next to `old`, a statement without its body.
    """

    kind: Kind
    old: str
    new: str
    place: str = ""


def rules_of(before: str, after: str) -> tuple[Rule, ...]:
    """The rules of a change, the largest first; () where it is in more than one place, or larger
    than a rule should be, or no Python that we can parse."""
    old, new = parse(("", before)), parse(("", after))
    if old is None or new is None:
        return ()
    pairs, cut = _narrowed(old.tree, new.tree)
    found = _Rules(old, new).of(pairs, cut)
    return tuple(one for one in found if max(len(one.old), len(one.new)) <= LONGEST)


@dataclass(frozen=True)
class _Cut:
    """`old[first:last]` of one block became `new[first:end]` of another."""

    old: Sequence[ast.stmt]
    new: Sequence[ast.stmt]
    first: int
    last: int
    end: int


def _narrowed(old: ast.AST, new: ast.AST) -> tuple[list[tuple[ast.AST, ast.AST]], _Cut | None]:
    """The pairs of nodes that hold the difference, the outermost first, and where it lies in a
    block if it is not within one statement."""
    pairs: list[tuple[ast.AST, ast.AST]] = []
    while True:
        pairs.append((old, new))
        if type(old) is not type(new):
            return pairs, None
        names = [n for n in old._fields if _told(getattr(old, n)) != _told(getattr(new, n))]
        if len(names) != 1:
            return pairs, None
        mine, theirs = getattr(old, names[0]), getattr(new, names[0])
        if isinstance(mine, list) and isinstance(theirs, list):
            cut = _cut(mine, theirs)
            if cut.last - cut.first != 1 or cut.end - cut.first != 1:
                whole = [*mine, *theirs]
                return pairs, cut if all(isinstance(n, ast.stmt) for n in whole) else None
            mine, theirs = mine[cut.first], theirs[cut.first]
        if not isinstance(mine, ast.AST) or not isinstance(theirs, ast.AST):
            return pairs, None
        if isinstance(mine, ast.operator | ast.cmpop | ast.boolop | ast.unaryop | ast.expr_context):
            return pairs, None
        old, new = mine, theirs


def _told(value: object) -> object:
    if isinstance(value, ast.AST):
        return ast.dump(value)
    return [_told(one) for one in value] if isinstance(value, list) else repr(value)


def _cut(old: list, new: list) -> _Cut:
    mine, theirs = [_told(one) for one in old], [_told(one) for one in new]
    least = min(len(old), len(new))
    first = next((i for i in range(least) if mine[i] != theirs[i]), least)
    rest = range(least - first)
    tail = next((i for i in rest if mine[-1 - i] != theirs[-1 - i]), least - first)
    return _Cut(old, new, first, len(old) - tail, len(new) - tail)


class _Rules:
    def __init__(self, old: Source, new: Source) -> None:
        self._old, self._new = old, new
        # A name that the change itself brings is as good elsewhere.
        brought = _stored(new.tree) - set(_names(old.tree))
        self._kept = _BUILTINS | _of_module(old.tree) | _of_module(new.tree) | brought

    def of(self, pairs: list[tuple[ast.AST, ast.AST]], cut: _Cut | None) -> Iterator[Rule]:
        if cut is not None:
            yield from self._block(cut)
            return
        within: list[tuple[ast.expr, ast.expr]] = []
        last: tuple[ast.AST, ast.AST] | None = None
        for one, other in pairs:
            if isinstance(one, ast.stmt) and isinstance(other, ast.stmt):
                last, within = (one, other), []
            elif isinstance(one, ast.expr) and isinstance(other, ast.expr):
                within.append((one, other))
        for one, other in within[-LEVELS:]:
            yield from self._expression(one, other)
        if last is not None and not within and not isinstance(last[0], SCOPES):
            yield from self._statements("instead", last[0], [last[1]])

    def _expression(self, one: ast.expr, other: ast.expr) -> Iterator[Rule]:
        abstract = _Abstract(self._kept)
        old, new = abstract(self._old.of(one)), abstract(self._new.of(other))
        if not old or not new or old == new:
            return
        if HOLE.fullmatch(old) and HOLE.fullmatch(new):
            if not (isinstance(one, ast.Attribute) and isinstance(other, ast.Attribute)):
                return  # any name for any other is no rule
            old, new = f"_0.{one.attr}", f"_0.{other.attr}"
            if ast.dump(one.value) != ast.dump(other.value):
                return
        yield Rule("expression", old, new, place(self._old, one))

    def _block(self, cut: _Cut) -> Iterator[Rule]:
        fresh = cut.new[cut.first : cut.end]
        if cut.last == cut.first:
            if cut.first < len(cut.old):
                yield from self._statements("before", cut.old[cut.first], fresh)
            if cut.first:
                yield from self._statements("after", cut.old[cut.first - 1], fresh)
        elif cut.last - cut.first == 1:
            yield from self._statements("instead", cut.old[cut.first], fresh)

    def _statements(self, kind: Kind, one: ast.AST, fresh: Sequence[ast.AST]) -> Iterator[Rule]:
        """A rule for a statement of the old text and those of the new one."""
        abstract = _Abstract(self._kept)
        mine = _text(self._old, one)
        if kind != "instead":
            mine = _without_body(mine)
        old = abstract(mine)
        new = [abstract(_text(self._new, node)) for node in fresh]
        if old and all(new):
            yield Rule(kind, old, "\n".join(new))


def place(source: Source, node: ast.AST) -> str:
    """What a node stands in: its parent's type and the field there."""
    parent = source.parents[node]
    for name, value in ast.iter_fields(parent):
        if value is node or (isinstance(value, list) and any(one is node for one in value)):
            return f"{type(parent).__name__}.{name}"
    return type(parent).__name__


def _text(source: Source, node: ast.AST) -> str:
    """A statement's text in column 0."""
    return next((source.flat(one) for one in source.statements if one.node is node), "")


def _without_body(text: str) -> str:
    found = parse(("", text))
    if found is None or not found.statements:
        return ""
    first: Statement = found.statements[0]
    return f"{text[first.start : first.head_end]} pass" if first.compound else text


class _Abstract:
    """Puts holes for names into pieces of code; the same hole for the same name in all of them."""

    def __init__(self, kept: frozenset[str]) -> None:
        self._kept = kept
        self._holes: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        """The piece with its holes; "" if it cannot be parsed by itself."""
        source = parse(("", f"({text})")) if text else None
        shift = 1
        if source is None:
            source, shift = parse(("", text)), 0
        if source is None or HOLE.search(" ".join(_names(source.tree))):
            return ""
        own = self._kept | _bound_inside(source.tree)
        spans = sorted(self._spans(source, source.tree, own), reverse=True)
        whole = source.text
        named = {source.text[start:end]: None for start, end in reversed(spans)}
        for name in named:
            self._holes.setdefault(name, f"_{len(self._holes)}")
        for start, end in spans:
            whole = whole[:start] + self._holes[source.text[start:end]] + whole[end:]
        return whole[1:-1] if shift else whole

    def _spans(
        self, source: Source, node: ast.AST, own: frozenset[str]
    ) -> Iterator[tuple[int, int]]:
        """Where the names and the chains of attributes stand that become holes."""
        if isinstance(node, ast.JoinedStr):
            return  # before Python 3.12 its places are not known
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield from self._spans(source, node.func.value, own)
            elif not isinstance(node.func, ast.Name):
                yield from self._spans(source, node.func, own)
            for one in (*node.args, *node.keywords):
                yield from self._spans(source, one, own)
            return
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name):
            if root.id not in own:
                yield source.span(node)
            return
        for child in ast.iter_child_nodes(node):
            yield from self._spans(source, child, own)


def _names(tree: ast.AST) -> list[str]:
    return [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]


def _stored(tree: ast.AST) -> set[str]:
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return {node.id for node in names if isinstance(node.ctx, ast.Store)}


def _of_module(tree: ast.Module) -> frozenset[str]:
    """Names that the module itself binds."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, SCOPES):
            found.add(node.name)
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.alias):
                found.add((inner.asname or inner.name).split(".")[0])
            elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                found.add(inner.id)
    return frozenset(found)


def _bound_inside(tree: ast.AST) -> frozenset[str]:
    """Names that the piece binds where no hole can stand: parameters, exceptions, definitions."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, SCOPES) or (isinstance(node, ast.ExceptHandler) and node.name):
            found.add(str(node.name))
    return frozenset(found)
