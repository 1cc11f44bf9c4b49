"""Where the text around a cursor may be cut: at the boundaries of statements and definitions.

Texts have "\\n" line ends only. Offsets are character offsets (indices of a `str`). tree-sitter
counts UTF-8 bytes, so we take only row numbers from it: a boundary is a line's start or end.

The lines before the cursor's line and those after it are parsed apart. So an error at the cursor
cannot move a boundary, and neither tree changes while one types within a line (it is cached).
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from completion.statements import statements
from completion.stops import chain

# tree-sitter parses about 7 MB/s here: a text above this costs more than 40 ms after each Enter.
PARSE_LIMIT = 256 * 1024
WINDOW_BEFORE = 128 * 1024
WINDOW_AFTER = 64 * 1024
WINDOW_STEP = 32 * 1024
# No more characters than this in a token, on average over a text worth cutting: saves counting.
CHARS_PER_TOKEN = 16
# The size of the sample that tells how many characters a token has here.
SAMPLE = 4096
# Growing texts are counted in pieces of so many characters.
PIECE = 512
# The start of a line that is no part of a statement above, if it is not in a string.
_NEW = re.compile(r"^(?!\s|[#)\]}]|(?:elif|else|except|finally)\b)", re.MULTILINE)

Count = Callable[[str], int]


@dataclass(frozen=True)
class Window:
    """The part of a document that we look at; `offset` is the cursor within `text`."""

    text: str
    offset: int
    start: int


@dataclass(frozen=True)
class Cut:
    """The text kept on both sides of the cursor."""

    prefix: str
    suffix: str


def window(text: str, offset: int) -> Window:
    """All of a text of up to `PARSE_LIMIT` characters, else whole lines around the cursor.

    The start moves in steps of `WINDOW_STEP`, not with each key. A window that starts inside a
    string of many lines is lexed wrongly up to that string's end.
    """
    if len(text) <= PARSE_LIMIT:
        return Window(text, offset, 0)
    start = max(0, (offset - WINDOW_BEFORE) // WINDOW_STEP * WINDOW_STEP)
    if start:
        newline = text.find("\n", start, offset)
        start = newline + 1 if newline >= 0 else start
    end = min(len(text), offset + WINDOW_AFTER)
    newline = text.rfind("\n", offset, end)
    if end < len(text) and newline >= 0:
        end = newline + 1
    return Window(text[start:end], offset - start, start)


def cut(
    document_text: str,
    offset: int,
    language: str,
    budget: int,
    count: Count,
    suffix_share: float = 0.25,
) -> Cut:
    """The text around the cursor that fits `budget` tokens, cut at syntax boundaries.

    `count` gives a text's length in tokens. It is called O(log n) times, on texts of at most
    `CHARS_PER_TOKEN` characters per token of the budget; pass the same function each time, for
    its answers are kept. `suffix_share` of the budget is the
    suffix's; what one side does not need the other gets. While one types on, the suffix stays
    the same and the start of the prefix moves rarely, by a quarter to a half of the prefix's
    budget, so that the model's KV cache stays of use.
    """
    assert 0 <= offset <= len(document_text), "the cursor is outside the document"
    view = window(document_text, offset)
    assert "\r\n" not in view.text, 'line ends must be "\\n" by now'
    prefix_budget = budget - int(budget * suffix_share)
    needed = _needed(view.text[: view.offset], prefix_budget, budget // 8, count)
    suffix = _suffix(view, language, budget - needed, count)
    room = budget - _counted(count, suffix)
    start = _prefix_start(view, language, room, prefix_budget, count)
    return Cut(view.text[start : view.offset], suffix)


@lru_cache(maxsize=2048)
def _counted(count: Count, text: str) -> int:
    """Most pieces are the same from key to key."""
    return count(text)


def _estimate(count: Count, text: str, most: int) -> int:
    """Tokens of a growing text, from pieces of which a key changes the last one only.

    Of a text of more than `most` tokens the rest is not counted.
    """
    tokens = 0
    for at in range(0, len(text), PIECE):
        tokens += _counted(count, text[at : at + PIECE])
        if tokens > most:
            break
    return tokens


def _needed(prefix: str, limit: int, step: int, count: Count) -> int:
    """Tokens to keep free for the prefix, in steps, so that a key does not move the suffix."""
    if len(prefix) > limit * CHARS_PER_TOKEN or step == 0:
        return limit
    return min(limit, -(-_estimate(count, prefix, limit) // step) * step)


def _suffix(view: Window, language: str, budget: int, count: Count) -> str:
    """The longest run of whole statements after the cursor that fits, of the best level."""
    rest = view.text[view.offset : view.offset + budget * CHARS_PER_TOKEN]
    if not rest or _counted_to(count, rest, budget) <= budget:
        return rest
    fits = lambda end: _counted(count, rest[:end]) <= budget  # noqa: E731
    line_ends = [match.start() for match in re.finditer("\n", rest)]
    lines = _last_that(fits, line_ends, _lines_of(count, rest, line_ends, budget))
    if lines is None:
        return rest[: _last_that(fits, range(1, len(rest))) or 0]
    # The cursor's line may be long or half of something: what is parsed begins below it.
    below = view.text.find("\n", view.offset) + 1
    past = below - view.offset
    block = view.text[below : _end_of_block(view.text, view.offset + lines)]
    ends = [
        (span.end + past, span.level)
        for span in _statements(block, language).touching(lines // 4 - past, lines - past)
    ]
    for level, least in ((0, lines / 2), (1, lines / 2), (2, lines / 4)):
        fitting = [end for end, its in ends if its <= level and least <= end <= lines]
        if fitting:
            return rest[: max(fitting)]
    return rest[:lines]


def _end_of_block(text: str, offset: int) -> int:
    """Where the first line below that begins something new starts: what stands above it is
    parsed the same without it. Below may be thousands of lines."""
    found = _NEW.search(text, offset)
    return found.start() if found else len(text)


_statements = lru_cache(maxsize=8)(statements)


def _counted_to(count: Count, text: str, most: int) -> int:
    """Tokens of a text; of one that has clearly more than `most`, some number above that."""
    clearly = most + most // 4  # pieces have a few tokens more than the whole
    tokens = _estimate(count, text, clearly)
    return tokens if tokens > clearly else _counted(count, text)


def _lines_of(count: Count, text: str, line_ends: Sequence[int], budget: int) -> int:
    """About how many lines fit, from what each has: most are the same from key to key."""
    tokens = start = 0
    for index, end in enumerate(line_ends):
        tokens += _counted(count, text[start:end])
        if tokens > budget:
            return index
        start = end
    return len(line_ends)


def _last_that(fits: Callable[[int], bool], values: Sequence[int], near: int = 0) -> int | None:
    """The last of ascending values that fits, when all before one that fits do.

    Looked for from the index `near` on, in steps that double, since `fits` takes time.
    """
    low, high, step = 0, len(values), 1  # those below `low` fit, those from `high` on do not
    while low < high and step < len(values):
        at = min(max(near, low), high - 1)
        if fits(values[at]):
            low, near = at + 1, at + step
        else:
            high, near = at, at - step
        step *= 2
    index = bisect_left(values, True, low, high, key=lambda value: not fits(value))
    return values[index - 1] if index else None


def _prefix_start(view: Window, language: str, budget: int, usual: int, count: Count) -> int:
    """Where the prefix starts: at the first stop of a chain of stops that leaves what fits.

    The stops depend on the text before them only, and the step between them on `usual`, the
    prefix's share of the budget; so typing at the cursor leaves them where they are.
    """
    text, offset = view.text, view.offset
    if budget <= 0:
        return offset
    if offset <= budget * CHARS_PER_TOKEN and _estimate(count, text[:offset], budget) <= budget:
        return 0
    ratio = _chars_per_token(text, offset, count)
    start = offset
    while ratio >= 0.5:
        stops = chain(text, offset, language, max(1, int(usual * ratio)))
        fitting, used = _fitting(stops, text, offset, budget, count)
        start = min(start, fitting)
        # Text much denser in tokens than the sample needs shorter steps than the sample said.
        if used >= min(usual, budget) / 3:
            break
        ratio /= 2
    return start


def _fitting(
    stops: list[int], text: str, offset: int, budget: int, count: Count
) -> tuple[int, int]:
    """The first stop from which on the text fits the budget, and its tokens.

    Counted from stop to stop, then once as a whole: a token may straddle two pieces.
    """
    index, used = len(stops), 0
    while index:
        end = stops[index] if index < len(stops) else offset
        used += _counted(count, text[stops[index - 1] : end])
        if used > budget:
            break
        index -= 1
    for start in stops[index:]:
        used = _counted(count, text[start:offset])
        if used <= budget:
            return start, used
    return offset, 0


def _chars_per_token(text: str, offset: int, count: Count) -> float:
    """From an aligned sample before the cursor, which few keys change; in steps of a half."""
    end = offset // SAMPLE * SAMPLE or offset
    sample = text[max(0, end - SAMPLE) : end]
    return max(0.5, round(2 * len(sample) / max(1, _counted(count, sample))) / 2)
