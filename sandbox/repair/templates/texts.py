"""str and bytes: encoded, decoded, files opened as one or the other."""

import ast
from collections.abc import Iterator

from sandbox.repair.change import Change
from sandbox.repair.spot import Spot

_CALLS = (
    *("encode()", "decode()", 'encode("utf-8")', 'decode("utf-8")', 'encode("ascii")'),
    *('decode("ascii")', 'decode("latin-1")', 'decode("utf-8", "replace")'),
)


def coding(spot: Spot) -> Iterator[Change]:
    """`e.encode()`, `e.decode()` for `e`, and another codec or error handler."""
    for node in spot.expressions:
        parent = spot.parent(node)
        callee = node.func if isinstance(node, ast.Call) else None
        if isinstance(callee, ast.Attribute) and callee.attr in ("encode", "decode"):
            of = spot.of(callee.value)
            for call in _CALLS:
                yield spot.put(node, f"{of}.{call}", weight=2.0)
            yield spot.put_node(node, callee.value, 2.0)
            continue
        passed = isinstance(parent, ast.Call) and parent.func is not node
        if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript) and (
            passed or isinstance(parent, ast.Assign | ast.Return | ast.BinOp | ast.Compare)
        ):
            for rank, call in enumerate(_CALLS):
                yield spot.put(node, f"{spot.of(node)}.{call}", weight=0.5 / (1 + rank / 2))


def opened(spot: Spot) -> Iterator[Change]:
    """Another mode, or an encoding, for a call of `open` and its like."""
    for node in spot.expressions:
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rsplit(".", 1)[-1]
        if name not in ("open", "read_text", "write_text", "TextIOWrapper", "fdopen"):
            continue
        for one in [*node.args, *(k.value for k in node.keywords)]:
            if isinstance(one, ast.Constant) and one.value in ("r", "rb", "w", "wb", "a", "ab"):
                for mode in ("r", "rb", "w", "wb", "a", "ab"):
                    yield spot.put(one, f'"{mode}"', weight=2.0 if mode[0] == one.value[0] else 0.5)
        given = {keyword.arg for keyword in node.keywords}
        text = spot.of(node)
        if "encoding" not in given and text.endswith(")"):
            comma = ", " if node.args or node.keywords else ""
            for added in ('encoding="utf-8"', 'errors="replace"', 'newline=""'):
                yield spot.put(node, f"{text[:-1].rstrip(', ')}{comma}{added})")
