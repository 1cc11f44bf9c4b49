"""Where a prompt's context is fixed while one types within a line.

Each change of the context costs the model a new reading of all that follows it. So the context
does not follow the cursor: it is that of the line's start, or of the last place on the line that
can bring a definition into play: after a name's dot or opening bracket.
"""

import re

_TRIGGER = re.compile(r"(?<=\w)(?:\(|::|\.|->)")


def anchor(text: str, offset: int) -> int:
    """The offset, at or before the cursor, at which context is looked up."""
    line = text.rfind("\n", 0, offset) + 1
    last = line
    for match in _TRIGGER.finditer(text, line, offset):
        last = match.end()
    return last


def text_at(text: str, at: int, offset: int) -> tuple[str, int]:
    """The text without what was typed on the line since `at`, and without the line's rest.

    So it is the same from key to key, and so is everything that is read from it.
    """
    end = text.find("\n", offset)
    return text[:at] + (text[end:] if end >= 0 else ""), at
