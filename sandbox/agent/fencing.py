"""Marks what comes from the repository or its users as data. What it says gives nobody a right:
the tools' rights do not depend on any text."""

import secrets
import unicodedata

_KEPT = "\n\t"


def fenced(label: str, text: str) -> str:
    """Between marks that the text cannot know, without controls and what cannot be seen."""
    mark = secrets.token_hex(6)
    plain = "".join(c if c in _KEPT or unicodedata.category(c)[0] != "C" else "?" for c in text)
    return f"<data {mark} from={label}>\n{plain}\n</data {mark}>"
