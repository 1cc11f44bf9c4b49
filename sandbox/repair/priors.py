"""How often each template makes the fix of a statement that it has proposals for.

Fitted by `benchmarks.repair_space --fit` on the first half of the fixes that
`benchmarks.mine_fixes` finds in eight projects: 485 commits with tests, their lines given; smoothed
once more by hand, with how often each has proposals in 36 of these cases. Where
several templates make one fix they share it. Each counts as right once more in a hundred more
statements, so that what these projects never needed is still tried: those have been asked for 500
statements and more where they stand at 0.0015.
"""

# Of a template without a figure.
USUAL = 0.01

PRIORS: dict[str, float] = {
    # No figure, a guess: a small model's dozen answers hold the fix of one line in twenty.
    "model": 0.05,
    "exception.handled": 0.0336,
    "condition.extend": 0.0254,
    "text.opened": 0.0190,
    "condition.drop": 0.0181,
    "statement.delete": 0.0147,
    "function.decorator": 0.0134,
    "function.parameter": 0.0129,
    "function.default": 0.0127,
    "operator.arithmetic": 0.0127,
    "literal.flip": 0.0122,
    "literal.string": 0.0119,
    "guard.without": 0.0108,
    "statement.move": 0.0103,
    "swap.everywhere": 0.0100,
    "import.missing": 0.0100,
    "function.mutable": 0.0100,
    "number.range": 0.0098,
    "extend.grouping": 0.0096,
    "call.wrap": 0.0091,
    "operator.comparison": 0.0089,
    "call.argument": 0.0088,
    "condition.types": 0.0087,
    "swap.keyword": 0.0085,
    "subscript.limits": 0.0080,
    "exception.raised": 0.0073,
    "literal.format": 0.0069,
    "swap.variable": 0.0066,
    "return.value": 0.0065,
    "subscript.key": 0.0064,
    "operator.augmented": 0.0062,
    "extend.drop": 0.0060,
    "statement.leave": 0.0058,
    "ingredient.statement": 0.0057,
    "function.await": 0.0056,
    "operator.boolean": 0.0055,
    "number.constant": 0.0054,
    "call.unwrap": 0.0053,
    "literal.display": 0.0053,
    "ingredient.expression": 0.0051,
    "text.coding": 0.0048,
    "subscript.lookup": 0.0048,
    "swap.member": 0.0039,
    "condition.truth": 0.0033,
    "swap.function": 0.0032,
    "operator.operands": 0.0032,
    "swap.target": 0.0028,
    "condition.constant": 0.0028,
    "swap.arguments": 0.0026,
    "condition.negate": 0.0026,
    "call.starred": 0.0026,
    "guard.default": 0.0025,
    "statement.store": 0.0019,
    "operator.sign": 0.0018,
    "extend.listed": 0.0018,
    "swap.attribute": 0.0017,
    "extend.default": 0.0016,
    "extend.conditional": 0.0016,
    "number.offset": 0.0016,
    "statement.swap": 0.0015,
    "extend.operand": 0.0014,
    "call.method": 0.0014,
    "statement.call": 0.0013,
    "call.bound": 0.0013,
    "subscript.part": 0.0013,
    "subscript.index": 0.0013,
    "call.called": 0.0013,
    "return.add": 0.0013,
    "guard.before": 0.0012,
    "guard.around": 0.0012,
    "exception.catch": 0.0012,
    "statement.assign": 0.0011,
}


def prior(template: str) -> float:
    """A chance between 0 and 1."""
    return PRIORS.get(template, USUAL)
