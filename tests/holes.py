"""Holes cut in real code: the standard library of the Python that runs the tests.

Run as a script, `python -m tests.holes [COUNT]`, it prints how often the stop rule and the
filters give back exactly what was cut out, for a model that writes the true text and then runs on
into the suffix, and for one that writes the true text and ends.
"""

import ast
import random
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from completion.filters import StopRule, finish
from completion.hole import hole_kind

KINDS = ("line", "span", "statement", "block")


@dataclass(frozen=True)
class Cutout:
    """A hole and what was in it."""

    kind: str
    source: str
    prefix: str
    middle: str
    suffix: str


@cache
def modules() -> list[tuple[str, str]]:
    """Name and text of each sizable module of the standard library."""
    folder = Path(sysconfig.get_path("stdlib"))
    found = []
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if 4_000 < len(text) < 80_000 and "\ndef " in text:
            found.append((path.name, text))
    assert len(found) > 50, "no standard library with sources here"
    return found


def cutouts(kind: str, count: int, seed: int = 0) -> Iterator[Cutout]:
    """So many holes of a kind, the same ones for the same seed and Python."""
    rng = random.Random(f"{kind} {seed}")
    made = 0
    while made < count:
        name, text = rng.choice(modules())
        place = _PLACES[kind](text, rng)
        if place and text[place[0] : place[1]].strip():
            made += 1
            start, end = place
            yield Cutout(kind, name, text[:start], text[start:end], text[end:])


def _random_line(text: str, rng: random.Random) -> tuple[int, int]:
    at = rng.randrange(len(text))
    end = text.find("\n", at)
    return text.rfind("\n", 0, at) + 1, end if end >= 0 else len(text)


def _rest_of_line(text: str, rng: random.Random) -> tuple[int, int] | None:
    start, end = _random_line(text, rng)
    indent = len(text[start:end]) - len(text[start:end].lstrip())
    return (rng.randrange(start + indent, end), end) if start + indent < end else None


def _span_in_line(text: str, rng: random.Random) -> tuple[int, int] | None:
    """Between two word boundaries, with text left and right of it."""
    start, end = _random_line(text, rng)
    is_name = lambda i: text[i].isalnum() or text[i] == "_"  # noqa: E731
    edges = [i for i in range(start + 1, end) if not (is_name(i - 1) and is_name(i))]
    edges = [i for i in edges if text[start:i].strip()]
    if len(edges) < 2:
        return None
    low, high = sorted(rng.sample(edges, 2))
    return low, high


def _offset(text: str, line: int) -> int:
    """Of the start of a line, counted from 1."""
    at = 0
    for _ in range(line - 1):
        at = text.index("\n", at) + 1
    return at


def _lines(text: str, first: ast.stmt, last: ast.stmt, start_line: int) -> tuple[int, int]:
    start = _offset(text, start_line) + first.col_offset
    end = text.find("\n", _offset(text, last.end_lineno or last.lineno))
    return start, end if end >= 0 else len(text)


@cache
def _bodies(text: str) -> list[tuple[ast.stmt, list[ast.stmt]]]:
    found = []
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        if isinstance(node, ast.stmt) and isinstance(body, list):
            found.append((node, body))
    return found


def _body(text: str, rng: random.Random) -> tuple[int, int] | None:
    """All of a body, of what has no else, except or finally."""
    header, body = rng.choice(_bodies(text))
    first = body[0]
    if getattr(header, "orelse", None) or isinstance(header, ast.Try):
        return None
    if _first_line(first) == header.lineno or len(body) == 0 or _has_docstring(body):
        return None
    if text[_offset(text, _first_line(first)) :].lstrip(" ")[:1] == "#":
        return None
    return _lines(text, first, body[-1], _first_line(first))


def _one_statement(text: str, rng: random.Random) -> tuple[int, int] | None:
    _, body = rng.choice(_bodies(text))
    if len(body) < 2:
        return None
    index = rng.randrange(1, len(body))
    line = _first_line(body[index])
    if line <= (body[index - 1].end_lineno or 0):
        return None
    return _lines(text, body[index], body[index], line)


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return decorators[0].lineno if decorators else node.lineno


def _has_docstring(body: list[ast.stmt]) -> bool:
    first = body[0]
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)


_PLACES = {
    "line": _rest_of_line,
    "span": _span_in_line,
    "statement": _one_statement,
    "block": _body,
}


@dataclass(frozen=True)
class Outcome:
    """What was kept of an answer, and how it compares with the true text."""

    cutout: Cutout
    text: str
    reason: str

    @property
    def exact(self) -> bool:
        return self.text.rstrip() == self.cutout.middle.rstrip()

    @property
    def within(self) -> bool:
        """Nothing of the suffix, nothing made up."""
        return self.cutout.middle.startswith(self.text.rstrip())


def complete(cutout: Cutout, answer: str, rng: random.Random, max_lines: int = 200) -> Outcome:
    """Stream an answer in random pieces through the stop rule, then through the filters."""
    prefix, suffix = cutout.prefix, cutout.suffix
    hole = hole_kind(prefix + suffix, len(prefix), "python")
    rule = StopRule(prefix, suffix, hole, max_lines)
    at = 0
    while at < len(answer):
        step = rng.randint(1, 12)
        if rule.feed(answer[at : at + step]):
            break
        at += step
    result = finish(rule.text, prefix, suffix, hole, complete=True)
    return Outcome(cutout, result.text, result.reason)


def outcomes(kind: str, count: int, runs_on: bool, seed: int = 0) -> list[Outcome]:
    rng = random.Random(seed)
    found = []
    for cutout in cutouts(kind, count, seed):
        beyond = cutout.suffix[:4000] if runs_on else ""
        found.append(complete(cutout, cutout.middle + beyond, rng))
    return found


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    print("hole       model    exact  within the truth  nothing shown")
    for kind in KINDS:
        for runs_on in (True, False):
            found = outcomes(kind, count, runs_on)
            exact = sum(one.exact for one in found) / count
            within = sum(one.within for one in found) / count
            empty = sum(not one.text for one in found) / count
            model = "runs on" if runs_on else "ends"
            print(f"{kind:10} {model:8} {exact:5.1%}  {within:16.1%}  {empty:13.1%}")


if __name__ == "__main__":
    main()
