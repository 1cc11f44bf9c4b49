"""What sources hand over: candidates for pieces, and how they are made of definitions."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial

from completion.edits import Hunk
from completion.index import Definition, File, Index
from completion.pieces import Source
from completion.retrieve.found import CONTAINERS, Found
from completion.retrieve.resolve import Resolver
from completion.retrieve.skeleton import (
    CONSTRUCTORS,
    body,
    by_use,
    header,
    members_of,
    skeleton,
)
from completion.scope import Scope

# Rows around the cursor that a prompt shows in any case.
_SEEN_BEFORE, _SEEN_AFTER = 30, 12
# Of a class or a module, at first and where there is room.
_MEMBERS = (6, 12, 24)
_USE = re.compile(r"([\w$][\w$.]*)(?:\.|->|::)(\w+)")
_USES_FROM = 6_000  # characters on each side


@dataclass(frozen=True)
class Candidate:
    """What may become a piece. `key` is the same for the same thing from two sources; `texts`
    are its forms, the shortest first, made when they are wanted. `score` is BM25's."""

    key: tuple[str, str]
    path: str
    source: Source
    reason: str
    first: int
    last: int
    symbol: str
    texts: tuple[Callable[[], str | None], ...]
    score: float = 0.0


@dataclass(frozen=True)
class Query:
    """A place in a file, as the sources see it. `row` and `at` are the cursor's, in rows and
    characters, `text` the file's, with the cursor's line only up to where the prompt's context
    was fixed. `own` knows the repository, `wide` installed packages too. `least`: BM25 of a chunk
    that is worth reading."""

    index: Index
    own: Resolver
    wide: Resolver
    scope: Scope
    path: str
    language: str
    row: int
    at: int
    text: str
    hunks: Sequence[Hunk] = field(default=())
    least: float = 0.0

    @cached_property
    def uses(self) -> dict[str, Counter[str]]:
        """By receiver, how often its members are named in the file around the cursor."""
        found: dict[str, Counter[str]] = {}
        low, high = max(0, self.at - _USES_FROM), self.at + _USES_FROM
        for receiver, name in _USE.findall(self.text, low, high):
            found.setdefault(receiver, Counter())[name] += 1
        return found


def of_definition(query: Query, found: Found, source: Source) -> Candidate:
    definition, index = found.definition, query.index
    if definition.symbol.kind in CONTAINERS:
        return of_class(query, definition, found.via, source, opened=source == "callees")
    return Candidate(
        _key(definition),
        definition.file.path,
        source,
        found.via,
        definition.symbol.first,
        definition.symbol.last,
        definition.symbol.qualified,
        (
            lambda: header(index, definition),
            lambda: skeleton(index, definition),
            lambda: body(index, definition),
        ),
    )


def of_class(
    query: Query,
    definition: Definition,
    reason: str,
    source: Source = "members",
    hidden: int | None = None,
    opened: bool = True,
) -> Candidate:
    """A class, if `opened` at once with what it holds. Of the class around the cursor, at row
    `hidden`, only what stands too far away to be in the prompt anyway."""
    index = query.index
    uses = uses_of(query, query.scope.receiver)

    @cache
    def members() -> list[Definition]:
        found = by_use(index, members_of(index, definition), uses)
        if source == "callees":
            built = [one for one in found if one.symbol.name in CONSTRUCTORS]
            found = built or [one for one in found if one.symbol.kind == "field"]
        if hidden is not None:
            near = range(hidden - _SEEN_BEFORE, hidden + _SEEN_AFTER)
            found = [one for one in found if one.symbol.first not in near]
        return found

    def with_members(most: int) -> str:
        found = members()
        return skeleton(index, definition, found[:most]) if found or hidden is None else ""

    bare = (lambda: header(index, definition), lambda: skeleton(index, definition))
    sizes = _MEMBERS if opened else _MEMBERS[:1]
    return Candidate(
        _key(definition),
        definition.file.path,
        source,
        reason,
        definition.symbol.first,
        definition.symbol.last,
        definition.symbol.qualified,
        (*(() if opened else bare), *(partial(with_members, most) for most in sizes)),
    )


def of_module(
    query: Query, file: File, alias: str, source: Source = "members"
) -> Iterator[Candidate]:
    """What a module defines, and what it passes on of other files."""
    for one in query.wide.ranked(file, uses_of(query, alias)):
        via = f"{alias} is {file.path}"
        via += "" if one.file == file else ", which has it from there"
        yield of_definition(query, Found(one, via), source)


def uses_of(query: Query, receiver: str) -> Counter[str]:
    """How often this file says `receiver.name` around the cursor, by name."""
    return query.uses.get(receiver, Counter())


def listing(
    query: Query, file: File, shown: Sequence[Definition], source: Source, reason: str
) -> Candidate:
    headers = lambda most: "\n".join(header(query.index, one) for one in shown[:most])  # noqa: E731
    return Candidate(
        (file.path, ""),
        file.path,
        source,
        reason,
        0,
        max(0, file.lines - 1),
        "",
        tuple(partial(headers, most) for most in _MEMBERS),
    )


def _key(definition: Definition) -> tuple[str, str]:
    return definition.file.path, f"{definition.symbol.qualified} {definition.symbol.first}"
