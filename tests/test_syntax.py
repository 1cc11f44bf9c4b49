"""Trees kept from edit to edit: always those of a parse from scratch."""

import gc
import threading
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types
from tree_sitter import Node

from completion.document import language_of
from completion.languages import ROWS
from completion.outline import outline
from completion.syntax import SyntaxTree, edit_between, edits_between, parse, parse_bytes
from lsp.documents import OpenDocument
from tests.holes import modules

SAMPLES = Path(__file__).parent / "languages"
EDITED = ["shop.py", "shop.ts", "shop.go", "shop.rs", "shop.js", "shop.cpp", "shop.rb", "shop.php"]
PIECES = [
    *("a", "é", "語", "😀", " ", "    ", "\n", "\r\n", "\r", "\t", "(", ")", "{", "}", "[", "]"),
    *(
        '"',
        "'",
        '"""',
        "`",
        "//",
        "#",
        "/*",
        "*/",
        ":",
        ";",
        ",",
        ".",
        "=",
        "x = 1\n",
        "def f():\n",
    ),
    *(
        "class A {}\n",
        "if x {\n",
        "return\n",
        "import a\n",
        "fn f() {}\n",
        "\f",
        "\u2028",
        "<",
        ">",
    ),
]


def nodes(root: Node) -> list[tuple[object, ...]]:
    """Every node, with its place."""
    found: list[tuple[object, ...]] = []
    cursor = root.walk()
    depth = 0
    while True:
        node = cursor.node
        assert node
        place = (node.start_byte, node.end_byte, node.start_point, node.end_point)
        found.append((depth, node.type, cursor.field_name, node.is_missing, *place))
        if cursor.goto_first_child():
            depth += 1
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return found
            depth -= 1


def is_that_of(tree: SyntaxTree, text: str) -> bool:
    fresh = parse(text, tree.language)
    assert tree.root
    assert fresh
    return nodes(tree.root) == nodes(fresh)


def small(name: str) -> str:
    return (SAMPLES / name).read_text("utf-8")


@st.composite
def edits(draw: st.DrawFn) -> list[tuple[int, int, int, int, str]]:
    """Ranges as line and column, in UTF-16 units, and what comes in their place."""
    line, column = st.integers(0, 60), st.integers(0, 40)
    text = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
    lines = st.integers(0, 2)
    found = draw(st.lists(st.tuples(line, column, lines, column, text), min_size=1, max_size=8))
    return [(a, b, a + more, c, new) for a, b, more, c, new in found]


@pytest.mark.parametrize("name", EDITED)
@settings(max_examples=40, deadline=None)
@given(changes=edits(), newline=st.sampled_from(["\n", "\r\n", "\r"]))
def test_tree_after_any_edits_is_that_of_a_full_parse(
    name: str, changes: list[tuple[int, int, int, int, str]], newline: str
) -> None:
    language = language_of(Path(name))
    text = small(name).replace("\n", newline)
    document = OpenDocument(types.TextDocumentItem(f"file:///w/{name}", "", 1, text), "utf-16")
    tree = SyntaxTree(language, limit_s=0)
    for first, column, last, end, new in changes:
        now = document.at(types.Position(0, 0)).document.text
        tree.update(now)
        assert is_that_of(tree, now)
        place = types.Range(types.Position(first, column), types.Position(last, end))
        document.apply(types.TextDocumentContentChangePartial(place, new), 0.0)
    now = document.at(types.Position(0, 0)).document.text
    tree.update(now)
    assert is_that_of(tree, now)


@pytest.mark.parametrize("name", EDITED)
def test_tree_is_right_at_every_key_of_a_file_being_typed(name: str) -> None:
    text = small(name)
    middle = text.index("\n", len(text) // 2) + 1
    end = text.index("\n", middle + 150) + 1
    tree = SyntaxTree(language_of(Path(name)), limit_s=0)
    for at in range(middle, end + 1):
        now = text[:at] + text[end:]
        tree.update(now)
        assert is_that_of(tree, now)


def test_typing_in_sound_code_parses_from_scratch_once() -> None:
    text = max((text for _, text in modules()), key=len)
    at = text.index("\n", len(text) // 2)
    tree = SyntaxTree("python")
    for typed in ("", "  #", "  # t", "  # th", "  # thi", "  # this", ""):
        tree.update(text[:at] + typed + text[at:])
        assert tree.root is not None
    assert tree.full == 1


def test_after_an_error_is_gone_the_old_tree_is_of_use_again() -> None:
    tree = SyntaxTree("python")
    for text in ("x = 1\n", "x = (1\n", "x = ((1\n", "x = (1)\n", "x = (12)\n"):
        tree.update(text)
        assert is_that_of(tree, text)
    assert tree.full == 3  # the first, and two with errors


def test_the_same_text_is_not_parsed_again() -> None:
    tree = SyntaxTree("python")
    tree.update("x = 1\n")
    tree.kept["imports"] = ()
    tree.update("x = " + "1\n")
    assert tree.kept == {"imports": ()}


def test_what_was_read_from_a_tree_goes_with_its_text() -> None:
    tree = SyntaxTree("python")
    tree.update("x = 1\n")
    tree.kept["imports"] = ()
    tree.update("x = 2\n")
    assert tree.kept == {}


def test_a_text_that_takes_too_long_has_no_tree_and_is_tried_again_ever_more_rarely() -> None:
    text = "x = [" + "(1, [2, 3]), " * 200_000 + "]\n"
    tree = SyntaxTree("python", limit_s=0.001)
    for typed in range(40):
        tree.update(text + "a" * typed)
        assert tree.root is None
        assert tree.timed_out
    assert tree.full <= 6
    assert parse_bytes(text.encode(), "python", limit_s=0.001) is None
    for typed in range(65):
        tree.update("x = 1\n" + "a" * typed)
    assert tree.root is not None


def test_a_broken_text_that_a_grammar_cannot_repair_has_no_tree_until_it_is_mended() -> None:
    text = small("Shop.kt")
    broken = (SAMPLES / "broken" / "slow.kt.txt").read_text("utf-8")
    tree = SyntaxTree("kotlin", limit_s=0.1)
    tree.update(text)
    tree.update(broken)  # without a limit: 33 s of CPU
    assert tree.timed_out
    for _ in range(2):
        tree.update(text + "\n")
        tree.update(text)
    assert is_that_of(tree, text)


def test_a_language_without_a_grammar_has_no_tree() -> None:
    tree = SyntaxTree("plaintext")
    tree.update("hello")
    assert (tree.root, tree.timed_out) == (None, False)


@given(st.text("aé語😀\n", max_size=30), st.text("aé語😀\n", max_size=30))
def test_edit_between_two_texts_makes_one_of_the_other(old: str, new: str) -> None:
    before, after = old.encode(), new.encode()
    start, old_end, new_end = edit_between(before, after)
    assert before[:start] + after[start:new_end] + before[old_end:] == after
    for piece in (before[:start], before[old_end:], after[start:new_end]):
        piece.decode()  # no character is cut


def test_edit_between_is_small_where_little_changed() -> None:
    text = b"value = 1\n" * 10_000
    changed = text[:50_008] + b"22" + text[50_009:]
    assert edit_between(text, changed) == (50_008, 50_009, 50_010)
    assert edit_between(text, text) == (len(text), len(text), len(text))


@settings(deadline=None)
@given(st.data())
def test_edits_at_two_places_leave_what_stands_between_them(data: st.DataObject) -> None:
    lines = [f"naïve_{n} = call({n % 7})\n" for n in range(120)]
    text = "".join(lines)
    first, last = sorted(data.draw(st.tuples(st.integers(0, 110), st.integers(0, 110))))
    changed = [*lines]
    for row in (first, last):
        changed[row] = data.draw(st.sampled_from(["", "\n", "é\n", lines[row] * 2, "x = 語\n"]))
    old, new = text.encode(), "".join(changed).encode()
    made, moved, edits = old, 0, edits_between(old, new)
    for start, end, piece in edits:
        old[start:end].decode()  # no character is cut
        made = made[: start + moved] + piece + made[end + moved :]
        moved += len(piece) - (end - start)
    assert made == new
    if last - first > 60 and old != new:
        assert sum(end - start for start, end, _ in edits) < 200


@pytest.mark.parametrize("name", EDITED)
def test_a_line_that_is_missing_here_and_then_there_leaves_the_tree_right(name: str) -> None:
    """As the line of a cursor that jumps."""
    lines, language = small(name).splitlines(keepends=True), language_of(Path(name))
    tree = SyntaxTree(language, limit_s=0)
    blank = [n for n, line in enumerate(lines) if not line.strip()]
    for row in (blank[0], blank[-1], blank[len(blank) // 2], blank[1]):
        now = "".join([*lines[:row], *lines[row + 1 :]])
        tree.update(now)
        assert is_that_of(tree, now)


@pytest.mark.parametrize("language", sorted(ROWS))
@pytest.mark.parametrize(
    "text",
    ["", "\0" * 50, "(" * 10_000, "{" * 10_000 + "}" * 10_000, "if x:\n" * 3000, "a" * 1_000_000],
    ids=["empty", "NUL", "open", "nested", "ifs", "long"],
)
def test_no_text_breaks_a_grammar(language: str, text: str) -> None:
    tree = SyntaxTree(language)
    tree.update(text)
    assert tree.root is None or tree.root.end_byte <= len(text)


def test_half_a_surrogate_pair_is_one_byte() -> None:
    tree = SyntaxTree("python")
    tree.update('x = "\ud83d"\ny = 1\n')
    assert tree.root is not None
    assert tree.data == b'x = "?"\ny = 1\n'


def test_parsing_with_a_limit_leaves_nothing_in_memory() -> None:
    """As tree-sitter does with what a callback gives it: a text a key, in an editor."""
    text = b"def area(radius):\n    return 3 * radius**2\n" * 200
    parse_bytes(text, "python", 60)
    gc.collect()
    tracemalloc.start()
    for n in range(50):
        parse_bytes(b"x = %d\n" % n + text, "python", 60)
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert left < len(text)


def test_threads_that_parse_with_a_limit_do_not_mix_their_texts() -> None:
    texts = [b"def name_%d(a):\n    return a\n" % n * 300 for n in range(4)]
    roots: list[list[str]] = [[] for _ in texts]

    def work(number: int) -> None:
        for _ in range(20):
            root = parse_bytes(texts[number], "python", 60)
            assert root is not None
            roots[number].append(f"{root.end_byte} {root.has_error} {root.named_child_count}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [set(found) for found in roots] == [{f"{len(text)} False 300"} for text in texts]


@pytest.mark.parametrize("file", sorted((Path(__file__).parent / "languages").glob("[sS]hop.*")))
def test_a_limit_changes_no_outline(file: Path) -> None:
    """Some queries look at the text of nodes, which then comes from a callback in pieces."""
    language = language_of(file)
    text = file.read_bytes()
    data = text * (5000 // len(text) + 1)  # longer than a piece
    plain = outline(data, language)
    assert plain.symbols
    assert outline(data, language, 60) == plain


def test_a_tree_that_need_not_be_exact_is_repaired_instead_of_made_anew() -> None:
    text = max((text for _, text in modules()), key=len)
    lines = text.split("\n")
    broken = next(i for i, line in enumerate(lines) if line.strip() == ")" and i > 10)
    del lines[broken]
    tree = SyntaxTree("python", exact=False)
    at = (broken + len(lines)) // 2
    for typed in ("", "x", "x =", "x = y"):
        tree.update("\n".join([*lines[:at], typed, *lines[at:]]))
        assert tree.root is not None
        assert tree.root.has_error
    assert tree.full == 1
    tree.update(text)
    assert is_that_of(tree, text)
    assert tree.full == 1


def test_repairs_of_repairs_come_to_an_end() -> None:
    tree = SyntaxTree("python", exact=False)
    for number in range(40):
        tree.update(f"x = (\ny = {number}\n")
    assert tree.full == 1 + 39 // 16
