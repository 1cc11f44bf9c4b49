"""What the failing tests say they want: exceptions, texts that should have come, strings they name.

Read from their messages and their source; nothing is run. A hint is only ever an ingredient of
candidates, which the tests judge.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from sandbox.localize import Suspect
from sandbox.statements import statements
from sandbox.suite import TestResult, is_test_path

MOST = 12  # of each sort
TESTS = 6  # failing tests that are read
LONGEST = 60  # characters of a piece of text
SHORTEST = 3  # of one that is looked for in data
DATA = 0.1  # how suspicious data is that has a text which should not have come
_ASSERTED = re.compile(r"(?:AssertionError: )?assert (.+?) == (.+?)(?:\n|$)")
_UNEQUAL = re.compile(r"(?:AssertionError: )?(.+?) != (.+?)(?: : .*)?(?:\n|$)")
_UNRAISED = re.compile(r"DID NOT RAISE <class '([\w.]+)'>|^(?:AssertionError: )?(\w+) not raised")
_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True)
class Wanted:
    """`raised`: exceptions that the tests expect, as they write them, and a message or "".
    `edits`: a piece of text that came and what should have come in its place. `strings`: those in
    the tests' own lines. `crashes`: exceptions that came out of code that is no test."""

    raised: tuple[tuple[str, str], ...] = ()
    edits: tuple[tuple[str, str], ...] = ()
    strings: tuple[str, ...] = ()
    crashes: tuple[str, ...] = ()


def wanted(failing: Sequence[TestResult], sources: Mapping[str, str]) -> Wanted:
    """`sources` are texts by path, the tests' own among them."""
    raised: dict[tuple[str, str], None] = {}
    edits: dict[tuple[str, str], None] = {}
    strings: dict[str, None] = {}
    crashes: dict[str, None] = {}
    for result in failing[:TESTS]:
        for name in _UNRAISED.findall(result.message):
            raised.setdefault(((name[0] or name[1]).rsplit(".", 1)[-1], ""))
        edits.update(dict.fromkeys(_edits(result.message)))
        if result.kind and result.frames and not is_test_path(result.frames[-1].path):
            crashes.setdefault(result.kind.rsplit(".", 1)[-1])
        for node in _nodes(result, sources):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if 0 < len(node.value) <= LONGEST and node.value.isprintable():
                    strings.setdefault(node.value)
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(_RAISES):
                raised.update(dict.fromkeys(_expected(node)))
    return Wanted(
        tuple(list(raised)[:MOST]),
        tuple(list(edits)[:MOST]),
        tuple(list(strings)[:MOST]),
        tuple(list(crashes)[:MOST]),
    )


def places(told: Wanted, known: Sequence[Suspect], sources: Mapping[str, str]) -> list[Suspect]:
    """Statements that no failing test ran, as they are data, and that hold a text which should
    not have come."""
    seen = {(one.path, one.line) for one in known}
    texts = [old for old, _ in told.edits if len(old) >= SHORTEST]
    found: dict[tuple[str, int], Suspect] = {}
    for path, source in sources.items():
        if not is_test_path(path) and any(text in source for text in texts):
            rows = source.split("\n")
            for line, statement in statements(source).items():
                at = path, statement.line
                text = next((one for one in texts if one in rows[line - 1]), None)
                if text and at not in seen and at not in found:
                    why = (f"has {text!r}, which should not have come",)
                    found[at] = Suspect(*at, DATA, why)
    return list(found.values())


_RAISES = ("raises", "assertRaises", "assertRaisesRegex", "raises_regex")


def _nodes(result: TestResult, sources: Mapping[str, str]) -> Iterator[ast.AST]:
    """Of the test's own function."""
    path, _, rest = result.id.partition("::")
    name = re.split(r"[\[(]", rest or path)[0].replace("::", ".").rsplit(".", 1)[-1]
    text = sources.get(path) or next(
        (sources[f.path] for f in result.frames if f.path in sources), ""
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            yield from ast.walk(node)
            return


def _expected(call: ast.Call) -> Iterator[tuple[str, str]]:
    """The types that `pytest.raises` and the like name, and what the message must match."""
    match = next((one.value for one in call.keywords if one.arg == "match"), None)
    if match is None and len(call.args) > 1 and "Regex" in ast.unparse(call.func):
        match = call.args[1]
    said = match.value if isinstance(match, ast.Constant) and isinstance(match.value, str) else ""
    said = re.sub(r"\\(.)", r"\1", said.strip("^$"))
    for one in call.args[:1]:
        for kind in one.elts if isinstance(one, ast.Tuple) else [one]:
            if isinstance(kind, ast.Name | ast.Attribute):
                yield ast.unparse(kind), said


def _edits(message: str) -> Iterator[tuple[str, str]]:
    """From what came to what should have come; both ways, as tests write them in both orders."""
    for pattern in (_ASSERTED, _UNEQUAL):
        if match := pattern.match(message):
            try:
                pair = [ast.literal_eval(side) for side in match.groups()]
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                pair = _lines(message)
            for came, due in _leaves(*pair):
                found = list(_differences(came, due))
                yield from found
                yield from ((new, old) for old, new in found if new)
            return


def _lines(message: str) -> list[object]:
    """The first two lines of a diff in a message: "+" came, "-" was due, as pytest has it."""
    rows = [row.strip() for row in message.split("\n")]
    sides = [[row[2:] for row in rows if row.startswith(sign)] for sign in ("+ ", "- ")]
    return [side[0] if side else "" for side in sides]


def _leaves(one: object, other: object) -> Iterator[tuple[str, str]]:
    """Strings in the same place of two values that differ."""
    if isinstance(one, str) and isinstance(other, str):
        if one != other:
            yield one, other
    elif isinstance(one, dict) and isinstance(other, dict):
        for name in [name for name in one if name in other]:
            yield from _leaves(one[name], other[name])
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        for mine, theirs in zip(one, other, strict=False):
            yield from _leaves(mine, theirs)


def _differences(came: str, due: str) -> Iterator[tuple[str, str]]:
    """Pieces of whole words. What was only put in comes with the word beside it."""
    old, new = _TOKEN.findall(came), _TOKEN.findall(due)
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        removed, added = "".join(old[a:b]), "".join(new[c:d])
        if tag == "equal" or max(len(removed), len(added)) > LONGEST:
            continue
        if removed.strip():
            yield removed, added
            if removed != removed.strip() or added != added.strip():
                yield removed.strip(), added.strip()
        else:
            before, after = "".join(old[max(0, a - 1) : a]), "".join(old[b : b + 1])
            if before.strip():
                yield before + removed, before + added
            if after.strip():
                yield removed + after, added + after
