"""An import for a name that nothing binds."""

import ast
import sys
from collections.abc import Iterator

from sandbox.repair.change import Change, Splice
from sandbox.repair.spot import Spot

_TYPING = frozenset(
    [
        "Any",
        "Callable",
        "ClassVar",
        "Dict",
        "Final",
        "Generic",
        "Iterable",
        "Iterator",
        "List",
        "Literal",
        "Mapping",
        "NamedTuple",
        "Optional",
        "Protocol",
        "Sequence",
        "Set",
        "Tuple",
        "Type",
        "TypeVar",
        "Union",
        "cast",
        "overload",
    ]
)
_USUAL = {
    **dict.fromkeys(("Path", "PurePath", "PurePosixPath"), "pathlib"),
    **dict.fromkeys(
        ("OrderedDict", "defaultdict", "deque", "Counter", "namedtuple"), "collections"
    ),
    **dict.fromkeys(("partial", "wraps", "lru_cache", "reduce", "total_ordering"), "functools"),
    **dict.fromkeys(("chain", "islice", "product", "groupby", "permutations"), "itertools"),
    **dict.fromkeys(("contextmanager", "suppress", "ExitStack", "closing"), "contextlib"),
    **dict.fromkeys(("datetime", "timedelta", "timezone", "date"), "datetime"),
    **dict.fromkeys(("dataclass", "field"), "dataclasses"),
    **dict.fromkeys(("deepcopy", "copy"), "copy"),
    **{"Decimal": "decimal", "Enum": "enum", "StringIO": "io", "BytesIO": "io", "UUID": "uuid"},
    **{"urlparse": "urllib.parse", "urljoin": "urllib.parse", "quote": "urllib.parse"},
    **{"heappush": "heapq", "heappop": "heapq", "sqrt": "math", "ceil": "math", "floor": "math"},
}


def missing(spot: Spot) -> Iterator[Change]:
    """At the end of the file's imports, or where there are none under its docstring."""
    unbound = {
        node.id: None
        for node in spot.nodes
        if isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Load)
        and not spot.names.known(node.id, spot.statement)
    }
    lines = [line for name in unbound for line in _lines(spot, name)]
    block = spot.source.inner(spot.source.tree)
    if not lines or block is None or not block.clean:
        return
    imports = [s.index for s in block.statements if isinstance(s.node, ast.Import | ast.ImportFrom)]
    at = imports[-1] + 1 if imports else 0
    if not imports and isinstance(block.statements[0].node, ast.Expr):
        at = 1
    for line in lines:
        yield Splice(block, at, at, (line,), below=True)


def _lines(spot: Spot, name: str) -> Iterator[str]:
    if name in sys.stdlib_module_names:
        yield f"import {name}"
    if name in _USUAL:
        yield f"from {_USUAL[name]} import {name}"
    if name in _TYPING:
        yield f"from typing import {name}"
    for other in spot.others:  # as other files of the repository import it
        for node in other.source.tree.body:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            aliases = [one for one in node.names if (one.asname or one.name) == name]
            if aliases:
                kept: ast.stmt = ast.Import(names=aliases)
                if isinstance(node, ast.ImportFrom):
                    kept = ast.ImportFrom(module=node.module, names=aliases, level=node.level)
                yield ast.unparse(ast.fix_missing_locations(kept))
