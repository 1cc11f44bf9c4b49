"""Where other files use what one file defines: found by their imports, and never by name alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tree_sitter import Node

from completion.imports import Import, imports_of
from completion.index import Index
from completion.index.modules import stems_of
from completion.next_edit.names import bindings, paths_of, role_of
from completion.next_edit.path import Path
from completion.next_edit.text import Source
from completion.retrieve.modules import files_of, same_world

LANGUAGES = frozenset({"python", "javascript", "javascriptreact", "typescript", "typescriptreact"})
MOST_FILES = 60
# How many files that only pass a name on are followed.
MOST_HOPS = 3

Texts = Callable[[str], Source | None]


@dataclass(frozen=True)
class Reference:
    """A name in another file that stands for ours. `imports`: it stands in an import statement,
    where it names the other file's definition. `alias`: the file calls it by a name of its own."""

    path: Path
    form: str
    imports: bool
    alias: bool = False


def references(
    index: Index, path: str, language: str, name: str, texts: Texts
) -> Iterator[tuple[str, Source, list[Reference]]]:
    """By file, with its text. `texts` gives what a file of the repository says now, None for one
    that is not to be touched."""
    if language not in LANGUAGES or name.startswith("__"):
        return
    seen = {path}
    queue = [(path, 0)]
    for defining, hops in queue:
        for stem in sorted(stems_of(defining)):
            for file in index.importers_of(stem, MOST_FILES, exclude=path):
                if file.path in seen or not same_world(file.language, language):
                    continue
                source = texts(file.path)
                if source is None or source.root is None or len(seen) > MOST_FILES:
                    continue
                found, passes_on = _in(index, file.path, source, defining, name)
                if found:
                    seen.add(file.path)
                    yield file.path, source, found
                    if passes_on and hops < MOST_HOPS:
                        queue.append((file.path, hops + 1))


def _in(
    index: Index, path: str, source: Source, defining: str, name: str
) -> tuple[list[Reference], bool]:
    """The references in one file, and whether other files may import the name from it."""
    assert source.root is not None
    language = source.language
    direct: set[str] = set()
    modules: set[str] = set()
    aliases: set[str] = set()
    for one in imports_of(source.root, source.data, language):
        if one.name == name and _is(index, one.module, path, language, defining):
            direct.add(one.module)
            if one.alias != name:
                aliases.add(one.alias)
        elif _names_module(index, one, path, language, defining):
            modules.add(_spelled(one))
    found: list[Reference] = []
    passes_on = False
    if direct:
        for one in paths_of(source, name):
            role = role_of(one, language)
            if role.kind == "other" and _module(one) in direct:
                found.append(Reference(one, "", True))
        for binding in bindings(source, name):
            imported = [m for m in binding.definitions if _module(m.path) in direct]
            if not imported:
                continue
            if binding.unsure or any(m.what != "import" for m in binding.definitions):
                return [], False
            passes_on = True
            for mention in binding.mentions:
                is_import = mention.kind == "definition"
                form = "" if is_import else mention.form
                found.append(Reference(mention.path, form, is_import))
    for alias in sorted(aliases):
        for binding in bindings(source, alias):
            if all(_module(one.path) in direct for one in binding.definitions):
                uses = [one for one in binding.mentions if one.kind == "use"]
                found += [Reference(one.path, "", False, True) for one in uses]
    if modules:
        found += [
            Reference(one, "", False)
            for one in paths_of(source, name)
            if _of_module(one, modules, source)
        ]
    return found, passes_on


def _is(index: Index, module: str, path: str, language: str, defining: str) -> bool:
    files = files_of(index, module, path, language)
    return len(files) == 1 and files[0].path == defining


def _names_module(index: Index, one: Import, path: str, language: str, defining: str) -> bool:
    if not one.name or (one.name == "*" and language != "python"):
        return _is(index, one.module, path, language, defining)
    if one.name == "*" or language != "python":
        return False
    joiner = "" if one.module.endswith(".") else "."
    return _is(index, f"{one.module}{joiner}{one.name}", path, language, defining)


def _spelled(one: Import) -> str:
    """How the file writes the module: `a.b` after `import a.b`, else one name."""
    first = one.module.partition(".")[0]
    return one.module if not one.name and one.alias == first else one.alias


def _module(path: Path) -> str | None:
    """What the import statement around a name imports from."""
    for step in reversed(path):
        field = {"import_from_statement": "module_name", "import_statement": "source"}
        if step.node.type in field:
            named = step.node.child_by_field_name(field[step.node.type])
            return _text(named).strip("\"'") if named is not None else None
    return None


def _of_module(path: Path, modules: set[str], source: Source) -> bool:
    if role_of(path, source.language).kind != "member":
        return False
    receiver = path[-2].node.child_by_field_name("object")
    if receiver is None or _text(receiver) not in modules:
        return False
    first = receiver
    while first.named_children:
        first = first.named_children[0]
    assert source.root is not None
    for binding in bindings(source, _text(first)):
        if binding.at(first.start_byte):
            return all(one.what == "import" for one in binding.definitions)
    return False


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
