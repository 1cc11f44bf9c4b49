"""Python's scopes: what a name is by where it stands.

https://docs.python.org/3/reference/executionmodel.html#resolution-of-names
"""

from tree_sitter import Node

from completion.next_edit.path import LABEL, MEMBER, OTHER, UNSURE, USE, Path, Role

LEAVES = frozenset({"identifier"})
_FUNCTIONS = frozenset({"function_definition", "lambda"})
_COMPREHENSIONS = frozenset(
    {"list_comprehension", "set_comprehension", "dictionary_comprehension", "generator_expression"}
)
_PATTERNS = frozenset(
    {
        "pattern_list",
        "tuple_pattern",
        "list_pattern",
        "list_splat_pattern",
        "as_pattern_target",
        "tuple",
        "list",
        "parenthesized_expression",
        "list_splat",
    }
)
_PARAMETERS = frozenset(
    {"default_parameter", "typed_default_parameter", "typed_parameter", "parameters"}
) | {"list_splat_pattern", "dictionary_splat_pattern", "lambda_parameters"}


def scopes(path: Path) -> list[Node]:
    """Those around what stands at the end of a path, innermost first."""
    return [path[index].node for index in _scope_indexes(path)]


def role(path: Path) -> Role:
    parent, field = path[-2].node, path[-1].field
    kind = parent.type
    if kind == "attribute" and field == "attribute":
        return MEMBER
    if kind == "keyword_argument" and field == "name":
        return LABEL
    if kind in ("function_definition", "class_definition") and field == "name":
        what = "function" if kind == "function_definition" else "class"
        return Role("definition", _scope(path[:-1]), what)
    if kind in ("global_statement", "nonlocal_statement"):
        return Role("use", _scope(path), kind.partition("_")[0])
    if kind == "dotted_name":
        return _dotted(path)
    if kind == "aliased_import":
        return Role("definition", _scope(path), "import")
    if kind == "keyword_pattern":
        return LABEL if path[-1].node == parent.children[0] else _captured(path)
    if any(step.field == "type_parameters" for step in path):
        return UNSURE
    if kind in ("splat_pattern", "case_pattern"):
        return _captured(path)
    if kind == "as_pattern" and any(one.node.type == "case_pattern" for one in path):
        inside = _innermost(path, "case_pattern", "block")
        return _captured(path) if inside == "case_pattern" else USE
    parameter = _parameter(path)
    if parameter is not None:
        return Role("definition", parameter, "parameter")
    return _assigned(path)


def _dotted(path: Path) -> Role:
    first = path[-2].node.children[0].start_byte == path[-1].node.start_byte
    above, field = path[-3].node.type, path[-2].field
    if above == "import_statement":
        return Role("definition", _scope(path), "import") if first else OTHER
    if above == "import_from_statement" and field == "name":
        return Role("definition", _scope(path), "import", form="imported")
    if above in ("aliased_import", "import_from_statement", "relative_import"):
        return OTHER
    if above in ("case_pattern", "keyword_pattern"):
        alone = len(path[-2].node.children) == 1
        return _captured(path) if alone else (USE if first else MEMBER)
    return USE if first else MEMBER


def _captured(path: Path) -> Role:
    return Role("definition", _scope(path), "variable")


def _innermost(path: Path, *types: str) -> str:
    return next((s.node.type for s in reversed(path) if s.node.type in types), "")


def _parameter(path: Path) -> Node | None:
    """The function whose parameter's own name this is."""
    for index in range(len(path) - 2, 0, -1):
        node, child = path[index].node, path[index + 1]
        if node.type not in _PARAMETERS or child.field in ("value", "type"):
            return None
        if path[index].field == "parameters":
            function = path[index - 1].node
            return function if function.type in _FUNCTIONS else None
    return None


def _assigned(path: Path) -> Role:
    """A variable if what it stands in is assigned to it, else a use."""
    index = len(path) - 2
    while path[index].node.type in _PATTERNS:
        index -= 1
    node, field = path[index].node, path[index + 1].field
    kind = node.type
    if (kind in ("assignment", "augmented_assignment", "for_statement") and field == "left") or (
        kind == "as_pattern" and field == "alias"
    ):
        return Role("definition", _scope(path[: index + 2]), "variable")
    if kind == "for_in_clause" and field == "left":
        return Role("definition", path[index - 1].node, "variable")
    if kind == "named_expression" and field == "name":
        outer = next(s for s in scopes(path) if s.type not in _COMPREHENSIONS)
        return Role("definition", outer, "variable")
    if kind == "delete_statement":
        return Role("definition", _scope(path), "variable")
    if kind == "type_alias_statement":
        return UNSURE
    return USE


def _scope(path: Path) -> Node:
    return path[next(iter(_scope_indexes(path)))].node


def _scope_indexes(path: Path) -> list[int]:
    found: list[int] = []
    for index in range(len(path) - 2, -1, -1):
        node, child = path[index].node, path[index + 1]
        kind = node.type
        if kind == "module":
            found.append(index)
        elif kind in _FUNCTIONS or kind == "class_definition":
            if child.field == "body" or child.node.type == "comment":
                found.append(index)
        elif kind in _COMPREHENSIONS and not _is_first_source(path, index):
            found.append(index)
    return found


def _is_first_source(path: Path, index: int) -> bool:
    """What a comprehension goes through first is looked up outside of it."""
    clause = path[index + 1].node
    if clause.type != "for_in_clause" or index + 2 >= len(path):
        return False
    first = next(one for one in path[index].node.children if one.type == "for_in_clause")
    return first.start_byte == clause.start_byte and path[index + 2].field == "right"
