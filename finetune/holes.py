"""Holes cut in code along its syntax tree, as a cursor meets them.

A hole is kept only if the stop rule of the completion layer, fed the true text and what follows
it, would give exactly that text: the model must never be taught an end that inference would not
honour.
"""

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from tree_sitter import Node

from completion import syntax
from completion.filters import StopRule
from completion.hole import Kind, hole_kind
from completion.languages import language_row
from completion.statements import spans

# How a hole was cut, and how often. A single line is what people accept most; blocks teach where
# several lines end.
SHARES = {
    "line": 0.26,
    "expression": 0.12,
    "arguments": 0.12,
    "statement": 0.30,
    "block": 0.14,
    "body": 0.06,
}
# Characters. A longer middle spends a window's tokens on one hole.
LONGEST = {"line": 160, "expression": 160, "arguments": 160, "statement": 500, "block": 700}
MAX_LINES = 12
# Of the statements, so many are cut inside their first line: the user has typed a part already.
STARTED = 0.5
_AFTER = 400


@dataclass(frozen=True)
class Hole:
    """`text[start:end]` is missing. `cut` tells how it was chosen, `kind` what inference reads
    the place as."""

    cut: str
    kind: Kind
    start: int
    end: int


def holes(
    text: str,
    language: str,
    rng: random.Random,
    count: int,
    shares: Mapping[str, float] = SHARES,
) -> Iterator[Hole]:
    """Up to `count` different holes of one file, of all cuts by their shares.

    Gives up on a file that has few places: it tries four times as often as asked.
    """
    places = _places(text, language)
    seen: set[tuple[int, int]] = set()
    cuts, weights = list(shares), list(shares.values())
    for _ in range(4 * count):
        if len(seen) >= count:
            return
        cut = rng.choices(cuts, weights)[0]
        spot = _draw(text, places, cut, rng)
        if spot is None or spot in seen:
            continue
        kind = kind_if_honoured(text, spot[0], spot[1], language)
        if kind is not None:
            seen.add(spot)
            yield Hole(cut, kind, *spot)


def kind_if_honoured(text: str, start: int, end: int, language: str) -> Kind | None:
    """What inference reads the hole as; None if it would end the text elsewhere."""
    prefix, middle, suffix = text[:start], text[start:end], text[end:]
    hole = hole_kind(prefix + suffix, start, language)
    rule = StopRule(prefix, suffix, hole, MAX_LINES)
    rule.feed(middle + suffix[:_AFTER])
    return hole.kind if rule.text.rstrip() == middle.rstrip() else None


@dataclass(frozen=True)
class _Places:
    """Spans of nodes by cut, and the spans of lines that hold code, in characters."""

    nodes: dict[str, list[tuple[int, int]]]
    lines: list[tuple[int, int]]


@lru_cache(maxsize=4)
def _places(text: str, language: str) -> _Places:
    nodes: dict[str, list[tuple[int, int]]] = {
        "expression": [],
        "arguments": [],
        "block": [],
        "body": [],
    }
    comment = language_row(language).comment or "\0"
    lines, start = [], 0
    for line in text.split("\n"):
        code = line.strip()
        if len(code) > 2 and not code.startswith(comment):
            lines.append((start + len(line) - len(line.lstrip()), start + len(line.rstrip())))
        start += len(line) + 1
    root = syntax.parse(text, language) if language_row(language).has_statements else None
    if root is None:
        return _Places(nodes, lines)
    offset = _char_offsets(text)
    stack = [root]
    while stack:
        node = stack.pop()
        stack.extend(node.named_children)
        cut = _cut_of(node)
        if cut:
            nodes[cut].append((offset(node.start_byte), offset(node.end_byte)))
    nodes["statement"] = [
        (span.start + len(piece) - len(piece.lstrip()), span.end)
        for span in spans(text, language)
        if (piece := text[span.start : span.end])
    ]
    return _Places(nodes, lines)


def _cut_of(node: Node) -> str:
    kind = node.type
    if kind in ("block", "statement_block", "function_body"):
        parent = node.parent.type if node.parent else ""
        return "body" if "function" in parent or "method" in parent else "block"
    if kind in ("argument_list", "arguments", "parameters"):
        return "arguments"
    if kind == "call" or kind.endswith(("_expression", "_operator", "subscript", "comprehension")):
        return "expression"
    return ""


def _draw(text: str, places: _Places, cut: str, rng: random.Random) -> tuple[int, int] | None:
    if cut == "line":
        if not places.lines:
            return None
        start, end = rng.choice(places.lines)
        return rng.randrange(start, end), end
    found = places.nodes.get(cut)
    if not found:
        return None
    start, end = rng.choice(found)
    if cut == "arguments":  # between the brackets
        start, end = start + 1, end - 1
    if cut == "statement" and rng.random() < STARTED:
        line_end = text.find("\n", start, end)
        start = rng.randrange(start, line_end if line_end > 0 else end)
    if not 1 < end - start <= LONGEST.get(cut, 700):
        return None
    middle = text[start:end]
    return None if not middle.strip() or middle.count("\n") >= MAX_LINES else (start, end)


def _char_offsets(text: str) -> Callable[[int], int]:
    """A function from a UTF-8 byte offset to a character offset."""
    if text.isascii():
        return lambda byte: byte
    ends, total = [0], 0
    for character in text:
        total += len(character.encode("utf-8", "replace"))
        ends.append(total)
    return lambda byte: bisect_right(ends, byte) - 1
