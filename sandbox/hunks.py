"""Apply a chat model's edits to a text: with patience for white space, and never by guess.

An edit says which lines shall stand instead of which. It is looked for as `places` says, from the
exact to the nearly right, and it is applied only where it can mean one place alone. Lines that an
edit has before and after are context: what the file has of them stays. What is not applied says
which line differs, or which places there are, for a model that tries again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sandbox import alike, allowed, places
from sandbox.edits import Edit, called, parse
from sandbox.nomatch import NoMatch, cut, nowhere, several
from sandbox.patch import Patch, lines
from sandbox.places import Level, Place
from tandem.errors import UsageError

__all__ = ["Applied", "Edit", "NoMatch", "apply", "apply_all", "called", "parse"]

_HOW = {
    Level.EXACT: "exact",
    Level.TRAILING: "spaces at line ends differ",
    Level.TABS: "tabs and spaces differ",
    Level.INDENTATION: "the indentation differs",
    Level.SPACING: "spaces within lines differ",
    Level.BLANK: "blank lines differ",
    Level.ELIDED: "lines are left out",
}


@dataclass(frozen=True)
class Applied:
    """The new text; in it the lines [first, last], from 1, stand for the edit's (last < first: none).

    `how` says in words how far the edit was from the file.
    """

    text: str
    first: int
    last: int
    how: str


def apply(edit: Edit, text: str) -> Applied:
    """The text with one edit applied. Raises NoMatch, whose message a model can act on."""
    if edit.before == edit.after:
        raise NoMatch(f"{edit.path}: the edit changes nothing.")
    if not edit.before:
        return _inserted(edit, text)
    file = lines(text)
    wanted, new = lines(edit.before), lines(edit.after)
    bare, bare_wanted, bare_new = map(_bare, (file, wanted, new))
    found = _found(edit, bare_wanted, bare_new, bare)
    if not found and not edit.before.endswith("\n"):
        within = _within(edit, text)
        if within is not None:
            return within
    if not found:
        raise nowhere(edit, bare_wanted, bare)
    place = _chosen(edit, found)
    if place.level is Level.EXACT and file[place.first : place.end] == wanted:
        made = new  # to the last character as it was meant
    else:
        made = _made(edit, place, file, bare_wanted, bare_new, text)
    return _placed(file, place.first, place.end, made, _how(place))


def apply_all(edits: Sequence[Edit], read: Callable[[str], str | None]) -> Patch:
    """All edits of one message, each on the text that those before it made; all of them or none.

    `read` gives a file's text, None where there is none. Raises NoMatch with what is wrong with
    each edit that does not fit, and UsageError for a path that leads out of the repository.
    """
    if not edits:
        raise UsageError("There is no edit to apply.")
    texts: dict[str, str | None] = {}
    wrong: list[str] = []
    for number, edit in enumerate(edits, 1):
        if not allowed.stays_inside(edit.path):
            raise UsageError(
                f"{edit.path!r} is no path within the repository.", "Give it from its root."
            )
        if edit.path not in texts:
            texts[edit.path] = read(edit.path)
        text = texts[edit.path]
        try:  # each edit's failing is told, not only the first
            if text is None and edit.before:
                raise NoMatch(f"{edit.path}: there is no such file.")
            texts[edit.path] = apply(edit, text or "").text
        except NoMatch as error:
            wrong.append(f"Edit {number} of {len(edits)}: {error.message}")
    if wrong:
        raise NoMatch(" ".join(wrong), "Nothing was changed.")
    return Patch({path: text for path, text in texts.items() if text is not None})


def _found(edit: Edit, wanted: list[str], new: list[str], file: list[str]) -> list[Place]:
    """The places at the first level that has any, then those that looser spacing would add."""
    found: list[Place] = []
    for level in Level:
        if found and level > Level.BLANK:
            break
        known = {place.first for place in found}
        more = places.find(wanted, new, file, level, edit.line - 1)
        found += [place for place in more if place.first not in known]
    return found


def _chosen(edit: Edit, found: list[Place]) -> Place:
    """The one place that an edit can mean."""
    level = min(place.level for place in found)
    best = [place for place in found if place.level is level]
    fewest = min(len(place.stale) for place in best)
    # One stale line less is chance, two are not.
    best = [place for place in best if len(place.stale) < fewest + 2]
    if not edit.line:
        if len(best) > 1:
            raise _ambiguous(edit, best)
        return best[0]
    near = sorted(best, key=lambda place: _far(edit, place))
    others = [place for place in found if place is not near[0]]
    for other in others:
        is_equal = other in near
        if _is_clear(_far(edit, near[0]), _far(edit, other)):
            continue
        # A place that fits worse may still be the one that is meant if the line says so.
        if is_equal or _is_clear(_far(edit, other), _far(edit, near[0])):
            raise _ambiguous(edit, [*near, *([] if is_equal else [other])])
    return near[0]


def _far(edit: Edit, place: Place) -> int:
    return abs(place.first + 1 - edit.line)


def _is_clear(near: int, far: int) -> bool:
    """Whether a place is so much nearer to the stated line than another that it must be meant."""
    return near < far if near == 0 else far >= 4 * near + 2


def _made(
    edit: Edit, place: Place, file: list[str], wanted: list[str], new: list[str], text: str
) -> list[str]:
    """The new lines of a place: the file's own where the edit keeps them, else the edit's, indented
    as the file is."""
    end = _end(text)
    made: list[str] = []
    at = place.first  # the file's lines up to here are dealt with
    for tag, a, b, c, d in alike.matcher(wanted, new).get_opcodes():
        if tag == "equal":
            made += file[at : place.spans[b - 1][1]]
            at = place.spans[b - 1][1]
            continue
        if place.level is Level.ELIDED and any(
            alike.is_elided(line) for line in (*wanted[a:b], *new[c:d])
        ):
            raise NoMatch(
                f"{edit.path}: the edit would change lines that it leaves out by `...`.",
                "Write them out, or have the same `...` before and after.",
            )
        if a < b:  # blank lines above those that go are no part of the edit
            first = next((n for n in range(a, b) if place.spans[n][0] < place.spans[n][1]), a)
            made += file[at : place.spans[first][0]]
            at = place.spans[b - 1][1]
        made += [f"{line}{end}" for line in _indented(edit, place, new, c, d)]
    if place.end == len(file) and made:
        last = made[-1].removesuffix("\n").removesuffix("\r")
        made[-1] = last + (end if text.endswith("\n") else "")
    return [
        line if line.endswith("\n") or n == len(made) - 1 else line + end
        for n, line in enumerate(made)
    ]


def _indented(edit: Edit, place: Place, new: list[str], first: int, end: int) -> Iterator[str]:
    for number in range(first, end):
        line = place.indents.line(new[number], number == 0)
        if line is None:
            raise NoMatch(
                f"{edit.path}: the text stands at line {place.first + 1} with another indentation, "
                f"in which {cut(new[number])} would begin left of the margin.",
                "Indent the edit as the file is.",
            )
        yield line


def _inserted(edit: Edit, text: str) -> Applied:
    """An edit with no old lines: a new file, or lines put in at a line."""
    file = lines(text)
    if not edit.line:
        if text:
            raise NoMatch(
                f"{edit.path}: it is there already, with {len(file)} lines.",
                "Say which of them to replace, or at which line to insert.",
            )
        return _placed(file, 0, 0, lines(edit.after), "a new file")
    if edit.line > len(file) + 1:
        raise NoMatch(f"{edit.path}: it has {len(file)} lines, none can begin at line {edit.line}.")
    end, made = _end(text), lines(edit.after)
    at = edit.line - 1
    if at == len(file) and file and not file[-1].endswith("\n"):
        file[-1] += end
    made = [
        line.removesuffix("\n").removesuffix("\r") + end if line[-1] == "\n" else line
        for line in made
    ]
    return _placed(file, at, at, made, "inserted")


def _within(edit: Edit, text: str) -> Applied | None:
    """An edit of a part of a line, or of lines whose first or last is cut; None if it is not there.

    Only what is exact and stands between other words counts.
    """
    starts, numbers = [], []
    start, number, last = text.find(edit.before), 1, 0
    while start >= 0:
        end = start + len(edit.before)
        number, last = number + text.count("\n", last, start), start
        if _is_cut_at(text, start) and _is_cut_at(text, end):
            starts.append(start)
            numbers.append(number)
        start = text.find(edit.before, start + 1)
    if not starts or not edit.before.strip():
        return None
    if len(starts) > 1:
        raise several(edit, numbers)
    start, number = starts[0], numbers[0]
    made = text[:start] + edit.after + text[start + len(edit.before) :]
    return Applied(made, number, number + edit.after.count("\n"), "part of a line")


def _is_cut_at(text: str, at: int) -> bool:
    """Whether no word goes on across here."""
    around = text[max(0, at - 1) : at + 1]
    return at in (0, len(text)) or not all(c.isalnum() or c == "_" for c in around)


def _placed(file: list[str], first: int, end: int, made: list[str], how: str) -> Applied:
    if made and not made[-1].endswith("\n") and end < len(file):
        made = [*made[:-1], f"{made[-1]}\n"]
    text = "".join([*file[:first], *made, *file[end:]])
    return Applied(text, first + 1, first + len(made), how)


def _end(text: str) -> str:
    """How most lines of a text end."""
    return "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"


def _bare(lines_: list[str]) -> list[str]:
    """Lines without their ends."""
    return [line.removesuffix("\n").removesuffix("\r") for line in lines_]


def _how(place: Place) -> str:
    if place.level is Level.STALE:
        stale = ", ".join(str(number + 1) for number in place.stale)
        return f"context at line {stale} is kept as the file has it"
    return _HOW[place.level]


def _ambiguous(edit: Edit, found: list[Place]) -> NoMatch:
    return several(edit, sorted({place.first + 1 for place in found}))
