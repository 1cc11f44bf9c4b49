"""Uses of what other files define: found where the definition is certain, nowhere else."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.modules import Modules, Target
from finetune.uses import Uses, uses_in
from tests.test_modules import PACKAGE, made


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Modules:
    return made(tmp_path_factory.mktemp("shop"), PACKAGE)


def spelled(text: str, modules: Modules, path: str = "run.py") -> list[str]:
    """The uses as `[Class.]name@row`; each stands where it says."""
    found = uses_in(text, path, modules)
    for use in found.uses:
        assert text[use.start :].startswith(use.target.name) or "as " in text
        assert use.opening is None or text[use.opening - 1] == "("
    return [_spell(use.target, text.count("\n", 0, use.start)) for use in found.uses]


def _spell(target: Target, row: int) -> str:
    owner = f"{target.container}." if target.container else ""
    return f"{owner}{target.name}@{row}"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("from shop import Cart\nc = Cart()\n", ["Cart@1"]),
        ("from shop import add\n", []),  # no such name, and no use
        ("from shop.cart import add as put\nput(1)\n", ["add@1"]),
        ("import shop\nshop.cart.add(1)\nshop.VAT\n", ["add@1", "VAT@2"]),
        ("import shop.deep.beside\nshop.deep.beside.wait(1)\n", ["wait@1"]),
        ("import shop.cart as c\nx: c.Cart\n", ["Cart@1"]),
        ("def f():\n    from shop import Cart\n    return Cart\n", ["Cart@2"]),
        ("from shop import Cart\nCart.put\nCart.total\n", ["Cart@1", "Cart.put@1", "Cart@2"]),
        ("from shop import Cart\n@Cart\nclass A(Cart): ...\n", ["Cart@1", "Cart@2"]),
        ("import shop\nshop.cart.Cart().x\n", ["Cart@1"]),
        ("from shop.prices import *\nVAT\n", []),  # what a star binds is not looked for
        ("from json import dumps\ndumps(1)\n", []),
        ("from shop import Cart\nf'{Cart}'\n", []),
        ("from shop import Cart\n'Cart'  # Cart\n", []),
        ("from shop import Cart\nCart.__init__\n", ["Cart@1"]),
    ],
)
def test_uses_of_imported_names(shop: Modules, text: str, wanted: list[str]) -> None:
    assert [one for one in spelled(text, shop) if "total" not in one] == wanted


@pytest.mark.parametrize(
    "rebound",
    [
        "Cart = None",
        "def Cart(): ...",
        "class Cart: ...",
        "for Cart in []: pass",
        "def f(Cart): ...",
        "try: pass\nexcept ValueError as Cart: pass",
        "match 1:\n    case Cart: pass",
        "from json import Cart",
        "[Cart for Cart in []]",
        "del Cart",
    ],
)
def test_a_name_that_something_else_may_bind_is_left_out(shop: Modules, rebound: str) -> None:
    assert spelled(f"from shop import Cart\nCart\n{rebound}\n", shop) == []


@pytest.mark.parametrize(
    ("body", "known"),
    [
        ("c = Cart()\n    c.put('x')", True),
        ("c: Cart = make()\n    c.put('x')", True),
        ("c = Cart()\n    c = other()\n    c.put('x')", False),
        ("c = make()\n    c.put('x')", False),
        ("for c in Cart(): c.put('x')", False),
        ("c = Cart()\n    def g(c): c.put('x')", False),
        ("c = Cart()\n    def g(): c.put('x')", True),
    ],
)
def test_members_of_local_names(shop: Modules, body: str, known: bool) -> None:
    found = spelled(f"from shop import Cart\ndef f():\n    {body}\n", shop)
    assert any(one.startswith("Cart.put") for one in found) == known


def test_members_of_annotated_parameters(shop: Modules) -> None:
    text = "from shop import Cart\ndef f(a: Cart, *, b: Cart, c):\n    a.put(b.limit, c.put)\n"
    assert spelled(text, shop) == ["Cart@1", "Cart@1", "Cart.put@2", "Cart.limit@2"]


def test_members_that_a_base_elsewhere_defines(shop: Modules, tmp_path: Path) -> None:
    text = (
        "from shop import Cart\n\n\nclass Own(Cart):\n    def put(self): ...\n"
        "    def f(self):\n        self.put(self.total())\n        self.limit = 1\n"
        "    @staticmethod\n    def g(self):\n        self.total()\n"
        "    @classmethod\n    def h(cls):\n        cls.total()\n"
    )
    modules = made(tmp_path, {**PACKAGE, "own.py": text})
    assert spelled(text, modules, "own.py") == ["Cart@3", "Base.total@6", "Base.total@13"]


def test_a_call_tells_where_its_arguments_begin(shop: Modules) -> None:
    text = "from shop import Cart\nCart(1)\nCart (2)\nprint(Cart)\n"
    openings = [use.opening for use in uses_in(text, "run.py", shop).uses]
    assert openings == [text.index("(") + 1, None, None]


def test_rows_of_imports_are_known(shop: Modules) -> None:
    text = "import os\nfrom shop import (\n    Cart,\n)\nCart\n"
    assert uses_in(text, "run.py", shop).import_rows == frozenset(range(4))


@pytest.mark.parametrize("text", ["def (", "", "x = '\0'", "a." * 20_000 + "b"])
def test_what_is_no_python_has_no_uses(shop: Modules, text: str) -> None:
    assert uses_in(text, "run.py", shop).uses == ()


def test_deep_nesting_is_read(shop: Modules) -> None:
    text = "from shop import Cart\nx = " + "[" * 80 + "Cart" + "]" * 80 + "\n"
    assert spelled(text, shop) == ["Cart@1"]


FILLERS = st.sampled_from(["'äöü'", "'𝒳'", "1", "[2, 3]", "'a' 'b'", "(yes := 1)"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(FILLERS, st.booleans(), FILLERS), min_size=1, max_size=6))
def test_every_use_stands_where_it_says(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, bool, str]]
) -> None:
    modules = Modules(tmp_path_factory.getbasetemp(), [])
    lines = [f"y = {a}, {'Cart' if use else 'Kart'}, {b}" for a, use, b in rows]
    text = "\n".join(["from shop import Cart", *lines])
    assert uses_in(text, "run.py", modules) == Uses((), frozenset({0}))
    root = tmp_path_factory.getbasetemp() / "whole"
    found = uses_in(text, "run.py", made(root, PACKAGE)).uses
    assert len(found) == sum(use for _, use, _ in rows)
    assert all(text[use.start : use.start + 4] == "Cart" for use in found)
