"""What turned one version of a file into another, as the key of the candidate that would do so."""

from collections.abc import Hashable

from sandbox.repair.normal import Key, Normal
from sandbox.repair.source import Block, Source, Statement

_BODIES = ("body", "orelse", "finalbody")


def difference(old: Source, new: Source, normal: Normal) -> Key | None:
    """The key, among those of `normal` of the old source, of a change that gives the new one.

    None where there is no difference, or it lies in more than one block.
    """
    return _Compare(old, new, normal).block(old.inner(old.tree), new.inner(new.tree))


class _Compare:
    def __init__(self, old: Source, new: Source, normal: Normal) -> None:
        self._old, self._new = old, new
        self._normal, self._other = normal, Normal(new)

    def block(self, one: Block | None, other: Block | None) -> Key | None:
        if one is None or other is None:
            return None
        old = [self._normal.whole(statement) for statement in one.statements]
        new = [self._other.whole(statement) for statement in other.statements]
        least = min(len(old), len(new))
        head = next((i for i in range(least) if old[i] != new[i]), least)
        tails = range(least - head)
        tail = next((i for i in tails if old[-1 - i] != new[-1 - i]), least - head)
        last, end = len(old) - tail, len(new) - tail
        if head == last == end:
            return None
        if last - head == end - head == 1:
            key = self._inside(one.statements[head], other.statements[head])
            if key is not None:
                return key
        return ("splice", id(one), head, last, *new[head:end])

    def _inside(self, one: Statement, other: Statement) -> Key | None:
        """Within a compound statement, where that has one difference alone."""
        if not one.compound or type(one.node) is not type(other.node):
            return None
        found: list[Key | None] = []
        old, new = self._parts(self._old, one), self._parts(self._new, other)
        if len(old) != len(new):
            return None
        for mine, theirs in zip(old, new, strict=True):
            if isinstance(mine, Statement) and isinstance(theirs, Statement):
                before, after = self._normal.head(mine), self._other.head(theirs)
                if before is None or after is None:
                    before, after = self._heads(mine, theirs)
                if before != after:
                    found.append(("head", id(mine), after))
            elif isinstance(mine, Block) and isinstance(theirs, Block):
                old_keys: list[Hashable] = [self._normal.whole(s) for s in mine.statements]
                if old_keys != [self._other.whole(s) for s in theirs.statements]:
                    found.append(self.block(mine, theirs))
            elif mine is not None or theirs is not None:
                return None
        return found[0] if len(found) == 1 else None

    def _heads(self, one: Statement, other: Statement) -> tuple[Hashable, Hashable]:
        """A `try` has no head that compiles."""
        old = self._old.text[one.start : one.head_end]
        return old, self._new.text[other.start : other.head_end]

    def _parts(self, source: Source, one: Statement) -> list[Statement | Block | None]:
        parts: list[Statement | Block | None] = [one]
        parts += [source.inner(one.node, name) for name in _BODIES]
        clauses = {id(node) for node in getattr(one.node, "handlers", ())}
        for statement in source.statements:
            if id(statement.node) in clauses:
                parts += [statement, source.inner(statement.node)]
        for case in getattr(one.node, "cases", ()):
            parts.append(source.inner(case))
        return parts
