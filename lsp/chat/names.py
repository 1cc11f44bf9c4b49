"""The names of the chat commands, and the code actions that offer them.

Apart from what they do, so that a language server starts without loading that.
"""

from lsprotocol import types

KINDS = ("explain", "edit", "document", "tests", "fix", "ask", "review", "commitMessage")
QUICK_FIX = types.CodeActionKind.QuickFix
REWRITE = types.CodeActionKind.RefactorRewrite
EXPLAIN = types.CodeActionKind.Refactor
MOST_DIAGNOSTICS = 20


def name_of(kind: str) -> str:
    return f"tandem.{kind}"


def actions(params: types.CodeActionParams, language: str) -> list[types.CodeAction]:
    """For what is selected, and for diagnostics; where nothing is, none."""
    found: list[tuple[str, str, types.CodeActionKind, dict[str, object]]] = []
    told = [one.message for one in params.context.diagnostics][:MOST_DIAGNOSTICS]
    if told:
        found.append(("fix this", "fix", QUICK_FIX, {"diagnostics": told}))
    if params.range.start != params.range.end:
        found.append(("explain this", "explain", EXPLAIN, {"show": True}))
        found.append(("document this", "document", REWRITE, {}))
        if language == "python":
            found.append(("write tests for this", "tests", REWRITE, {}))
    return [
        _action(title, kind, sort, params, more)
        for title, kind, sort, more in found
        if _wanted(sort, params.context)
    ]


def _action(
    title: str,
    kind: str,
    sort: types.CodeActionKind,
    params: types.CodeActionParams,
    more: dict[str, object],
) -> types.CodeAction:
    where = {
        name: {"line": p.line, "character": p.character}
        for name, p in (("start", params.range.start), ("end", params.range.end))
    }
    arguments = {"uri": params.text_document.uri, "range": where, **more}
    command = types.Command(f"Tandem: {title}", name_of(kind), arguments=[arguments])
    return types.CodeAction(f"Tandem: {title}", kind=sort, command=command)


def _wanted(kind: types.CodeActionKind, context: types.CodeActionContext) -> bool:
    """Editors ask for kinds by their beginnings; one that asks by itself wants what it asks for."""
    if not context.only:
        return True
    asked = [getattr(one, "value", one) for one in context.only]
    return any(not one or f"{kind.value}.".startswith(f"{one}.") for one in asked)
