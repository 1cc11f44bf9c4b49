"""Uses of names that exactly one other file of the repository defines, in any language.

Less certain than `uses`: imports are not followed to the file, only held against its path. So
members are left out, whose names alone say too little.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from tree_sitter import Node

from completion import syntax
from completion.imports import Import
from completion.outline import outline
from completion.statements import line_starts
from finetune.files import SourceFile
from finetune.modules import SIGNATURE, Target, squeezed
from finetune.uses import Use, Uses

SHORTEST = 4  # characters: shorter names are those of everything
# Where files see each other's names without naming them: those of one folder, or all.
_FOLDER = frozenset({"go", "java", "kotlin", "csharp"})
_ALL = frozenset({"c", "cpp", "ruby", "php", "bash", "lua"})
# What stands before a dotted name: the last word of it.
_OWNER = re.compile(r"(\w*)[)\]]?\s*(?:\.|::|->)\s*\Z")
_OWN = re.compile(r"\.|(?:crate|self|super)\b")
_PASSED_ON = ("use_declaration", "using_directive", "export_clause")
_PARTS = re.compile(r"[\w-]+")


class UniqueNames:
    """Of files of one language: the names that one definition has."""

    def __init__(self, files: Iterable[SourceFile]) -> None:
        self._targets: dict[str, Target] = {}
        self._defined: Counter[str] = Counter()
        for file in files:
            for symbol in outline(file.text.encode(), file.language).symbols:
                self._defined[symbol.name] += 1
                if symbol.local or symbol.container or len(symbol.name) < SHORTEST:
                    continue
                headers = (squeezed(symbol.signature)[:SIGNATURE].rstrip(":{="),)
                self._targets[symbol.name] = Target(file.path, symbol.name, symbol.first, headers)

    def uses_in(self, file: SourceFile) -> Uses:
        data = file.text.encode()
        root = syntax.parse_bytes(data, file.language)
        if root is None:
            return Uses()
        imports = outline(data, file.language).imports
        rows = frozenset(one.row for one in imports)
        starts = line_starts(file.text)
        lines = file.text.split("\n")
        found = [
            use
            for node in _identifiers(root)
            if (row := node.start_point.row) not in rows
            and (use := self._use(node, file, imports, starts[row], lines[row])) is not None
        ]
        return Uses(tuple(sorted(found, key=lambda use: use.start)), rows)

    def _use(
        self, node: Node, file: SourceFile, imports: Sequence[Import], line_start: int, line: str
    ) -> Use | None:
        name = node.text.decode() if node.text else ""
        target = self._targets.get(name)
        if target is None or self._defined[name] > 1 or target.path == file.path:
            return None
        before = line.encode()[: node.start_point.column].decode("utf-8", "ignore")
        if not _seen(target, before, file, imports):
            return None
        start = line_start + len(before)
        end = start + len(name)
        return Use(start, end + 1 if file.text[end : end + 1] == "(" else None, target)


def _seen(target: Target, before: str, file: SourceFile, imports: Sequence[Import]) -> bool:
    """Whether a name after `before` on its line may be that of another file at all."""
    owner = _OWNER.search(before)
    if owner:
        known = any(one.alias == owner[1] and _points_to(one.module, target) for one in imports)
        return known or ("::" in owner[0] and owner[1] in _places(target))
    if any(one.alias == target.name and _points_to(one.module, target) for one in imports):
        return True
    beside = PurePosixPath(file.path).parent == PurePosixPath(target.path).parent
    return file.language in _ALL or (file.language in _FOLDER and beside)


def _points_to(module: str, target: Target) -> bool:
    """Whether an import's module may be of this repository, as far as its name tells."""
    return bool(_OWN.match(module)) or not _places(target).isdisjoint(_PARTS.findall(module))


def _places(target: Target) -> set[str]:
    path = PurePosixPath(target.path)
    return {path.stem, *path.parts[:-1]}


def _identifiers(root: Node) -> Iterator[Node]:
    """None of what only brings or passes on a name."""
    stack = [root]
    while stack:
        node = stack.pop()
        if "import" in node.type or node.type.endswith(_PASSED_ON):
            continue
        stack += node.children
        if not node.child_count and node.type.endswith("identifier"):
            yield node
