"""Where a prompt's context is fixed while one types within a line.

Each change of the context costs the model a new reading of all that follows it. So the context
does not follow the cursor: it is that of where the line's code starts, or of the last place on
the line that brings a definition into play: after a name's dot while the member's name is typed,
after the bracket of a call that is still open. Back at the line's own context the engine finds
what it had read before.
"""

import re

_MEMBER = re.compile(r"(?:\w|\)|\])(?:\.|->|::|\?\.)(?=\w*\Z)")
_COMMENT = re.compile(r"\s*(?:#|//|--|/?\*)")
_COMMAND = re.compile(r"\s*[\w-]+\s")
_CALL = re.compile(r"(?<=\w)\(")


def anchor(text: str, offset: int, language: str = "") -> int:
    """The offset, at or before the cursor, at which context is looked up."""
    line = text.rfind("\n", 0, offset) + 1
    typed = text[line:offset]
    comment = _COMMENT.match(typed)
    if comment:
        return line + comment.end()
    member = _MEMBER.search(typed)
    if member:
        return line + member.end()
    # The innermost call on the line that is still open; strings with brackets are rare enough.
    for call in reversed(list(_CALL.finditer(typed))):
        inside = typed[call.end() :]
        if inside.count(")") <= inside.count("("):
            return line + call.end()
    command = _COMMAND.match(typed) if language == "shellscript" else None
    if command:
        return line + command.end()
    # How far the line is indented tells which block it belongs to.
    return line + len(typed) - len(typed.lstrip(" \t"))


def text_at(text: str, at: int, offset: int) -> tuple[str, int]:
    """The text without what was typed on the line since `at`, and without the line's rest.

    So it is the same from key to key, and so is everything that is read from it.
    """
    end = text.find("\n", offset)
    return text[:at] + (text[end:] if end >= 0 else ""), at
