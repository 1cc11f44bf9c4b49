"""Uses of names that another file of the repository defines: where, and by which definition."""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from finetune.bindings import imports_in, tree_of
from finetune.modules import Module, Modules, Target, line_starts, offset_of

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Use:
    """`start`: the offset of the name. `opening`: that after the bracket, if it is called."""

    start: int
    opening: int | None
    target: Target


@dataclass(frozen=True)
class Uses:
    """Those of one file, in order of their starts, and the rows of its imports."""

    uses: tuple[Use, ...] = ()
    import_rows: frozenset[int] = frozenset()


def uses_in(text: str, path: str, modules: Modules) -> Uses:
    """Of a Python file; only those whose definition is certain.

    Names that an import binds and nothing else does; what is behind the dot of an imported
    module; members of a class that is named, that an annotation or the one assignment of a
    local name tells, or whose base is elsewhere.
    """
    tree = tree_of(text)
    if tree is None:
        return Uses()
    reader = _Reader(text, path, modules, tree)
    reader.visit(tree, {})
    rows = {
        row - 1
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for row in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    return Uses(tuple(sorted(reader.found, key=lambda use: use.start)), frozenset(rows))


class _Reader:
    def __init__(self, text: str, path: str, modules: Modules, tree: ast.Module) -> None:
        self.found: list[Use] = []
        self._text, self._path, self._modules = text, path, modules
        self._starts = line_starts(text)
        self._bound = _bound(tree)
        sources: dict[str, set[Target | Module | None]] = {}
        for name, source in imports_in(tree):
            sources.setdefault(name, set()).add(modules.imported(source, path))
        self._imported = {
            name: next(iter(targets))
            for name, targets in sources.items()
            if len(targets) == 1 and not self._bound[name]
        }

    def visit(self, node: ast.AST, classes: Mapping[str, Target]) -> None:
        """`classes`: what local names are surely instances of, or the class itself."""
        stack: list[tuple[ast.AST, Mapping[str, Target], Target | Module | None]]
        stack = [(node, classes, None)]
        while stack:  # not recursive: expressions nest deep
            node, classes, owner = stack.pop()
            if isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom):
                continue  # of an f-string's parts Python 3.11 does not know the places
            if isinstance(node, ast.ClassDef):
                owner = self._modules.attribute(Module(self._path), node.name)
                stack += [(child, classes, owner) for child in ast.iter_child_nodes(node)]
                continue
            if isinstance(node, _Function):
                classes = self._inside(node, classes, owner)
            if isinstance(node, ast.Name | ast.Attribute):
                self._use(node, None, classes)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                self._use(node.func, node, classes)
                rest: list[ast.AST] = [*node.args, *node.keywords]
                if isinstance(node.func, ast.Attribute):
                    rest.append(node.func.value)
                stack += [(child, classes, None) for child in rest]
                continue
            stack += [(child, classes, None) for child in ast.iter_child_nodes(node)]

    def _use(
        self, node: ast.Name | ast.Attribute, call: ast.Call | None, classes: Mapping[str, Target]
    ) -> None:
        target = self._resolved(node, classes)
        if not isinstance(target, Target) or target.path == self._path:
            return
        name = node.id if isinstance(node, ast.Name) else node.attr
        end = offset_of(self._text, self._starts, node.end_lineno or 1, node.end_col_offset or 0)
        start = end - len(name)
        if self._text[start:end] != name or name.startswith("__"):
            return
        called = call is not None and self._text[end : end + 1] == "("
        self.found.append(Use(start, end + 1 if called else None, target))

    def _resolved(self, node: ast.expr, classes: Mapping[str, Target]) -> Target | Module | None:
        if isinstance(node, ast.Name):
            if node.id in self._imported:
                return self._imported[node.id] if isinstance(node.ctx, ast.Load) else None
            single = self._bound[node.id] == 1
            return self._modules.attribute(Module(self._path), node.id) if single else None
        if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load):
            return None
        if isinstance(node.value, ast.Name) and node.value.id in classes:
            return self._modules.member(classes[node.value.id], node.attr)
        of = self._resolved(node.value, classes)
        if isinstance(of, Module):
            return self._modules.attribute(of, node.attr)
        return self._modules.member(of, node.attr) if of is not None else None

    def _inside(
        self, node: _Function, around: Mapping[str, Target], owner: Target | Module | None
    ) -> Mapping[str, Target]:
        """What is known of a function's local names; `owner` is the class that it stands in."""
        bound = _bound(node)
        known = {name: target for name, target in around.items() if not bound[name]}
        arguments = [*node.args.posonlyargs, *node.args.args]
        if isinstance(owner, Target) and arguments and not _is_static(node):
            known[arguments[0].arg] = owner
        for name, annotation in _told(node):
            target = self._resolved(annotation, {}) if bound[name] == 1 else None
            if isinstance(target, Target):
                known[name] = target
        return known


def _told(function: _Function) -> Iterator[tuple[str, ast.expr]]:
    """Local names and the class that an annotation or a call of the class gives them."""
    for argument in [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]:
        if argument.annotation is not None:
            yield argument.arg, argument.annotation
    for node in ast.walk(function):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.annotation
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            (target, *others) = node.targets
            if isinstance(target, ast.Name) and not others:
                yield target.id, node.value.func


def _bound(tree: ast.AST) -> Counter[str]:
    """How often each name is bound below a node, other than by imports."""
    found: Counter[str] = Counter()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                found[name] += 1
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if node is not tree:
                found[node.name] += 1
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                found[name] += 1
            case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                found[name] += 1
    return found


def _is_static(node: _Function) -> bool:
    return any(
        isinstance(one, ast.Name) and one.id == "staticmethod" for one in node.decorator_list
    )
