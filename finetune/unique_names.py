"""Uses of names that exactly one other file of the repository defines, in any language.

A guess where `uses` is certain: two languages' imports are not read, only names compared.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from tree_sitter import Node

from completion import syntax
from completion.outline import outline
from finetune.files import SourceFile
from finetune.modules import SIGNATURE, Target, line_starts, squeezed
from finetune.uses import Use, Uses

SHORTEST = 4  # characters: shorter names are those of everything


class UniqueNames:
    """Of files of one language: the names that one definition has."""

    def __init__(self, files: Iterable[SourceFile]) -> None:
        self._targets: dict[str, Target] = {}
        self._defined: Counter[str] = Counter()
        for file in files:
            for symbol in outline(file.text.encode(), file.language).symbols:
                self._defined[symbol.name] += 1
                if symbol.local or len(symbol.name) < SHORTEST or not symbol.signature:
                    continue
                headers = (squeezed(symbol.signature)[:SIGNATURE].rstrip(":{="),)
                self._targets[symbol.name] = Target(
                    file.path, symbol.name, symbol.first, headers, symbol.container
                )

    def uses_in(self, file: SourceFile) -> Uses:
        data = file.text.encode()
        root = syntax.parse_bytes(data, file.language)
        if root is None:
            return Uses()
        rows = frozenset(one.row for one in outline(data, file.language).imports)
        starts = line_starts(file.text)
        lines = file.text.split("\n")
        found = [
            use
            for node in _identifiers(root)
            if (row := node.start_point.row) not in rows
            and (use := self._use(node, file, starts[row], lines[row])) is not None
        ]
        return Uses(tuple(sorted(found, key=lambda use: use.start)), rows)

    def _use(self, node: Node, file: SourceFile, line_start: int, line: str) -> Use | None:
        name = node.text.decode() if node.text else ""
        target = self._targets.get(name)
        if target is None or self._defined[name] > 1 or target.path == file.path:
            return None
        before = line.encode()[: node.start_point.column].decode("utf-8", "ignore")
        start = line_start + len(before)
        end = start + len(name)
        return Use(start, end + 1 if file.text[end : end + 1] == "(" else None, target)


def _identifiers(root: Node) -> Iterator[Node]:
    stack = [root]
    while stack:
        node = stack.pop()
        stack += node.children
        if not node.child_count and node.type.endswith("identifier"):
            yield node
