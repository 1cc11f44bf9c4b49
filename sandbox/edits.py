"""Edits as chat models write them: search/replace blocks, unified diffs, arguments of a tool call.

    src/a.py                     --- a/src/a.py
    <<<<<<< SEARCH               +++ b/src/a.py
    x = 1                        @@ -7,2 +7,2 @@        {"path": "src/a.py", "before": "x = 1",
    =======                      -x = 1                  "after": "x = 2", "line": 7}
    x = 2                        +x = 2
    >>>>>>> REPLACE               y = 3

They may stand in fences and between prose. Nothing is looked up here: a diff's line numbers and
counts are taken for the hints that they are, and where an edit fits is the matter of `hunks`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tandem.errors import UsageError

_SEARCH = re.compile(r"(?P<indent>[ \t]*)(?P<sign><{5,9}) ?(?:SEARCH|ORIGINAL)\b.*")
_REPLACE = re.compile(r"[ \t]*>{5,9} ?(?:REPLACE|UPDATED)\b.*")
_FENCE = re.compile(r"\s*(?:```|~~~)(.*)")
_HUNK = re.compile(
    r"@@(?: -(?P<old>\d{1,9})(?:,(?P<removed>\d{1,9}))?"
    r" \+(?P<new>\d{1,9})(?:,(?P<added>\d{1,9}))?)?(?:[ .]*@@.*|\s*)"
)
_PATH_WORDS = re.compile(r"^(?:[#>*\-\s]*)(?:(?:file|path|in)\b\s*:?)?[\s`*\"']*", re.IGNORECASE)
_KEYS = {"path", "before", "after", "line"}
_REFUSED = ("rename from ", "copy from ", "GIT binary patch", "Binary files ", "new mode ")


@dataclass(frozen=True)
class Edit:
    """Lines to find in a file, and those to stand there instead.

    `line`, from 1, says where `before` should begin; 0 says nothing. With no `before` the text of
    `after` is put in so that it begins at `line`, and with no `line` either it is a whole new file.
    """

    path: str
    before: str
    after: str
    line: int = 0


def parse(text: str) -> list[Edit]:
    """The edits in a model's answer, in its order; its prose is passed over.

    Raises UsageError, in one line, where a block, a hunk or an argument is broken, or none is there.
    """
    if text.lstrip().startswith(("{", "[")):
        return _calls(text)
    reader = _Reader(text)
    edits = reader.edits()
    if not edits:
        raise UsageError(
            "The answer has no edit.",
            "Write <<<<<<< SEARCH, =======, >>>>>>> REPLACE below a path, or a unified diff.",
        )
    return edits


def called(arguments: Mapping[str, Any]) -> Edit:
    """The edit that a tool call asks for. Raises UsageError for what is missing or of a wrong type."""
    unknown = sorted(set(arguments) - _KEYS)
    if unknown:
        raise UsageError(f"An edit has no {unknown[0]!r}; it has path, before, after and line.")
    for key in ("path", "before", "after"):
        if not isinstance(arguments.get(key), str):
            wrong = "is missing" if key not in arguments else "must be text"
            raise UsageError(f"The edit's {key!r} {wrong}.")
    line = arguments.get("line") or 0
    if not isinstance(line, int) or isinstance(line, bool) or line < 0:
        raise UsageError("The edit's 'line' must be a whole number from 1.")
    edit = Edit(_plain(arguments["path"]), arguments["before"], arguments["after"], line)
    if edit.before == edit.after:
        raise UsageError(f"The edit of {edit.path!r} changes nothing.")
    return edit


def _calls(text: str) -> list[Edit]:
    try:  # the edge: a model wrote it
        read: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The edit is no JSON: {error}.") from None
    if isinstance(read, dict) and isinstance(read.get("edits"), list):
        read = read["edits"]
    calls = read if isinstance(read, list) else [read]
    if not calls or not all(isinstance(call, dict) for call in calls):
        raise UsageError("An edit must be an object with path, before and after.")
    return [called(call) for call in calls]


def _plain(path: str) -> str:
    path = path.strip()
    return path[2:] if path.startswith("./") else path


class _Reader:
    """An answer read line by line."""

    def __init__(self, text: str) -> None:
        self._lines = [line.removesuffix("\r") for line in text.split("\n")]
        # Line ends that a block's text has are those of the answer as a whole.
        self._end = "\r\n" if "\r\n" in text and text.count("\r\n") == text.count("\n") else "\n"
        self._at = 0
        self._path = ""
        self._edits: list[Edit] = []

    def edits(self) -> list[Edit]:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if head := _SEARCH.fullmatch(line):
                self._edits.append(self._block(head))
            elif self._is_file(self._at):
                self._file()
            elif line.startswith(_REFUSED):
                raise self._wrong(self._at, "only the text of files can be changed, not this")
            elif line.startswith("@@") and _HUNK.fullmatch(line):
                raise self._wrong(
                    self._at, "the hunk has no --- and +++ lines with a path above it"
                )
            elif _REPLACE.fullmatch(line):
                raise self._wrong(self._at, "a block ends here that has no <<<<<<< SEARCH")
            else:
                self._at += 1
        return self._edits

    def _block(self, head: re.Match[str]) -> Edit:
        first = self._at
        # A heading's underline may look like it, but seldom has its length too.
        dividing = head["indent"] + "=" * len(head["sign"])
        path = self._path_above(first) or self._path
        if not path:
            raise self._wrong(first, "the block has no path in the line above it")
        self._path = path
        divider = end = 0
        for number in range(first + 1, len(self._lines)):
            line = self._lines[number]
            if _SEARCH.fullmatch(line):
                break
            if line.rstrip() == dividing:
                if divider:
                    raise self._wrong(
                        number, "a second ======= in one block; which one divides it?"
                    )
                divider = number
            elif _REPLACE.fullmatch(line):
                end = number
                break
        if not divider or not end:
            missing = ">>>>>>> REPLACE" if divider else "======="
            raise self._wrong(first, f"the block that begins here has no {missing}")
        before, after = self._text(first + 1, divider), self._text(divider + 1, end)
        if before == after:
            raise self._wrong(first, "the block changes nothing")
        self._at = end + 1
        return Edit(path, before, after)

    def _text(self, first: int, end: int) -> str:
        return "".join(f"{line}{self._end}" for line in self._lines[first:end])

    def _path_above(self, first: int) -> str:
        """The path in the lines above a block: alone, as a heading, or behind a fence's language."""
        for number in range(first - 1, max(-1, first - 4), -1):
            line = self._lines[number].strip()
            fence = _FENCE.fullmatch(line)
            if fence:
                line = fence[1].strip().rpartition(" ")[2]
            if _REPLACE.fullmatch(line):
                return ""
            name = _PATH_WORDS.sub("", line).rstrip("`*:\"' ")
            if name and not re.search(r"\s", name) and ("." in name or "/" in name):
                return _plain(name)
            if line and not fence:
                return ""
        return ""

    def _is_file(self, at: int) -> bool:
        """Whether a file's part of a diff begins: three lines, as a removed line may look like one."""
        here = self._lines[at : at + 3]
        return (
            len(here) == 3
            and here[0].startswith("--- ")
            and here[1].startswith("+++ ")
            and here[2].startswith("@@")
        )

    def _file(self) -> None:
        old, new = (self._lines[self._at + n][4:].split("\t")[0].strip() for n in (0, 1))
        if new == "/dev/null":
            raise self._wrong(self._at + 1, "an edit cannot remove a file")
        # Without git's a/ and b/, as `diff -u` writes it, the names are taken as they stand.
        if new.startswith("b/") and (old.startswith("a/") or old == "/dev/null"):
            old, new = old.removeprefix("a/"), new.removeprefix("b/")
        if old not in (new, "/dev/null"):
            raise self._wrong(self._at, "an edit cannot rename a file")
        self._path = _plain(new)
        self._at += 2
        while self._at < len(self._lines) and self._lines[self._at].startswith("@@"):
            self._edits.append(self._hunk(made=old == "/dev/null"))

    def _hunk(self, made: bool) -> Edit:
        first = self._at
        head = _HUNK.fullmatch(self._lines[first])
        if not head:
            raise self._wrong(first, "it is no hunk's header")
        counted = [None if not head["old"] else int(head[key] or 1) for key in ("removed", "added")]
        before: list[str] = []
        after: list[str] = []
        self._at += 1
        while self._at < len(self._lines) and not self._hunk_ends(self._at):
            line = self._lines[self._at]
            kind, text = line[:1] or " ", line[1:]
            if kind == "\\":
                last = self._lines[self._at - 1][:1]
                for side, other in ((before, "+"), (after, "-")):
                    if side and last != other:
                        side[-1] = side[-1].removesuffix(self._end)
            elif kind in " -+":
                rest = self._lines[self._at :]
                if (not line and [len(before), len(after)] == counted) or not any(rest):
                    break  # an empty line behind the hunk
                before += [f"{text}{self._end}"] * (kind != "+")
                after += [f"{text}{self._end}"] * (kind != "-")
            elif [len(before), len(after)] == counted:
                break  # prose
            else:
                raise self._wrong(self._at, "a hunk's line begins with a space, - or +")
            self._at += 1
        while self._at < len(self._lines) and not self._lines[self._at]:
            self._at += 1
        if before == after:
            raise self._wrong(first, "the hunk changes nothing")
        return Edit(
            self._path,
            "".join(before),
            "".join(after),
            self._line(first, head, made, before, after),
        )

    def _line(
        self, first: int, head: re.Match[str], made: bool, before: list[str], after: list[str]
    ) -> int:
        """Where the hunk's lines begin in the text to which the hunks above are applied already.

        So it is the new start that counts; a hunk that leaves no line is named by the line above.
        """
        if made and before:
            raise self._wrong(first, "a new file has no old lines")
        if made or (head["old"] == "0" and not before):
            return 0
        if not head["old"]:
            if not before:
                raise self._wrong(first, "the hunk has neither old lines nor a line number")
            return 0
        return int(head["new"]) + (not after)

    def _hunk_ends(self, at: int) -> bool:
        line = self._lines[at]
        return (
            line.startswith(("@@", "diff --git ", "```", "~~~"))
            or self._is_file(at)
            or bool(_SEARCH.fullmatch(line) and not line.startswith(" "))
        )

    def _wrong(self, at: int, why: str) -> UsageError:
        return UsageError(f"Line {at + 1} of the answer, {self._lines[at][:60].strip()!r}: {why}.")
