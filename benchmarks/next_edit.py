"""Next edit: synthetic renames in real Python files, against a referee of its own.

    python -m benchmarks.next_edit [FOLDER ...] [--quick] [--json FILE]

A name's definition is renamed key by key; then the next edit is asked for and taken until there is
none. The right answers come from CPython's own compiler (`symtable` and `ast`), which shares no
code with ours: for a class's attributes, from what the compiler binds `self` to. An offered edit
is right if the referee renames that place too. Docstrings are the referee's by a rule of its own:
the old name at the start of an entry of the parameters' list.
"""

import ast
import random
import re
import symtable
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import common
from completion.document import Document
from completion.next_edit import NextEdit, NextEdits

KINDS = ("parameter", "local", "function", "class", "import", "attribute")
DEFAULT_FOLDERS = [
    Path("/tmp/repos") / name for name in ("datasette", "requests", "click", "black")
]
LARGEST = 200_000  # characters of a file
A_KEY_S = 0.12
A_PAUSE_S = 2.0

Spot = tuple[int, int]  # row from 0, column in characters


@dataclass
class Case:
    """One rename: where it begins, and all places that must follow."""

    file: Path
    text: str
    kind: str
    old: str
    new: str
    first: Spot
    others: frozenset[Spot]


@dataclass
class Score:
    cases: int = 0
    offered: int = 0
    right: int = 0
    due: int = 0
    asks_ms: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


class Referee:
    """The places of each variable of a module, by the compiler's symbol tables."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._spots: dict[tuple[int, str], set[Spot]] = defaultdict(set)
        self.kinds: dict[tuple[int, str], str] = {}
        self.firsts: dict[tuple[int, str], Spot] = {}
        self.unsure: set[tuple[int, str]] = set()
        self._calls: list[tuple[int, ast.Call]] = []
        self._functions: dict[tuple[int, str], list[tuple[int, ast.AST]]] = defaultdict(list)
        self._top = symtable.symtable(text, "file.py", "exec")
        self._walk(ast.parse(text), [self._top])
        self._name_arguments()

    def variables(self) -> Iterator[tuple[str, str, Spot, frozenset[Spot]]]:
        """Kind, name, where it is defined first, and its other places."""
        for key, spots in self._spots.items():
            kind, first = self.kinds.get(key), self.firsts.get(key)
            if kind is None or first is None or key in self.unsure or min(spots) != first:
                continue
            yield kind, key[1], first, frozenset(spots - {first})

    def _column(self, row: int, byte: int) -> int:
        return len(self._lines[row].encode()[:byte].decode())

    def _spot(self, node: Any) -> Spot:
        return node.lineno - 1, self._column(node.lineno - 1, node.col_offset)

    def _add(self, tables: list[Any], name: str, spot: Spot, kind: str = "") -> None:
        key = self._key(tables, name)
        if key is None:
            return
        self._spots[key].add(spot)
        if kind and (key not in self.firsts or spot < self.firsts[key]):
            self.firsts[key] = spot
            self.kinds[key] = kind

    def _key(self, tables: list[Any], name: str) -> tuple[int, str] | None:
        """The table that binds a name, as the compiler says."""
        own = tables[-1]
        mangled = name
        for table in reversed(tables):
            if table.get_type() == "class" and name.startswith("__") and name[-2:] != "__":
                mangled = f"_{table.get_name().lstrip('_')}{name}"
                break
        try:
            symbol = own.lookup(mangled)
        except KeyError:
            # What annotations say after `from __future__ import annotations` is in no table.
            return self._outer(tables[:-1], mangled, name) or self._at_top(name)
        if symbol.is_local() and not symbol.is_free():
            return own.get_id(), name
        if symbol.is_global():
            return self._top.get_id(), name
        return self._outer(tables[:-1], mangled, name)

    def _at_top(self, name: str) -> tuple[int, str] | None:
        known = name in self._top.get_identifiers()
        return (self._top.get_id(), name) if known else None

    @staticmethod
    def _outer(tables: list[Any], mangled: str, name: str) -> tuple[int, str] | None:
        for table in reversed(tables):
            if table.get_type() != "function":
                continue
            try:
                outer = table.lookup(mangled)
            except KeyError:
                continue
            if outer.is_local() and not outer.is_free():
                return table.get_id(), name
        return None

    def _child(self, tables: list[Any], name: str, line: int) -> Any:
        """The next table inside that is of this node; they come in the compiler's order."""
        own = tables[-1]
        queue = self.__dict__.setdefault("_queues", {})
        left = queue.setdefault(own.get_id(), list(own.get_children()))
        for index, table in enumerate(left):
            if table.get_name() == name and table.get_lineno() == line:
                return left.pop(index)
        raise LookupError(f"{name} in line {line}")

    def _walk(self, node: ast.AST, tables: list[Any]) -> None:
        visit = getattr(self, f"_visit_{type(node).__name__.lower()}", None)
        if visit is not None:
            visit(node, tables)
            return
        for child in ast.iter_child_nodes(node):
            self._walk(child, tables)

    def _each(self, nodes: Any, tables: list[Any]) -> None:
        for node in nodes:
            if node is not None:
                self._walk(node, tables)

    def _visit_name(self, node: ast.Name, tables: list[Any]) -> None:
        kind = "local" if isinstance(node.ctx, ast.Store) else ""
        self._add(tables, node.id, self._spot(node), kind)

    def _visit_functiondef(self, node: Any, tables: list[Any]) -> None:
        self._each(node.decorator_list, tables)
        found = self._find(node, node.name)
        in_class = tables[-1].get_type() == "class"
        self._add(tables, node.name, found, "method" if in_class else "function")
        arguments = node.args
        self._each([*arguments.defaults, *arguments.kw_defaults], tables)
        every = [*arguments.posonlyargs, *arguments.args, arguments.vararg]
        every += [*arguments.kwonlyargs, arguments.kwarg]
        every = [one for one in every if one is not None]
        self._each([one.annotation for one in every], tables)
        self._each([node.returns], tables)
        inner = [*tables, self._child(tables, node.name, node.lineno)]
        for one in every:
            self._add(inner, one.arg, self._spot(one), "parameter")
            self._documented(node, one.arg, inner)
        key = self._key(tables, node.name)
        if key is not None:
            self._functions[key].append((inner[-1].get_id(), node))
        self._each(node.body, inner)

    _visit_asyncfunctiondef = _visit_functiondef

    def _visit_lambda(self, node: ast.Lambda, tables: list[Any]) -> None:
        arguments = node.args
        self._each([*arguments.defaults, *arguments.kw_defaults], tables)
        inner = [*tables, self._child(tables, "lambda", node.lineno)]
        every = [*arguments.posonlyargs, *arguments.args, arguments.vararg]
        for one in [*every, *arguments.kwonlyargs, arguments.kwarg]:
            if one is not None:
                self._add(inner, one.arg, self._spot(one), "parameter")
        self._walk(node.body, inner)

    def _visit_classdef(self, node: ast.ClassDef, tables: list[Any]) -> None:
        self._each([*node.decorator_list, *node.bases, *node.keywords], tables)
        self._add(tables, node.name, self._find(node, node.name), "class")
        inner = [*tables, self._child(tables, node.name, node.lineno)]
        key = self._key(tables, node.name)
        for one in node.body:
            if isinstance(one, ast.FunctionDef) and one.name == "__init__" and key is not None:
                self._functions[key].append((0, one))
        self._each(node.body, inner)

    def _comprehension(self, node: Any, name: str, tables: list[Any]) -> None:
        self._walk(node.generators[0].iter, tables)
        inner = [*tables, self._child(tables, name, node.lineno)]
        for number, one in enumerate(node.generators):
            self._walk(one.target, inner)
            if number:
                self._walk(one.iter, inner)
            self._each(one.ifs, inner)
        parts = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
        self._each(parts, inner)

    def _visit_listcomp(self, node: ast.AST, tables: list[Any]) -> None:
        self._comprehension(node, "listcomp", tables)

    def _visit_setcomp(self, node: ast.AST, tables: list[Any]) -> None:
        self._comprehension(node, "setcomp", tables)

    def _visit_dictcomp(self, node: ast.AST, tables: list[Any]) -> None:
        self._comprehension(node, "dictcomp", tables)

    def _visit_generatorexp(self, node: ast.AST, tables: list[Any]) -> None:
        self._comprehension(node, "genexpr", tables)

    def _visit_joinedstr(self, node: ast.JoinedStr, tables: list[Any]) -> None:
        """Before Python 3.12 what stands inside has no right place: such names are left out."""
        for one in ast.walk(node):
            if isinstance(one, ast.Name) and (key := self._key(tables, one.id)) is not None:
                self.unsure.add(key)
        for one in ast.walk(node):  # their tables must be passed all the same
            if isinstance(one, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
                raise LookupError("a comprehension in a string")
            if isinstance(one, ast.Lambda):
                raise LookupError("a lambda in a string")

    def _visit_excepthandler(self, node: ast.ExceptHandler, tables: list[Any]) -> None:
        self._each([node.type], tables)
        if node.name:
            self._add(tables, node.name, self._find(node, node.name, r"\bas\s+"), "local")
        self._each(node.body, tables)

    def _visit_import(self, node: Any, tables: list[Any]) -> None:
        for one in node.names:
            if one.name == "*":
                raise LookupError("a star import")
            name = (one.asname or one.name).partition(".")[0]
            line = self._lines[one.lineno - 1]
            start = self._column(one.lineno - 1, one.col_offset)
            if one.asname:
                start = line.index(one.asname, line.index(" as ", start))
            self._add(tables, name, (one.lineno - 1, start), "import")

    _visit_importfrom = _visit_import

    def _visit_global(self, node: Any, tables: list[Any]) -> None:
        for name in node.names:
            self._add(tables, name, self._find(node, name), "")

    _visit_nonlocal = _visit_global

    def _visit_match(self, node: ast.AST, tables: list[Any]) -> None:
        raise LookupError("a match statement")

    def _visit_call(self, node: ast.Call, tables: list[Any]) -> None:
        if isinstance(node.func, ast.Name):
            key = self._key(tables, node.func.id)
            if key is not None and node.keywords:
                self._calls.append((key[0], node))
        for child in ast.iter_child_nodes(node):
            self._walk(child, tables)

    def _name_arguments(self) -> None:
        """`f(name=...)` names a parameter where `f` is the file's one function of that name."""
        for scope, call in self._calls:
            assert isinstance(call.func, ast.Name)
            functions = self._functions.get((scope, call.func.id), [])
            for one in call.keywords if len(functions) == 1 and functions[0][0] else ():
                key = functions[0][0], one.arg or ""
                if self.kinds.get(key) == "parameter":
                    self._spots[key].add(self._spot(one))

    def _documented(self, node: Any, name: str, tables: list[Any]) -> None:
        if not ast.get_docstring(node, clean=False):
            return
        text = node.body[0]
        key = self._key(tables, name)
        assert key is not None
        for row in range(text.lineno - 1, text.end_lineno):
            line = self._lines[row]
            for match in re.finditer(
                rf"(?::(?:param|type|arg|keyword)\s(?:[^:]*\s)?)({name}):"
                rf"|^\s+\*{{0,2}}({name})\s*(?:\([^)]*\))?\s*:(?!:)",
                line,
            ):
                self._spots[key].add((row, match.start(1) if match[1] else match.start(2)))

    def _find(
        self, node: Any, name: str, before: str = r"(?:def|class|global|nonlocal|,)\s+"
    ) -> Spot:
        for row in range(node.lineno - 1, min(node.lineno + 5, len(self._lines))):
            match = re.search(rf"{before}({re.escape(name)})\b", self._lines[row])
            if match:
                return row, match.start(1)
        raise LookupError(name)


def attributes(text: str) -> Iterator[tuple[str, str, Spot, frozenset[Spot]]]:
    """Attributes that a class without bases sets in `__init__`: all `self.NAME` of its methods."""
    lines = text.split("\n")
    for cls in ast.walk(ast.parse(text)):
        if not isinstance(cls, ast.ClassDef) or cls.bases or cls.keywords:
            continue
        spots: dict[str, set[Spot]] = defaultdict(set)
        stored: dict[str, Spot] = {}
        own = {one.name for one in cls.body if isinstance(one, ast.FunctionDef)}
        for method in cls.body:
            if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(method):
                if isinstance(node, ast.JoinedStr):
                    own |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
                if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
                    continue
                if node.value.id != "self" or node.end_lineno is None:
                    continue
                row = node.end_lineno - 1
                end = len(lines[row].encode()[: node.end_col_offset].decode())
                spot = row, end - len(node.attr)
                spots[node.attr].add(spot)
                if isinstance(node.ctx, ast.Store) and method.name == "__init__":
                    stored.setdefault(node.attr, spot)
        for name, first in stored.items():
            class_level = any(
                name in ast.dump(one)
                for one in cls.body
                if isinstance(one, ast.Assign | ast.AnnAssign)
            )
            if name not in own and not class_level and first == min(spots[name]):
                yield "attribute", name, first, frozenset(spots[name] - {first})


def cases(folders: list[Path], per_file: int, seed: int = 7) -> Iterator[Case]:
    """In a fixed order, files mixed; those with a name to follow only."""
    chance = random.Random(seed)
    files = [file for folder in folders for file in sorted(folder.rglob("*.py"))]
    chance.shuffle(files)
    for file in files:
        try:
            text = file.read_text("utf-8")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = [*Referee(text).variables(), *attributes(text)]
        except (LookupError, ValueError, SyntaxError, RecursionError):
            continue
        if len(text) > LARGEST or "\r" in text or "\f" in text:
            continue
        found = [one for one in found if one[0] in KINDS and not one[1].startswith("__")]
        by_kind = defaultdict(list)
        for one in found:
            if one[3] or chance.random() < 0.1:
                by_kind[one[0]].append(one)
        for kind in KINDS:
            some = sorted(by_kind[kind])
            for _, old, first, others in chance.sample(some, min(per_file, len(some))):
                yield Case(file, text, kind, old, f"renamed_{old.strip('_')}", first, others)


def play(case: Case, score: Score, after_a_pause: bool) -> None:
    """Type the change, then take every edit that is offered."""
    clock, edits = 0.0, NextEdits()
    text, path = case.text, case.file
    at = offset_of(text, case.first)
    assert text[at : at + len(case.old)] == case.old, (case.file, case.first)

    def change(start: int, end: int, new: str) -> None:
        nonlocal text
        before = text
        edits.before_change(path, "python", lambda: before, clock)
        text = text[:start] + new + text[end:]

    for size in range(len(case.old), 0, -1):
        clock += A_KEY_S
        change(at + size - 1, at + size, "")
    for number, letter in enumerate(case.new):
        clock += A_PAUSE_S if after_a_pause and number == 4 else A_KEY_S
        change(at + number, at + number, letter)
    due = set(case.others)
    cursor, grown = at + len(case.new), [(case.first, len(case.new) - len(case.old))]
    score.cases += 1
    score.due += len(due)
    reason = ""
    for _ in range(len(due) + 20):
        began = time.perf_counter()
        asked = edits.ask(Document(path, "python", text), cursor, None, lambda _: None)
        score.asks_ms.append((time.perf_counter() - began) * 1000)
        if not asked.edits:
            reason = asked.reason
            break
        edit = asked.edits[0]
        spot = original(edit, grown)
        score.offered += 1
        if spot in due and edit.old == case.old and edit.new == case.new:
            score.right += 1
            due.discard(spot)
        else:
            score.wrong.append(_told(case, spot, f"{edit.old!r} to {edit.new!r}"))
        clock += A_PAUSE_S
        change(edit.offset, edit.offset + len(edit.old), edit.new)
        grown.append((spot, len(edit.new) - len(edit.old)))
        cursor = edit.offset + len(edit.new)
    if due:
        score.missed.append(_told(case, min(due), f"{len(due)} of {len(case.others)}: {reason}"))


def original(edit: NextEdit, grown: list[tuple[Spot, int]]) -> Spot:
    """Where the edit's place was in the text before all edits, which stay within their lines."""
    row, column = edit.start
    for (other, at), size in sorted(grown):
        if other == row and at + size < column + size and at < column:
            column -= size
    return row, column


def offset_of(text: str, spot: Spot) -> int:
    lines = text.split("\n")
    return sum(len(line) + 1 for line in lines[: spot[0]]) + spot[1]


def _told(case: Case, spot: Spot, what: str) -> str:
    return f"{case.file}:{spot[0] + 1}:{spot[1]} {case.kind} {case.old}: {what}"


def main() -> None:
    parser = common.parser("Next edit against the compiler's own scopes")
    parser.add_argument("folders", nargs="*", type=Path, default=DEFAULT_FOLDERS)
    parser.add_argument("--show", type=int, default=0, help="print so many errors of each kind")
    options = parser.parse_args()
    limit = 40 if options.quick else 300
    scores = {kind: Score() for kind in KINDS}
    began = time.monotonic()
    for number, case in enumerate(cases(options.folders, 2 if options.quick else 4)):
        spent = time.monotonic() - began
        if (options.quick and spent > 40) or spent > 300:
            break
        if scores[case.kind].cases < limit:
            play(case, scores[case.kind], after_a_pause=number % 3 == 0)
    if not any(score.cases for score in scores.values()):
        parser.error("no Python file with a name to rename in these folders")
    rows = [_row(kind, [scores[kind]]) for kind in KINDS]
    rows.append(_row("all", list(scores.values())))
    for kind in KINDS:
        for line in [*scores[kind].wrong[: options.show], *scores[kind].missed[: options.show]]:
            print(line)
    figures = {
        row[0]: dict(
            zip(("cases", "due", "precision", "recall", "p50_ms", "p95_ms"), row[1:], strict=True)
        )
        for row in rows
    }
    common.report(
        "Next edit: renames followed within the file",
        ["kind", "cases", "places", "precision %", "recall %", "p50 ms", "p95 ms"],
        rows,
        ("next edit precision", f"{rows[-1][3]:.1f}% at recall {rows[-1][4]:.1f}%"),
        figures,
        options.json,
    )


def _row(name: str, scores: list[Score]) -> list[Any]:
    offered, right = sum(s.offered for s in scores), sum(s.right for s in scores)
    due = sum(s.due for s in scores)
    asks = [ms for score in scores for ms in score.asks_ms] or [0.0]
    return [
        name,
        sum(s.cases for s in scores),
        due,
        100 * right / max(offered, 1),
        100 * right / max(due, 1),
        common.percentile(asks, 0.5),
        common.percentile(asks, 0.95),
    ]


if __name__ == "__main__":
    main()
