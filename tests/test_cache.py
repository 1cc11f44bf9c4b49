"""Known answers, found again while a user types: each way to come back to one, by its name."""

from itertools import accumulate
from pathlib import Path

import pytest

from completion import cache as limits
from completion.cache import Cache, Hit, Known
from completion.place import LINES_AFTER, LINES_BEFORE, MOST_AFTER, MOST_BEFORE

FILE = Path("/w/shop.py")
ABOVE = "".join(f"above_{n} = {n}\n" for n in range(30))
BELOW = "".join(f"below_{n} = {n}\n" for n in range(30))
NAMES = Known("price * count", id="e1", info={"mean": -0.5})


class Buffer:
    """A text with a cursor, marked `|`, and a cache that is told of neither."""

    def __init__(self, marked: str, cache: Cache | None = None) -> None:
        self.before, _, self.after = marked.partition("|")
        self.cache = cache or Cache()

    @property
    def text(self) -> str:
        return self.before + self.after

    def put(self, known: Known) -> None:
        self.cache.put(FILE, self.text, len(self.before), known)

    def find(self) -> Hit | None:
        return self.cache.find(FILE, self.text, len(self.before))

    def found(self) -> Hit:
        hit = self.find()
        assert hit is not None
        return hit

    def type(self, text: str, closed: str = "") -> "Buffer":
        """Type a text; the editor puts `closed` right of the cursor."""
        self.before, self.after = self.before + text, closed + self.after
        return self

    def delete(self, count: int) -> "Buffer":
        self.before = self.before[:-count]
        return self

    def accepted(self) -> str:
        """The document after the whole suggestion was taken."""
        hit = self.found()
        return self.before + hit.text + self.after[hit.replaces :]


def at(left: str, right: str = "\n") -> str:
    return f"{ABOVE}{left}|{right}{BELOW}"


@pytest.fixture
def total() -> Buffer:
    """A cursor with a known answer."""
    buffer = Buffer(at("total = "))
    buffer.put(NAMES)
    return buffer


# Ways to an answer that is known


def test_the_same_place_has_the_same_answer(total: Buffer) -> None:
    hit = total.found()
    assert hit == Hit("price * count", 0, NAMES, "same place", 0)
    assert hit.known.info == {"mean": -0.5}


def test_typing_through_key_by_key_leaves_the_rest(total: Buffer) -> None:
    for typed in range(1, len(NAMES.text)):
        hit = total.type(NAMES.text[typed - 1]).found()
        assert hit == Hit(NAMES.text[typed:], 0, NAMES, "typed through", typed)


def test_all_of_it_typed_leaves_nothing_to_find(total: Buffer) -> None:
    assert total.type(NAMES.text).find() is None
    assert total.type(" ").find() is None


def test_what_is_left_is_no_answer_if_it_is_blank() -> None:
    buffer = Buffer(at("run"))
    buffer.put(Known("()\n"))
    assert buffer.type("(").found().text == ")\n"
    assert buffer.type(")").find() is None


def test_accepting_a_word_is_typing_through(total: Buffer) -> None:
    hit = total.type("price").found()
    assert (hit.text, hit.how, hit.typed) == (" * count", "typed through", 5)


def test_accepting_a_line_is_typing_through() -> None:
    buffer = Buffer(at("def area(r):"))
    buffer.put(Known("\n    r = float(r)\n    return 3.14 * r * r"))
    hit = buffer.type("\n    r = float(r)").found()
    assert (hit.text, hit.how) == ("\n    return 3.14 * r * r", "typed through")


def test_deleting_and_retyping_the_same_is_known(total: Buffer) -> None:
    total.type("price *").found()
    assert total.delete(3).found() == Hit("e * count", 0, NAMES, "typed back", 4)
    assert total.type("e").found() == Hit(" * count", 0, NAMES, "typed back", 5)
    assert total.type(" * c").found() == Hit("ount", 0, NAMES, "typed through", 9)


def test_deleting_other_text_again_is_known(total: Buffer) -> None:
    total.type("pri").found()
    assert total.type("ncipal").find() is None
    hit = total.delete(len("ncipal")).found()
    assert hit.text == "ce * count"
    assert total.delete(3).found() == Hit(NAMES.text, 0, NAMES, "typed back", 0)


def test_an_answer_at_an_earlier_place_is_known_after_deleting_to_it() -> None:
    buffer = Buffer(at("shop."))
    buffer.put(Known("total()"))
    buffer.type("co").put(Known("unt"))
    assert buffer.found().text == "unt"
    assert buffer.delete(1).find() is None
    assert buffer.delete(1).type("t").found().text == "otal()"


@pytest.mark.parametrize("far", ["import re\n", "import re\nimport os\n\n"])
def test_edits_far_above_leave_it_known(total: Buffer, far: str) -> None:
    total.before = far + total.before
    assert total.found() == Hit(NAMES.text, 0, NAMES, "edited elsewhere", 0)
    assert total.type("pr").found().how == "typed through"


def test_edits_far_below_leave_it_known(total: Buffer) -> None:
    total.after += "print(total)\n"
    assert total.found().how == "edited elsewhere"
    total.after = total.after.replace("below_20 = 20\n", "")
    assert total.found().how == "edited elsewhere"
    assert total.found().how == "same place"


def test_edits_elsewhere_are_no_matter_while_typing_through(total: Buffer) -> None:
    total.before = "import re\n" + total.before
    total.after += "print(total)\n"
    assert total.type("price").found() == Hit(" * count", 0, NAMES, "edited elsewhere", 5)


def test_a_change_in_the_lines_above_asks_again(total: Buffer) -> None:
    total.before = total.before.replace("above_25", "price")
    assert total.find() is None


def test_a_change_in_the_lines_below_asks_again(total: Buffer) -> None:
    total.after = total.after.replace("below_1 ", "price ")
    assert total.find() is None


def test_a_change_right_of_the_cursor_asks_again(total: Buffer) -> None:
    total.after = "  # euros" + total.after
    assert total.find() is None


@pytest.mark.parametrize(("lines", "known"), [(LINES_BEFORE, False), (LINES_BEFORE + 1, True)])
def test_as_many_lines_above_count_as_are_promised(total: Buffer, lines: int, known: bool) -> None:
    number = 30 - lines
    total.before = total.before.replace(f"above_{number} = {number}\n", "changed = 1\n")
    assert (total.find() is not None) == known


@pytest.mark.parametrize(("lines", "known"), [(LINES_AFTER - 1, False), (LINES_AFTER, True)])
def test_as_many_lines_below_count_as_are_promised(total: Buffer, lines: int, known: bool) -> None:
    total.after = total.after.replace(f"below_{lines} = {lines}\n", "changed = 1\n")
    assert (total.find() is not None) == known


def test_long_lines_count_by_characters() -> None:
    long = "x" * (MOST_BEFORE + MOST_AFTER)
    buffer = Buffer(f"{long}a = |{long}")
    buffer.put(NAMES)
    buffer.before, buffer.after = "y" + buffer.before, buffer.after + "y"
    assert buffer.type("pri").found().text == "ce * count"
    buffer.before = buffer.before.replace("xa", "ya")
    assert buffer.find() is None


def test_the_start_of_a_file_is_part_of_a_place() -> None:
    buffer = Buffer("a = |\n")
    buffer.put(NAMES)
    buffer.before = "price = 2\n" + buffer.before
    assert buffer.find() is None


def test_the_end_of_a_file_is_part_of_a_place() -> None:
    buffer = Buffer("a = |\n")
    buffer.put(NAMES)
    buffer.after += "price = 2\n"
    assert buffer.find() is None


def test_an_empty_file_is_a_place() -> None:
    buffer = Buffer("|")
    buffer.put(Known("import os"))
    assert buffer.type("import").found().text == " os"
    buffer.before = ""
    assert buffer.found().how == "typed back"


def test_another_file_with_the_same_text_is_another_place(total: Buffer) -> None:
    assert total.cache.find(Path("/w/other.py"), total.text, len(total.before)) is None


def test_characters_outside_the_bmp_are_characters() -> None:
    buffer = Buffer(at('print("😀 '))
    buffer.put(Known('語 😀😀")'))
    hit = buffer.type("語 😀").found()
    assert (hit.text, hit.typed) == ('😀")', 3)


# What the editor adds by itself


def test_a_bracket_that_the_editor_closed_at_the_answers_end_is_not_written_twice() -> None:
    buffer = Buffer(at("run"))
    buffer.put(Known("(price, count)"))
    hit = buffer.type("(", closed=")").found()
    assert (hit.text, hit.replaces, hit.how) == ("price, count", 0, "typed through")
    assert buffer.type("price").accepted() == at("run(price, count)").replace("|", "")


def test_a_bracket_that_the_editor_closed_in_the_answers_middle_is_replaced() -> None:
    buffer = Buffer(at("run"))
    buffer.put(Known("(price, count) + 1"))
    hit = buffer.type("(", closed=")").found()
    assert (hit.text, hit.replaces) == ("price, count) + 1", 1)
    assert buffer.accepted() == at("run(price, count) + 1").replace("|", "")


def test_a_closed_bracket_that_was_typed_over_is_no_matter() -> None:
    buffer = Buffer(at("run"))
    buffer.put(Known("(price) + 1"))
    buffer.type("(", closed=")").type("price")
    buffer.after = buffer.after[1:]
    assert buffer.type(")").found() == Hit(" + 1", 0, Known("(price) + 1"), "typed through", 7)


def test_quotes_that_the_editor_closed_are_not_written_twice() -> None:
    buffer = Buffer(at("shop[", "]\n"))
    buffer.put(Known('"name"'))
    hit = buffer.type('"', closed='"').found()
    assert (hit.text, hit.replaces) == ("name", 0)
    buffer = Buffer(at("doc = "))
    buffer.put(Known('"""A shop."""'))
    assert buffer.type('"""', closed='"""').found().text == "A shop."


def test_a_bracket_that_the_answer_has_no_place_for_asks_again() -> None:
    buffer = Buffer(at("run"))
    buffer.put(Known("(price, "))
    assert buffer.type("(", closed=")").find() is None


def test_a_closed_bracket_before_the_suffixs_own_is_told_apart() -> None:
    buffer = Buffer(at("print(run", ")\n"))
    buffer.put(Known("(price)"))
    assert buffer.type("(", closed=")").found().text == "price"


def test_the_indentation_that_enter_brought_is_typed_through() -> None:
    buffer = Buffer(at("def area(r):"))
    buffer.put(Known("\n    return r * r"))
    assert buffer.type("\n    ").found() == Hit(
        "return r * r", 0, Known("\n    return r * r"), "typed through", 5
    )


def test_less_indentation_than_the_answers_is_filled_up() -> None:
    buffer = Buffer(at("    if r:"))
    buffer.put(Known("\n        return r"))
    assert buffer.type("\n    ").found().text == "    return r"


def test_more_indentation_than_the_answers_is_no_hit() -> None:
    buffer = Buffer(at("    return r"))
    buffer.put(Known("\n\n\ndef area(r): ..."))
    assert buffer.type("\n    ").find() is None


def test_a_brace_that_enter_moved_to_a_line_of_its_own_is_not_written_twice() -> None:
    buffer = Buffer(at("function area(r) "))
    buffer.put(Known("{\n    return r * r;\n}"))
    buffer.type("{", closed="}")
    assert buffer.found().text == "\n    return r * r;\n"
    buffer.after = "\n" + buffer.after
    hit = buffer.type("\n    ").found()
    assert (hit.text, hit.replaces) == ("return r * r;", 0)
    assert buffer.accepted() == at("function area(r) {\n    return r * r;\n}").replace("|", "")


def test_a_brace_on_another_line_in_the_answers_middle_asks_again() -> None:
    buffer = Buffer(at("if (r) "))
    buffer.put(Known("{\n    r();\n} else {\n    s();"))
    assert buffer.type("{\n    ", closed="\n}").find() is None


# Prefetched, better and missing answers


def prefetched(buffer: Buffer, first: Known, then: Known) -> None:
    buffer.put(first)
    text = buffer.before + first.text + buffer.after
    buffer.cache.put(FILE, text, len(buffer.before + first.text), then)


def test_what_follows_an_accepted_answer_is_known_if_it_was_prefetched() -> None:
    buffer = Buffer(at("a = "))
    after = Known("\nprint(a)", prefetched=True)
    prefetched(buffer, NAMES, after)
    assert buffer.found().known == NAMES
    assert buffer.type("price * ").found().text == "count"
    hit = buffer.type("count").found()
    assert hit == Hit("\nprint(a)", 0, after, "prefetched", 0)
    assert buffer.type("\n").found().how == "typed through"


def test_a_better_answer_replaces_one_at_the_same_place(total: Buffer) -> None:
    total.put(Known("price * count * tax", id="e2"))
    assert total.found().known.id == "e2"
    total.type("price * count")
    assert total.found().text == " * tax"


def test_of_two_answers_that_fit_the_one_used_last_is_given(total: Buffer) -> None:
    total.type("pri").put(Known("me", id="e2"))
    assert total.found().known.id == "e2"
    assert total.delete(1).found().known.id == "e1"
    assert total.type("i").found().known.id == "e1"


def test_an_answer_that_was_cut_says_so(total: Buffer) -> None:
    total.put(Known("price * cou", complete=False))
    assert not total.type("price").found().known.complete


@pytest.fixture
def silent() -> tuple[Buffer, list[float]]:
    now = [0.0]
    buffer = Buffer(at("total = "), Cache(lambda: now[0]))
    buffer.put(Known("", reason="repeats the suffix"))
    return buffer, now


def test_nothing_to_suggest_is_known_with_its_reason_for_a_while(
    silent: tuple[Buffer, list[float]],
) -> None:
    buffer, now = silent
    hit = buffer.found()
    assert (hit.text, hit.known.reason, hit.how) == ("", "repeats the suffix", "same place")
    now[0] = limits.NOTHING_S
    assert buffer.find() is None


def test_nothing_to_suggest_is_not_known_of_the_next_key(
    silent: tuple[Buffer, list[float]],
) -> None:
    buffer, _ = silent
    assert buffer.type("p").find() is None
    assert buffer.delete(1).found().text == ""
    buffer.after = ")" + buffer.after
    assert buffer.find() is None


def test_an_answer_replaces_nothing_to_suggest(silent: tuple[Buffer, list[float]]) -> None:
    buffer, _ = silent
    buffer.put(NAMES)
    assert buffer.found().known == NAMES


def test_nothing_to_suggest_without_a_reason_is_a_mistake(total: Buffer) -> None:
    with pytest.raises(AssertionError, match="needs a reason"):
        total.put(Known(""))


# Bounds


def test_a_file_keeps_so_many_answers_and_the_least_used_goes_first() -> None:
    cache = Cache()
    lines = [f"a_{n} = {n}\n" * 12 for n in range(limits.ENTRIES + 1)]
    text, ends = "".join(lines), list(accumulate(map(len, lines)))
    for end in ends[:-1]:
        cache.put(FILE, text, end, Known("b"))
    assert cache.find(FILE, text, ends[0]) is not None
    cache.put(FILE, text, ends[-1], Known("b"))
    found = [cache.find(FILE, text, end) is not None for end in ends]
    assert found == [True, False, *[True] * (limits.ENTRIES - 1)]


def test_so_many_files_are_kept_and_the_least_used_goes_first() -> None:
    cache = Cache()
    files = [Path(f"/w/{n}.py") for n in range(limits.FILES + 1)]
    for file in files[:-1]:
        cache.put(file, "", 0, NAMES)
    assert cache.find(files[0], "", 0) is not None
    cache.put(files[-1], "", 0, NAMES)
    found = [cache.find(file, "", 0) is not None for file in files]
    assert found == [True, False, *[True] * (limits.FILES - 1)]


def test_the_characters_of_all_answers_are_limited() -> None:
    cache = Cache()
    files = [Path(f"/w/{n}.py") for n in range(4)]
    for file in files:
        cache.put(file, "", 0, Known("x" * (limits.CHARACTERS // 3)))
    assert [cache.find(file, "", 0) is not None for file in files] == [False, True, True, True]
    cache.put(FILE, "", 0, Known("x" * (limits.CHARACTERS + 1)))
    assert [file for file in [*files, FILE] if cache.find(file, "", 0)] == []
    cache.put(FILE, "", 0, NAMES)
    assert cache.find(FILE, "", 0) is not None


def test_a_forgotten_file_is_asked_again_and_takes_no_room(total: Buffer) -> None:
    total.cache.forget(FILE)
    total.cache.forget(Path("/w/never.py"))
    assert total.find() is None
    for _ in range(5):
        total.cache.put(FILE, "", 0, Known("x" * (limits.CHARACTERS - 10)))
        total.cache.forget(FILE)
    total.put(NAMES)
    total.cache.put(Path("/w/a.py"), "", 0, Known("x" * (limits.CHARACTERS // 2)))
    assert total.find() is not None
