"""How imports name modules, and files answer to it."""

import re

_DOTTED = frozenset({"python", "java", "kotlin", "csharp", "scala", "lua", "rust"})
_ENDING = re.compile(
    r"\.(?:[cm]?[jt]sx?|vue|svelte|h|hh|hpp|hxx|c|cc|cpp|cxx|inl|cuh?|rb|php|sh|bash|json)\Z"
)
# These files are their folder's: a module is called by that.
_OF_FOLDER = frozenset({"__init__", "index", "mod", "lib", "main", "init"})
_NO_NAME = frozenset({"src", "lib"})


def module_stem(module: str, language: str) -> str:
    """The last component of a module's name or path: `c` of `a.b.c`, `../b/c.js`, `a::b::c`; ""
    where it names none, as `..` does."""
    if language in _DOTTED:
        return re.split(r"::|[./\\]", module)[-1]
    last = re.split(r"[/\\]|::", module.rstrip("/\\"))[-1]
    return "" if last in (".", "..") else _ENDING.sub("", last)


def stems_of(path: str) -> set[str]:
    """What a file is looked for by: its name without the ending, and its folder's where it stands
    for that."""
    *folders, name = path.split("/")
    stem = (name.rpartition(".")[0] or name).removesuffix(".d")
    if stem not in _OF_FOLDER:
        return {stem}
    named = [folder for folder in folders if folder not in _NO_NAME]
    return {stem, *named[-1:]}
