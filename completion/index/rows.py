"""How definitions and imports are written in rows: each word once, and small numbers for kinds.

Half of a source's bytes would go to what is said twice: a signature says the name again, an
import's alias mostly is the name.
"""

from completion.imports import Import
from completion.outline import Symbol

# Positions are in databases: a new kind goes to the end. Other kinds are stored as words.
_KINDS = (
    *("function", "method", "class", "constant", "field", "struct", "enum", "interface", "trait"),
    *("type", "macro", "module", "property", "union", "variable"),
)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
_NAME = "\x01"  # stands for the name in a signature

SymbolRow = tuple[int | str, str, str, str, str, int, int, bool]
ImportRow = tuple[str, str, str | None, int]


def of_symbol(s: Symbol) -> SymbolRow:
    """(kind, name, container, signature, doc, first row, rows after it, local)."""
    signature = s.signature.replace(_NAME, " ")
    if s.name:
        signature = signature.replace(s.name, _NAME, 1)
    kind = _NUMBERS.get(s.kind, s.kind)
    return kind, s.name, s.container, signature, s.doc, s.first, s.last - s.first, s.local


def to_symbol(row: SymbolRow) -> Symbol:
    kind, name, container, signature, doc, first, more, local = row
    return Symbol(
        _KINDS[kind] if isinstance(kind, int) else kind,
        name,
        container,
        signature.replace(_NAME, name),
        doc,
        first,
        first + more,
        bool(local),
    )


def of_import(i: Import) -> ImportRow:
    """(module, name, alias or None where it is the name, row)."""
    return i.module, i.name, None if i.alias == i.name else i.alias, i.row


def to_import(row: ImportRow) -> Import:
    module, name, alias, at = row
    return Import(module, name, name if alias is None else alias, at)
