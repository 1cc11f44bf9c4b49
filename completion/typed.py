"""What type a variable has, as far as annotations and constructor calls near it tell."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from completion.languages import Language, words
from completion.outline import FUNCTIONS, Symbol

# Characters read of a function and of a class.
LONGEST_FUNCTION, LONGEST_CLASS, LONGEST_HEAD = 8000, 24_000, 1500
MOST_LINES = 150  # of a function, before the cursor
CLASSES = frozenset({"class", "struct", "interface", "trait", "enum", "scope", "object", "record"})
_TYPE = r"[A-Za-z_][\w.]*(?:(?:::|\\)\w+)*"
_VARIABLE = r"(?:(?:self|this)\.|\$this->|@)?\$?[A-Za-z_]\w*"
_WRAPPERS = "Optional|Option|Box|Arc|Rc|Final|ClassVar|Readonly|Mutex|RefCell|Annotated|Type|type"
_ANNOTATED = re.compile(
    rf"(?<![\w.$?])({_VARIABLE})[?!]?\s*:\s*(?:&\s*|'\w+\s+(?!\w*')|mut\s+|dyn\s+|impl\s+)*[\"']?"
    rf"(?:(?:typing\.)?(?:{_WRAPPERS})[<\[]\s*)*(?:&\s*|mut\s+|dyn\s+)*({_TYPE})"
)
_CREATED = re.compile(
    rf"(?<![\w.$@])({_VARIABLE})\s*(?::[^=\n]{{1,60}})?:?=\s*(?:await\s+|new\s+|&)*"
    rf"({_TYPE}(?::new(?=\())?)\s*(?:<[^>\n]*>)?(?:[({{])"
)
_NEW_IN_RUBY = re.compile(rf"(?<![\w.$@])({_VARIABLE})\s*=\s*({_TYPE})\.new\b")
_DECLARED = re.compile(
    rf"(?<![\w.])({_TYPE})(?:<[^;()\n]*>)?(?:\[\])?\??(?:\s*[*&]+\s*|\s+)(\$?[A-Za-z_]\w*)\s*(?=[=;,)]|\bin\b|:\s)"
)
_CONSTRUCTED = re.compile(
    rf"(?m)^\s*(?:static\s+|const\s+)*({_TYPE})(?:<[^;()\n]*>)?\s+(\w+)\s*[({{]"
)
_GO = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\s+(?:\[\])?\*?([A-Za-z_][\w.]*)\s*(?=[,)=\n])")
_TAKEN_OVER = re.compile(r"((?:self|this)\.|\$this->|@)(\w+)\s*=\s*\$?(\w+)\s*(?=[;\n}]|\Z)")
_PROMOTED = re.compile(
    rf"\b(?:private|public|protected|readonly|val|var)\s+(?:readonly\s+)?(\$?\w+)\??\s*:\s*({_TYPE})"
)
_PROMOTED_IN_PHP = re.compile(
    rf"\b(?:private|public|protected)\s+(?:readonly\s+)?\??({_TYPE})\s+\$(\w+)"
)
_MODIFIER = re.compile(r"\b(?:private|public|protected|readonly|val|var)\b")
_CONSTRUCTOR = re.compile(
    r"\b(?:__init__|constructor|__construct|initialize)\b|\b[A-Z]\w*\([^()]*\)\s*\{"
)
_MAKES = re.compile(r"(?:new|create|default|from\w*|getInstance|instance)\Z")
_ANNOTATING = frozenset({"python", "typescript", "typescriptreact", "rust", "kotlin"})
_DECLARING = frozenset({"java", "csharp", "c", "cpp", "php"})
# Here types begin with small letters too.
_SMALL = frozenset({"c", "cpp", "go"})
_NO_TYPES = words(
    "return else new delete goto case throw const static struct int char void float double bool long"
    " short unsigned signed auto var let string error byte rune uint int64 int32 uint64 float64 any"
    " size_t using typedef extern inline package import func type range go defer if for switch and"
    " public private protected final abstract virtual in is not or await yield"
)
_BASES = re.compile(
    r"\b(?:extends|implements)\s+(?P<words>[\w.,\\ ]+)|\bclass\s+\w+\s*\((?P<python>[^)]*)\)"
    r"|\bclass\s+[\w:]+\s*<\s*(?P<ruby>[\w:]+)\s*\Z|(?<!:):(?!:)\s*(?P<colon>.+)"
)
_RUST_TRAIT = re.compile(r"\bimpl\b(?:<[^{]*?>)?\s+([\w:]+)(?:<.*?>)?\s+for\b")


def bases(around: Sequence[Symbol], language: str) -> tuple[str, ...]:
    """What the innermost class inherits from or implements, by name."""
    holder = next((one for one in reversed(around) if one.kind in CLASSES), None)
    return bases_of(holder.signature, language) if holder else ()


def bases_of(signature: str, language: str) -> tuple[str, ...]:
    """The same, read from a class's header."""
    if language == "rust":
        return tuple(_RUST_TRAIT.findall(signature))
    found: list[str] = []
    for match in _BASES.finditer(_plain(signature, language)):
        text = next(group for group in match.groups() if group is not None)
        text = re.sub(r"\bwhere\b.*|\{.*|\[[^\]]*\]", "", text)
        for part in re.split(r",|\b(?:extends|implements)\b", text):
            if part.strip() and "=" not in part:
                found.append(part.split()[-1])
    return tuple(dict.fromkeys(found))


def _plain(signature: str, language: str) -> str:
    """A class's header without type parameters, and without those of its constructor."""
    if language == "python":
        return _without(r"\[[^\[\]]*\]", signature)
    signature = _without(r"<[^<>]*>", signature)
    return re.sub(r"(?<=\w)\s*\([^()]*(?:\([^()]*\)[^()]*)*\)", "", signature)


def _without(brackets: str, text: str) -> str:
    for _ in range(3):  # as deep as they nest
        text = re.sub(brackets, "", text)
    return text


def types_near(text: str, row: int, around: Sequence[Symbol], language: Language) -> dict[str, str]:
    """The type's name by variable, in the innermost function and its class.

    Members of one's own object are spelled as the code spells them, `self.x` or `this.x`. The
    last word before the cursor's `row` counts.
    """
    function = next((one for one in reversed(around) if one.kind in FUNCTIONS), None)
    holder = next((one for one in reversed(around) if one.kind in CLASSES), None)
    first = max(function.first if function else 0, row - MOST_LINES)
    lines = text.split("\n")
    found: dict[str, str] = {}
    name = holder.name if holder else function.container if function else ""
    if name:
        found.update(dict.fromkeys(language.selves, name.rpartition(".")[2]))
    if holder and language.selves:
        # Without the cursor's line: the same from key to key.
        body = [*lines[holder.first : row], *lines[row + 1 : holder.last + 1]]
        found |= _members("\n".join(body)[:LONGEST_CLASS], language)
    local = "\n".join(lines[first : row + 1])[-LONGEST_FUNCTION:]
    found.update(_pairs(local, language.name))
    return found


@lru_cache(maxsize=8)
def _members(body: str, language: Language) -> dict[str, str]:
    """What the class says of the members of its object."""
    own = language.selves[0] + ("->" if language.name == "php" else ".")
    lines = body.split("\n")
    mark = "@" if language.name == "ruby" else own
    said = "\n".join([line for line in lines if mark in line])
    found = {own + name.lstrip("$"): kind for name, kind in _fields(lines, language.name)}
    if language.name == "php":
        found |= {own + name: kind for kind, name in _PROMOTED_IN_PHP.findall(body)}
    elif _MODIFIER.search(body):
        promoted = _PROMOTED.findall(body)
        found |= {own + name: kind for name, kind in promoted if _is_type(kind, language.name)}
    taken = _TAKEN_OVER.findall(said)
    if taken:
        made = [match.start() for match in _CONSTRUCTOR.finditer(body)][:3]
        heads = "\n".join(body[at : at + LONGEST_HEAD] for at in made)
        known = dict(_pairs(heads, language.name))
        for prefix, name, value in taken:
            kind = known.get(value) or known.get("$" + value)
            if kind:
                found.setdefault(prefix + name, kind)
    pairs = _pairs(said, language.name)
    return found | {name: kind for name, kind in pairs if name.startswith((own, "@"))}


def _fields(lines: Sequence[str], language: str) -> Iterable[tuple[str, str]]:
    """Of the lines that stand just inside the class."""
    inside = [line for line in lines if line.strip()]
    columns = [len(line) - len(line.lstrip()) for line in inside]
    inner = next((column for column in columns if column > columns[0]), 0)
    level = (line for line, at in zip(inside, columns, strict=True) if at == inner)
    # Parameters are no fields; what a call makes is one.
    heads = (line if "=" in line.partition("(")[0] else line.partition("(")[0] for line in level)
    return _pairs("\n".join(heads), language)


@lru_cache(maxsize=64)
def _pairs(code: str, language: str) -> Sequence[tuple[str, str]]:
    """Variables and the names of their types, in the order of their kinds."""
    found: list[tuple[str, str]] = []
    if language in _ANNOTATING:
        found += _ANNOTATED.findall(code)
    if language in _DECLARING:
        found += [(name, kind) for kind, name in _DECLARED.findall(code)]
    if language == "cpp":
        found += [(name, kind) for kind, name in _CONSTRUCTED.findall(code)]
    if language == "go":
        found += _GO.findall(code)
    found = [(name, kind) for name, kind in found if _is_type(kind, language)]
    for name, kind in _CREATED.findall(code):
        made = _created(kind, language)
        if made:
            found.append((name, made))
    if language == "ruby":
        found += _NEW_IN_RUBY.findall(code)
    return found


def _created(called: str, language: str) -> str:
    """The type that a call makes, "" if it does not tell."""
    head, mark, last = _split(called)
    if language == "go":
        last = last[3:] if re.match(r"New[A-Z]", last) else last
        return head + mark + last if last[:1].isupper() and last != "New" else ""
    if last[:1].isupper() or (language in ("c", "cpp") and called[:1].isupper()):
        return called
    if head and (_MAKES.match(last) or language == "rust") and _split(head)[2][:1].isupper():
        return head
    return ""


@lru_cache(maxsize=4096)
def _split(name: str) -> tuple[str, str, str]:
    parts = re.split(r"(\.|::|:|\\)", name)
    return "".join(parts[:-2]), parts[-2] if len(parts) > 1 else "", parts[-1]


def _is_type(name: str, language: str) -> bool:
    last = _split(name)[2]
    return name not in _NO_TYPES and (last[:1].isupper() or language in _SMALL)
