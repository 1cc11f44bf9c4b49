"""Names that a statement could use: variables, functions, attributes, keywords; the nearest first."""

import ast
import builtins
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property

from sandbox.repair.source import SCOPES, Function, Source, Statement, heads

_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__class__"}


class Names:
    """Of one file. Only what the file itself shows: nothing is imported."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._bound: dict[int, dict[str, list[int]]] = {}
        self._split_names: dict[int, tuple[list[str], list[str]]] = {}
        self._seen: dict[int, frozenset[str]] = {}

    @cached_property
    def called(self) -> frozenset[str]:
        """Names that are called somewhere in the file, defined by `def` and `class`, or imported
        and not in capitals, as constants are."""
        found: set[str] = set()
        for node in self._nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found.add(node.func.id)
            elif isinstance(node, SCOPES):
                found.add(node.name)
            elif isinstance(node, ast.ImportFrom):
                names = (alias.asname or alias.name for alias in node.names)
                found.update(name for name in names if not name.isupper())
        return frozenset(found)

    @cached_property
    def modules(self) -> frozenset[str]:
        """Names that `import` binds."""
        return frozenset(
            (alias.asname or alias.name).split(".")[0]
            for node in self._nodes
            if isinstance(node, ast.Import)
            for alias in node.names
        )

    def values(self, statement: Statement) -> list[str]:
        """Variables that hold values there: of the statement itself, of its function, of the
        functions around it, of the module."""
        return self._split(statement)[0]

    def callables(self, statement: Statement) -> list[str]:
        """What can be called there and is no builtin."""
        return self._split(statement)[1]

    def is_local(self, name: str, statement: Statement) -> bool:
        """Bound in the function that the statement stands in."""
        return statement.function is not None and name in self._of(statement.function)

    def known(self, name: str, statement: Statement) -> bool:
        """Bound in some scope that the statement sees, or a builtin."""
        return name in self.visible(statement)

    def visible(self, statement: Statement) -> frozenset[str]:
        """All names that it sees: its own, of the scopes around it, builtins."""
        if id(statement) not in self._seen:
            own = (name for node in ast.walk(statement.node) for name in _binds(node))
            around = (name for scope in self._scopes(statement) for name in self._of(scope))
            self._seen[id(statement)] = _BUILTINS.union(own, around)
        return self._seen[id(statement)]

    def attributes(self, receiver: str, called: bool) -> list[str]:
        """Attributes that the file reads from a receiver of this spelling, called or not; for
        `self` those its classes define, too."""
        counted = self._attributes[receiver, called]
        return sorted(counted, key=lambda name: (-counted[name], name))

    def all_attributes(self, called: bool) -> list[str]:
        """Attributes of any receiver in the file, the commonest first."""
        counted = self._attributes["", called]
        return sorted(counted, key=lambda name: (-counted[name], name))

    def keywords(self, function: str) -> list[str]:
        """Keywords that calls of this name give, and the parameters of functions of this name."""
        return sorted(self._keywords[function.rsplit(".", 1)[-1]])

    def functions(self, name: str) -> list[Function]:
        """Functions of this name that the file defines."""
        functions = ast.FunctionDef, ast.AsyncFunctionDef
        return [n for n in self._nodes if isinstance(n, functions) and n.name == name]

    @cached_property
    def _nodes(self) -> list[ast.AST]:
        return list(ast.walk(self._source.tree))

    @cached_property
    def _attributes(self) -> defaultdict[tuple[str, bool], dict[str, int]]:
        found: defaultdict[tuple[str, bool], dict[str, int]] = defaultdict(dict)

        def add(receiver: str, called: bool, name: str) -> None:
            for key in (receiver, ""):
                count = found[key, called]
                count[name] = count.get(name, 0) + 1

        for node in self._nodes:
            if isinstance(node, ast.Attribute):
                parent = self._source.parents.get(node)
                called = isinstance(parent, ast.Call) and parent.func is node
                add(ast.unparse(node.value), called, node.attr)
            elif isinstance(node, ast.ClassDef):
                for one in node.body:
                    if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                        plain = any("property" in ast.dump(d) for d in one.decorator_list)
                        add("self", not plain, one.name)
                    for target in (
                        _stores(one) if isinstance(one, ast.AnnAssign | ast.Assign) else ()
                    ):
                        if isinstance(target, ast.Name):
                            add("self", False, target.id)
        return found

    @cached_property
    def _keywords(self) -> defaultdict[str, set[str]]:
        found: defaultdict[str, set[str]] = defaultdict(set)
        for node in self._nodes:
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).rsplit(".", 1)[-1]
                found[name].update(k.arg for k in node.keywords if k.arg)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[node.name].update(one.arg for one in _parameters(node))
        return found

    def _scopes(self, statement: Statement) -> Iterator[ast.AST]:
        """From the inside out; a class's names are seen in its own body only."""
        scope = statement.owner
        inner = True
        while scope is not None:
            if inner or not isinstance(scope, ast.ClassDef):
                yield scope
            inner = False
            scope = self._source.parents.get(scope)
            while scope is not None and not isinstance(scope, (*SCOPES, ast.Module)):
                scope = self._source.parents.get(scope)
            if isinstance(scope, ast.Module):
                break
        yield self._source.tree

    def _of(self, scope: ast.AST) -> dict[str, list[int]]:
        """Names bound in a scope, each with the lines that it stands on there."""
        if id(scope) not in self._bound:
            bound: dict[str, list[int]] = {}
            lines: dict[str, list[int]] = {}
            if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
                bound = {one.arg: [scope.lineno] for one in _parameters(scope)}
            for node in _inside(scope):
                for name in _binds(node):
                    bound.setdefault(name, [])
                if isinstance(node, ast.Name):
                    lines.setdefault(node.id, []).append(node.lineno)
                elif isinstance(node, SCOPES):
                    lines.setdefault(node.name, []).append(node.lineno)
            self._bound[id(scope)] = {n: where + lines.get(n, []) for n, where in bound.items()}
        return self._bound[id(scope)]

    def _split(self, statement: Statement) -> tuple[list[str], list[str]]:
        if id(statement) not in self._split_names:
            line = self._source.line(statement.start)
            values: dict[str, None] = {}
            callables: dict[str, None] = {}
            for name in _in_statement(statement):
                if not self._is_called(name, statement):
                    values.setdefault(name)
            for scope in self._scopes(statement):
                bound = self._of(scope)
                near = {n: min((abs(line - at) for at in bound[n]), default=999) for n in bound}
                for name in sorted(bound, key=lambda name: (near[name], name)):
                    if self._is_called(name, statement):
                        callables.setdefault(name)
                    elif name not in self.modules and name != "_":
                        values.setdefault(name)
            self._split_names[id(statement)] = list(values), list(callables)
        return self._split_names[id(statement)]

    def _is_called(self, name: str, statement: Statement) -> bool:
        """A parameter that is called is a value, too, but counts as what it is called as."""
        return name in self.called or (name in _BUILTINS and not self.is_local(name, statement))


def _parameters(function: Function) -> list[ast.arg]:
    own = function.args
    rest = [one for one in (own.vararg, own.kwarg) if one]
    return [*own.posonlyargs, *own.args, *own.kwonlyargs, *rest]


def _inside(scope: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a scope, not of the functions and classes in it."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, (*SCOPES, ast.Lambda)):
            yield from _inside(child)


def _binds(node: ast.AST) -> Iterable[str]:
    match node:
        case ast.Name(ctx=ast.Store()):
            return [node.id]
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Import() | ast.ImportFrom():
            return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
        case ast.arg(arg=name):
            return [name]
        case ast.ExceptHandler(name=str(name)):
            return [name]
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return [name]
        case _:
            return []


def _stores(node: ast.AST) -> Iterator[ast.AST]:
    return (n for n in ast.walk(node) if isinstance(getattr(n, "ctx", None), ast.Store))


def _in_statement(statement: Statement) -> Iterator[str]:
    """Variables of the statement's own lines, those of its comprehensions among them."""
    for head in heads(statement.node):
        for node in ast.walk(head):
            if isinstance(node, ast.Name):
                yield node.id
            elif isinstance(node, ast.arg) and not isinstance(statement.node, SCOPES):
                yield node.arg
