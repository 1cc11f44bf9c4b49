"""Where pieces come from. Each source gives its candidates, the best first."""

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice

from completion.index import Definition, File, terms_of
from completion.languages import language_row
from completion.outline import FUNCTIONS
from completion.pieces import Source
from completion.retrieve.candidates import (
    Candidate,
    Query,
    listing,
    of_class,
    of_definition,
    of_module,
    uses_of,
)
from completion.retrieve.found import Found
from completion.retrieve.resolve import Resolver

NEAREST, MOST_NAMES = 6, 32
MOST_IMPORTS = 40
MOST_HUNKS = 6
MOST_CHUNKS = 4
CHUNK_LINES = 10
# Lines around the cursor whose words are looked for elsewhere.
WORDS_BEFORE, WORDS_AFTER = 12, 6
_SUPER = ("super", "super()")
_TEST = re.compile(r"^(?:test_|spec_)|(?:_test|_spec|\.test|\.spec|Tests?|Spec)$")
_MOST_SIBLINGS = 6
_OF_MODULE = 4  # names of a module or an object that the cursor is not at
_RECEIVERS = 4
# Of a folder whose files see each other; and what a word of the cursor's line counts against one
# of the lines around.
_MOST_NEIGHBOURS, _HERE = 12, 3


def definitions(query: Query) -> Iterator[Candidate]:
    """What this repository defines in other files of what is used near the cursor, and of what
    the file imports: first what it does not use yet."""
    seen: set[tuple[str, str]] = set()
    imported = _imported(query)
    unused = [name for name, used in imported.items() if not used]
    near = [
        (use.receiver, use.text, use.call or use.text[:1].isupper()) for use in query.scope.names
    ]
    order = chain(
        near[:NEAREST],
        (("", name, True) for name in unused),
        near[NEAREST:MOST_NAMES],
        _habits(query),
        (("", name, True) for name in imported),
    )
    for receiver, name, surely in order:
        if (receiver, name) in seen:
            continue
        seen.add((receiver, name))
        # What is neither called nor a type's name is a variable more often than not.
        for found in _of(query, query.own, receiver, name):
            if surely or not found.guess:
                yield of_definition(query, found, "definitions")
    for one in query.scope.imports:
        for file in query.own.module(one.alias)[:1]:
            yield from islice(of_module(query, file, one.alias, "definitions"), _OF_MODULE)
    for found in islice(_of_folder(query), _MOST_NEIGHBOURS):
        yield of_definition(query, found, "definitions")


def _of_folder(query: Query) -> Iterator[Found]:
    """What may be used here without an import: first what is named with the words at hand."""
    known = query.own.neighbours()
    if not known:
        return
    lines = query.text.split("\n")
    low, high = max(0, query.row - WORDS_BEFORE), query.row + WORDS_AFTER
    around = terms_of("\n".join(lines[low:high]))
    here = terms_of(" ".join([lines[query.row], *(one.name for one in query.scope.enclosing)]))
    weight = dict.fromkeys(around, 1) | dict.fromkeys(here, _HERE)
    score = lambda words: sum(weight.get(word, 0) for word in words) / len(words)  # noqa: E731
    alike = [(score(words), one) for one, words in known if words]
    alike = [(score, one) for score, one in alike if score >= 1]
    alike.sort(key=lambda pair: (-pair[0], pair[1].file.path, pair[1].symbol.first))
    for _, one in alike:
        yield Found(one, "in the same folder, named with the same words")


def _habits(query: Query) -> Iterator[tuple[str, str, bool]]:
    """What this file does most with the objects at hand, wherever in it."""
    for receiver in list(query.scope.types)[:_RECEIVERS]:
        for name, _ in uses_of(query, receiver).most_common(_OF_MODULE):
            yield receiver, name, True


def _imported(query: Query) -> dict[str, bool]:
    """The names that the file imports, the latest import first, and whether it uses them."""
    names = [one.alias for one in reversed(query.scope.imports) if one.name not in ("", "*")]
    return {name: _is_used(query.text, name) for name in names[:MOST_IMPORTS]}


def _is_used(text: str, name: str) -> bool:
    """Whether it stands somewhere after the line that imports it."""
    found, at, size = 0, text.find(name), len(name)
    while at >= 0:
        around = text[max(0, at - 1) : at] + text[at + size : at + size + 1]
        if not any(char.isalnum() or char == "_" for char in around):
            found += 1
            if found == 2:
                return True
        at = text.find(name, at + size)
    return False


def members(query: Query) -> Iterator[Candidate]:
    """What the thing before the cursor's dot has: its class's members, or its module's names."""
    receiver = query.scope.receiver
    if not receiver:
        return
    if _is_own_object(query, receiver):
        for cls in _own_classes(query):
            yield of_class(query, cls, f"{receiver} is a {cls.symbol.name}", hidden=query.row)
            for base in query.wide.all_bases(cls):
                yield of_class(query, base, f"base of {cls.symbol.name}")
        return
    for file in query.wide.module(receiver)[:1]:
        yield from of_module(query, file, receiver)
    owner = query.scope.types.get(receiver, "") or receiver
    for found in query.wide.classes(owner)[:2]:
        cls = found.definition
        yield of_class(query, cls, f"{receiver} is a {cls.symbol.name}, {found.via}")
        for base in query.wide.all_bases(cls):
            yield of_class(query, base, f"base of {cls.symbol.name}")


def callees(query: Query) -> Iterator[Candidate]:
    """The function or class whose arguments are being written."""
    callee = query.scope.callee
    if callee is not None:
        for found in _of(query, query.wide, callee.receiver, callee.text):
            yield of_definition(query, found, "callees")


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
                yield listing(query, file, shown, "siblings", f"{query.path} tests it")
        return
    names = [symbol.name for symbol in query.scope.enclosing if len(symbol.name) > 3]
    stems = [f"test_{stem}", f"{stem}_test", f"{stem}.test", f"{stem}.spec", f"{stem}Test"]
    for file in _nearest(query, stems, folder)[:1] if names else ():
        for one in query.index.symbols_of(file):
            if one.symbol.kind in FUNCTIONS and names[-1].strip("_") in one.symbol.name:
                found = Found(one, f"tests {names[-1]}")
                yield of_definition(query, found, "siblings")


def lexical(query: Query) -> Iterator[Candidate]:
    """Code elsewhere that uses the same words (BM25)."""
    low, high = max(0, query.row - WORDS_BEFORE), query.row + WORDS_AFTER
    terms = terms_of("\n".join(query.text.split("\n")[low:high]))
    for chunk in query.index.neighbours(terms, MOST_CHUNKS, query.path):
        # What the gate will drop is named, so that it can say so, but not read.
        text = query.index.text_of(chunk) if chunk.score >= query.least else ""
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
            chunk.score,
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
    if _is_own_object(query, receiver):
        return tuple(
            Found(one, f"inherited from {base.symbol.name}")
            for cls in _own_classes(query)
            for base in resolver.bases(cls)
            for one in query.index.symbols_of(base.file, name, base.symbol.qualified)
        )
    return resolver.member(receiver, name, query.scope.types)


def _is_own_object(query: Query, receiver: str) -> bool:
    return receiver in language_row(query.language).selves or receiver in _SUPER


def _own_classes(query: Query) -> list[Definition]:
    """The class around the cursor, as the index has it."""
    file = query.index.file(query.path)
    around = [symbol for symbol in query.scope.enclosing if symbol.kind not in FUNCTIONS]
    if file is None or not around:
        return []
    return query.index.symbols_of(file, around[-1].name, around[-1].container)[:1]


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
