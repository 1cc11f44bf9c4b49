"""A candidate leaves a sandbox only as a patch: new texts of files, told as a unified diff.

A diff that comes from outside is parsed, applied to the texts that we have, and made anew by us:
what is shown, tested and written is the same, and nothing but the text of plain files can be in
it. What a patch may touch is in `allowed`.

Lines end at "\\n" only: a carriage return belongs to its line, and so do the characters that
`str.splitlines` would split at.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from tandem.errors import TandemError

CONTEXT = 3
MATCHED = 4_000_000  # pairs of lines; a larger change is shown as one
NO_END = "\\ No newline at end of file"
_HUNK = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(?: .*)?")
# Each of these would let more than text out.
_REFUSED = (
    ("old mode ", "it changes permissions"),
    ("new mode ", "it changes permissions"),
    ("rename ", "it renames a file"),
    ("copy ", "it copies a file"),
    ("similarity index ", "it renames a file"),
    ("dissimilarity index ", "it renames a file"),
    ("GIT binary patch", "it is binary"),
    ("Binary files ", "it is binary"),
)


class PatchError(TandemError):
    """A diff that we do not read, or that does not fit the texts it is for."""


@dataclass(frozen=True)
class Hunk:
    """Lines of one place, each with its end: `start` is the first old one, from 0."""

    start: int
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True)
class FileDiff:
    """What a diff says of one file. `made`: it was not there; `removed`: it is to go."""

    path: str
    hunks: tuple[Hunk, ...]
    made: bool = False
    removed: bool = False


@dataclass(frozen=True)
class Patch:
    """New texts by path, None for a file that is to go; line ends as they shall be."""

    files: Mapping[str, str | None] = field(default_factory=dict)

    def diff(self, old: Mapping[str, str]) -> str:
        """The patch as git would show it, against these old texts; unchanged files not in it."""
        return "".join(
            _render(path, old.get(path), new)
            for path, new in sorted(self.files.items())
            if old.get(path) != new
        )


def parse(diff: str) -> tuple[FileDiff, ...]:
    """The files of a unified diff, as git or `diff -u` write it.

    Raises PatchError, with the line, for anything but text of plain files with plain names.
    """
    reader = _Reader(diff)
    found: list[FileDiff] = []
    while reader.more():
        found.append(reader.file())
    paths = [one.path for one in found]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise PatchError(f"The diff has {twice!r} twice.")
    return tuple(found)


def apply(diffs: tuple[FileDiff, ...], old: Mapping[str, str]) -> Patch:
    """The new texts. Raises PatchError where a line is not what the diff says; nothing is guessed."""
    files: dict[str, str | None] = {}
    for one in diffs:
        if one.made and one.path in old:
            raise PatchError(f"{one.path!r} is there already.")
        if not one.made and one.path not in old:
            raise PatchError(f"There is no {one.path!r} to change.")
        text = _applied(one, old.get(one.path, ""))
        if one.removed and text:
            raise PatchError(f"{one.path!r} would not be empty when it is removed.")
        files[one.path] = None if one.removed else text
    return Patch(files)


def lines(text: str) -> list[str]:
    """A text's lines with their ends; the last may have none."""
    found = text.split("\n")
    last = found.pop()
    return [f"{line}\n" for line in found] + ([last] if last else [])


def _render(path: str, old: str | None, new: str | None) -> str:
    if not path.isprintable() or '"' in path or "\\" in path:
        raise PatchError(f"{path!r} has characters that names should not have.")
    tail = "\t" if " " in path else ""  # where a name with spaces ends; git does the same
    head = f"diff --git a/{path} b/{path}\n"
    if old is None:
        head += "new file mode 100644\n"
    elif new is None:
        head += "deleted file mode 100644\n"
    hunks = _hunks(lines(old or ""), lines(new or ""))
    if not hunks:
        return head
    head += f"--- {'/dev/null' if old is None else f'a/{path}{tail}'}\n"
    head += f"+++ {'/dev/null' if new is None else f'b/{path}{tail}'}\n"
    return head + "".join(hunks)


def _hunks(old: list[str], new: list[str]) -> list[str]:
    found = []
    for group in _groups(list(_changes(old, new)), len(old)):
        first, last = group[0], group[-1]
        before = max(0, first[0] - CONTEXT)
        after = min(len(old), last[1] + CONTEXT)
        shift = first[2] - first[0]  # how much further down the new lines are
        removed, added, body = 0, 0, []
        at = before
        for start, end, new_start, new_end in group:
            body += [f" {line}" for line in old[at:start]]
            body += [f"-{line}" for line in old[start:end]]
            body += [f"+{line}" for line in new[new_start:new_end]]
            removed, added, at = removed + end - start, added + new_end - new_start, end
        body += [f" {line}" for line in old[at:after]]
        count = after - before
        old_range = _range(before, count)
        new_range = _range(before + shift, count - removed + added)
        text = "".join(line if line.endswith("\n") else f"{line}\n{NO_END}\n" for line in body)
        found.append(f"@@ -{old_range} +{new_range} @@\n{text}")
    return found


def _changes(old: list[str], new: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """Runs of lines that differ: [start, end) of the old ones and of the new ones."""
    # Most of a file is the same; the matcher takes time by the square of what is not.
    top = 0
    while top < min(len(old), len(new)) and old[top] == new[top]:
        top += 1
    end = 0
    while end < min(len(old), len(new)) - top and old[-1 - end] == new[-1 - end]:
        end += 1
    old, new = old[top : len(old) - end], new[top : len(new) - end]
    if len(old) * len(new) > MATCHED:
        yield top, top + len(old), top, top + len(new)
        return
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            yield a + top, b + top, c + top, d + top


def _groups(
    changes: list[tuple[int, int, int, int]], length: int
) -> Iterator[list[tuple[int, int, int, int]]]:
    """Changes whose context would touch, together."""
    group: list[tuple[int, int, int, int]] = []
    for change in changes:
        if group and change[0] - group[-1][1] > 2 * CONTEXT:
            yield group
            group = []
        group.append(change)
    if group:
        yield group


def _range(start: int, count: int) -> str:
    """As a hunk's header has it: an empty range is named by the line before it."""
    first = start + 1 if count else start
    return f"{first}" if count == 1 else f"{first},{count}"


def _applied(one: FileDiff, text: str) -> str:
    old = lines(text)
    new: list[str] = []
    at = 0
    for hunk in one.hunks:
        if hunk.start < at:
            raise PatchError(f"Hunks of {one.path!r} overlap.")
        new += old[at : hunk.start]
        end = hunk.start + len(hunk.old)
        if tuple(old[hunk.start : end]) != hunk.old:
            raise PatchError(
                f"The diff does not fit {one.path!r} at line {hunk.start + 1}.",
                "Make it from the text as it is now.",
            )
        new += hunk.new
        at = end
    new += old[at:]
    if any(not line.endswith("\n") for line in new[:-1]):
        raise PatchError(f"A line within {one.path!r} would have no end.")
    return "".join(new)


class _Reader:
    """A diff read line by line; every line must be known for what it is."""

    def __init__(self, diff: str) -> None:
        self._lines = diff.split("\n")
        if self._lines[-1] == "":
            self._lines.pop()
        self._at = 0

    def more(self) -> bool:
        return self._at < len(self._lines)

    def file(self) -> FileDiff:
        named, made, removed = "", False, False
        if self._peek().startswith("diff --git "):
            named = self._both(self._take().removeprefix("diff --git "))
            while self.more() and not self._peek().startswith(("diff --git ", "--- ")):
                line = self._take()
                why = next((why for start, why in _REFUSED if line.startswith(start)), "")
                if why:
                    raise self._refused(why)
                if line.startswith(("new file mode ", "deleted file mode ")):
                    made, removed = line.startswith("new"), line.startswith("deleted")
                    self._plain_mode(line.rsplit(" ", 1)[1])
                elif line.startswith("index "):
                    if len(line.split(" ")) == 3:
                        self._plain_mode(line.rsplit(" ", 1)[1])
                else:
                    raise self._refused("it is no line of a diff")
        if not self.more() or not self._peek().startswith("--- "):
            if named and (made or removed):
                return FileDiff(named, (), made, removed)
            self._at += not named
            raise self._refused("it is no file's beginning" if not named else "nothing is changed")
        old = self._name(self._take().removeprefix("--- "), "a/")
        if not self.more() or not self._peek().startswith("+++ "):
            self._at += 1
            raise self._refused("a line with +++ should be here")
        new = self._name(self._take().removeprefix("+++ "), "b/")
        if old is None and new is None:
            raise self._refused("it names no file")
        if old is not None and new is not None and old != new:
            raise self._refused("it renames a file")
        path = new if new is not None else old
        assert path is not None
        if named and path != named:
            raise self._refused("it names two files")
        if (made, removed) != (old is None, new is None) and named:
            raise self._refused("its names and its first lines disagree")
        hunks = tuple(self._hunks())
        if not hunks:
            raise self._refused("nothing is changed")
        return FileDiff(path, hunks, old is None, new is None)

    def _hunks(self) -> Iterator[Hunk]:
        while self.more() and self._peek().startswith("@@"):
            header = _HUNK.fullmatch(self._take())
            if not header:
                raise self._refused("it is no hunk's header")
            first, removed, _, added = (
                1 if group is None else int(group) for group in header.groups()
            )
            old: list[str] = []
            new: list[str] = []
            while len(old) < removed or len(new) < added:
                if not self.more():
                    raise PatchError("The diff ends within a hunk.")
                line = self._take()
                kind, text = line[:1], f"{line[1:]}\n"
                if kind not in (" ", "-", "+"):
                    raise self._refused("it is no line of a hunk")
                old += [text] * (kind != "+")
                new += [text] * (kind != "-")
                if self.more() and self._peek().startswith("\\ "):
                    self._take()
                    for side, other in ((old, "+"), (new, "-")):
                        if kind != other:
                            side[-1] = side[-1][:-1]
            if (len(old), len(new)) != (removed, added):
                raise self._refused("the hunk has other lines than its header says")
            yield Hunk(first - 1 if removed else first, tuple(old), tuple(new))

    def _name(self, name: str, prefix: str) -> str | None:
        """The path on a line; None for no file. `diff -u` writes a time behind a tab."""
        name = name.split("\t")[0]
        if name == "/dev/null":
            return None
        if name.startswith('"'):
            raise self._refused("its name is quoted: it has a character that names should not have")
        return name.removeprefix(prefix)

    def _both(self, names: str) -> str:
        """The path of `a/PATH b/PATH`."""
        middle = len(names) // 2
        old, new = names[:middle], names[middle + 1 :]
        if names[middle : middle + 1] != " " or old[:2] != "a/" or new[:2] != "b/":
            raise self._refused("it renames a file, or its name is no plain one")
        if old[2:] != new[2:]:
            raise self._refused("it renames a file")
        return old[2:]

    def _plain_mode(self, mode: str) -> None:
        if mode in ("120000", "160000"):
            raise self._refused("it is a link" if mode == "120000" else "it is a submodule")
        if mode not in ("100644", "100755"):
            raise self._refused("its permissions are no plain file's")
        if mode == "100755" and "file mode" in self._lines[self._at - 1]:
            raise self._refused("it makes a program")

    def _peek(self) -> str:
        return self._lines[self._at]

    def _take(self) -> str:
        self._at += 1
        return self._lines[self._at - 1]

    def _refused(self, why: str) -> PatchError:
        return PatchError(f"Line {self._at} of the diff is refused: {why}.")
