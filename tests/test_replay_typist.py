"""The replay's typist: whatever is pressed and accepted, in the end stands what the file holds."""

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.parts.prose import code_keys, keys_of, prose
from benchmarks.parts.rhythm import MEAN_S, Rhythm
from benchmarks.parts.scripts import stretches
from benchmarks.parts.typist import Edit, Typist, indent_unit

SOURCE = """\
import os

def visit(names, seen=None):
    seen = seen or set()
    for name in names:
        if name in seen:
            continue

        path = os.path.join("root", f"{name}.txt", *[
            str(part) for part in (1, 2)
        ])
        seen.add({
            "name": name,
            "it's": path[0],
        }["name"])
    return seen


def other():
    return visit(["a"])
"""
TABS = "func main() {\n\tif x {\n\t\trun(a, []int{\n\t\t\t1,\n\t\t})\n\t}\n}\n"


def typed(typist: Typist, accept: float = 0.0, seed: int = 0) -> str:
    """Type to the end beside a document of our own, taking right suggestions now and then."""
    text, rng = typist.text, random.Random(seed)
    keys = 0
    while not typist.finished:
        keys += 1
        assert keys < 100_000, "it comes to an end"
        assert typist.pause() > 0
        coming = typist.coming
        edit = Edit(typist.offset, typist.offset, coming[: rng.randint(1, 30)])
        if coming and rng.random() < accept and typist.fits(edit):
            typist.accept(edit)
        elif (key := typist.press()).edit is not None:
            edit = key.edit
        else:
            assert key.action == "jump"
            continue
        text = text[: edit.start] + edit.text + text[edit.end :]
        assert text == typist.text
    return text


def spans_of(text: str, seed: int, keys: int = 400) -> list[tuple[int, int]]:
    return stretches(text, random.Random(seed), keys)


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("text", [SOURCE, TABS], ids=["python", "go"])
def test_the_text_is_the_files_in_the_end(text: str, closing: bool) -> None:
    language = "python" if text == SOURCE else "go"
    for seed in range(60):
        spans = spans_of(text, seed)
        typist = Typist(text, spans, str(seed), language=language, closing=closing)
        assert typed(typist, accept=(seed % 3) / 4, seed=seed) == text


DOCUMENTED = '''\
def visit(names):
    """Visit (all of) them.

    Twice.
    """
    # First this,
    # then that.
    for name in names:  # in é
        print("a string", name)
    return """a
    b"""
'''
COMMENTED = 'package a\n\n// Run it.\n// Now.\nfunc Run() {\n\tgo(`a\nb`, "c") /* d */\n}\n'


@pytest.mark.parametrize(
    ("text", "language", "parts"),
    [
        (
            DOCUMENTED,
            "python",
            [
                '"""Visit (all of) them.\n\n    Twice.\n    """\n    # First this,\n    # then that.',
                "# in é",
                '"""a\n    b"""',
            ],
        ),
        (COMMENTED, "go", ["// Run it.\n// Now.", "`a\nb`", "/* d */"]),
        ("//! A crate.\n\nfn a() {}\n", "rust", ["//! A crate."]),
        ("words of prose", "plaintext", []),
    ],
)
def test_prose_is_what_a_file_says_to_people(text: str, language: str, parts: list[str]) -> None:
    assert [text[start:end] for start, end in prose(text, language)] == parts


def test_prose_is_put_in_at_once_and_code_is_typed() -> None:
    start, end = DOCUMENTED.index('"""V'), len(DOCUMENTED) - 1
    said = prose(DOCUMENTED, "python")
    typist = Typist(DOCUMENTED, [(start, end)], "a", prose=said)
    pasted, typed_keys = [], 0
    while not typist.finished:
        assert typist.pause() > 0
        key = typist.press()
        if key.action == "paste":
            pasted.append(key.typed)
        else:
            typed_keys += key.action in ("type", "over")
            assert "Twice" not in key.typed
    assert typist.text == DOCUMENTED
    assert pasted == [DOCUMENTED[a:b] for a, b in said]
    keys = code_keys(DOCUMENTED, start, end, said)
    assert keys < typed_keys + 5
    assert keys + sum(map(keys_of, pasted)) == keys_of(DOCUMENTED[start:end])


def test_a_suggestion_saves_the_keys_of_its_code() -> None:
    start = DOCUMENTED.index(" in names:")
    typist = Typist(
        DOCUMENTED, [(start, len(DOCUMENTED) - 1)], "a", prose=prose(DOCUMENTED, "python")
    )
    assert typist.saves(" in names:") == 10
    assert typist.saves(" in names:  # in é") == 12
    assert typist.saves(" in names:  # in é\n        print") == 12 + 6
    typist.accept(Edit(start, start, " in names:  # i"))
    assert typist.saves("n é") == 0
    assert typist.press().typed == "n é"


lines = st.lists(
    st.text(alphabet="ab_ \t(){}[]:\"'\\é🙂,.", max_size=12), min_size=6, max_size=14
).map("\n".join)


@given(lines, st.integers(0, 1000), st.sampled_from(["python", "go"]), st.booleans())
def test_no_text_is_typed_wrong(text: str, seed: int, language: str, closing: bool) -> None:
    spans = spans_of(text, seed, 40)
    typist = Typist(text, spans, str(seed), language=language, closing=closing)
    assert typed(typist, accept=0.1, seed=seed) == text


@given(lines, st.data())
def test_any_span_can_be_typed_whatever_is_prose(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    spans = [(start, end)] if end > start else []
    said, last = [], 0
    for _ in range(data.draw(st.integers(0, 3))):
        first = data.draw(st.integers(last, len(text)))
        last = data.draw(st.integers(first, len(text)))
        said += [(first, last)] if last > first else []
    assert typed(Typist(text, spans, "a", prose=said), accept=0.1) == text
    assert 0 <= code_keys(text, start, end, said) <= end - start


def pressed(typist: Typist) -> list[tuple[str, float]]:
    found = []
    while not typist.finished:
        pause = typist.pause()
        found.append((typist.press().action, pause))
    return found


def test_a_seed_types_the_same_keys_at_the_same_times() -> None:
    spans = spans_of(SOURCE, 1)
    one, again = (pressed(Typist(SOURCE, spans, "a")) for _ in range(2))
    assert one == again
    assert one != pressed(Typist(SOURCE, spans, "b"))


def test_what_was_accepted_before_changes_no_later_key() -> None:
    start, end = SOURCE.index("seen = "), SOURCE.index("    return seen")
    alone, helped = (Typist(SOURCE, [(start, end)], "a", closing=False) for _ in range(2))
    taken = SOURCE[start : SOURCE.index(" in names")]
    helped.accept(Edit(start, start, taken))
    while alone.coming != helped.coming:
        alone.press()
    rest = pressed(helped)
    assert rest == pressed(alone)[: len(rest)]


def test_a_person_slips_types_again_and_jumps() -> None:
    text = SOURCE * 10
    typist = Typist(text, spans_of(text, 3, 2000), "slips")
    actions = [action for action, _ in pressed(typist)]
    assert actions.count("delete") > 5
    assert actions.count("jump") > 5
    assert actions.count("over") > 5


def test_twice_the_speed_takes_half_the_time() -> None:
    spans = spans_of(SOURCE, 1)
    slow = pressed(Typist(SOURCE, spans, "a", Rhythm(1.0)))
    fast = pressed(Typist(SOURCE, spans, "a", Rhythm(2.0)))
    assert [gap / 2 for _, gap in slow] == pytest.approx([gap for _, gap in fast])


def test_gaps_are_a_typists() -> None:
    """Without the pauses for thought the mean is the paper's."""
    rng, rhythm = random.Random(0), Rhythm()
    gaps = [
        rhythm.gap(line[:at], line[at], rng)
        for line in (SOURCE * 20).split("\n")
        for at in range(len(line))
        if line[:at].strip()
    ]
    assert 0.85 * MEAN_S < statistics.fmean(gaps) < 1.15 * MEAN_S
    inside, symbol = (
        statistics.fmean(rhythm.gap("na", key, rng) for _ in range(2000)) for key in "m("
    )
    assert inside < 0.7 * symbol
    starts = [rhythm.gap("    ", "r", rng) for _ in range(2000)]
    assert statistics.fmean(starts) > 2 * symbol
    assert statistics.median(starts) < statistics.fmean(starts)


def only(text: str, start: str, closing: bool = True) -> Typist:
    """All from `start` on is to be typed, without slips as far as tests go."""
    typist = Typist(text, [(text.index(start), len(text))], "steady", closing=closing)
    typist._spans[0].decided = set(range(-len(text) - 1, len(text)))
    return typist


def test_enter_brings_indentation_and_the_next_one_takes_it_away() -> None:
    typist = only("if a:\n    b\n\n    c\n", "if")
    for _ in range(5):
        typist.press()
    assert typist.press().edit == Edit(5, 5, "\n    ")
    typist.press()
    assert typist.press().edit == Edit(11, 11, "\n    ")
    assert typist.coming == "", "the spare indentation is no part of the file"
    assert typist.press().edit == Edit(12, 16, "\n    ")
    assert typist.coming == "c\n"


def test_too_much_indentation_goes_by_backspace_and_too_little_by_tab() -> None:
    typist = only("if a:\n    b\nc = (1,\n        2)\n", "b")
    typist.press()
    assert typist.press().edit == Edit(11, 11, "\n    ")
    assert typist.press().edit == Edit(12, 16, "")
    for _ in "c = (1,":
        typist.press()
    assert typist.press().edit == Edit(19, 19, "\n")
    assert [typist.press().edit for _ in range(2)] == [Edit(20, 20, "    "), Edit(24, 24, "    ")]


def test_brackets_are_closed_at_once_and_typed_over() -> None:
    typist = only("f(a)", "f")
    typist.press()
    assert typist.press().edit == Edit(1, 1, "()")
    assert (typist.text, typist.offset, typist.coming) == ("f()", 2, "a)")
    typist.press()
    key = typist.press()
    assert (key.action, key.edit) == ("over", Edit(3, 4, ")"))
    assert typist.finished


def test_enter_between_brackets_opens_a_line_for_the_closer() -> None:
    typist = only("x = {\n    1,\n}", "x")
    for _ in "x = {":
        typist.press()
    assert typist.text == "x = {}"
    assert typist.press().edit == Edit(5, 5, "\n    \n")
    assert typist.text == "x = {\n    \n}"
    typist.press()
    typist.press()
    assert typist.press().action == "jump"
    assert typist.finished


def test_a_suggestion_fits_only_as_far_as_the_closers_that_stand() -> None:
    typist = only("f(a)\ng", "f")
    typist.press()
    typist.press()
    assert typist.text == "f()"
    fits = typist.fits
    assert fits(Edit(2, 2, "a"))
    assert not fits(Edit(2, 2, "a)")), "the closer would stand twice"
    assert not fits(Edit(2, 3, "a")), "the closer would be gone"
    assert fits(Edit(2, 3, "a)\ng"))
    assert fits(Edit(0, 2, "f(a"))
    assert not fits(Edit(0, 2, "a")), "what stood before would be gone"
    assert not fits(Edit(2, 2, "b"))
    assert not fits(Edit(2, 2, ""))
    typist.accept(Edit(2, 3, "a)\ng"))
    assert typist.finished


def test_nothing_fits_while_something_wrong_stands() -> None:
    typist = Typist("abc", [(0, 3)], "a")
    typist._spans[0].wrong = "x"
    assert not typist.fits(Edit(1, 1, "abc"))
    assert typist.coming == ""


@pytest.mark.parametrize(
    ("text", "unit"),
    [(SOURCE, "    "), (TABS, "\t"), ("if (a) {\n  b\n  c\n}\n", "  "), ("", "    ")],
)
def test_the_unit_of_indentation_is_the_files(text: str, unit: str) -> None:
    assert indent_unit(text) == unit


def test_a_newline_and_its_indentation_are_one_key() -> None:
    assert keys_of("ab\n    c\n\n\td") == 7
