"""Another name of the same sort: a variable, a function, an attribute, a keyword, an argument."""

import ast
import itertools
from collections.abc import Iterator, Sequence

from rapidfuzz.distance import Indel

from completion.languages import words
from sandbox.repair.change import Change, Replace
from sandbox.repair.spot import Spot
from sandbox.repair.templates.operators import swapped

# Builtins, methods and exceptions that are taken for one another.
_FAMILIES = [
    words(family)
    for family in (
        "any all",
        "min max sum",
        "list tuple set frozenset sorted",
        "dict OrderedDict defaultdict Counter",
        "int float str bool",
        "int round abs",
        "str repr bytes ascii",
        "bytes bytearray memoryview",
        "isinstance issubclass type",
        "getattr hasattr setattr",
        "ord chr",
        "zip enumerate map filter",
        "iter next",
        "reversed sorted",
        "append extend insert add appendleft",
        "pop popleft popitem remove discard get",
        "get setdefault pop",
        "strip lstrip rstrip removeprefix removesuffix",
        "split rsplit splitlines partition rpartition",
        "find rfind index rindex count",
        "startswith endswith",
        "lower upper casefold title capitalize",
        "keys values items",
        "update add union extend",
        "union intersection difference symmetric_difference",
        "issubset issuperset isdisjoint",
        "read readline readlines",
        "write writelines",
        "isdigit isdecimal isnumeric isalpha isalnum isidentifier",
        "encode decode",
        "match search fullmatch findall finditer",
        "getLogger get_logger",
        "debug info warning error exception",
        "dumps dump loads load",
        "is_dir is_file exists isdir isfile",
        "parent parents name stem suffix",
        "exists lexists",
        "join abspath realpath normpath",
        "resolve absolute",
        "monotonic time perf_counter",
    )
]
_EXCEPTIONS = words(
    "KeyError IndexError LookupError AttributeError ValueError TypeError RuntimeError OSError"
    " ImportError ModuleNotFoundError NotImplementedError StopIteration Exception BaseException"
    " UnicodeDecodeError UnicodeError FileNotFoundError PermissionError AssertionError"
)
_MOST = 24  # other names for one, the nearest or the likest


def variable(spot: Spot) -> Iterator[Change]:
    values = spot.values
    for node in spot.expressions:
        if isinstance(node, ast.Name) and not _is_callee(spot, node):
            if node.id in spot.names.modules:
                continue
            yield from _names(spot, node, values)


def everywhere(spot: Spot) -> Iterator[Change]:
    """Another variable wherever the statement's own lines have one more than once."""
    places: dict[str, list[tuple[int, int]]] = {}
    for node in spot.expressions:
        if isinstance(node, ast.Name) and node.id not in spot.names.modules:
            places.setdefault(node.id, []).append(spot.source.span(node))
    for name, spans in places.items():
        if len(spans) < 2:
            continue
        spans.sort()
        start, end = spans[0][0], spans[-1][1]
        others = [other for other in (*spot.values, *spot.members[:4]) if other != name][:_MOST]
        for rank, other in enumerate(others):
            pieces, at = [], start
            for first, last in spans:
                pieces += [spot.source.text[at:first], other]
                at = last
            yield Replace(start, end, "".join(pieces), 1 / (1 + rank) ** 0.5 + alike(other, name))


def target(spot: Spot) -> Iterator[Change]:
    """Another variable to assign to."""
    for node in spot.nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own = [name for name in spot.values if spot.names.is_local(name, spot.statement)]
            yield from _names(spot, node, own)


def function(spot: Spot) -> Iterator[Change]:
    """Another function of the same family, or of the file."""
    for node in spot.expressions:
        if isinstance(node, ast.Name) and _is_callee(spot, node):
            for name in _relatives(node.id):
                yield spot.put(node, name, weight=2.0)
            yield from _names(spot, node, likest(node.id, spot.names.callables(spot.statement)))


def attribute(spot: Spot) -> Iterator[Change]:
    """Another attribute that the file reads from the same receiver, or of the same family."""
    for node in spot.nodes:
        if not isinstance(node, ast.Attribute):
            continue
        end = spot.source.span(node)[1]
        start = end - len(node.attr)
        called = _is_callee(spot, node)
        found = dict.fromkeys(_relatives(node.attr), 2.0)
        own = spot.names.attributes(ast.unparse(node.value), called)
        for name in likest(node.attr, own)[:_MOST]:
            found.setdefault(name, 1.0 + 2 * alike(name, node.attr))
        for name in likest(node.attr, spot.names.all_attributes(called))[:_MOST]:
            found.setdefault(name, 0.1 + alike(name, node.attr))
        for name, weight in found.items():
            if name != node.attr:
                yield Replace(start, end, name, weight)


def member(spot: Spot) -> Iterator[Change]:
    """`self.x` for `x` and back; `x.name` for `x`, and `x` for `x.name`."""
    for node in spot.expressions:
        if isinstance(node, ast.Attribute):
            called = _is_callee(spot, node)
            if not called:
                yield spot.put_node(node, node.value)
            if spot.names.known(node.attr, spot.statement):
                yield spot.put(node, node.attr, weight=3.0)
        elif isinstance(node, ast.Name) and node.id not in ("self", "cls"):
            called = _is_callee(spot, node)
            if node.id in spot.names.attributes("self", called):
                yield spot.put(node, f"self.{node.id}", weight=3.0)
            if not called:
                for rank, name in enumerate(spot.names.attributes(node.id, False)[:8]):
                    yield spot.put(node, f"{node.id}.{name}", weight=1 / (1 + rank))


def arguments(spot: Spot) -> Iterator[Change]:
    """Two arguments, elements or indices in each other's places."""
    for node in spot.nodes:
        pairs: list[Sequence[ast.AST]] = []
        if isinstance(node, ast.Call):
            pairs = _pairs(node.args)
            pairs += _pairs([keyword.value for keyword in node.keywords])
        elif isinstance(node, ast.Tuple | ast.List):
            pairs = _pairs(node.elts)
        elif isinstance(node, ast.Dict):
            pairs = _pairs(node.values)
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Subscript):
            pairs = [(node.value.slice, node.slice)]
        elif isinstance(node, ast.Slice) and node.lower and node.upper:
            pairs = [(node.lower, node.upper)]
        for first, second in pairs:
            yield swapped(spot, first, second)
    assigned = spot.node
    if isinstance(assigned, ast.Assign) and len(assigned.targets) == 1:
        yield swapped(spot, assigned.targets[0], assigned.value, 0.3)


def keyword(spot: Spot) -> Iterator[Change]:
    """Another keyword that calls of this function take."""
    for node in spot.nodes:
        if isinstance(node, ast.Call):
            known = spot.names.keywords(ast.unparse(node.func))
            given = {one.arg for one in node.keywords}
            for one in node.keywords:
                start = spot.source.span(one)[0]
                for name in (
                    likest(one.arg, [n for n in known if n not in given]) if one.arg else ()
                ):
                    weight = 0.3 + alike(name, one.arg or "")
                    yield Replace(start, start + len(one.arg or ""), name, weight)


def exception_names() -> list[str]:
    return sorted(_EXCEPTIONS)


def _pairs(nodes: Sequence[ast.AST]) -> list[Sequence[ast.AST]]:
    near = list(itertools.pairwise(nodes))
    return [*near, (nodes[0], nodes[2])] if len(nodes) == 3 else list(near)


def _names(spot: Spot, node: ast.Name, names: Sequence[str]) -> Iterator[Change]:
    for rank, name in enumerate([name for name in names if name != node.id][:_MOST]):
        yield spot.put(node, name, weight=1 / (1 + rank) ** 0.5 + alike(name, node.id))


def _is_callee(spot: Spot, node: ast.AST) -> bool:
    parent = spot.parent(node)
    return isinstance(parent, ast.Call) and parent.func is node


def _relatives(name: str) -> list[str]:
    found: list[list[str]] = [sorted(family - {name}) for family in _FAMILIES if name in family]
    if name in _EXCEPTIONS:
        found.append(sorted(_EXCEPTIONS - {name}))
    return list(dict.fromkeys(one for family in found for one in family))


def likest(name: str, others: Sequence[str]) -> list[str]:
    """The others by how much they look like `name`."""
    return sorted((one for one in others if one != name), key=lambda one: -alike(one, name))


def alike(one: str, other: str) -> float:
    """From 0 to 1, of two texts' spelling."""
    return Indel.normalized_similarity(one, other)
