"""From a chat model's answer to changed code, and how the change looks, also while it comes."""

import difflib
import re

_BLOCK = re.compile(r"^(`{3,}|~{3,})[^\n`]*\n(.*?)(?:^\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
# An answer without fences that begins like this talks about code instead of being some.
_TALK = re.compile(r"\s*(?:sure|here(?:'s| is)|certainly|of course|i )", re.IGNORECASE)


def code_of(answer: str) -> str:
    """The code of an answer: its longest block, also one that has not ended yet, or all of it if
    there is none; "" for mere talk."""
    blocks = [match[2] for match in _BLOCK.finditer(answer)]
    if blocks:
        return max(blocks, key=len)
    return "" if _TALK.match(answer) else answer


def edited(answer: str, selection: str) -> str:
    """What an answer makes of the selected lines: at their depth, with their last line's end.

    "" if the answer holds no code.
    """
    code = code_of(answer).strip("\n")
    if not code.strip():
        return ""
    code = _indented(code, selection)
    return code + "\n" if selection.endswith("\n") else code


def diff(before: str, after: str, path: str, first: int = 0) -> str:
    """Unified, with the line numbers of a selection that begins at row `first` of its file."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"a/{path}", f"b/{path}", lineterm=""
    )
    return "\n".join(_moved(line, first) for line in lines)


def diff_so_far(before: str, answer: str, path: str, first: int = 0) -> str:
    """The same of an answer that still comes: its whole lines, and of the selection only what
    they have reached."""
    after = code_of(answer)
    after = after[: after.rfind("\n") + 1]
    if not after.strip():
        return ""
    after = _indented(after.strip("\n"), before) + "\n"
    old, new = before.splitlines(), after.splitlines()
    steps = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    kind, low, high, begin, end = steps[-1]
    reached = low + min(high - low, end - begin) if kind in ("replace", "delete") else high
    return diff("\n".join(old[:reached]), after, path, first)


def _indent(text: str) -> str:
    """What all its lines begin with."""
    lines = [line for line in text.splitlines() if line.strip()]
    starts = [line[: len(line) - len(line.lstrip())] for line in lines]
    low, high = min(starts, default=""), max(starts, default="")
    same = next((n for n, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return low[:same]


def _indented(code: str, selection: str) -> str:
    """The code at the selection's depth. Models answer at depth 0, or with their first line there
    alone, as if it stood where the selection begins."""
    indent, own = _indent(selection), _indent(code)
    new, old = code.split("\n"), selection.split("\n")
    if len(new) > 1 and len(old) > 1 and new[0] == old[0].strip() and _depth(new) == _depth(old):
        return old[0][: len(old[0]) - len(old[0].lstrip())] + code
    return "\n".join(indent + line[len(own) :] if line.strip() else "" for line in new)


def _depth(lines: list[str]) -> int:
    """Of the first line after the first that says something."""
    return next((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), 0)


def _moved(line: str, first: int) -> str:
    if not line.startswith("@@"):
        return line
    return re.sub(r"(?<=[-+])\d+", lambda m: str(int(m[0]) + first), line, count=2)
