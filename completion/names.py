"""Names in a suggestion that nobody knows: a small model makes them up.

No ground to hide it: the name may be of a file that is not indexed. It counts against the
suggestion beside others, and with the display gate.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from completion.builtin_names import builtin_members, builtin_names
from completion.hole import hole_kind
from completion.languages import Language, language_row
from completion.tokens import Name, read

_WORD = re.compile(r"\w+")
_BEFORE_NEW_NAME = re.compile(
    r"\b(?:def|class|function|func|fn|let|const|var|val|mut|ref|as|for|struct|enum|type|interface"
    r"|trait|mod|package|global|nonlocal|lambda|static|except|catch)\s*\*?\(?\s*\Z"
)
# Parameters, and the targets of a loop or an assignment, as whole stretches.
_DEFINING = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"\b(?:def|function|func|fn)\b[^\n(]*\(([^\n]*)",
        r"\bfor\s*\(?\s*(?:const|let|var)?\s*([^\n]*?)\s+(?:in|of)\b",
        r"\blambda\b([^\n:]*):",
        r"\(([^()\n]*)\)\s*=>",
        r"\|([^|\n]*)\|",
        r"^[ \t]*(?:(?:const|let|var)\s+)?([\w\s,*()\[\]{}:]*?)\s*:?=(?![=>])",
        r"\bas\s*\(([^()\n]*)\)",
    )
)
# A key, a keyword argument, an annotated name, or the one parameter of an arrow.
_NAMED = re.compile(r"[ \t]*(?:=(?!=)|:=|\??:(?![:\n])[ \t]*\S)")


def unknown_names(
    suggestion: str,
    text: str,
    offset: int,
    language: str,
    known: Callable[[str], bool] = lambda name: False,
) -> list[str]:
    """Names that the suggestion, inserted at a character offset of the text, uses and that are
    nowhere in the text, not defined by the suggestion, not the language's own, and not `known`,
    which tells of the index. In order, each once. None in strings and comments, nor where the
    cursor stands in one.
    """
    if hole_kind(text, offset, language).inside != "code":
        return []
    row = language_row(language)
    start, end = text.rfind("\n", 0, offset) + 1, text.find("\n", offset)
    end = end if end >= 0 else len(text)
    tail = _WORD.match(text, offset, end)  # the suggestion may end inside a word
    written = text[start:offset] + suggestion + (tail[0] if tail else "")
    names = read(written, 0, len(written), 0, language, at_cursor=False).names
    left = offset - start
    names = [one for one in names if one.offset + len(one.text) > left]
    own = _defined(written, names, row)
    around = _words(text[:start]), _words(text[end:]), frozenset(_WORD.findall(text[start:end]))
    found: dict[str, None] = {}
    for one in names:
        if one.offset >= left + len(suggestion) or one.text in own:
            continue
        builtin = builtin_members(language) if one.receiver else builtin_names(language)
        if one.text in builtin or any(one.text in words for words in around):
            continue
        if one.text not in found and not known(one.text):
            found[one.text] = None
    return list(found)


def _defined(written: str, names: list[Name], row: Language) -> set[str]:
    """Names that this text itself brings in."""
    defined: set[str] = set()
    for pattern in _DEFINING:
        for match in pattern.finditer(written):
            defined.update(_WORD.findall(match[1]))
    for one in names:
        line = written.rfind("\n", 0, one.offset) + 1
        before = written[line : one.offset]
        imports = re.match(rf"[ \t]*(?:{row.importing})", written[line:])
        named = not one.receiver and _NAMED.match(written, one.offset + len(one.text))
        if imports or named or (not one.receiver and _BEFORE_NEW_NAME.search(before)):
            defined.add(one.text)
    return defined


@lru_cache(maxsize=16)
def _words(text: str) -> frozenset[str]:
    """Cached: what stands above and below the cursor's line is the same from key to key."""
    return frozenset(_WORD.findall(text))
