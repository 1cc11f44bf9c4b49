"""Where pieces come from. Each source gives its candidates, the best first."""

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from completion.edits import Hunk
from completion.index import Definition, File, Index, terms_of
from completion.pieces import Source
from completion.retrieve.resolve import Found, Resolver
from completion.retrieve.skeleton import (
    CONSTRUCTORS,
    body,
    by_use,
    header,
    members_of,
    skeleton,
)
from completion.scope import Scope

NEAREST, MOST_NAMES = 6, 32
MOST_HUNKS = 6
MOST_CHUNKS = 4
CHUNK_LINES = 10
# Lines around the cursor whose words are looked for elsewhere.
WORDS_BEFORE, WORDS_AFTER = 12, 6
# Rows around the cursor that a prompt shows in any case.
_SEEN_BEFORE, _SEEN_AFTER = 30, 12
_SELF = frozenset({"self", "cls", "this", "$this", "super()", "super"})
_TEST = re.compile(r"^(?:test_|spec_)|(?:_test|_spec|\.test|\.spec|Tests?|Spec)$")
_MOST_SIBLINGS = 6
# Of a class or a module, at first and where there is room.
_MEMBERS = (6, 12, 24)
_WORD = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True)
class Candidate:
    """What may become a piece. `key` is the same for the same thing from two sources; `texts`
    are its forms, the shortest first, made when they are wanted."""

    key: tuple[str, str]
    path: str
    source: Source
    reason: str
    first: int
    last: int
    symbol: str
    texts: tuple[Callable[[], str | None], ...]


@dataclass(frozen=True)
class Query:
    """A place in a file, as the sources see it. `row` is the cursor's, `text` the file's,
    with the cursor's line only up to where the prompt's context was fixed. `own` knows the
    repository, `wide` installed packages too."""

    index: Index
    own: Resolver
    wide: Resolver
    scope: Scope
    path: str
    language: str
    row: int
    text: str
    hunks: Sequence[Hunk] = field(default=())


def definitions(query: Query) -> Iterator[Candidate]:
    """What this repository defines in other files of what is used near the cursor, and of what
    the file imports: first what it does not use yet."""
    seen: set[tuple[str, str]] = set()
    imported = _imported(query)
    unused = [name for name, uses in imported.items() if not uses]
    near = [
        (use.receiver, use.text, use.call or use.text[:1].isupper()) for use in query.scope.names
    ]
    order = [
        *near[:NEAREST],
        *(("", name, True) for name in unused),
        *near[NEAREST:MOST_NAMES],
        *(("", name, True) for name in imported),
    ]
    for receiver, name, surely in order:
        if (receiver, name) in seen:
            continue
        seen.add((receiver, name))
        # What is neither called nor a type's name is a variable more often than not.
        for found in _of(query, query.own, receiver, name):
            if surely or not found.guess:
                yield _candidate(query, found, "definitions")


def _imported(query: Query) -> dict[str, int]:
    """How often the file uses each name it imports, the latest import first."""
    imports = [one for one in reversed(query.scope.imports) if one.name not in ("", "*")]
    uses = dict.fromkeys((one.alias for one in imports), -1)
    for word in _WORD.findall(query.text):
        if word in uses:
            uses[word] += 1
    return {name: max(0, count) for name, count in uses.items()}


def members(query: Query) -> Iterator[Candidate]:
    """What the thing before the cursor's dot has: its class's members, or its module's names."""
    receiver = query.scope.receiver
    if not receiver:
        return
    if receiver in _SELF:
        for cls in _own_classes(query):
            yield _class(query, cls, f"{receiver} is a {cls.symbol.name}", hidden=query.row)
            for base in query.wide.all_bases(cls):
                yield _class(query, base, f"base of {cls.symbol.name}")
        return
    for file in query.wide.module(receiver)[:1]:
        yield from _module(query, file, f"{receiver} is {file.path}")
    owner = query.scope.types.get(receiver, "") or receiver
    for found in query.wide.classes(owner)[:2]:
        cls = found.definition
        yield _class(query, cls, f"{receiver} is a {cls.symbol.name}, {found.via}")
        for base in query.wide.all_bases(cls):
            yield _class(query, base, f"base of {cls.symbol.name}")


def callees(query: Query) -> Iterator[Candidate]:
    """The function or class whose arguments are being written."""
    callee = query.scope.callee
    if callee is not None:
        for found in _of(query, query.wide, callee.receiver, callee.text):
            yield _candidate(query, found, "callees")


def siblings(query: Query) -> Iterator[Candidate]:
    """The code that this test tests; the tests of the function being written."""
    folder, name = posixpath.split(query.path)
    stem = posixpath.splitext(name)[0]
    bare = _TEST.sub("", stem)
    used = {use.text for use in query.scope.names}
    if bare != stem:
        for file in _nearest(query, [bare], folder)[:1]:
            shown = [
                one
                for one in query.index.symbols_of(file, "", "")
                if one.symbol.kind not in ("constant", "field")
            ]
            shown.sort(key=lambda one: one.symbol.name not in used)
            if shown:
                shown = shown[:_MOST_SIBLINGS]
                yield _listing(query, file, shown, "siblings", f"{query.path} tests it")
        return
    names = [symbol.name for symbol in query.scope.enclosing if len(symbol.name) > 3]
    stems = [f"test_{stem}", f"{stem}_test", f"{stem}.test", f"{stem}.spec", f"{stem}Test"]
    for file in _nearest(query, stems, folder)[:1] if names else ():
        for one in query.index.symbols_of(file):
            if (
                one.symbol.kind in ("function", "method")
                and names[-1].strip("_") in one.symbol.name
            ):
                found = Found(one, f"tests {names[-1]}")
                yield _candidate(query, found, "siblings")


def lexical(query: Query) -> Iterator[Candidate]:
    """Code elsewhere that uses the same words (BM25)."""
    low, high = max(0, query.row - WORDS_BEFORE), query.row + WORDS_AFTER
    terms = terms_of("\n".join(query.text.split("\n")[low:high]))
    for chunk in query.index.neighbours(terms, MOST_CHUNKS, query.path):
        text = query.index.text_of(chunk)
        if text is None:
            continue
        start, kept = _densest(text.split("\n"), terms)
        first = chunk.first + start
        yield Candidate(
            (chunk.file.path, f"row {first}"),
            chunk.file.path,
            "lexical",
            f"shares its words, BM25 {chunk.score:.1f}",
            first,
            first + len(kept) - 1,
            "",
            (lambda kept=kept: "\n".join(kept),),
        )


def edits(query: Query) -> Iterator[Candidate]:
    """What the user changed last, anywhere."""
    for hunk in query.hunks[:MOST_HUNKS]:
        yield Candidate(
            (hunk.path, f"edit {hunk.row} {hash((hunk.removed, hunk.added))}"),
            hunk.path,
            "edits",
            "edited just now",
            hunk.row,
            hunk.row + max(0, len(hunk.added) - 1),
            "",
            (lambda hunk=hunk: hunk.text,),
        )


def _of(query: Query, resolver: Resolver, receiver: str, name: str) -> tuple[Found, ...]:
    if not receiver:
        return resolver.name(name)
    if receiver in _SELF:
        return tuple(
            Found(one, f"inherited from {base.symbol.name}")
            for cls in _own_classes(query)
            for base in resolver.bases(cls)
            for one in query.index.symbols_of(base.file, name, base.symbol.qualified)
        )
    return resolver.member(receiver, name, query.scope.types)


def _own_classes(query: Query) -> list[Definition]:
    """The class around the cursor, as the index has it."""
    file = query.index.file(query.path)
    around = [
        symbol for symbol in query.scope.enclosing if symbol.kind not in ("function", "method")
    ]
    if file is None or not around:
        return []
    return query.index.symbols_of(file, around[-1].name, around[-1].container)[:1]


def _candidate(query: Query, found: Found, source: Source) -> Candidate:
    definition, index = found.definition, query.index
    if definition.symbol.kind == "class":
        return _class(query, definition, found.via, source)
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


def _class(
    query: Query,
    definition: Definition,
    reason: str,
    source: Source = "members",
    hidden: int | None = None,
) -> Candidate:
    """A class with what it holds. Of the class around the cursor, at row `hidden`, only what
    stands too far away to be in the prompt anyway."""
    index = query.index

    def with_members(most: int) -> str:
        found = members_of(index, definition)
        if source == "callees":
            built = [one for one in found if one.symbol.name in CONSTRUCTORS]
            found = built or [one for one in found if one.symbol.kind == "field"]
        if hidden is not None:
            near = range(hidden - _SEEN_BEFORE, hidden + _SEEN_AFTER)
            found = [one for one in found if one.symbol.first not in near]
        return skeleton(index, definition, found[:most]) if found or hidden is None else ""

    bare = (lambda: header(index, definition), lambda: skeleton(index, definition))
    sizes = _MEMBERS
    if source == "definitions":
        sizes = _MEMBERS[:1]
    else:
        bare = ()
    return Candidate(
        _key(definition),
        definition.file.path,
        source,
        reason,
        definition.symbol.first,
        definition.symbol.last,
        definition.symbol.qualified,
        (*bare, *(partial(with_members, most) for most in sizes)),
    )


def _module(query: Query, file: File, reason: str) -> Iterator[Candidate]:
    """What a module defines, and what it passes on of other files."""
    index = query.index
    shown = by_use(index, index.symbols_of(file, "", ""))
    if shown:
        yield _listing(query, file, shown, "members", reason)
    passed = [found.definition for found in query.wide.passed_on(file)]
    by_file: dict[str, list[Definition]] = {}
    for one in by_use(index, passed):
        by_file.setdefault(one.file.path, []).append(one)
    for some in by_file.values():
        yield _listing(query, some[0].file, some, "members", f"{reason}, which has it from there")


def _listing(
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


def _nearest(query: Query, stems: Sequence[str], folder: str) -> list[File]:
    found = [
        file
        for stem in stems
        for file in query.index.files_by_stem(stem)
        if file.language == query.language and file.path != query.path
    ]
    shared = lambda file: len(posixpath.commonprefix([file.path, folder + "/"]))  # noqa: E731
    return sorted(found, key=lambda file: (-shared(file), file.path))


def _densest(lines: list[str], terms: Sequence[str]) -> tuple[int, list[str]]:
    """The run of lines that has the most of these words, without blank edges."""
    wanted = set(terms)
    weight = [len(wanted.intersection(terms_of(line))) for line in lines]
    best = max(
        range(max(1, len(lines) - CHUNK_LINES + 1)),
        key=lambda at: (sum(weight[at : at + CHUNK_LINES]), -at),
    )
    kept = lines[best : best + CHUNK_LINES]
    while kept and not kept[0].strip():
        kept, best = kept[1:], best + 1
    while kept and not kept[-1].strip():
        kept = kept[:-1]
    return best, kept


ALL: dict[Source, Callable[[Query], Iterator[Candidate]]] = {
    "callees": callees,
    "members": members,
    "definitions": definitions,
    "siblings": siblings,
    "lexical": lexical,
    "edits": edits,
}
