"""What the statements of a Python file bind, by `ast`."""

import ast
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Imported:
    """`from module import name`, `level` dots before it; name "" is the module itself."""

    module: str
    level: int
    name: str


Statement = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Bindings:
    """What a module's or a class's own level binds, in order."""

    by_name: dict[str, list[Imported | Statement]]
    stars: list[Imported]


def tree_of(text: str) -> ast.Module | None:
    """None of what is no Python of the version that runs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in somebody's string
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def imports_in(tree: ast.Module) -> Iterator[tuple[str, Imported]]:
    """The names that a file's imports bind, wherever they stand, and what to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _names_of(node)


def bindings_of(body: Sequence[ast.stmt]) -> Bindings:
    found = Bindings({}, [])
    for node in _level(body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name, source in _names_of(node):
                if name == "*":
                    found.stars.append(replace(source, name=""))
                else:
                    found.by_name.setdefault(name, []).append(source)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.by_name.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    found.by_name.setdefault(target.id, []).append(node)
    return found


def _level(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run with the module or class: also those under `if`, `try` and `with`."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            for part in ("body", "orelse", "finalbody"):
                yield from _level(getattr(node, part, []))
            for handler in getattr(node, "handlers", []):
                yield from _level(handler.body)


def _names_of(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Imported]]:
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, Imported(node.module or "", node.level, alias.name)
        elif alias.asname:
            yield alias.asname, Imported(alias.name, 0, "")
        else:
            top = alias.name.partition(".")[0]
            yield top, Imported(top, 0, "")
