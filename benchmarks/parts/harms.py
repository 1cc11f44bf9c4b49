"""Hunks of real commits, made slightly wrong as chat models make them wrong.

A hunk is rows of a sign and a line: " " stays, "-" goes, "+" comes. A harm changes rows and leaves
their order, and says what white space of the result cannot be told any more. What is right is
judged by rules of our own that share no code with `sandbox.hunks`.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from random import Random

from sandbox.patch import Hunk, Patch, lines, parse

Row = tuple[str, str]
Blur = Callable[[str], str]
FORMS = ("block", "diff", "call")
DIVIDER = "======="
MOST_ROWS = 60
CONTEXT = 3
_WORD = re.compile(r"[A-Za-z_]\w{2,}")
_GAP = re.compile(r"(?<=\S)[ \t]+(?=\S)")
_DEFINES = re.compile(r"\b(?:def|class|func|function|fn|struct|enum|impl|type|interface|mod)\b")
_QUOTE = re.compile(r"[\"'`]")


@dataclass(frozen=True)
class Cut:
    """One change of a file: its rows, which begin at line `start` (from 0) of `old`."""

    path: str
    old: str
    true: str
    start: int
    rows: tuple[Row, ...]

    @property
    def before(self) -> list[str]:
        return side(self.rows, "-")


def side(rows: Sequence[Row], sign: str) -> list[str]:
    """The lines before ("-") or after ("+")."""
    return [line for kind, line in rows if kind in (" ", sign)]


def cuts(path: str, old: str, new: str) -> list[Cut]:
    """The changes between two texts, each as if it alone were made."""
    found = []
    file = lines(old)
    for hunk in parse(Patch({path: new}).diff({path: old}))[0].hunks:
        rows = _rows(hunk)
        if len(rows) > MOST_ROWS or any(not line.endswith("\n") for line in (*hunk.old, *hunk.new)):
            continue
        end = hunk.start + len(hunk.old)
        true = "".join([*file[: hunk.start], *hunk.new, *file[end:]])
        found.append(Cut(path, old, true, hunk.start, tuple(rows)))
    return found


def _rows(hunk: Hunk) -> list[Row]:
    rows: list[Row] = []
    matcher = SequenceMatcher(None, hunk.old, hunk.new, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            rows += [(" ", line[:-1]) for line in hunk.old[a:b]]
        else:
            rows += [("-", line[:-1]) for line in hunk.old[a:b]]
            rows += [("+", line[:-1]) for line in hunk.new[c:d]]
    return rows


def widened(cut: Cut, context: int) -> Cut:
    """The same change with more or fewer lines around it, as far as the file goes."""
    file = [line.removesuffix("\n") for line in lines(cut.old)]
    changed = [n for n, row in enumerate(cut.rows) if row[0] != " "]
    head, tail = changed[0], len(cut.rows) - 1 - changed[-1]
    first = cut.start + head
    last = cut.start + len(cut.before) - tail
    above = [(" ", line) for line in file[max(0, first - context) : first]]
    below = [(" ", line) for line in file[last : last + context]]
    rows = (*above, *cut.rows[head : changed[-1] + 1], *below)
    return replace(cut, start=first - len(above), rows=rows)


def standing(wanted: Sequence[str], text: str, blur: Blur = str) -> list[int]:
    """At which lines of a text, from 0, these lines stand, seen through a blur."""
    file = [blur(line.removesuffix("\n")) for line in lines(text)]
    seen = [blur(line) for line in wanted]
    return [n for n in range(len(file) - len(seen) + 1) if file[n : n + len(seen)] == seen]


def no_space(line: str) -> str:
    return "".join(line.split())


def loosely(wanted: Sequence[str], text: str) -> int:
    """How often lines stand in a text if no white space and no blank line counts."""
    file = [line for line in map(no_space, text.split("\n")) if line]
    seen = [line for line in map(no_space, wanted) if line]
    if not seen:
        return 0
    return sum(file[n : n + len(seen)] == seen for n in range(len(file) - len(seen) + 1))


# Each harm gives None where it cannot be done to this hunk.


def trailing(rows: list[Row], random: Random) -> list[Row] | None:
    return [
        (sign, line + random.choice(("", " ", "  ", "\t")) if line.strip() else line.strip())
        for sign, line in rows
    ]


def tabs(rows: list[Row], random: Random) -> list[Row] | None:
    """Tabs for each four spaces, or four spaces for each tab."""
    is_tabbed = any(line.startswith("\t") for _, line in rows)
    found = []
    for sign, line in rows:
        body = line.lstrip()
        space = line[: len(line) - len(body)]
        if (is_tabbed and " " in space) or (not is_tabbed and (len(space) % 4 or "\t" in space)):
            return None
        space = space.replace("\t", "    ") if is_tabbed else "\t" * (len(space) // 4)
        found.append((sign, space + body if body else line))
    return found


def shifted(rows: list[Row], random: Random) -> list[Row] | None:
    """All lines further right, or further left as far as they go."""
    spaces = [line[: len(line) - len(line.lstrip())] for _, line in rows if line.strip()]
    if any("\t" in space for space in spaces) or not spaces:
        return None
    room = min(map(len, spaces))
    ways = [2, 4, 8, -room, -room, -room] if room else [2, 4, 8]
    by = random.choice(ways)
    return [
        (sign, (" " * by + line if by > 0 else line[-by:]) if line.strip() else line)
        for sign, line in rows
    ]


def stripped(rows: list[Row], random: Random) -> list[Row] | None:
    """The text was stripped: only its first line has lost its indentation."""
    if rows[0][0] == "+" or not rows[0][1].strip():
        return None
    after = 0 if rows[0][0] == " " else next((n for n, row in enumerate(rows) if row[0] != "-"), -1)
    if (
        after == -1
        or (after and rows[after][0] == " ")
        or sum(bool(line.strip()) for line in side(rows, "-")) < 3
    ):
        return None
    return [
        (sign, line.lstrip() if n in (0, after) else line) for n, (sign, line) in enumerate(rows)
    ]


def spacing(rows: list[Row], random: Random) -> list[Row] | None:
    """Wider or narrower gaps within lines that have no strings."""

    def gap(match: re.Match[str]) -> str:
        around = match.string[match.start() - 1] + match.string[match.end()]
        narrow = not all(c.isalnum() or c == "_" for c in around)
        return random.choice((match[0], "  ", *([""] if narrow else [])))

    return [(sign, line if _QUOTE.search(line) else _GAP.sub(gap, line)) for sign, line in rows]


def blanks(rows: list[Row], random: Random) -> list[Row] | None:
    """Blank lines of the context left out, or put in between."""
    found: list[Row] = []
    for n, (sign, line) in enumerate(rows):
        if sign == " " and not line.strip() and random.random() < 0.7:
            continue
        found.append((sign, line))
        inner = 0 < n < len(rows) - 1 and sign == " " == rows[n + 1][0]
        if inner and line.strip() and random.random() < 0.25:
            found.append((" ", ""))
    return found


def stale(rows: list[Row], random: Random) -> list[Row] | None:
    """A context line or two say what the file said once: a name in them is another.

    Not the name that a line defines: that of another function is a line of another function.
    """
    able = [
        n
        for n, (sign, line) in enumerate(rows)
        if sign == " " and len(_words(line)) >= 2 and not _DEFINES.search(line)
    ]
    firm = [n for n, (_, line) in enumerate(rows) if line.strip()]
    if not able or len(firm) < 4:
        return None
    found = list(rows)
    for n in random.sample(able, 2 if len(able) >= 4 and random.random() < 0.4 else 1):
        line = found[n][1]
        word = random.choice(_words(line)[1:])  # the first may be what the line is: def, return
        at = word.end() if random.random() < 0.5 else word.start()
        extra = random.choice(("_old", "s", "2", "_x", "new_"))
        found[n] = (" ", line[:at] + extra + line[at:])
    return found


def elided(rows: list[Row], random: Random) -> list[Row] | None:
    """Two or more context lines are `...`."""
    runs = _context_runs(rows)
    if not runs:
        return None
    first, end = random.choice(runs)
    space = re.match(r"\s*", rows[first][1])
    dots = random.choice(("...", "# ...", "// ..."))
    return [*rows[:first], (" ", (space[0] if space else "") + dots), *rows[end:]]


def _context_runs(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Runs of context of which something can be left out, with a line kept on both sides."""
    found = []
    for first in range(1, len(rows) - 3):
        for end in range(first + 2, len(rows)):
            if any(sign != " " for sign, _ in rows[first - 1 : end]):
                break
            ends = rows[first - 1][1].strip() and rows[end][1].strip()
            if ends and rows[first][1].strip() and rows[end][0] != "+":
                found.append((first, end))
    return found


def other_change(rows: list[Row], random: Random) -> list[Row] | None:
    """A line that is to go is another in the file: no white space explains it."""
    able = [n for n, (sign, line) in enumerate(rows) if sign == "-" and _words(line)]
    if not able:
        return None
    n = random.choice(able)
    word = random.choice(_words(rows[n][1]))
    line = rows[n][1]
    changed = line[: word.start()] + random.choice(("old_", "my")) + line[word.start() :]
    return [*rows[:n], ("-", changed), *rows[n + 1 :]]


def _words(line: str) -> list[re.Match[str]]:
    return list(_WORD.finditer(line))


HARMS: dict[str, Callable[[list[Row], Random], list[Row] | None]] = {
    "trailing": trailing,
    "tabs": tabs,
    "shifted": shifted,
    "stripped": stripped,
    "spacing": spacing,
    "blanks": blanks,
    "stale": stale,
    "elided": elided,
}
# What cannot be told of the lines that the edit itself brings, once the harm is done.
BLURS: dict[str, Blur] = {
    "trailing": str.rstrip,
    "spacing": lambda line: line[: len(line) - len(line.lstrip())] + no_space(line),
}


def same(made: str, true: str, harms: Sequence[str]) -> bool:
    """Whether a result is the true text, up to the white space that these harms took away."""
    sides = [made.split("\n"), true.split("\n")]
    for harm in harms:
        if harm in BLURS:
            sides = [[BLURS[harm](line) for line in one] for one in sides]
        if harm == "blanks":
            sides = [[line for line in one if line.strip()] for one in sides]
    return sides[0] == sides[1]


def written(form: str, path: str, rows: Sequence[Row], line: int, random: Random) -> str:
    """The edit as a model writes it; a diff's counts are wrong. `line`, from 1; 0 is not said."""
    before, after = ("".join(f"{text}\n" for text in side(rows, sign)) for sign in "-+")
    if form == "block":
        return f"{path}\n```\n<<<<<<< SEARCH\n{before}{DIVIDER}\n{after}>>>>>>> REPLACE\n```\n"
    if form == "call":
        return json.dumps({"path": path, "before": before, "after": after, "line": line})
    removed, added = random.randint(1, 40), random.randint(1, 40)
    # A hunk that leaves no line is named by the line above it.
    ranges = f"-{line},{removed} +{line},{added}" if after else f"-{line},{removed} +{line - 1},0"
    body = "".join(f"{sign}{text}\n" for sign, text in rows)
    head = f"@@ {ranges} @@" if line else "@@ @@"
    return f"```diff\n--- a/{path}\n+++ b/{path}\n{head}\n{body}```\n"
