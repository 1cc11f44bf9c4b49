"""Pieces of other files before the prompt: the definition that a hole's text uses, or a useless one.

A model that has seen only good snippets copies from bad ones, so some samples carry a definition
that has nothing to do with the hole, alone or beside the right one.
"""

import io
import random
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from tree_sitter import Node

from completion import syntax
from completion.languages import language_row
from completion.templates import Snippet
from finetune.cases import Case
from finetune.files import SourceFile
from finetune.holes import holes

# Of all samples of a language with a grammar. Where no other file's name is used, none is shown.
RIGHT = 0.2
USELESS = 0.1

MAX_LINES = 10
MAX_CHARACTERS = 500
SHORTEST_NAME = 4
# Names defined more often than this tell nothing: `get`, `run`, `close`.
MOST_DEFINITIONS = 3
# After a dot these are those of Python's own types far more often than those of the repository.
_BUILT_IN = {name for kind in (str, bytes, list, dict, set, io.TextIOWrapper) for name in dir(kind)}
# What is surely still in the prompt: the characters next to the hole.
_NEAR_BEFORE, _NEAR_AFTER = 1500, 500
_CASE_SHARES = {"line": 0.4, "expression": 0.1, "arguments": 0.1, "statement": 0.4}


@dataclass(frozen=True)
class Definition:
    """A function, method or class: its header, docstring and first lines.

    `member`: it stands in a class, so that it is used with a dot before it.
    """

    name: str
    snippet: Snippet
    member: bool = False


@dataclass(frozen=True)
class Use:
    """An identifier at a character offset. `of` is None for a bare one, else what stands before
    its dot: a bare name, or "" for anything longer."""

    name: str
    offset: int
    of: str | None


class Definitions:
    """Where the names of one repository or package are defined."""

    def __init__(self, definitions: Iterable[Definition]) -> None:
        self.all: list[Definition] = []
        self._by_name: dict[str, list[Definition]] = {}
        for found in definitions:
            self.all.append(found)
            self._by_name.setdefault(found.name, []).append(found)

    @classmethod
    def of(cls, files: Iterable[SourceFile]) -> "Definitions":
        return cls(found for file in files for found in definitions_in(file))

    def elsewhere(
        self, use: Use, path: str, imported: frozenset[str], most: int = MOST_DEFINITIONS
    ) -> list[Snippet]:
        """What an identifier of this file may stand for, defined in other files.

        None if this file defines the name, or too many do. A bare name must be imported; one
        after a dot is a class's, or that of an imported module.
        """
        found = self._by_name.get(use.name, [])
        if len(found) > most or any(known.snippet.path == path for known in found):
            return []
        if use.of is None and use.name not in imported:
            return []
        member = use.of is not None and use.of not in imported
        if member and use.name in _BUILT_IN:
            return []
        return [known.snippet for known in found if known.member == member]

    def right(
        self,
        text: str,
        start: int,
        end: int,
        path: str,
        language: str,
        most: int = MOST_DEFINITIONS,
    ) -> list[Snippet]:
        """The definitions, in other files, of the names that `text[start:end]` uses, in order.

        A name that stands near the hole is left out: the prompt shows its use already.
        """
        near = text[max(0, start - _NEAR_BEFORE) : start] + "\0" + text[end : end + _NEAR_AFTER]
        imported = names(text, language).imported
        return [
            snippet
            for use in names(text, language).between(start, end)
            if use.name not in near
            for snippet in self.elsewhere(use, path, imported, most)
        ]

    def useless(self, path: str, middle: str, rng: random.Random) -> Snippet | None:
        """A definition of another file that the middle does not name; None if a few draws fail."""
        for _ in range(8 if self.all else 0):
            drawn = rng.choice(self.all)
            if drawn.snippet.path != path and drawn.name not in middle:
                return drawn.snippet
        return None

    def draw(
        self,
        text: str,
        start: int,
        end: int,
        path: str,
        language: str,
        rng: random.Random,
        right: float = RIGHT,
        useless: float = USELESS,
    ) -> tuple[Snippet, ...]:
        """Snippets for one sample. `right` is the share that gets the definition it needs, if
        there is one, and `useless` the share that gets another; both independently."""
        wants_right, wants_useless = rng.random() < right, rng.random() < useless
        found: list[Snippet] = []
        if wants_right:
            choices = self.right(text, start, end, path, language)
            found += [rng.choice(choices)] if choices else []
        if wants_useless:
            other = self.useless(path, text[start:end], rng)
            if other and other not in found:
                found.insert(rng.randrange(len(found) + 1), other)
        return tuple(found)


def definitions_in(file: SourceFile) -> Iterator[Definition]:
    """The definitions of a file's module and of its classes; not those inside functions."""
    row = language_row(file.language)
    root = syntax.parse(file.text, file.language) if row.has_statements else None
    if root is None:
        return
    kinds = row.definition
    lines = file.text.split("\n")
    stack: list[tuple[Node, str]] = [(root, "")]
    while stack:
        node, owner = stack.pop()
        for child in node.named_children:
            inner = child.child_by_field_name("definition") or child
            name = _name(inner)
            if child.type not in kinds or not name:
                if (
                    not owner and child.type.endswith("_statement")
                ) or child.type == "block":  # if TYPE_CHECKING, try
                    stack.append((child, owner))
                continue
            header = lines[inner.start_point.row]
            body = inner.child_by_field_name("body")
            if "class" in inner.type and not owner and body is not None:
                stack.append((body, header))
            if len(name) >= SHORTEST_NAME and not name.startswith("__"):
                text = _shortened(lines[child.start_point.row : child.end_point.row + 1], owner)
                if text:
                    yield Definition(name, Snippet(file.path, text), bool(owner))


def _name(node: Node) -> str:
    named = node.child_by_field_name("name")
    return named.text.decode("utf-8", "replace") if named is not None and named.text else ""


def _shortened(lines: Sequence[str], owner: str) -> str:
    """The first lines, below their class's own; whole lines only."""
    kept = [owner] if owner else []
    room = MAX_CHARACTERS - len(owner)
    for line in lines[: MAX_LINES - len(kept)]:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    text = "\n".join(kept).rstrip()
    return text if len(kept) > bool(owner) else ""


@dataclass(frozen=True)
class Names:
    """The identifiers of a text in order, those of import statements apart."""

    uses: list[Use]
    imported: frozenset[str]

    def between(self, start: int, end: int) -> list[Use]:
        """Those that begin in `text[start:end]`."""
        place = lambda use: use.offset  # noqa: E731
        low, high = (bisect_left(self.uses, at, key=place) for at in (start, end))
        return self.uses[low:high]


@lru_cache(maxsize=2)
def names(text: str, language: str) -> Names:
    """None where we do not know the statements. The node types are those of Python's grammar."""
    root = syntax.parse(text, language) if language_row(language).has_statements else None
    imported: set[str] = set()
    uses: list[Use] = []
    stack = [(root, False)] if root is not None else []
    data = text.encode("utf-8", "replace")
    spell = lambda node: data[node.start_byte : node.end_byte].decode("utf-8", "replace")  # noqa: E731
    while stack:
        node, importing = stack.pop()
        importing = importing or node.type.startswith("import_")
        if node.type == "identifier" and importing:
            imported.add(spell(node))
        elif node.type == "identifier":
            uses.append(Use(spell(node), node.start_byte, None))
        elif node.type == "attribute":
            owner, name = node.child_by_field_name("object"), node.child_by_field_name("attribute")
            if owner is not None and name is not None:
                of = spell(owner) if owner.type == "identifier" else ""
                uses.append(Use(spell(name), name.start_byte, of))
                stack.append((owner, importing))
        else:
            stack.extend((child, importing) for child in node.named_children)
    uses.sort(key=lambda use: use.offset)
    return Names(uses if text.isascii() else _in_characters(uses, data), frozenset(imported))


def _in_characters(uses: Iterable[Use], data: bytes) -> list[Use]:
    found, at, offset = [], 0, 0
    for use in uses:
        offset += len(data[at : use.offset].decode("utf-8", "replace"))
        at = use.offset
        found.append(replace(use, offset=offset))
    return found


@dataclass(frozen=True)
class CrossFile:
    """The same holes three times, in the same order: with the definition that the middle uses,
    with none, with a useless one."""

    right: list[Case]
    without: list[Case]
    useless: list[Case]


def cross_file_cases(
    packages: Sequence[tuple[str, Sequence[SourceFile]]], count: int, seed: int
) -> CrossFile:
    """Up to `count` holes whose middle uses a name that exactly one other file defines.

    `packages` are held-out ones by name. Each file gives at most two holes.
    """
    rng = random.Random(seed)
    known = {package: Definitions.of(files) for package, files in packages}
    todo = [(package, file) for package, files in packages for file in files]
    made: list[list[Case]] = []
    for package, file in rng.sample(todo, len(todo)):
        found = 0
        for hole in holes(file.text, file.language, rng, 16, _CASE_SHARES):
            right = known[package].right(
                file.text, hole.start, hole.end, file.path, file.language, most=1
            )
            middle = file.text[hole.start : hole.end]
            useless = known[package].useless(file.path, middle, rng)
            if not right or useless is None:
                continue
            prefix, suffix = file.text[: hole.start], file.text[hole.end :]
            bare = Case(
                package, file.path, file.language, prefix, middle, suffix, hole.cut, hole.kind
            )
            forms = [replace(bare, snippets=shown) for shown in ((right[0],), (), (useless,))]
            made.append(forms)
            found += 1
            if found == 2 or len(made) == count:
                break
        if len(made) == count:
            break
    return CrossFile(*([row[form] for row in made] for form in range(3)))
