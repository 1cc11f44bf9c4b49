"""Scopes of languages with block scope: JavaScript, TypeScript, Go and Rust, one table each.

What a table does not know is no definition; a name that no known definition binds is left alone.
"""

from dataclasses import dataclass, replace

from tree_sitter import Node

from completion.languages import words
from completion.next_edit.path import LABEL, MEMBER, OTHER, UNSURE, USE, Path, Role


@dataclass(frozen=True)
class Table:
    """Names are those of the grammar's nodes; pairs are of a node and its child's field.

    `patterns` may stand between a name and what defines it. `own`: the definition is among the
    names of the defining node itself; `outer`: of the scope around it; `inner`: of the innermost
    scope; `hoisted`: of the function. `since`: definitions are seen only after their statement.
    `shorthand`: leaves that name a member and a variable at once, with how a new name is written.
    """

    leaves: frozenset[str]
    scopes: frozenset[str]
    functions: frozenset[str]
    patterns: frozenset[str]
    own: frozenset[tuple[str, str]]
    outer: frozenset[tuple[str, str]]
    inner: frozenset[tuple[str, str]]
    members: frozenset[str] = frozenset()
    since: bool = False
    sequential: bool = False
    shorthand: frozenset[str] = frozenset()
    others: frozenset[tuple[str, str]] = frozenset()


def pairs(text: str) -> frozenset[tuple[str, str]]:
    return frozenset((node, field) for node, _, field in (w.partition(".") for w in text.split()))


_JS_FUNCTIONS = words(
    "function_declaration function_expression generator_function generator_function_declaration"
    " arrow_function method_definition function_signature method_signature call_signature"
    " construct_signature function_type constructor_type abstract_method_signature"
)
_JAVASCRIPT = Table(
    leaves=words(
        "identifier type_identifier property_identifier private_property_identifier"
        " shorthand_property_identifier shorthand_property_identifier_pattern"
    ),
    scopes=_JS_FUNCTIONS
    | words(
        "program statement_block for_statement for_in_statement catch_clause switch_body class"
        " class_declaration abstract_class_declaration interface_declaration"
        " type_alias_declaration class_static_block"
    ),
    functions=_JS_FUNCTIONS | words("program class_static_block"),
    patterns=words(
        "object_pattern array_pattern pair_pattern assignment_pattern rest_pattern"
        " object_assignment_pattern required_parameter optional_parameter formal_parameters"
    ),
    own=pairs(
        "arrow_function.parameter catch_clause.parameter function_expression.name class.name"
        " generator_function.name type_parameter.name"
    )
    | frozenset((function, "parameters") for function in _JS_FUNCTIONS),
    outer=pairs(
        "function_declaration.name generator_function_declaration.name class_declaration.name"
        " abstract_class_declaration.name interface_declaration.name type_alias_declaration.name"
        " enum_declaration.name function_signature.name internal_module.name"
    ),
    inner=pairs("variable_declarator.name import_specifier.alias namespace_import. import_clause."),
    members=words("property_identifier private_property_identifier"),
    shorthand=words("shorthand_property_identifier shorthand_property_identifier_pattern"),
)
_GO = Table(
    leaves=words("identifier type_identifier field_identifier package_identifier"),
    scopes=words(
        "source_file function_declaration method_declaration func_literal block if_statement"
        " for_statement expression_switch_statement type_switch_statement expression_case"
        " type_case default_case communication_case function_type"
    ),
    functions=words("function_declaration method_declaration func_literal function_type"),
    patterns=words(
        "expression_list parameter_list parameter_declaration variadic_parameter_declaration"
    ),
    own=frozenset(
        (function, field)
        for function in ("function_declaration", "method_declaration", "func_literal")
        for field in ("parameters", "receiver", "result")
    )
    | pairs("function_type.parameters function_type.result"),
    outer=pairs("function_declaration.name type_spec.name type_alias.name"),
    inner=pairs(
        "short_var_declaration.left var_spec.name const_spec.name import_spec.name"
        " range_clause.left receive_statement.left type_switch_statement.alias"
    ),
    members=words("field_identifier"),
    since=True,
    others=pairs("package_clause. qualified_type.name keyed_element.key"),
)
_RUST = Table(
    leaves=words("identifier type_identifier field_identifier shorthand_field_identifier"),
    scopes=words(
        "source_file function_item closure_expression block match_arm if_expression"
        " while_expression for_expression declaration_list function_signature_item"
    ),
    functions=words("function_item closure_expression function_signature_item"),
    patterns=words(
        "tuple_pattern slice_pattern struct_pattern field_pattern ref_pattern mut_pattern"
        " reference_pattern tuple_struct_pattern captured_pattern or_pattern match_pattern"
        " parameter parameters closure_parameters remaining_field_pattern"
    ),
    own=pairs(
        "function_item.parameters closure_expression.parameters for_expression.pattern"
        " match_arm.pattern function_signature_item.parameters"
    ),
    outer=pairs(
        "function_item.name struct_item.name enum_item.name trait_item.name const_item.name"
        " static_item.name type_item.name mod_item.name"
    ),
    inner=pairs("let_declaration.pattern let_condition.pattern use_as_clause.alias"),
    members=words("field_identifier"),
    since=True,
    sequential=True,
    shorthand=words("shorthand_field_identifier"),
    others=pairs("scoped_identifier.name scoped_type_identifier.name"),
)
TABLES = {
    "javascript": _JAVASCRIPT,
    "javascriptreact": _JAVASCRIPT,
    "typescript": _JAVASCRIPT,
    "typescriptreact": _JAVASCRIPT,
    "go": _GO,
    "rust": _RUST,
}
# Where a field of a pattern is no part of what it binds.
_NOT_BOUND = pairs(
    "pair_pattern.key assignment_pattern.right object_assignment_pattern.right"
    " required_parameter.type required_parameter.value optional_parameter.type"
    " optional_parameter.value parameter_declaration.type variadic_parameter_declaration.type"
    " parameter.type tuple_struct_pattern.type struct_pattern.type field_pattern.name"
)


def scopes(path: Path, table: Table) -> list[Node]:
    """Those around what stands at the end of a path, innermost first."""
    return [path[index].node for index in _scope_indexes(path, table)]


def role(path: Path, table: Table) -> Role:
    leaf, parent = path[-1].node, path[-2].node
    kind, field = parent.type, path[-1].field
    if leaf.type in table.members:
        return MEMBER
    if (kind, field) in table.others or (kind, "") in table.others:
        return OTHER
    if table is _RUST:
        odd = _rust(path)
    elif table is _GO:
        odd = _go(path)
    else:
        odd = _javascript(path, table)
    if odd is not None:
        return odd
    found = _definition(path, table)
    if leaf.type in table.shorthand:
        form = "{old}: {new}"
        return replace(found, form=form) if found else Role("use", form=form)
    return found or USE


def _definition(path: Path, table: Table) -> Role | None:
    index = len(path) - 2
    while path[index].node.type in table.patterns:
        node, child = path[index].node, path[index + 1]
        if (node.type, child.field) in _NOT_BOUND and child.node.type not in table.shorthand:
            return None
        if path[index].field and (path[index - 1].node.type, path[index].field) in table.own:
            break
        index -= 1
    node, field = path[index].node, path[index + 1].field
    if node.type in table.patterns:  # a list of parameters
        index -= 1
        node, field = path[index].node, path[index + 1].field
    pair = node.type, field
    if pair in table.own:
        what = "parameter" if field.startswith(("parameter", "receiver", "result")) else "variable"
        owner = node if node.type in table.scopes else scopes(path, table)[0]
        if node.type == "type_parameter":
            owner = next(s.node for s in reversed(path[:index]) if s.node.type in table.scopes)
        return Role("definition", owner, what, sequential=table.sequential)
    if pair in table.outer:
        what = "class" if "class" in node.type or "struct" in node.type else "function"
        return Role("definition", scopes(path[: index + 1], table)[0], what)
    if pair in table.inner:
        what = "import" if "import" in node.type or node.type == "use_as_clause" else "variable"
        since, scope = 0, scopes(path[: index + 2], table)
        if table.since and len(scope) > 1:
            since = _statement_end(path, index)
        owner = scope[0]
        above = path[index - 1].node
        if above.type == "variable_declaration":  # JavaScript's `var`
            owner = next(s for s in scope if s.type in table.functions)
        sequential = table.sequential and node.type in ("let_declaration", "let_condition")
        return Role("definition", owner, what, since=since, sequential=sequential)
    return None


def _statement_end(path: Path, index: int) -> int:
    node = path[index].node
    if node.type == "range_clause":
        return node.end_byte
    if node.type == "type_switch_statement":
        return path[-1].node.start_byte
    return node.end_byte


def _scope_indexes(path: Path, table: Table) -> list[int]:
    found: list[int] = []
    for index in range(len(path) - 2, -1, -1):
        node, child = path[index].node, path[index + 1]
        kind = node.type
        if kind not in table.scopes or (kind, child.field) in table.outer:
            continue
        # A function's body has no names of its own besides its parameters.
        of_function = index and path[index - 1].node.type in table.functions
        is_body = of_function and child.field != "name" and path[index].field == "body"
        if is_body and table is not _RUST:
            continue
        if kind in ("if_expression", "while_expression") and child.field == "alternative":
            continue
        found.append(index)
    return found


def _javascript(path: Path, table: Table) -> Role | None:
    leaf, parent = path[-1].node, path[-2].node
    kind, field = parent.type, path[-1].field
    if kind == "import_specifier" and field == "name":
        if parent.child_by_field_name("alias"):
            return OTHER
        return Role("definition", scopes(path, table)[-1], "import", form="{old} as {new}")
    if kind == "export_specifier":
        statement = path[-4].node if len(path) > 3 else parent
        if field == "alias" or statement.child_by_field_name("source"):
            return OTHER
        aliased = parent.child_by_field_name("alias") is not None
        return USE if aliased else Role("use", form="{new} as {old}")
    if kind in ("required_parameter", "optional_parameter") and any(
        one.type in ("accessibility_modifier", "override_modifier", "readonly")
        for one in parent.children
    ):
        return UNSURE
    if kind.startswith("jsx_") and field == "name" and leaf.text and leaf.text[:1].islower():
        return OTHER
    for index in range(len(path) - 2, 0, -1):
        node, child = path[index].node, path[index + 1]
        if node.type in table.patterns:
            continue
        if node.type == "for_in_statement" and child.field == "left":
            declares = node.child_by_field_name("kind")
            if declares is None:
                return None
            owner: Node = node
            if declares.text == b"var":
                inside = scopes(path[: index + 1], table)
                owner = next(s for s in inside if s.type in table.functions)
            if any(
                (p.node.type, c.field) in _NOT_BOUND
                for p, c in zip(path[index + 1 :], path[index + 2 :], strict=False)
            ):
                return None
            return Role("definition", owner, "variable", form=_form(leaf, table))
        break
    return None


def _form(leaf: Node, table: Table) -> str:
    return "{old}: {new}" if leaf.type in table.shorthand else ""


def _go(path: Path) -> Role | None:
    kind = path[-2].node.type
    for index in range(len(path) - 2, max(0, len(path) - 5), -1):
        node = path[index].node
        if node.type in ("range_clause", "receive_statement"):
            declares = any(one.type == ":=" for one in node.children)
            return None if declares or path[index + 1].field != "left" else USE
        if node.type == "keyed_element" and path[index + 1].field == "key":
            literal = path[index - 2].node
            made = literal.child_by_field_name("type")
            if made is not None and made.type in ("map_type", "slice_type", "array_type"):
                return USE
            # Of an inner literal without its type we cannot tell a field from a variable.
            named = made is not None and literal.type == "composite_literal"
            return LABEL if named else UNSURE
    return OTHER if kind in ("label_name", "labeled_statement") else None


def _rust(path: Path) -> Role | None:
    leaf, parent = path[-1].node, path[-2].node
    kind, field = parent.type, path[-1].field
    if any(step.node.type == "use_declaration" for step in path):
        if kind == "use_as_clause" and field == "alias":
            return None
        last = kind in ("use_list", "use_declaration") or field == "name"
        if last:
            return Role("definition", scopes(path, _RUST)[0], "import", form="{old} as {new}")
        return UNSURE if field == "path" and kind == "scoped_identifier" else OTHER
    if kind == "token_tree":
        before, after = leaf.prev_sibling, leaf.next_sibling
        marks = [one.type for one in (before, after) if one is not None]
        if before is not None and before.type in (".", "::"):
            return OTHER
        if after is not None and after.type in ("=", "=>", ":", "!"):
            return UNSURE
        return UNSURE if "$" in marks else USE
    if kind == "shorthand_field_initializer":
        return Role("use", form="{old}: {new}")
    if kind == "macro_invocation" and field == "macro":
        return OTHER
    text = leaf.text or b""
    if text[:1].isupper() and _definition(path, _RUST) is not None:
        # In a pattern it is a constant or a variant, which a definition by name is not.
        defined = (kind, field) in _RUST.outer
        return None if defined else USE
    return None
