"""Which files of the index an import means.

Exact places first, as the language looks for them, then files whose path ends like the module's
name: a source root, a package prefix or an alias of the build tool is seldom in the path.
"""

import posixpath
import re
from collections.abc import Iterator, Sequence

from completion.index import File, Index
from completion.index.modules import module_stem

# Modules are looked up by folder there, not by file.
_BY_FOLDER = frozenset({"go"})
_ENDINGS = {
    "python": (".py", ".pyi"),
    "javascript": (".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx"),
    "typescript": (".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs"),
    "rust": (".rs",),
    "ruby": (".rb",),
    "php": (".php",),
    "lua": (".lua",),
    "shellscript": (".sh", ".bash"),
}
for _same, _name in (("javascriptreact", "javascript"), ("typescriptreact", "typescript")):
    _ENDINGS[_same] = _ENDINGS[_name]
# A folder's own file.
_FOLDER_FILES = {
    "python": ("__init__",),
    "javascript": ("index",),
    "javascriptreact": ("index",),
    "typescript": ("index",),
    "typescriptreact": ("index",),
    "rust": ("mod", "lib"),
    "lua": ("init",),
}
_SEPARATORS = re.compile(r"::|[./\\:]")
# A dot parts components there; elsewhere it may begin a file's ending.
_DOTTED = frozenset({"python", "java", "kotlin", "csharp", "lua"})
_SOURCE_ROOTS = ("", "src", "lib")
MOST_FILES = 4
_MANY = 50  # of one name: there may be more
MOST_IN_FOLDER = 40


def files_of(index: Index, module: str, path: str, language: str) -> list[File]:
    """The files that `module`, as the file at `path` writes it, may mean; the likeliest first."""
    if language in _BY_FOLDER:
        return _folder(index, module)
    stem = module_stem(module, language)
    # Most modules are no files of the repository: one question tells.
    named = index.files_by_stem(stem, _MANY) if stem else []
    if stem and not named:
        return []
    known = {file.path: file for file in named}
    complete = bool(stem) and len(named) < _MANY
    found: dict[int, File] = {}
    for candidate in _places(module, path, language):
        file = known.get(candidate) or (None if complete else index.file(candidate))
        if file is not None:
            found.setdefault(file.id, file)
            if language == "python":
                break
    return list(found.values())[:MOST_FILES] or _alike(named, module, path, language)


def _folder(index: Index, module: str) -> list[File]:
    """Go names a package by its folder below the module's own name, which is not in the tree."""
    parts = module.split("/")
    for skipped in range(len(parts)):
        found = index.files_in("/".join(parts[skipped:]), MOST_IN_FOLDER)
        if found:
            return [file for file in found if not file.path.endswith("_test.go")]
    return []


def _places(module: str, path: str, language: str) -> Iterator[str]:
    folder = posixpath.dirname(path)
    if language == "python":
        dots = len(module) - len(module.lstrip("."))
        parts = [part for part in module.split(".") if part]
        if dots:
            bases = [posixpath.normpath(posixpath.join(folder, *[".."] * (dots - 1)))]
        else:
            bases = [*_ancestors(folder), *_SOURCE_ROOTS]
        targets = [posixpath.join(base, *parts) for base in bases if not base.startswith("..")]
    elif module.startswith("."):
        targets = [posixpath.normpath(posixpath.join(folder, module))]
    else:
        parts = [part for part in _SEPARATORS.split(module) if part]
        targets = [
            posixpath.join(folder, module),
            *(posixpath.join(r, module) for r in _SOURCE_ROOTS),
        ]
        targets += [posixpath.join(root, *parts) for root in _SOURCE_ROOTS if parts]
    for target in targets:
        target = target.removeprefix("./")
        if not target or target.startswith(".."):
            continue
        yield target
        stem = posixpath.splitext(target)[0] if target.endswith((".js", ".mjs", ".jsx")) else target
        for ending in _ENDINGS.get(language, ()):
            yield stem + ending
        for name in _FOLDER_FILES.get(language, ()):
            for ending in _ENDINGS.get(language, ()):
                yield posixpath.join(target, name + ending)


def _ancestors(folder: str) -> Iterator[str]:
    while folder:
        yield folder
        folder = posixpath.dirname(folder)


def _alike(named: Sequence[File], module: str, path: str, language: str) -> list[File]:
    """Of the files with the module's name those whose path ends with its components: all of them,
    or at least two."""
    if module.startswith(".") and language == "python":
        return []
    name = module
    if language not in _DOTTED and "." in module.rpartition("/")[2]:
        name = posixpath.splitext(module)[0]
    parts = [part for part in _SEPARATORS.split(name) if part.strip("@~") and part not in _OWN]
    if not parts:
        return []
    least = len(parts) if language == "python" else min(2, len(parts))
    scored = []
    for file in named:
        if not same_world(file.language, language):
            continue
        steps = _steps(file.path)
        shared = 0
        while shared < min(len(parts), len(steps)) and steps[-1 - shared] == parts[-1 - shared]:
            shared += 1
        if shared >= least:
            scored.append((-shared, -_near(file.path, path), file.path, file))
    scored.sort(key=lambda one: one[:3])
    return [file for shared, _, _, file in scored if shared == scored[0][0]][:MOST_FILES]


_OWN = frozenset({"crate", "self", "super", "..", "."})


def _steps(path: str) -> list[str]:
    """A path's folders and stem; a folder's own file counts as the folder."""
    *folders, name = path.split("/")
    stem = name.partition(".")[0]
    own = any(stem in names for names in _FOLDER_FILES.values())
    return folders if own and folders else [*folders, stem]


def _near(one: str, other: str) -> int:
    """How many folders two paths share from the top."""
    return len(posixpath.commonpath([one, other]).split("/")) if one and other else 0


_WORLDS = (
    frozenset({"javascript", "javascriptreact", "typescript", "typescriptreact"}),
    frozenset({"c", "cpp"}),
    frozenset({"java", "kotlin"}),
)


def same_world(one: str, other: str) -> bool:
    """Whether code of one language can use the other's."""
    return one == other or any(one in world and other in world for world in _WORLDS)
