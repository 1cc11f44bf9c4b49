"""What the names in one file stand for: definitions in other files, found through its imports.

By name alone only as a last resort, where the whole repository has one definition of it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from completion.imports import Import
from completion.index import Definition, File, Index, terms_of
from completion.retrieve.found import CONTAINERS, Found, Shared
from completion.retrieve.modules import files_of, same_world
from completion.retrieve.skeleton import by_use
from completion.typed import bases_of

# How many files that only pass a name on are followed: `from .core import run` in `__init__.py`.
MOST_HOPS = 3
# Base classes above a class.
MOST_BASES = 8
_DEEPEST = 3
# Names that one file hands on: a package's front may have hundreds.
MOST_PASSED = 120
# Names of a folder whose files see each other.
MOST_NEIGHBOURS = 3000
# Who runs a test does not name it.
_UNCALLED = re.compile(r"_\Z|(?:Test|Benchmark|Example|Fuzz)(?:[A-Z_]|\Z)")
SHORTEST_NAME = 4
# Everything that a module defines is visible in its whole folder there.
_FOLDER_SCOPE = frozenset({"go", "java", "kotlin", "csharp"})
# An import there names no names: whatever the file defines is visible.
_WHOLE_FILE = frozenset({"c", "cpp", "ruby", "lua", "php", "shellscript", "csharp"})


class Resolver:
    """For one file at one state of its imports; answers are kept.

    With `installed` also in packages outside of the repository, each of which is read when it is
    first asked for: tens of milliseconds for a large one. `shared` is of resolvers that are alike
    in that.
    """

    def __init__(
        self,
        index: Index,
        path: str,
        language: str,
        imports: Sequence[Import],
        installed: bool = False,
        shared: Shared | None = None,
    ) -> None:
        self.index = index
        self._installed = installed
        self.path = path
        self.language = language
        self._imports = {imported.alias: imported for imported in imports}
        self._whole = [
            imported
            for imported in imports
            if imported.name == "*" or (not imported.name and language in _WHOLE_FILE)
        ]
        self.imports = imports
        self._names: dict[str, tuple[Found, ...]] = {}
        self._shared = shared or Shared()
        self._members: dict[tuple[str, str, str], tuple[Found, ...]] = {}
        self._neighbours: list[tuple[Definition, frozenset[str]]] | None = None

    def name(self, name: str) -> tuple[Found, ...]:
        """What a bare name stands for; nothing if this file or no file defines it."""
        if name not in self._names:
            self._names[name] = tuple(self._name(name))
        return self._names[name]

    def module(self, alias: str) -> list[File]:
        """The files of the module that this file calls `alias`; none if that is no module."""
        imported = self._imports.get(alias)
        if imported is None:
            return []
        if not imported.name:
            return self._files(imported.module)
        return self._submodule(imported, self.path, self.language)

    def member(self, receiver: str, name: str, types: dict[str, str]) -> tuple[Found, ...]:
        """What `receiver.name` stands for: a module's name, or a member of the class that the
        receiver is of, where `types` tells that."""
        owner = types.get(receiver, "") or (receiver if receiver[:1].isupper() else "")
        key = receiver, name, owner
        if key not in self._members:
            self._members[key] = self._member(*key)
        return self._members[key]

    def _member(self, receiver: str, name: str, owner: str) -> tuple[Found, ...]:
        for file in self.module(receiver):
            found = tuple(self._in_file(file, name, f"{receiver} is {file.path}"))
            if found:
                return found
        for cls in self.classes(owner):
            found = tuple(self._member_of(cls.definition, name, MOST_BASES))
            if found:
                return found
        return ()

    def classes(self, name: str) -> list[Found]:
        """The definitions of a type's name, as annotations write it: `a.B`, `B | None`, `List[B]`."""
        bare = name.rpartition(".")[2]
        head = name.rpartition(".")[0]
        if not bare:
            return []
        if head and self.module(head):
            found: Sequence[Found] = [
                one
                for file in self.module(head)
                for one in self._in_file(file, bare, f"{head} is {file.path}")
            ]
        else:
            found = self.name(bare)
        return [one for one in found if one.definition.symbol.kind in CONTAINERS]

    def _name(self, name: str) -> Iterator[Found]:
        imported = self._imports.get(name)
        if imported is not None:
            yield from self._imported(imported, self.path, self.language, MOST_HOPS)
            return
        own = self.index.file(self.path)
        if own is not None and self.index.symbols_of(own, name, ""):
            return
        known = [
            one
            for one in self.index.definitions(name, exclude=self.path)
            if same_world(one.file.language, self.language) and self._is_outermost(one)
        ]
        if self.language in _FOLDER_SCOPE:
            folder = self._folder
            here = [one for one in known if one.file.path.rpartition("/")[0] == folder]
            if here:
                yield from (Found(one, f"{name} is in the same folder") for one in here[:2])
                return
        for imported in self._whole if known else ():
            files = {file.id for file in self._files(imported.module)}
            stems = {file.path.rpartition(".")[0] for file in self._files(imported.module)}
            through = [
                one
                for one in known
                if one.file.id in files or one.file.path.rpartition(".")[0] in stems
            ]
            if through:
                yield from (Found(one, f"{imported.module} brings {name}") for one in through[:2])
                return
        if len(known) == 1 and len(name) >= SHORTEST_NAME and known[0].symbol.kind != "constant":
            yield Found(known[0], f"the only {name} in the repository", guess=True)

    def _imported(self, imported: Import, path: str, language: str, hops: int) -> Iterator[Found]:
        if not imported.name or imported.name == "*":
            return
        for file in self._files(imported.module, path, language):
            found = [
                Found(one, f"imported from {imported.module}")
                for one in self.index.symbols_of(file, imported.name, "")
            ]
            if not found:
                found = list(self._passed_on(file, imported.name, hops - 1))
            if found:
                yield from found[:2]
                return
        if language not in ("python", "rust"):
            # Java's `import a.b.C` and PHP's `use`: the last part is the name itself.
            whole = f"{imported.module}.{imported.name}"
            for file in files_of(self.index, whole, path, language):
                via = f"imported from {imported.module}"
                yield from self._in_file(file, imported.name, via, hops - 1)

    def _passed_on(self, file: File, name: str, hops: int) -> Iterator[Found]:
        """What a file that does not define a name imports under it; files may go in circles."""
        if hops < 0:
            return
        stars = []
        for imported in self.index.imports_of(file):
            if imported.alias == name and imported.name not in ("", "*"):
                yield from self._imported(imported, file.path, file.language, hops)
                return
            if imported.name == "*":
                stars.append(imported)
        for imported in stars:
            for source in self._files(imported.module, file.path, file.language):
                via = f"imported from {imported.module}"
                found = list(self._in_file(source, name, via, hops - 1))
                if found:
                    yield from found
                    return

    def _in_file(
        self, file: File, name: str, via: str, hops: int = MOST_HOPS - 1
    ) -> Iterator[Found]:
        found = [Found(one, via) for one in module_symbols(self.index, file, name)]
        yield from found[:2] or list(self._passed_on(file, name, hops))

    def _is_outermost(self, one: Definition) -> bool:
        """It stands in no class; a namespace around it does not count."""
        name = one.symbol.container.rpartition(".")[2]
        if not name:  # a type without a name has fields too
            return one.symbol.kind != "field"
        return not self.index.symbols_of(one.file, name)

    def _member_of(self, cls: Definition, name: str, bases: int) -> Iterator[Found]:
        owner = cls.symbol.qualified
        found = self.index.symbols_of(cls.file, name, owner)
        if found:
            yield from (Found(one, f"member of {owner}") for one in found[:2])
            return
        for base in self.bases(cls) if bases else ():
            inherited = list(self._member_of(base, name, bases - 1))
            if inherited:
                yield from inherited
                return

    def bases(self, cls: Definition) -> list[Definition]:
        """The definitions of a class's bases, as its own file names them."""
        resolver = self if cls.file.path == self.path else self._of(cls.file)
        found: list[Definition] = []
        for name in bases_of(cls.symbol.signature, cls.file.language):
            here = self.index.symbols_of(cls.file, name, "")
            found += here[:1] or [one.definition for one in resolver.classes(name)[:1]]
        return [one for one in found if one.symbol.qualified != cls.symbol.qualified][:MOST_BASES]

    def all_bases(self, cls: Definition) -> list[Definition]:
        """Also the bases' bases, nearest first."""
        found: dict[Definition, None] = {}
        level = [cls]
        for _ in range(_DEEPEST):
            level = [base for one in level for base in self.bases(one) if base not in found]
            found.update(dict.fromkeys(level[: MOST_BASES - len(found)]))
        return list(found)

    def passed_on(self, file: File) -> list[Found]:
        """What a file imports and others may take from it."""
        if file not in self._shared.passed:
            resolver = self._of(file)
            aliases = [one.alias for one in resolver.imports if not one.alias.startswith("_")]
            found = [one for alias in aliases[:MOST_PASSED] for one in resolver.name(alias)[:1]]
            self._shared.passed[file] = [one for one in found if not one.guess]
        return self._shared.passed[file]

    def ranked(self, file: File, uses: Mapping[str, int]) -> list[Definition]:
        """What a module offers, its own and what it passes on, the most used first (see `by_use`)."""
        known, key = self._shared.ranked, (file, frozenset(uses.items()))
        if key not in known:
            passed = (found.definition for found in self.passed_on(file))
            offered = [*module_symbols(self.index, file), *passed]
            known[key] = by_use(self.index, offered, uses)
        return known[key]

    def neighbours(self) -> list[tuple[Definition, frozenset[str]]]:
        """What other files of the folder define, with the words of its name, where a language
        lets all files of a folder see it; a test's names only for tests."""
        if self._neighbours is None:
            files = self.index.files_in(self._folder) if self.language in _FOLDER_SCOPE else []
            test = _is_test(self.path)
            self._neighbours = [
                (one, frozenset(terms_of(one.symbol.name)))
                for file in files
                if file.language == self.language and file.path != self.path
                if test or not _is_test(file.path)
                for one in self.index.symbols_of(file, "", "")
                if one.symbol.kind != "field" and not _UNCALLED.match(one.symbol.name)
            ][:MOST_NEIGHBOURS]
        return self._neighbours

    @property
    def _folder(self) -> str:
        return self.path.rpartition("/")[0]

    def _of(self, file: File) -> "Resolver":
        others = self._shared.others
        if file not in others:
            imports = self.index.imports_of(file)
            others[file] = Resolver(
                self.index, file.path, file.language, imports, self._installed, self._shared
            )
        return others[file]

    def _submodule(self, imported: Import, path: str, language: str) -> list[File]:
        """`from package import module`: the name may be a file of the package."""
        joiner = (
            "" if imported.module.endswith((".", "/")) else "." if language == "python" else "/"
        )
        found = self._files(f"{imported.module}{joiner}{imported.name}", path, language)
        stem = imported.name.lower()
        return [file for file in found if stem in file.path.lower()]

    def _files(self, module: str, path: str = "", language: str = "") -> list[File]:
        key = (module, path or self.path, language or self.language)
        known = self._shared.modules
        if key not in known:
            known[key] = files_of(self.index, *key) or self._package(*key)
        return known[key]

    def _package(self, module: str, path: str, language: str) -> list[File]:
        if not self._installed or language != "python" or module.startswith("."):
            return []
        package = self.index.package(module)
        return [package] if package is not None else []


def module_symbols(index: Index, file: File, name: str = "") -> list[Definition]:
    """What a module offers by its own name: in Lua the functions of the table it returns."""
    return index.symbols_of(file, name, None if file.language == "lua" else "")


def _is_test(path: str) -> bool:
    return path.rpartition(".")[0].lower().endswith(("_test", "test", "tests"))
