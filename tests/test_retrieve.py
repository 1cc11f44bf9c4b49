"""What is found in other files for a cursor: the right definition, for a reason, within a budget."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.document import Document, language_of
from completion.edits import Hunk
from completion.index import Index, Indexer
from completion.pieces import SOURCES, Context, Piece
from completion.retrieve import Retriever
from completion.retrieve.anchor import anchor, text_at

CURSOR = "‸"
KEY = "ghp_" + "a1B2" * 9

FILES = {
    "shop/__init__.py": "from .core import Cart as Cart\nfrom .util import *\n",
    "shop/core.py": '''"""The cart."""
from shop.base import Stored


class Cart(Stored):
    """What a customer wants to buy."""

    limit: int = 20

    def __init__(self, owner: str) -> None:
        self.owner = owner

    def add_item(self, name: str, price: int) -> None:
        """Put one more thing in."""
        self.items.append((name, price))

    def total(self) -> int:
        return sum(price for _, price in self.items)
''',
    "shop/base.py": '''class Stored:
    """Kept in a database."""

    def save_now(self, force: bool = False) -> None:
        """Write it."""
''',
    "shop/util.py": '''def format_price(cents: int) -> str:
    """Cents as people read them."""
    return f"{cents / 100:.2f}"


def parse_price(text: str) -> int:
    return int(float(text) * 100)
''',
    "other/core.py": '''class Cart:
    """A shopping trolley of steel."""

    def push(self, metres: float) -> None: ...
''',
    "tests/test_util.py": """from shop.util import format_price


def test_format_price_has_two_digits():
    assert format_price(100) == "1.00"
""",
    "keys.py": f'def secret_service(token="{KEY}"):\n    """Calls it."""\n',
}


def count(text: str) -> int:
    """Tokens, near enough for tests: a word or a sign each."""
    return len(text.split()) + text.count("(") + text.count("\n")


@pytest.fixture
def root(tmp_path: Path, empty_home: Path) -> Path:
    folder = tmp_path / "work"
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    Indexer(folder).update()
    return folder


@pytest.fixture
def index(root: Path) -> Iterator[Index]:
    opened = Index(root)
    yield opened
    opened.close()


def look(
    index: Index,
    marked: str,
    path: str = "app.py",
    sources: tuple = SOURCES,
    budget: int = 400,
    hunks: tuple[Hunk, ...] = (),
    gate: bool = False,
) -> Context:
    """The context where the text is marked."""
    text = marked.replace(CURSOR, "")
    document = Document(index.root / path, language_of(Path(path)), text)
    retriever = Retriever(index, count, sources, gate, time_box_ms=float("inf"))
    return retriever.context(document, marked.index(CURSOR), budget, hunks)


def symbols(context: Context) -> list[tuple[str, str]]:
    return [(piece.path, piece.symbol) for piece in context.pieces]


def only(context: Context, symbol: str) -> Piece:
    [piece] = [piece for piece in context.pieces if piece.symbol == symbol]
    return piece


# Definitions, through imports


@pytest.mark.parametrize(
    "head",
    [
        "from shop.core import Cart\n\nx = Cart‸",
        "from shop.core import Cart as Cart\n\nx = Cart‸",
        "from shop import Cart\n\nx = Cart‸",
        "import shop.core\n\nx = shop.core.Cart‸",
        "from shop import core\n\nx = core.Cart‸",
        "from shop.core import *\n\nx = Cart(‸",
    ],
)
def test_a_name_is_followed_through_the_import_to_its_own_file(index: Index, head: str) -> None:
    found = look(index, head, sources=("definitions", "callees", "members"))
    assert ("shop/core.py", "Cart") in symbols(found)
    assert "other/core.py" not in {piece.path for piece in found.pieces}


def test_an_alias_is_followed_too(index: Index) -> None:
    found = look(index, "from other.core import Cart as Trolley\n\nx = Trolley(‸")
    assert ("other/core.py", "Cart") in symbols(found)
    assert only(found, "Cart").source == "callees"


def test_a_relative_import_is_seen_from_the_file_s_own_folder(index: Index) -> None:
    found = look(index, "from .util import format_price\n\nformat_price(‸", "shop/app.py")
    piece = only(found, "format_price")
    assert piece.path == "shop/util.py"
    assert piece.reason == "imported from .util"
    assert piece.text.startswith('def format_price(cents: int) -> str:\n    """Cents as people')


def test_what_a_package_passes_on_by_a_star_is_found(index: Index) -> None:
    found = look(index, "import shop\n\nx = shop.format_price(‸")
    assert ("shop/util.py", "format_price") in symbols(found)


def test_an_import_that_is_not_used_yet_comes_before_what_is_far_away(index: Index) -> None:
    text = "from shop.util import parse_price\nfrom shop.core import Cart\n\nc = Cart()\n\n‸\n"
    found = look(index, text, sources=("definitions",))
    assert {"Cart", "parse_price"} <= {symbol for _, symbol in symbols(found)}


def test_a_name_alone_is_a_last_resort_and_must_look_like_a_definition(index: Index) -> None:
    called = look(index, "x = parse_price(‸", sources=("callees",))
    assert only(called, "parse_price").reason == "the only parse_price in the repository"
    variable = look(
        index, "def f(format_price):\n    y = format_price\n    ‸", sources=("definitions",)
    )
    assert variable.pieces == ()


def test_of_two_definitions_of_one_name_none_is_guessed(index: Index) -> None:
    assert look(index, "x = Cart(‸", sources=("callees", "definitions")).pieces == ()


def test_a_file_s_own_definition_hides_the_other_files(index: Index, root: Path) -> None:
    (root / "app.py").write_text("def parse_price(x):\n    return x\n")
    Indexer(root).update_files([root / "app.py"])
    text = "def parse_price(x):\n    return x\n\n\ny = parse_price(‸"
    assert look(index, text, sources=("callees", "definitions")).pieces == ()


# Members and callees


@pytest.mark.parametrize(
    "text",
    [
        "from shop.core import Cart\n\ndef f(cart: Cart):\n    cart.‸\n",
        "from shop.core import Cart\n\ndef f():\n    cart = Cart('me')\n    cart.‸\n",
        "from shop.core import Cart\n\nclass A:\n    def __init__(self):\n"
        "        self.cart = Cart('me')\n    def f(self):\n        self.cart.‸\n",
    ],
)
def test_a_receiver_whose_class_is_known_brings_its_members(index: Index, text: str) -> None:
    piece = only(look(index, text, sources=("members",)), "Cart")
    assert "def add_item(self, name: str, price: int) -> None:" in piece.text
    assert "limit: int = 20" in piece.text
    assert "is a Cart" in piece.reason


def test_inherited_members_come_from_their_own_class(index: Index) -> None:
    text = "from shop.core import Cart\n\ndef f(cart: Cart):\n    cart.‸\n"
    found = look(index, text, sources=("members",))
    assert "save_now" in only(found, "Stored").text
    assert only(found, "Stored").path == "shop/base.py"


def test_self_brings_what_the_base_class_has(index: Index) -> None:
    text = "from shop.core import Cart\n\nclass Big(Cart):\n    def f(self):\n        self.‸\n"
    (index.root / "app.py").write_text(text.replace(CURSOR, ""))
    Indexer(index.root).update_files([index.root / "app.py"])
    assert "add_item" in only(look(index, text, sources=("members",)), "Cart").text


def test_a_module_s_names_are_its_members(index: Index) -> None:
    found = look(index, "from shop import util\n\nutil.‸", sources=("members",))
    assert {"format_price", "parse_price"} <= {symbol for _, symbol in symbols(found)}


def test_members_that_this_file_uses_come_first(index: Index) -> None:
    text = "from shop import util\n\nutil.parse_price('1')\nutil.‸"
    found = look(index, text, sources=("members",), budget=16)
    assert [symbol for _, symbol in symbols(found)] == ["parse_price"]


def test_the_class_being_called_shows_how_it_is_made(index: Index) -> None:
    piece = only(
        look(index, "from shop.core import Cart\n\nx = Cart(‸", sources=("callees",)), "Cart"
    )
    assert "def __init__(self, owner: str) -> None:" in piece.text
    assert "add_item" not in piece.text


# Siblings, likeness, edits


def test_a_test_sees_what_it_tests_and_code_sees_its_tests(index: Index) -> None:
    [of_test] = look(
        index, "def test_x():\n    ‸\n", "tests/test_util.py", sources=("siblings",)
    ).pieces
    assert of_test.path == "shop/util.py"
    assert "def parse_price" in of_test.text
    code = "def format_price(cents: int) -> str:\n    ‸\n"
    [of_code] = look(index, code, "shop/util.py", sources=("siblings",)).pieces
    assert of_code.symbol == "test_format_price_has_two_digits"


def test_code_with_the_same_words_is_found_and_never_the_file_itself(index: Index) -> None:
    text = "def add_price(price, items):\n    items.append(price)\n    ‸\n"
    found = look(index, text, "shop/core.py", sources=("lexical",))
    assert "shop/core.py" not in [piece.path for piece in found.pieces]
    near = look(index, "customer items price append\n‸", sources=("lexical",))
    assert "shop/core.py" in [piece.path for piece in near.pieces]
    assert all("BM25" in piece.reason for piece in near.pieces)


def test_edits_are_last_and_shown_as_diffs(index: Index) -> None:
    hunk = Hunk("shop/util.py", 1, ("    return cents",), ("    return cents / 100",))
    found = look(index, "from shop.core import Cart\n\nx = Cart(‸", hunks=(hunk,))
    assert found.pieces[-1].text == "-    return cents\n+    return cents / 100"
    assert found.pieces[-1].source == "edits"


def test_an_added_line_that_stands_before_the_cursor_is_not_shown_again(index: Index) -> None:
    hunk = Hunk("app.py", 0, (), ("alpha = 1",))
    assert look(index, "alpha = 1\n‸", hunks=(hunk,), sources=("edits",)).pieces == ()


# The budget, the order, what must never happen


@pytest.mark.parametrize("budget", [0, 1, 13, 20, 40, 80, 200])
def test_the_budget_is_kept_and_lines_are_whole(index: Index, budget: int) -> None:
    text = "from shop import Cart, util\n\ndef f(cart: Cart):\n    util.parse_price(cart.‸\n"
    found = look(index, text, budget=budget)
    assert found.tokens <= budget
    for piece in found.pieces:
        assert piece.text == piece.text.strip("\n")
        assert piece.tokens > 0


def test_what_the_prompt_shows_already_is_left_out(index: Index) -> None:
    (index.root / "copy.py").write_text(FILES["shop/util.py"])
    Indexer(index.root).update_files([index.root / "copy.py"])
    text = FILES["shop/util.py"] + "\n\n‸"
    found = look(index, text, sources=("lexical",))
    assert "copy.py" not in [piece.path for piece in found.pieces]


def test_secrets_never_come_out(index: Index, root: Path) -> None:
    found = look(index, "from keys import secret_service\n\nsecret_service(‸")
    shown = "\n".join(piece.text for piece in found.pieces)
    assert "secret_service" in shown
    assert KEY not in shown
    hunk = Hunk("x.py", 0, (), (f'token = "{KEY}"', "other = 1"))
    edited = look(index, "a‸", hunks=(hunk,), sources=("edits",))
    assert KEY not in edited.pieces[0].text


def test_the_same_place_gives_the_same_pieces_from_a_new_retriever(index: Index) -> None:
    text = "from shop import Cart, util\n\ndef f(cart: Cart):\n    x = util.parse_price(‸\n"
    assert look(index, text).pieces == look(index, text).pieces


def test_while_a_name_is_typed_the_context_stays(index: Index) -> None:
    retriever = Retriever(index, count, time_box_ms=float("inf"))
    head = "from shop.core import Cart\n\ndef f(cart: Cart):\n    cart."
    seen = set()
    for typed in ("", "a", "ad", "add", "add_", "add_item"):
        text = f"{head}{typed}\n    return 1\n"
        document = Document(index.root / "app.py", "python", text)
        seen.add(retriever.context(document, len(head + typed), 300).pieces)
    assert len(seen) == 1


def test_what_the_last_key_had_is_known_without_looking_up(index: Index) -> None:
    retriever = Retriever(index, count, time_box_ms=float("inf"))
    head = "from shop.core import Cart\n\ndef f(cart: Cart):\n    cart."

    def at(typed: str) -> tuple[Document, int, int]:
        text = f"{head}{typed}\n    return 1\n"
        return Document(index.root / "app.py", "python", text), len(head + typed), 300

    assert retriever.known(*at("")) is None
    found = retriever.context(*at(""))
    known = retriever.known(*at("add"))
    assert known is not None
    assert (known.pieces, known.left_out) == (found.pieces, found.left_out)
    assert retriever.known(*at("add(")) is None
    hunk = Hunk("x.py", 0, (), ("other = 1",))
    assert retriever.known(*at("add"), (hunk,)) is None
    index.set_buffer("shop/util.py", "def round_price(cents: int) -> int: ...\n")
    assert retriever.known(*at("add")) is None


def test_code_that_is_not_alike_enough_is_not_read_but_told(index: Index) -> None:
    text = "def total(cart, customer, items, price):\n    ‸\n"
    read: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Index, "text_of", lambda self, chunk: read.append(chunk))
        found = look(index, text, sources=("lexical",), gate=True)
    assert found.left_out == {"lexical": "gate: nothing alike enough"}
    assert not read


def test_an_unsaved_buffer_counts_instead_of_its_file(index: Index) -> None:
    text = "from shop.util import round_price\n\nround_price(‸"
    assert look(index, text, sources=("callees",)).pieces == ()
    index.set_buffer("shop/util.py", "def round_price(cents: int) -> int: ...\n")
    assert only(look(index, text, sources=("callees",)), "round_price").path == "shop/util.py"
    index.set_buffer("shop/util.py", None)
    assert look(index, text, sources=("callees",)).pieces == ()


def test_in_a_comment_nothing_is_looked_up_and_the_reason_is_told(index: Index) -> None:
    found = look(index, "from shop.core import Cart\n# the Cart ‸\n", gate=True)
    assert found.pieces == ()
    assert found.left_out["definitions"] == "gate: in a comment"


def test_what_takes_too_long_is_left_out_and_told(index: Index) -> None:
    document = Document(index.root / "app.py", "python", "from shop.core import Cart\nCart(")
    found = Retriever(index, count, time_box_ms=0).context(document, 32, 100)
    assert found.pieces == ()
    assert set(found.left_out.values()) == {"late"}


def test_a_text_in_no_known_language_has_its_words(index: Index) -> None:
    found = look(index, "customer price items append ‸", "notes.txt")
    assert {piece.source for piece in found.pieces} <= {"lexical"}


@given(st.text("ab.( )\n_=,[]->:", max_size=60), st.integers(0, 60))
def test_the_anchor_stands_on_the_cursor_s_line_and_does_not_move_within_a_name(
    text: str, at: int
) -> None:
    offset = min(at, len(text))
    found = anchor(text, offset)
    assert text.rfind("\n", 0, offset) + 1 <= found <= offset
    if offset < len(text) and text[offset].isalnum():
        assert anchor(text, offset + 1) == found
    kept, where = text_at(text, found, offset)
    assert kept[:where] == text[:found]
    assert kept.count("\n") == text.count("\n")
