"""How an expression is written in a place: parentheses only where its neighbours need them."""

import ast
import re
from enum import IntEnum

from sandbox.repair.source import Source


class Binding(IntEnum):
    """How tightly an expression holds together; the order of Python's grammar."""

    LOOSE = 0  # a bare tuple, yield
    WALRUS = 1
    TEST = 2
    OR = 3
    AND = 4
    NOT = 5
    COMPARE = 6
    BIT_OR = 7
    BIT_XOR = 8
    BIT_AND = 9
    SHIFT = 10
    SUM = 11
    TERM = 12
    UNARY = 13
    POWER = 14
    AWAIT = 15
    ATOM = 16


_OPERATORS: dict[type[ast.operator], Binding] = {
    ast.BitOr: Binding.BIT_OR,
    ast.BitXor: Binding.BIT_XOR,
    ast.BitAnd: Binding.BIT_AND,
    ast.LShift: Binding.SHIFT,
    ast.RShift: Binding.SHIFT,
    ast.Add: Binding.SUM,
    ast.Sub: Binding.SUM,
    ast.Pow: Binding.POWER,
}
SIGNS: dict[type[ast.AST], str] = {
    **{ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//"},
    **{ast.Mod: "%", ast.Pow: "**", ast.LShift: "<<", ast.RShift: ">>", ast.MatMult: "@"},
    **{ast.BitOr: "|", ast.BitXor: "^", ast.BitAnd: "&", ast.And: "and", ast.Or: "or"},
    **{ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="},
    **{ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in"},
}
_SIGN = re.compile(
    r"not\s+in\b|is\s+not\b|(?:and|or|is|in|not)\b|\*\*=?|//=?|<<=?|>>=?|[<>=!]=|[-+*/%@|^&]=?|[<>]"
)
_SKIPPED = re.compile(r"#[^\r\n]*")


def binding(node: ast.AST) -> Binding:
    """Of an expression as it stands, without parentheses around it."""
    match node:
        case ast.BinOp(op=op):
            return _OPERATORS.get(type(op), Binding.TERM)
        case ast.BoolOp(op=ast.Or()):
            return Binding.OR
        case ast.BoolOp():
            return Binding.AND
        case ast.UnaryOp(op=ast.Not()):
            return Binding.NOT
        case ast.UnaryOp():
            return Binding.UNARY
        case ast.Compare():
            return Binding.COMPARE
        case ast.IfExp() | ast.Lambda():
            return Binding.TEST
        case ast.NamedExpr():
            return Binding.WALRUS
        case ast.Yield() | ast.YieldFrom() | ast.Starred():
            return Binding.LOOSE
        case ast.Await():
            return Binding.AWAIT
        case _:
            return Binding.ATOM


def needed(source: Source, node: ast.AST) -> Binding:
    """How tightly what takes the node's place must hold together."""
    if enclosed(source, node):
        return Binding.WALRUS
    parent = source.parents.get(node)
    match parent:
        case ast.BinOp(op=ast.Pow(), left=left):
            return Binding.AWAIT if left is node else Binding.UNARY
        case ast.BinOp(left=left):
            return Binding(binding(parent) + (left is not node))
        case ast.BoolOp(values=values):
            return Binding(binding(parent) + (values[0] is not node))
        case ast.UnaryOp():
            return binding(parent)
        case ast.Compare() | ast.Starred():
            return Binding.BIT_OR
        case ast.Attribute() | ast.Await():
            return Binding.ATOM
        case ast.Subscript(value=value) | ast.Call(func=value):
            return Binding.ATOM if value is node else Binding.TEST
        case ast.IfExp(orelse=orelse):
            return Binding.TEST if orelse is node else Binding.OR
        case ast.comprehension():
            return Binding.OR
        case _:
            return Binding.TEST


def enclosed(source: Source, node: ast.AST) -> bool:
    """Parentheses stand around it, its own or those of a call with this one argument."""
    start, end = source.span(node)
    before = start - 1
    while before >= 0 and source.text[before].isspace():
        before -= 1
    while end < len(source.text) and source.text[end].isspace():
        end += 1
    return source.text[before : before + 1] == "(" and source.text[end : end + 1] == ")"


def joined(text: str, has: Binding, needs: Binding) -> str:
    """`text`, in parentheses if it holds together less tightly than its place needs."""
    return text if has >= needs else f"({text})"


def operand(source: Source, node: ast.AST, needs: Binding) -> str:
    """A node's text for another place."""
    bare = isinstance(node, ast.GeneratorExp) or not enclosed(source, node)
    text = source.of(node)
    has = Binding.LOOSE if isinstance(node, ast.Tuple) and text[:1] != "(" else binding(node)
    return joined(text, has, needs) if bare or has < needs else text


def sign(source: Source, after: int, before: int) -> tuple[int, int] | None:
    """Where the operator between two operands stands."""
    between = _SKIPPED.sub(lambda comment: " " * len(comment[0]), source.text[after:before])
    match = _SIGN.search(between)
    return (after + match.start(), after + match.end()) if match else None
