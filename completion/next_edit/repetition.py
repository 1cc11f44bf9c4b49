"""The same small edit made twice on lines that are alike: the third, and those after it."""

from dataclasses import dataclass
from difflib import SequenceMatcher

from completion.next_edit.names import binding_at
from completion.next_edit.proposal import Place
from completion.next_edit.text import NAME, TOKEN, Source

# Lines that the third may be below the second, and how alike it must be.
REACH = 40
ALIKE = 0.6
# Tokens around an edit that must be the same; more where the edit only puts something in.
_CONTEXT = 1
_MOST = 12  # tokens of an edit


@dataclass(frozen=True)
class _Edit:
    row: int
    before: tuple[bytes, ...]
    gone: tuple[bytes, ...]
    come: tuple[bytes, ...]
    left: tuple[bytes, ...]
    right: tuple[bytes, ...]

    @property
    def what(self) -> tuple[tuple[bytes, ...], ...]:
        return self.gone, self.come, self.left, self.right


def places(old: Source, new: Source) -> list[Place]:
    """In the old text, those done already left out; none where there is no pattern."""
    before, after = old.data.split(b"\n"), new.data.split(b"\n")
    if len(before) != len(after):
        return []
    changed = [row for row, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    if not 2 <= len(changed) <= 60:
        return []
    edits = [_edit(row, before[row], after[row]) for row in changed]
    first = edits[0]
    if first is None or any(one is None or one.what != first.what for one in edits):
        return []
    if b"".join(first.gone + first.come).isspace():
        return []
    last = changed[-1]
    # One passed over by the user says that they are not all meant.
    for row in range(changed[0], last):
        if row not in changed and _fits(before[row], first) is not None:
            return []
    starts = _starts(before)
    bound = [_bound(old, starts[row], before[row], first) for row in changed]
    if any(one != bound[0] for one in bound):
        return []
    found: list[Place] = []
    for row in range(last + 1, min(len(before), last + 1 + REACH)):
        at = _fits(before[row], first)
        if at is None or _bound(old, starts[row], before[row], first) != bound[0]:
            continue
        gone = b"".join(first.gone).decode("utf-8", "replace")
        come = b"".join(first.come).decode("utf-8", "replace")
        left = sum(map(len, first.left)) if not gone else 0
        # What only puts something in is tied to the token before it, to stay where that goes.
        anchor = b"".join(first.left).decode("utf-8", "replace") if not gone else ""
        found.append(Place(starts[row] + at - left, anchor + gone, anchor + come))
    return found


def _edit(row: int, old: bytes, new: bytes) -> _Edit | None:
    """The one edit of a line, with the tokens beside it."""
    before, after = TOKEN.findall(old), TOKEN.findall(new)
    codes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    changed = [one for one in codes if one[0] != "equal"]
    if len(changed) != 1:
        return None
    _, a, b, c, d = changed[0]
    if max(b - a, d - c) > _MOST:
        return None
    size = _CONTEXT if b > a else 2 * _CONTEXT
    left, right = before[max(0, a - size) : a], before[b : b + size]
    return _Edit(
        row, tuple(before), tuple(before[a:b]), tuple(after[c:d]), tuple(left), tuple(right)
    )


def _fits(line: bytes, edit: _Edit) -> int | None:
    """Where in a line, in bytes, the same edit can be made; None if not at just one place."""
    tokens = TOKEN.findall(line)
    pattern = [*edit.left, *edit.gone, *edit.right]
    whole = edit.gone or (len(edit.left) == 2 * _CONTEXT and edit.right)
    if not whole or not any(token.strip() for token in pattern):
        return None
    at = [
        index
        for index in range(len(tokens) - len(pattern) + 1)
        if tokens[index : index + len(pattern)] == pattern
    ]
    if len(at) != 1:
        return None
    if SequenceMatcher(None, tokens, edit.before, autojunk=False).ratio() < ALIKE:
        return None
    return sum(map(len, tokens[: at[0] + len(edit.left)]))


def _bound(source: Source, start: int, line: bytes, edit: _Edit) -> int | None:
    """Where the name that the edit replaces is defined first, if it is a variable's: the same name
    elsewhere may be another's."""
    name = b"".join(edit.gone)
    at = _fits(line, edit)
    if at is None or not NAME.fullmatch(name) or source.root is None:
        return None
    found = binding_at(source, name.decode(), start + at)
    return found[0].definitions[0].start if found else None


def _starts(lines: list[bytes]) -> list[int]:
    starts, at = [], 0
    for line in lines:
        starts.append(at)
        at += len(line) + 1
    return starts
