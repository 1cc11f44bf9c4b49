"""Where a Python name of a repository is defined, as Python's own import rules say.

It is the truth that retrieval is measured against, so it is read by `ast` and knows nothing of
the index. What is not certain is not answered: a module that may be one of two files, a name that
two imports bind.
"""

import ast
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from completion.statements import line_starts
from finetune import files
from finetune.bindings import Bindings, Imported, Statement, bindings_of, tree_of

SIGNATURE = 200  # characters, white space not counted
_DEEPEST = 8  # re-exports of re-exports, bases of bases
_LAST_COMMA = re.compile(r",(?=[)\]}])")
_ROOTS = ("", "src", "lib")


@dataclass(frozen=True)
class Target:
    """A definition: `signatures` are its headers, without white space; several if it is
    overloaded. `container`: the class of a member. `row` from 0, of the first."""

    path: str
    name: str
    row: int
    signatures: tuple[str, ...]
    container: str = ""


@dataclass(frozen=True)
class Module:
    """A file, or a folder without `__init__.py`."""

    path: str

    @property
    def folder(self) -> str | None:
        """Where its submodules lie."""
        path = PurePosixPath(self.path)
        if path.suffix:
            return _posix(path.parent) if path.stem == "__init__" else None
        return self.path


@dataclass
class _File:
    text: str
    tree: ast.Module

    @cached_property
    def bindings(self) -> Bindings:
        return bindings_of(self.tree.body)

    @cached_property
    def starts(self) -> list[int]:
        return line_starts(self.text)


class Modules:
    """The Python files of the repository in `root`; `paths` are relative to it."""

    def __init__(self, root: Path, paths: Collection[str]) -> None:
        self._root = root
        self._paths = {path for path in paths if path.endswith(".py")}
        self._folders = {_posix(up) for path in self._paths for up in PurePosixPath(path).parents}
        self._files: dict[str, _File | None] = {}

    def imported(self, found: Imported, importer: str) -> Target | Module | None:
        """What an import in the file `importer` brings, if that is in the repository."""
        module = self._module(found.module, found.level, importer)
        if module is None or not found.name:
            return module
        return self.attribute(module, found.name)

    def attribute(self, module: Module, name: str, depth: int = 0) -> Target | Module | None:
        """What `module.name` is."""
        if depth > _DEEPEST:
            return None
        file = self._file(module.path)
        bound = file.bindings.by_name.get(name, []) if file else []
        statements = [one for one in bound if not isinstance(one, Imported)]
        if file and statements:
            same = len(statements) == len(bound)
            return self._target(module.path, name, statements) if same else None
        imports = [one for one in bound if isinstance(one, Imported)]
        if imports:
            found = {self._follow(one, module.path, depth) for one in imports}
            return found.pop() if len(found) == 1 else None
        stars = file.bindings.stars if file and not name.startswith("_") else []
        for star in stars:
            source = self._module(star.module, star.level, module.path)
            known = self.attribute(source, name, depth + 1) if source else None
            if known is not None:
                return known
        folder = module.folder
        return self._below(folder, [name]) if folder is not None else None

    def member(self, owner: Target, name: str, depth: int = 0) -> Target | None:
        """What the class `owner` or the first of its bases that has it defines as `name`.

        None if a base before that is not known, or if it is no class.
        """
        file = self._file(owner.path)
        if file is None or depth > _DEEPEST or owner.container:
            return None
        bound = file.bindings.by_name.get(owner.name, [])
        (node,) = bound if len(bound) == 1 else (None,)
        if not isinstance(node, ast.ClassDef):
            return None
        own = bindings_of(node.body).by_name.get(name, [])
        statements = [one for one in own if not isinstance(one, Imported)]
        if own:
            target = self._target(owner.path, name, statements) if statements else None
            return replace(target, container=owner.name) if target else None
        for base in node.bases:
            above = self.expression(base, owner.path)
            if not isinstance(above, Target):
                return None
            found = self.member(above, name, depth + 1)
            if found is not None or not self._whole(above):
                return found
        return None

    def expression(self, node: ast.expr, path: str) -> Target | Module | None:
        """A dotted name at the module level of a file."""
        if isinstance(node, ast.Name):
            return self.attribute(Module(path), node.id)
        if isinstance(node, ast.Attribute):
            of = self.expression(node.value, path)
            return self.attribute(of, node.attr) if isinstance(of, Module) else None
        return None

    def _whole(self, owner: Target, depth: int = 0) -> bool:
        """Whether all of a class's bases are known, so that what it lacks it lacks."""
        file = self._file(owner.path)
        (node,) = file.bindings.by_name.get(owner.name, [None])[:1] if file else (None,)
        if not isinstance(node, ast.ClassDef) or depth > _DEEPEST:
            return False
        bases = [self.expression(base, owner.path) for base in node.bases]
        return all(isinstance(one, Target) and self._whole(one, depth + 1) for one in bases)

    def _follow(self, found: Imported, path: str, depth: int) -> Target | Module | None:
        module = self._module(found.module, found.level, path)
        if module is None or not found.name:
            return module
        return self.attribute(module, found.name, depth + 1)

    def _module(self, dotted: str, level: int, importer: str) -> Module | None:
        parts = dotted.split(".") if dotted else []
        here = PurePosixPath(importer).parent
        if level:
            if level - 1 > len(here.parts):
                return None
            folder = here if level == 1 else here.parents[level - 2]
            return self._below(_posix(folder), parts)
        if parts[0] in sys.stdlib_module_names:
            return None
        found = {self._below(root, parts) for root in self._roots(here)} - {None}
        return found.pop() if len(found) == 1 else None

    def _roots(self, here: PurePosixPath) -> set[str]:
        """Where an absolute import may start: in the folder above the importer's package, and
        where projects keep their packages."""
        while _posix(here / "__init__.py") in self._paths and here.parts:
            here = here.parent
        return {_posix(here), *_ROOTS}

    def _below(self, folder: str, parts: Sequence[str]) -> Module | None:
        path = "/".join([*filter(None, [folder]), *parts])
        for file in (f"{path}/__init__.py".removeprefix("/"), f"{path}.py"):
            if file in self._paths:
                return Module(file)
        return Module(path) if path in self._folders else None

    def _target(self, path: str, name: str, found: Sequence[Statement]) -> Target:
        file = self._file(path)
        assert file
        headers = tuple(dict.fromkeys(_signature(file, one) for one in found))
        return Target(path, name, found[0].lineno - 1, headers)

    def _file(self, path: str) -> _File | None:
        if path not in self._files:
            self._files[path] = _parsed(self._root / path) if path in self._paths else None
        return self._files[path]


def offset_of(text: str, starts: Sequence[int], row: int, byte: int) -> int:
    """The character offset of a place that `ast` tells: `row` from 1, columns in UTF-8 bytes."""
    start = starts[row - 1]
    end = starts[row] if row < len(starts) else len(text)
    return start + len(text[start:end].encode("utf-8", "replace")[:byte].decode("utf-8", "ignore"))


def squeezed(text: str) -> str:
    """Without white space and without a comma after the last of a list: formatting aside."""
    return _LAST_COMMA.sub("", "".join(text.split()))


def _parsed(file: Path) -> _File | None:
    text = files.decoded(file.read_bytes(), "python")
    text = text.replace("\r\n", "\n").replace("\r", "\n") if text is not None else None
    tree = tree_of(text) if text is not None else None
    return _File(text, tree) if text is not None and tree is not None else None


def _signature(file: _File, node: Statement) -> str:
    """Up to the end of the arguments or of the type; of a constant its first line."""
    start = offset_of(file.text, file.starts, node.lineno, node.col_offset)
    if isinstance(node, ast.Assign | ast.AnnAssign):
        end = offset_of(file.text, file.starts, node.end_lineno or 1, node.end_col_offset or 0)
        return squeezed(file.text[start:end].partition("\n")[0])[:SIGNATURE]
    last = [
        offset_of(file.text, file.starts, part.end_lineno, part.end_col_offset)
        for part in _header(node)
        if part.end_lineno is not None and part.end_col_offset is not None
    ]
    end = max(last, default=file.text.index(node.name, start) + len(node.name))
    return squeezed(file.text[start:end])[:SIGNATURE]


def _header(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef,
) -> Iterator[ast.expr | ast.arg]:
    if isinstance(node, ast.ClassDef):
        yield from node.bases
        yield from (keyword.value for keyword in node.keywords)
        return
    arguments = node.args
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    yield from filter(None, (arguments.vararg, arguments.kwarg, node.returns))
    yield from filter(None, (*arguments.defaults, *arguments.kw_defaults))


def _posix(path: PurePosixPath) -> str:
    return "" if path == PurePosixPath(".") else path.as_posix()
