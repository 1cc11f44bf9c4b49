"""Names are followed as Python follows them, and only where that is certain."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.bindings import Imported, imports_in, tree_of
from finetune.modules import Module, Modules, Target, line_starts, offset_of, squeezed

PACKAGE = {
    "shop/__init__.py": "from .cart import Cart, add as put\nfrom shop.prices import *\n",
    "shop/cart.py": (
        "from shop.base import Base\n\n\n"
        "class Cart(Base):\n    limit = 3\n\n    def put(self, item: str, n=1) -> None:\n"
        "        pass\n\n\ndef add(\n    cart,\n    item='x',\n):\n    pass\n"
    ),
    "shop/base.py": "class Base:\n    def total(self, *rest, tax=0):\n        return 0\n",
    "shop/prices.py": "VAT = 19  # percent\n_HIDDEN = 1\nif VAT:\n    def price(n): return n\n",
    "shop/deep/__init__.py": "",
    "shop/deep/low.py": "from ..cart import add\nfrom . import beside\nfrom ... import nowhere\n",
    "shop/deep/beside.py": "async def wait(seconds: float): ...\n",
    "run.py": "import shop\n",
}


def made(root: Path, files: Mapping[str, str]) -> Modules:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return Modules(root, list(files))


def found(modules: Modules, module: str, name: str, importer: str = "run.py", level: int = 0):
    return modules.imported(Imported(module, level, name), importer)


@pytest.fixture
def shop(tmp_path: Path) -> Modules:
    return made(tmp_path, PACKAGE)


def test_a_name_leads_to_its_definition_with_row_and_signature(shop: Modules) -> None:
    assert found(shop, "shop.cart", "Cart") == Target(
        "shop/cart.py", "Cart", 3, ("classCart(Base",)
    )
    assert found(shop, "shop.deep.beside", "wait") == Target(
        "shop/deep/beside.py", "wait", 0, ("asyncdefwait(seconds:float",)
    )


def test_a_signature_of_several_lines_is_read_to_its_last_argument(shop: Modules) -> None:
    target = found(shop, "shop.cart", "add")
    assert isinstance(target, Target)
    assert target.signatures == ("defadd(cart,item='x'",)


def test_re_exports_are_followed_also_under_another_name(shop: Modules) -> None:
    assert found(shop, "shop", "Cart") == found(shop, "shop.cart", "Cart")
    assert found(shop, "shop", "put") == found(shop, "shop.cart", "add")


def test_a_star_brings_public_names_only(shop: Modules) -> None:
    assert found(shop, "shop", "VAT") == Target("shop/prices.py", "VAT", 0, ("VAT=19",))
    assert found(shop, "shop", "price") == found(shop, "shop.prices", "price")
    assert found(shop, "shop", "_HIDDEN") is None


def test_dots_lead_up_from_the_importer_and_not_out_of_the_repository(shop: Modules) -> None:
    low = "shop/deep/low.py"
    assert found(shop, "cart", "add", low, 2) == found(shop, "shop.cart", "add")
    assert found(shop, "", "beside", low, 1) == Module("shop/deep/beside.py")
    assert found(shop, "", "nowhere", low, 3) is None
    assert found(shop, "", "nowhere", low, 9) is None


def test_modules_packages_and_plain_folders(shop: Modules, tmp_path: Path) -> None:
    assert found(shop, "shop", "") == Module("shop/__init__.py")
    assert found(shop, "shop.deep", "low") == Module("shop/deep/low.py")
    assert Module("shop/deep/low.py").folder is None
    plain = made(tmp_path / "plain", {"tools/one.py": "A = 1\n", "tools/sub/two.py": "B = 2\n"})
    assert found(plain, "tools", "") == Module("tools")
    assert found(plain, "tools", "one") == Module("tools/one.py")
    assert found(plain, "tools.sub.two", "B") == Target("tools/sub/two.py", "B", 0, ("B=2",))


def test_what_is_not_here_is_nothing(shop: Modules) -> None:
    assert found(shop, "json", "dumps") is None
    assert found(shop, "requests", "get") is None
    assert found(shop, "shop.cart", "missing") is None
    assert found(shop, "shop.missing", "Cart") is None


def test_a_package_in_src_is_found_from_the_tests(tmp_path: Path) -> None:
    files = {"src/pack/__init__.py": "", "src/pack/one.py": "A = 1\n", "tests/test_one.py": ""}
    modules = made(tmp_path, files)
    target = found(modules, "pack.one", "A", "tests/test_one.py")
    assert isinstance(target, Target)
    assert target.path == "src/pack/one.py"


def test_a_module_that_may_be_one_of_two_is_not_known(tmp_path: Path) -> None:
    modules = made(tmp_path, {"pack.py": "A = 1\n", "src/pack.py": "A = 2\n", "run.py": ""})
    assert found(modules, "pack", "A") is None


def test_a_script_sees_its_neighbours(tmp_path: Path) -> None:
    modules = made(tmp_path, {"bin/helper.py": "A = 1\n", "bin/run.py": "", "run.py": ""})
    assert isinstance(found(modules, "helper", "A", "bin/run.py"), Target)
    assert found(modules, "helper", "A", "run.py") is None


def test_a_name_with_two_origins_is_not_known(tmp_path: Path) -> None:
    text = "try:\n    from fast import speed\nexcept ImportError:\n    speed = None\n"
    modules = made(tmp_path, {"a.py": text, "fast.py": "def speed(): ...\n"})
    assert found(modules, "a", "speed", "a.py") is None


def test_an_overloaded_function_has_all_its_signatures(tmp_path: Path) -> None:
    text = "@overload\ndef f(a: int) -> int: ...\n@overload\ndef f(a: str) -> str: ...\ndef f(a): ...\n"
    target = found(made(tmp_path, {"a.py": text}), "a", "f", "b.py")
    assert isinstance(target, Target)
    assert target.signatures == ("deff(a:int)->int", "deff(a:str)->str", "deff(a")


def test_imports_in_a_circle_end(tmp_path: Path) -> None:
    modules = made(tmp_path, {"a.py": "from b import x\n", "b.py": "from a import x\n"})
    assert found(modules, "a", "x", "c.py") is None
    stars = made(tmp_path / "stars", {"a.py": "from b import *\n", "b.py": "from a import *\n"})
    assert found(stars, "a", "x", "c.py") is None


def test_members_are_those_of_the_class_and_of_its_bases(shop: Modules) -> None:
    cart = found(shop, "shop.cart", "Cart")
    assert isinstance(cart, Target)
    assert shop.member(cart, "put") == Target(
        "shop/cart.py", "put", 6, ("defput(self,item:str,n=1)->None",), "Cart"
    )
    assert shop.member(cart, "limit") == Target("shop/cart.py", "limit", 4, ("limit=3",), "Cart")
    total = shop.member(cart, "total")
    assert total is not None
    assert (total.path, total.container) == ("shop/base.py", "Base")
    assert total.signatures == ("deftotal(self,*rest,tax=0",)
    assert shop.member(cart, "missing") is None


def test_behind_an_unknown_base_nothing_is_certain(tmp_path: Path) -> None:
    text = "from other import Foreign\n\n\nclass Known:\n    def go(self): ...\n\n\n"
    text += "class One(Foreign, Known):\n    own = 1\n\n\nclass Two(Known, Foreign): ...\n"
    modules = made(tmp_path, {"a.py": text})
    one, two = found(modules, "a", "One", "b.py"), found(modules, "a", "Two", "b.py")
    assert isinstance(one, Target)
    assert isinstance(two, Target)
    assert modules.member(one, "go") is None
    assert modules.member(one, "own") is not None
    assert modules.member(two, "go") is not None


@pytest.mark.parametrize(
    "text",
    ["def broken(:\n", "x = '\0'\n", "(" * 5000, "\xff\xfe", "# coding: latin-1\nA = '\xe9'\n"],
)
def test_files_that_cannot_be_read_define_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.py").write_bytes(text.encode("latin-1"))
    modules = Modules(tmp_path, ["a.py"])
    known = found(modules, "a", "A", "b.py")
    assert (known is not None) == text.startswith("# coding")


def test_what_python_itself_imports_is_what_is_found(tmp_path: Path, shop: Modules) -> None:
    """Python's own answer, from a process of its own."""
    code = """
import inspect, json, shop, shop.cart, shop.deep.low
names = {"shop": ["Cart", "put", "price"], "shop.deep.low": ["add"]}
rows = {}
for module, of in (("shop", shop), ("shop.deep.low", shop.deep.low)):
    for name in names[module]:
        value = getattr(of, name)
        rows[f"{module} {name}"] = [inspect.getsourcefile(value), inspect.getsourcelines(value)[1]]
print(json.dumps(rows))
"""
    (tmp_path / "shop/deep/low.py").write_text("from ..cart import add\n")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True
    )
    for key, (file, line) in json.loads(done.stdout).items():
        module, name = key.split()
        target = found(shop, module, name)
        assert isinstance(target, Target)
        assert (tmp_path / target.path, target.row + 1) == (Path(file), line)


def test_imports_bind_the_names_that_python_binds() -> None:
    tree = tree_of("import a.b\nimport a.c as d\nfrom .e import f as g\nfrom h import *\n")
    assert tree is not None
    assert list(imports_in(tree)) == [
        ("a", Imported("a", 0, "")),
        ("d", Imported("a.c", 0, "")),
        ("g", Imported("e", 1, "f")),
        ("*", Imported("h", 0, "*")),
    ]


def test_the_standard_library_is_not_looked_for(tmp_path: Path) -> None:
    """`import json` in a repository with a file json.py: not certain which one is meant."""
    assert found(made(tmp_path, {"json.py": "A = 1\n"}), "json", "A", "b.py") is None


@given(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])), st.data())
def test_columns_in_bytes_become_characters(line: str, data: st.DataObject) -> None:
    text = f"first\n{line}\nlast"
    at = data.draw(st.integers(0, len(line)))
    assert offset_of(text, line_starts(text), 2, len(line[:at].encode())) == 6 + at


def test_squeezing_leaves_no_formatting() -> None:
    assert squeezed(" def f(\n\ta ,b,\n ) -> A[int, ]: ") == "deff(a,b)->A[int]:"
