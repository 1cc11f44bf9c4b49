"""What a change implies in other files: through their imports, as they are bound there."""

from pathlib import Path

import pytest

from completion.document import Document
from completion.index import Index
from completion.next_edit import NextEdits
from tests import index_trees

SHOP = "def price(item, count):\n    return item * count\n\n\nRATE = 2\n"
TREE = {
    "shop/__init__.py": "from shop.core import price\n",
    "shop/core.py": SHOP,
    "direct.py": "from shop.core import price, RATE\n\nprice(1, count=2)\n",
    "alias.py": "from shop.core import price as cost\n\ncost(1, 2)\nprice = 1\n",
    "module.py": "import shop.core\n\nshop.core.price(1, 2)\nother.price(3)\n",
    "short.py": "from shop import core\n\n\ndef f(core2):\n    return core.price, core2.price\n",
    "passed.py": "from shop import price\n\nprice(1, 2)\n",
    "taken.py": "from shop.core import price\n\ncost = 1\nprice(cost, 2)\n",
    "shadow.py": "from shop.core import price\n\n\ndef f(price):\n    return price(1, 2)\n",
    "stranger.py": "from elsewhere import price\n\nprice(1, 2)\n",
    "again.py": "from shop.core import price\n\nprice = price\n",
}


@pytest.fixture
def root(tmp_path: Path, empty_home: Path) -> Path:
    return index_trees.make(tmp_path / "tree", TREE)


@pytest.fixture
def index(root: Path) -> Index:
    return index_trees.build(root)


class Folder:
    """All files of a tree, edited in memory."""

    def __init__(self, root: Path, index: Index) -> None:
        self.root, self.index = root, index
        self.texts = {name: (root / name).read_text() for name in TREE}
        self.edits = NextEdits()
        self.now = 0.0
        self.opened: set[str] = set()

    def change(self, name: str, start: int, end: int, new: str) -> None:
        before = self.texts[name]
        self.now += 5.0
        self.opened.add(name)
        self.edits.before_change(self.root / name, "python", lambda: before, self.now)
        self.texts[name] = before[:start] + new + before[end:]

    def replace(self, name: str, old: str, new: str) -> None:
        at = self.texts[name].index(old)
        self.change(name, at, at + len(old), new)

    def take_all(self, name: str, value: str = "V") -> dict[str, str]:
        """Follow the edits wherever they lead; the files that changed but for the first."""
        changed, current = set[str](), name
        for _ in range(50):
            asked = self.edits.ask(self.document(current), 0, self.index, self.of)
            if not asked.edits:
                return {one: self.texts[one] for one in changed - {name}}
            edit = asked.edits[0]
            current = edit.path.relative_to(self.root).as_posix()
            new = edit.new
            if edit.hole is not None:
                new = new[: edit.hole] + value + new[edit.hole :]
            self.change(current, edit.offset, edit.offset + len(edit.old), new)
            changed.add(current)
        raise AssertionError("it never ends")

    def document(self, name: str) -> Document:
        return Document(self.root / name, "python", self.texts[name])

    def of(self, path: Path) -> Document | None:
        name = path.relative_to(self.root).as_posix()
        return self.document(name) if name in self.opened else None


def test_a_renamed_function_is_followed_through_imports_aliases_and_modules(
    root: Path, index: Index
) -> None:
    folder = Folder(root, index)
    folder.replace("shop/core.py", "price", "cost_of")
    changed = folder.take_all("shop/core.py")
    names = ("shop/__init__.py", "direct.py", "passed.py", "taken.py")
    expected = {name: TREE[name].replace("price", "cost_of") for name in names}
    expected["alias.py"] = TREE["alias.py"].replace("import price", "import cost_of")
    expected["module.py"] = TREE["module.py"].replace("core.price", "core.cost_of")
    expected["short.py"] = TREE["short.py"].replace("core.price", "core.cost_of")
    expected["shadow.py"] = TREE["shadow.py"].replace("import price", "import cost_of")
    assert changed == expected


def test_a_file_that_has_the_new_name_already_is_left_alone(root: Path, index: Index) -> None:
    folder = Folder(root, index)
    folder.replace("shop/core.py", "price", "cost")
    changed = folder.take_all("shop/core.py")
    assert "taken.py" not in changed
    assert "direct.py" in changed


def test_a_renamed_parameter_is_followed_in_calls_by_name_only(root: Path, index: Index) -> None:
    folder = Folder(root, index)
    folder.replace("shop/core.py", "count)", "many)")
    assert folder.take_all("shop/core.py") == {
        "direct.py": TREE["direct.py"].replace("count=2", "many=2")
    }
    assert folder.texts["shop/core.py"] == SHOP.replace("count", "many")


def test_a_new_parameter_is_asked_for_in_other_files(root: Path, index: Index) -> None:
    folder = Folder(root, index)
    folder.replace("shop/core.py", "count)", "count, tax)")
    changed = folder.take_all("shop/core.py")
    assert changed["direct.py"] == TREE["direct.py"].replace("count=2", "count=2, tax=V")
    for name, call in (("module.py", "price(1, 2"), ("passed.py", "price(1, 2")):
        assert changed[name] == TREE[name].replace(call, f"{call}, V")
    assert changed["alias.py"] == TREE["alias.py"].replace("(1, 2", "(1, 2, V")
    assert "stranger.py" not in changed
    assert "shadow.py" not in changed


def test_a_method_s_name_leads_to_no_other_file(root: Path, index: Index) -> None:
    folder = Folder(root, index)
    folder.texts["shop/core.py"] = "class A:\n    def price(self):\n        self.price()\n"
    folder.replace("shop/core.py", "price", "cost")
    assert folder.take_all("shop/core.py") == {}


def test_what_an_open_file_says_now_counts_not_what_is_on_the_disk(
    root: Path, index: Index
) -> None:
    folder = Folder(root, index)
    folder.replace("direct.py", "price(1", "print(1)\nprice(1")
    folder.replace("shop/core.py", "price", "cost_of")
    changed = folder.take_all("shop/core.py")
    assert changed["direct.py"] == folder.texts["direct.py"]
    assert "print(1)\ncost_of(1" in changed["direct.py"]


def test_a_change_taken_back_leaves_nothing_to_do_elsewhere(root: Path, index: Index) -> None:
    folder = Folder(root, index)
    folder.replace("shop/core.py", "price", "cost_of")
    assert folder.edits.ask(folder.document("shop/core.py"), 0, index, folder.of).edits
    folder.replace("shop/core.py", "cost_of", "price")
    assert not folder.edits.ask(folder.document("shop/core.py"), 0, index, folder.of).edits
    assert not folder.edits.ask(folder.document("direct.py"), 0, index, folder.of).edits


def test_a_file_that_cannot_be_written_is_left_alone(root: Path, index: Index) -> None:
    folder = Folder(root, index)
    (root / "direct.py").unlink()
    folder.replace("shop/core.py", "price", "cost_of")
    assert "direct.py" not in folder.take_all("shop/core.py")
