"""What to say of an edit that was not applied, so that a model can mend it: in one line."""

from sandbox import places
from sandbox.edits import Edit
from tandem.errors import TandemError

SHOWN = 100  # characters of a line in a message
LISTED = 6  # places in a message


class NoMatch(TandemError):
    """An edit that fits no place, or more than one. Nothing is changed."""


def several(edit: Edit, numbers: list[int]) -> NoMatch:
    """Of an edit that could stand at each of these lines."""
    if len(set(numbers)) == 1:
        return NoMatch(
            f"{edit.path}: the text at line {numbers[0]} could end at several places.",
            "Write out the lines instead of `...`.",
        )
    listed = ", ".join(map(str, numbers[:LISTED])) + (" and more" if len(numbers) > LISTED else "")
    near = f", and line {edit.line} is not clearly nearest to one" if edit.line else ""
    return NoMatch(
        f"{edit.path}: the text stands at lines {listed}{near}.",
        "Add lines around it that tell which, or give its line.",
    )


def nowhere(edit: Edit, wanted: list[str], file: list[str]) -> NoMatch:
    """What to say of an edit that fits no place: the nearest one, and where it first differs."""
    if not any(line.strip() for line in wanted):
        return NoMatch(f"{edit.path}: the edit's old lines are blank.", "Add lines around them.")
    first = places.nearest(wanted, file, edit.line)
    if first is None:
        shown = next(line for line in wanted if line.strip())
        return NoMatch(
            f"{edit.path}: no line of the edit stands there, not even one like {cut(shown)}.",
            f"Open the file again; it has {len(file)} lines.",
        )
    if first < 0:
        return NoMatch(
            f"{edit.path}: the text is not there. Nearest is line 1, but above it the edit has "
            f"{cut(wanted[0])}, and the file nothing."
        )
    for at, ours in enumerate(wanted):
        number = first + at
        theirs = file[number] if number < len(file) else None
        if theirs is None or places.spaced(theirs) != places.spaced(ours):
            has = f"is {cut(theirs)}" if theirs is not None else "is not there"
            return NoMatch(
                f"{edit.path}: the text is not there. Nearest are lines {first + 1} to "
                f"{min(len(file), first + len(wanted))}: line {number + 1} {has}, "
                f"your edit has {cut(ours)}."
            )
    return NoMatch(
        f"{edit.path}: lines {first + 1} to {first + len(wanted)} have these words, but are not "
        "indented like the edit's.",
        "Copy them as they are.",
    )


def cut(line: str) -> str:
    """A line for a message: its spaces can be seen."""
    return repr(line if len(line) <= SHOWN else f"{line[:SHOWN]}…")
