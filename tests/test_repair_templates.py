"""Each template proposes what its docstring says, with the file's own formatting."""

import textwrap
from collections.abc import Mapping

import pytest

from sandbox.repair.catalogue import TEMPLATES
from sandbox.repair.change import Candidate
from sandbox.repair.search import Elsewhere, Search
from sandbox.repair.source import Source

BODY = '''
import os
import re

LIMIT = 10


class Thing:
    def area(self, scale):
        return self.width * scale

    def f(self, xs, ys, n, key=None):
        """Text."""
        total = 0
        rest = []
        for i, x in enumerate(xs):
            {statement}
        if total > LIMIT and self.width:
            rest.append(total)
        return rest


def helper(first, second=1):
    return first + second


def helpful(first):
    raise KeyError(first)
'''


def around(statement: str) -> str:
    """A file in which the statement stands in a loop, and names are there to use."""
    return BODY.replace("{statement}", textwrap.indent(statement, " " * 12).lstrip())


def proposed(
    template: str, text: str, line: int, others: Mapping[str, str] | None = None
) -> list[str]:
    """What becomes of the file by the template's proposals for one line."""
    source = Source(text, "file.py")
    search = Search(source, Elsewhere(others or {}))
    proposals = [
        candidate
        for statement in source.at_line(line)
        for _, found in search.by_template(statement, [template])
        for candidate, _ in found
    ]
    return [candidate.applied(text) for candidate in proposals]


WITHIN = [
    ("operator.comparison", "if i < n: pass", "if i <= n: pass"),
    ("operator.comparison", "total = i<n", "total = i<=n"),
    ("operator.comparison", "total = i<n", "total = i != n".replace(" != ", "!=")),
    ("operator.comparison", "if x == 1:\n    pass", "if x != 1:\n    pass"),
    ("operator.comparison", "if x is None:\n    pass", "if x is not None:\n    pass"),
    ("operator.comparison", "if x is not None:\n    pass", "if x is None:\n    pass"),
    ("operator.comparison", "if x in ys:\n    pass", "if x not in ys:\n    pass"),
    ("operator.comparison", "if x == ys:\n    pass", "if x in ys:\n    pass"),
    ("operator.comparison", "assert 0 < i < n", "assert 0 <= i < n"),
    ("operator.comparison", "assert 0 < i < n", "assert 0 < i <= n"),
    ("operator.comparison", "while (i) >= (n):\n    pass", "while (i) > (n):\n    pass"),
    ("operator.boolean", "if x and n:\n    pass", "if x or n:\n    pass"),
    ("operator.boolean", "if x and n and i:\n    pass", "if x or n and i:\n    pass"),
    ("operator.boolean", "if x and n and i:\n    pass", "if x or n or i:\n    pass"),
    ("operator.boolean", "total = x or n", "total = x and n"),
    ("operator.arithmetic", "total = x + n", "total = x - n"),
    ("operator.arithmetic", "total = x / n", "total = x // n"),
    ("operator.arithmetic", "total = x ^ n", "total = x & n"),
    ("operator.arithmetic", "total = x << n", "total = x >> n"),
    ("operator.arithmetic", "total ^= n", "total &= n"),
    ("operator.arithmetic", "total += n", "total -= n"),
    ("operator.arithmetic", "total += n", "total = n"),
    ("operator.augmented", "total = n", "total += n"),
    ("operator.augmented", "total = n", "total |= n"),
    ("operator.operands", "total = x - n", "total = n - x"),
    ("operator.operands", "total = i < n", "total = n < i"),
    ("operator.operands", "total = x and n", "total = n and x"),
    ("operator.operands", "total = x - (n + 1)", "total = n + 1 - (x)"),
    ("operator.operands", "total = x if n else i", "total = i if n else x"),
    ("operator.sign", "return -x", "return x"),
    ("operator.sign", "return x", "return -x"),
    ("number.constant", "total = 3", "total = 4"),
    ("number.constant", "total = 3", "total = 2"),
    ("number.constant", "total = xs[0]", "total = xs[1]"),
    ("number.constant", "total = xs[0]", "total = xs[-1]"),
    ("number.offset", "total = xs[i]", "total = xs[i + 1]"),
    ("number.offset", "total = xs[i]", "total = xs[i - 1]"),
    ("number.offset", "total = xs[i:n]", "total = xs[i:n + 1]"),
    ("number.offset", "for j in range(n):\n    pass", "for j in range(n + 1):\n    pass"),
    ("number.offset", "return helper(i, n)", "return helper(i + 1, n)"),
    ("number.offset", "while i < n:\n    pass", "while i < n - 1:\n    pass"),
    ("number.range", "for j in range(n):\n    pass", "for j in range(1, n):\n    pass"),
    ("number.range", "for j in range(i, n):\n    pass", "for j in range(n):\n    pass"),
    (
        "number.range",
        "for j, y in enumerate(ys):\n    pass",
        "for j, y in enumerate(ys, 1):\n    pass",
    ),
    ("swap.variable", "total = x", "total = n"),
    ("swap.variable", "total = helper(x, n)", "total = helper(x, key)"),
    ("swap.variable", "for y in xs:\n    pass", "for y in ys:\n    pass"),
    ("swap.everywhere", "total = x.a or x.b", "total = n.a or n.b"),
    ("swap.target", "total = x", "rest = x"),
    ("swap.function", "total = any(xs)", "total = all(xs)"),
    ("swap.function", "total = min(xs)", "total = max(xs)"),
    ("swap.function", "total = helper(x)", "total = helpful(x)"),
    ("swap.attribute", "rest.append(x)", "rest.extend(x)"),
    ("swap.attribute", "total = self.height", "total = self.width"),
    ("swap.attribute", "total = x.lstrip()", "total = x.rstrip()"),
    ("swap.attribute", "total = re.match(key, x)", "total = re.search(key, x)"),
    ("swap.member", "total = width", "total = self.width"),
    ("swap.member", "total = self.n", "total = n"),
    ("swap.member", "total = x.name", "total = x"),
    ("swap.arguments", "total = helper(x, n)", "total = helper(n, x)"),
    ("swap.arguments", "total = (x, n)", "total = (n, x)"),
    ("swap.arguments", "total = xs[i][n]", "total = xs[n][i]"),
    ("swap.arguments", "total = xs[i:n]", "total = xs[n:i]"),
    ("swap.arguments", "total = helper(first=x, second=n)", "total = helper(first=n, second=x)"),
    ("swap.arguments", "total = {x: n, i: key}", "total = {x: key, i: n}"),
    ("swap.arguments", "total = n", "n = total"),
    ("swap.keyword", "total = helper(first=x)", "total = helper(second=x)"),
    ("call.wrap", "total = x", "total = len(x)"),
    ("call.wrap", "for y in ys:\n    pass", "for y in list(ys):\n    pass"),
    ("call.wrap", "return xs", "return sorted(xs)"),
    ("call.wrap", "total = key + x", "total = key + str(x)"),
    ("call.bound", "total = total + x", "total = max(total, total + x)"),
    ("call.bound", "total = i", "total = min(n, i)"),
    ("call.unwrap", "total = helper(x)", "total = x"),
    ("call.unwrap", "total = helper(x, n) + 1", "total = n + 1"),
    ("call.unwrap", "total = x.strip()", "total = x"),
    ("call.method", "total = x", "total = x.copy()"),
    ("call.method", "for k in key:\n    pass", "for k in key.items():\n    pass"),
    ("call.called", "total = x.strip", "total = x.strip()"),
    ("call.called", "total = self.area()", "total = self.area"),
    ("call.argument", "total = helper(x, n)", "total = helper(x)"),
    ("call.argument", "total = helper(x)", "total = helper(x, n)"),
    ("call.argument", "total = helper()", "total = helper(x)"),
    ("call.argument", "total = helper(x)", "total = helper(x, second=None)"),
    ("call.argument", "total = helper(*x, **n)", "total = helper(*x)"),
    ("call.starred", "total = helper(*xs)", "total = helper(xs)"),
    ("call.starred", "total = helper(xs)", "total = helper(*xs)"),
    ("call.starred", "yield x", "yield from x"),
    ("call.starred", "yield from x", "yield x"),
    ("condition.negate", "if x:\n    pass", "if not x:\n    pass"),
    ("condition.negate", "if not x:\n    pass", "if x:\n    pass"),
    ("condition.negate", "if x and n:\n    pass", "if x and not n:\n    pass"),
    ("condition.negate", "if x or n:\n    pass", "if not (x or n):\n    pass"),
    ("condition.drop", "if x and n:\n    pass", "if n:\n    pass"),
    ("condition.drop", "if x and n and i:\n    pass", "if x and i:\n    pass"),
    ("condition.drop", "if x and n and i:\n    pass", "if n and i:\n    pass"),
    ("condition.truth", "if x:\n    pass", "if x is not None:\n    pass"),
    ("condition.truth", "if not x:\n    pass", "if x is None:\n    pass"),
    ("condition.truth", "if x is None:\n    pass", "if not x:\n    pass"),
    ("condition.truth", "if x and n > 0:\n    pass", "if x and n:\n    pass"),
    ("condition.constant", "while True:\n    pass", "while rest:\n    pass"),
    ("condition.constant", "if x:\n    pass", "if True:\n    pass"),
    ("condition.extend", "if x.a is None:\n    pass", "if x is None or x.a is None:\n    pass"),
    ("condition.extend", "if n:\n    pass", "if n and x is not None:\n    pass"),
    ("condition.extend", "if n:\n    pass", "if n and total > LIMIT:\n    pass"),
    ("condition.extend", "if n:\n    pass", "if n or self.width:\n    pass"),
    ("condition.extend", "if x or n:\n    pass", "if (x or n) and i:\n    pass"),
    ("condition.extend", "total = [y for y in ys if y]", "total = [y for y in ys if y and x]"),
    (
        "condition.types",
        "if isinstance(x, str):\n    pass",
        "if isinstance(x, (str, bytes)):\n    pass",
    ),
    (
        "condition.types",
        "if isinstance(x, (str, int)):\n    pass",
        "if isinstance(x, str):\n    pass",
    ),
    ("guard.around", "rest.append(x)", "if x is not None:\n    rest.append(x)"),
    ("guard.around", "rest.append(x.a)", "if x:\n    rest.append(x.a)"),
    ("guard.around", "total = xs[i]", "if i < len(xs):\n    total = xs[i]"),
    ("guard.around", "total = key[x]", "if x in key:\n    total = key[x]"),
    ("guard.before", "total = x.a", "if x is None:\n    continue\ntotal = x.a"),
    ("guard.before", "total = x.a", "if not x:\n    return rest\ntotal = x.a"),
    ("guard.default", "total = n", "if n is None:\n    n = []\ntotal = n"),
    ("guard.without", "if x:\n    total = n", "total = n"),
    ("guard.without", "if x:\n    total = n\nelse:\n    total = i", "total = i"),
    ("guard.without", "if x:\n    total = n\nelse:\n    total = i", "if x:\n    total = n"),
    ("guard.without", "try:\n    total = n\nfinally:\n    pass", "total = n"),
    ("return.value", "return True", "return not x"),
    ("return.value", "return []", "return [x]"),
    ("return.value", "return", "return rest"),
    ("return.value", "return None", "return total"),
    ("return.add", "self.area(x)", "return self.area(x)"),
    ("return.add", "total = x", "total = x\nreturn total"),
    ("return.add", "total = x", "return x"),
    ("return.add", "return x", "yield x"),
    ("return.add", "return x", "x"),
    ("statement.delete", "total = x", "pass"),
    ("statement.delete", "total = x\nrest = n", "rest = n"),
    ("statement.swap", "total = x\nrest = n", "rest = n\ntotal = x"),
    ("statement.leave", "break", "continue"),
    ("statement.leave", "total = x", "total = x\nbreak"),
    ("statement.call", "total = x", "total = x\nrest.append(x)"),
    ("statement.call", "total = x", "rest.append(i)\ntotal = x"),
    ("statement.assign", "rest = x", "rest = x\ntotal += 1"),
    ("statement.assign", "rest = x", "rest = x\ntotal = x"),
    ("statement.assign", "rest = x", "n = x\nrest = x".replace("n = x", "i = x")),
    ("statement.store", "helper(x)", "rest = helper(x)"),
    ("statement.store", "rest = x", "rest[x] = x"),
    ("statement.store", "rest[i] = x", "rest = x"),
    ("statement.store", "total = x", "self.total = x"),
    ("literal.flip", "total = True", "total = False"),
    ("literal.flip", "total = None", "total = []"),
    ("literal.flip", "total = []", "total = [[]]"),
    ("literal.flip", "total = ''", "total = None"),
    ("literal.display", "total = [x, n]", "total = [n]"),
    ("literal.display", "total = [x]", "total = x"),
    ("literal.display", "total = x", "total = [x]"),
    ("literal.display", "total = {x}", "total = {x, i}"),
    ("literal.display", "total = any([y for y in ys])", "total = any((y for y in ys))"),
    ("literal.string", "total = 'a-b'", "total = 'a_b'"),
    ("literal.string", "total = 'ab'", "total = 'ab/'"),
    ("literal.string", "total = 'ab '", "total = 'ab'"),
    ("literal.string", "total = 'a {x}'", "total = f'a {x}'"),
    ("literal.string", "total = b'ab'", "total = 'ab'"),
    ("literal.format", "total = '%s' % x", "total = '%r' % x"),
    ("subscript.index", "total = xs", "total = xs[0]"),
    ("subscript.index", "total = xs", "total = xs[i]"),
    ("subscript.index", "total = xs[i]", "total = xs"),
    ("subscript.part", "for y in xs:\n    pass", "for y in xs[i:]:\n    pass"),
    ("subscript.part", "total = helper(xs)", "total = helper(xs[1:])"),
    ("subscript.limits", "total = xs[1:]", "total = xs[:1]"),
    ("subscript.limits", "total = xs[:n]", "total = xs[1:n]"),
    ("subscript.limits", "total = xs[:n]", "total = xs[n:]"),
    ("subscript.key", "total = xs[i]", "total = xs[i:]"),
    ("subscript.key", "total = xs[i]", "total = xs[x]"),
    ("subscript.lookup", "total = key[x]", "total = key.get(x)"),
    ("subscript.lookup", "total = key.get(x)", "total = key[x]"),
    ("subscript.lookup", "total = key.get(x)", "total = key.get(x, [])"),
    ("subscript.lookup", "total = x.name", 'total = getattr(x, "name", None)'),
    ("extend.operand", "total = helper(n)", "total = helper(n - i)"),
    ("extend.operand", "total = helper(n)", "total = helper(n ** 2)"),
    ("extend.operand", "return n", "return i + n"),
    ("extend.operand", "total = xs[i]", "total = xs[i + n]"),
    ("extend.operand", "total = (x - n) * i", "total = (x - n - i) * i"),
    ("extend.drop", "total = x + n", "total = x"),
    ("extend.drop", "total = 1 + helper(x)", "total = helper(x)"),
    ("extend.default", "total = x", "total = x or []"),
    ("extend.default", "total = key", "total = key or n"),
    ("extend.default", "total = helper(x)", 'total = helper(x or "")'),
    ("extend.conditional", "total = x.a", "total = x.a if x else None"),
    ("extend.conditional", "total = x if n else i", "total = x"),
    ("extend.listed", "total = rest", "total = [x] + rest"),
    ("extend.grouping", "total = x - n - i", "total = x - (n - i)"),
    ("extend.grouping", "total = x + n * i", "total = (x + n) * i"),
    ("exception.raised", "raise ValueError(x)", "raise TypeError(x)"),
    ("exception.raised", "raise ValueError(x)", "raise ValueError(x) from None"),
    ("exception.catch", "total = xs[i]", "try:\n    total = xs[i]\nexcept ValueError:\n    pass"),
    ("exception.catch", "total = xs[i]", "try:\n    total = xs[i]\nexcept KeyError:\n    continue"),
    ("text.coding", "total = helper(x)", "total = helper(x.encode())"),
    ("text.coding", "total = x.encode()", "total = x.decode()"),
    ("text.coding", "total = x.decode()", "total = x"),
    ("text.opened", "total = open(x, 'r')", 'total = open(x, "rb")'),
    ("text.opened", "total = open(x)", 'total = open(x, encoding="utf-8")'),
    (
        "ingredient.expression",
        "total = xs + ys",
        "total = first_of(xs)".replace("first_of(xs)", "self.width"),
    ),
    ("ingredient.statement", "total = n", "rest.append(total)\ntotal = n"),
    ("ingredient.statement", "rest.append(n)", "rest.append(total)"),
]


@pytest.mark.parametrize(("template", "before", "after"), WITHIN)
def test_it_proposes(template: str, before: str, after: str) -> None:
    text, wanted = around(before), around(after)
    line = next(i for i, one in enumerate(BODY.split("\n"), 1) if "{statement}" in one)
    assert wanted in proposed(template, text, line)


FILES = [
    (
        "exception.handled",
        "try:\n    f()\nexcept KeyError:\n    pass\n",
        "try:\n    f()\nexcept (KeyError, ValueError):\n    pass\n",
        3,
    ),
    (
        "exception.handled",
        "try:\n    f()\nexcept (KeyError, ValueError) as e:\n    pass\n",
        "try:\n    f()\nexcept KeyError as e:\n    pass\n",
        3,
    ),
    (
        "exception.handled",
        "try:\n    f()\nexcept:\n    pass\n",
        "try:\n    f()\nexcept Exception:\n    pass\n",
        3,
    ),
    ("function.default", "def f(a, b=1):\n    pass\n", "def f(a, b=None):\n    pass\n", 1),
    ("function.default", "def f(a, b):\n    pass\n", "def f(a, b=None):\n    pass\n", 1),
    (
        "function.default",
        "def f(a, *, b: int = 1):\n    pass\n",
        "def f(a, *, b: int = 0):\n    pass\n",
        1,
    ),
    ("function.default", "def f(a=1):\n    pass\n", "def f(a):\n    pass\n", 1),
    (
        "function.mutable",
        "def f(a=[]):\n    a.append(1)\n    return a\n",
        "def f(a=None):\n    if a is None:\n        a = []\n    a.append(1)\n    return a\n",
        1,
    ),
    (
        "function.mutable",
        'class C:\n\tdef f(a={}, *, b=1):\n\t\t"""Text\n\n\t\tmore."""\n\t\treturn a\n',
        'class C:\n\tdef f(a=None, *, b=1):\n\t\t"""Text\n\n\t\tmore."""\n'
        "\t\tif a is None:\n\t\t\ta = {}\n\t\treturn a\n",
        2,
    ),
    ("function.parameter", "def f(a):\n    pass\n", "def f(a, **kwargs):\n    pass\n", 1),
    ("function.parameter", "def f(a, b=1):\n    pass\n", "def f(a, b=1, *args):\n    pass\n", 1),
    (
        "function.decorator",
        "class C:\n    def f(self):\n        pass\n",
        "class C:\n    @property\n    def f(self):\n        pass\n",
        2,
    ),
    (
        "function.decorator",
        "class C:\n    @cached\n    @property\n    def f(self):\n        pass\n",
        "class C:\n    @property\n    def f(self):\n        pass\n",
        2,
    ),
    ("function.await", "async def f():\n    g()\n", "async def f():\n    await g()\n", 2),
    ("function.await", "async def f():\n    await g()\n", "async def f():\n    g()\n", 2),
    (
        "function.await",
        "async def f(xs):\n    for x in xs:\n        pass\n",
        "async def f(xs):\n    async for x in xs:\n        pass\n",
        2,
    ),
    (
        "function.await",
        "async def f(xs):\n    async with xs:\n        pass\n",
        "async def f(xs):\n    with xs:\n        pass\n",
        2,
    ),
    (
        "import.missing",
        "def f():\n    return re.match('a')\n",
        "import re\ndef f():\n    return re.match('a')\n",
        2,
    ),
    (
        "import.missing",
        '"""Text."""\n\nimport os\n\nx = Path(os.curdir)\n',
        '"""Text."""\n\nimport os\nfrom pathlib import Path\n\nx = Path(os.curdir)\n',
        5,
    ),
    (
        "statement.move",
        "def f(xs):\n    for x in xs:\n        g(x)\n        return x\n",
        "def f(xs):\n    for x in xs:\n        g(x)\n    return x\n",
        4,
    ),
    (
        "statement.move",
        "def f(xs):\n    g(1)\n    for x in xs:\n        g(x)\n",
        "def f(xs):\n    for x in xs:\n        g(1)\n        g(x)\n",
        2,
    ),
    (
        "statement.move",
        "def f(x):\n    if x:\n        g(1)\n    g(2)\n",
        "def f(x):\n    if x:\n        g(1)\n        g(2)\n",
        4,
    ),
    (
        "statement.call",
        "def f(xs, seen):\n    for x in xs:\n        if x in seen:\n            continue\n",
        "def f(xs, seen):\n    for x in xs:\n        if x in seen:\n            continue\n"
        "        seen.add(x)\n",
        3,
    ),
    (
        "guard.around",
        "def f(x):\n    g(\n        x,\n    )\n",
        "def f(x):\n    if x:\n        g(\n            x,\n        )\n",
        2,
    ),
    (
        "guard.around",
        'def f(x):\n    g(x, """a\n  b""")\n',
        'def f(x):\n    if x:\n        g(x, """a\n  b""")\n',
        2,
    ),
    ("statement.delete", "f()\ng()", "f()\n", 2),
    ("statement.swap", "f()\ng()", "g()\nf()", 1),
    ("return.add", "def f():\n    x = 1", "def f():\n    x = 1\n    return x", 2),
    ("guard.around", "def f(x):\r\n    g(x)\r\n", "def f(x):\r\n    if x:\r\n        g(x)\r\n", 2),
]


@pytest.mark.parametrize(("template", "before", "after", "line"), FILES)
def test_it_proposes_for_a_file(template: str, before: str, after: str, line: int) -> None:
    assert after in proposed(template, before, line)


def test_every_template_has_an_example() -> None:
    assert {row[0] for row in WITHIN} | {row[0] for row in FILES} == set(TEMPLATES)


def test_an_import_is_taken_from_another_file() -> None:
    others = {"b.py": "from .tools import clean as wash\n"}
    wanted = "from .tools import clean as wash\nx = wash(1)\n"
    assert wanted in proposed("import.missing", "x = wash(1)\n", 1, others)


def test_expressions_and_statements_are_taken_from_another_file() -> None:
    text = "import os\n\n\ndef f(path):\n    return path\n"
    others = {"b.py": "import os\n\n\ndef g(path):\n    print(path)\n    return os.fspath(path)\n"}
    found = proposed("ingredient.expression", text, 5, others)
    assert text.replace("return path", "return os.fspath(path)") in found
    found = proposed("ingredient.statement", text, 5, others)
    assert text.replace("    return path", "    print(path)\n    return path") in found


def test_a_piece_whose_names_are_not_bound_is_left_alone() -> None:
    text = "def f(path):\n    return path\n"
    others = {"b.py": "def g(path, unknown):\n    return unknown.open(path)\n"}
    assert not any("unknown" in one for one in proposed("ingredient.expression", text, 2, others))


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_every_proposal_compiles_and_differs(template: str) -> None:
    statements = "x = [y for y in xs if y.a] or key.get(n, 'b')\n" + "\n".join(
        row[1] for row in WITHIN if row[0] == template and "yield" not in row[1]
    )
    text = around(statements)
    source = Source(text, "file.py")
    search = Search(source)
    for statement in source.statements:
        for _, proposals in search.by_template(statement, [template]):
            _all_fine(text, [candidate for candidate, _ in proposals])


def _all_fine(text: str, candidates: list[Candidate]) -> None:
    for candidate in candidates[:12]:
        result = candidate.applied(text)
        assert result != text
        compile(result, "file.py", "exec", dont_inherit=True)
