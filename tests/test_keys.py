"""What the last change to a document was, and the rhythm of the keys, as an editor's edits tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from completion import keys
from completion.keys import LEAST_GAPS, PAUSE_S, Change, Keys, difference, end_of, narrowed
from lsp.documents import Documents, OpenDocument

URI = "file:///w/a.py"


class Typist:
    """Types into a real open document, `gap` seconds from key to key."""

    def __init__(self, text: str = "", gap: float = 0.2) -> None:
        self.document = OpenDocument(types.TextDocumentItem(URI, "python", 1, text), "utf-32")
        self.now, self.gap = 100.0, gap
        self.offset = len(text)

    @property
    def keys(self) -> Keys:
        return self.document.keys

    def replace(self, start: int, end: int, text: str, gap: float | None = None) -> str:
        """Replace characters; the kind that this was."""
        self.now += self.gap if gap is None else gap
        before = self.document.plain
        places = types.Range(_position(before, start), _position(before, end))
        self.document.apply(types.TextDocumentContentChangePartial(places, text), self.now)
        self.offset = start + len(text)
        return self.keys.kind

    def put(self, text: str) -> str:
        """Insert at the cursor."""
        return self.replace(self.offset, self.offset, text)

    def type(self, text: str) -> str:
        for ch in text:
            self.put(ch)
        return self.keys.kind

    def delete(self, count: int = 1) -> str:
        """With as many presses of Backspace."""
        for _ in range(count):
            self.replace(self.offset - 1, self.offset, "")
        return self.keys.kind

    def whole(self, text: str) -> str:
        self.now += self.gap
        self.document.apply(types.TextDocumentContentChangeWholeDocument(text), self.now)
        return self.keys.kind


def _position(text: str, offset: int) -> types.Position:
    return types.Position(*end_of((0, 0), text[:offset]))


def test_a_document_just_opened_was_not_typed_in() -> None:
    found = Typist("x = 1\n").keys
    assert found.kind == ""
    assert found.since_ms(5.0) == float("inf")
    assert found.rhythm() is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a", "typed"),
        ("é", "typed"),
        ("👍🏽", "typed"),
        ("()", "typed"),
        ('""', "typed"),
        ("    ", "typed"),  # Tab
        ("= f", "typed"),  # keys that an editor sent together
        ("\n", "enter"),
        ("\r\n", "enter"),
        ("\n    ", "enter"),
        ("\n        \n    }", "enter"),
        ("\n    // ", "enter"),
        ("append", "word"),
        (".append()", "word"),
        ("total = sum(values)", "pasted"),
        ("a, b\nc, d\n", "pasted"),
        ("", ""),
    ],
)
def test_the_kind_of_an_insertion(text: str, kind: str) -> None:
    assert Typist("x\n").put(text) == kind


def test_a_selection_that_is_typed_over_is_typed_and_retyped() -> None:
    typist = Typist("total = value")
    assert typist.replace(8, 13, "n") == "typed"
    assert typist.keys.retyping


def test_a_list_of_names_replaces_what_stood_of_the_name() -> None:
    typist = Typist("items.app")
    assert typist.replace(6, 9, "append_all") == "word"
    assert typist.keys.place == (0, 16)


@pytest.mark.parametrize("count", [1, 3])
def test_backspaces_delete_and_undo_nothing(count: int) -> None:
    typist = Typist()
    typist.type("value")
    assert typist.delete(count) == "deleted"


def test_a_word_deleted_by_a_key_is_deleted_though_the_text_was_the_same_before_it() -> None:
    typist = Typist()
    typist.type("self.value")
    assert typist.replace(5, 10, "") == "deleted"


def test_a_pair_deleted_together_is_deleted() -> None:
    typist = Typist("f")
    typist.put("()")
    assert typist.replace(1, 3, "") == "deleted"


def test_what_a_paste_brought_and_undo_takes_is_undone_and_so_is_redo() -> None:
    typist = Typist("x = ")
    assert typist.put("call(one, two)") == "pasted"
    assert typist.replace(4, 18, "") == "undone"
    assert typist.put("call(one, two)") == "undone"


def test_undo_of_a_deletion_brings_the_text_back() -> None:
    typist = Typist("return value + 1")
    assert typist.replace(7, 16, "") == "deleted"
    assert typist.put("value + 1") == "undone"


def test_undo_of_a_list_of_names_takes_one_word_at_once() -> None:
    typist = Typist("items.")
    assert typist.put("append") == "word"
    assert typist.replace(6, 12, "") == "undone"


def test_undo_of_typed_lines_is_undone() -> None:
    typist = Typist()
    typist.type("a = 1\nb = 2")
    assert typist.replace(0, 11, "") == "undone"


def test_a_cut_of_lines_that_were_always_there_is_deleted() -> None:
    assert Typist("a = 1\nb = 2\nc = 3\n").replace(6, 12, "") == "deleted"


def test_lines_swapped_are_another_text() -> None:
    typist = Typist("a = one\nb = two\n")
    assert typist.replace(0, 16, "b = two\na = one\n") != "undone"
    assert typist.replace(0, 16, "a = one\nb = two\n") == "undone"


@pytest.mark.parametrize(
    "taken", ["return total + 1\n", "return ", "return total", "return total + 1"]
)
def test_what_was_offered_is_accepted_whole_or_in_part(taken: str) -> None:
    typist = Typist("    ")
    typist.keys.offered(["return total + 1\n"])
    assert typist.put(taken) == "accepted"


def test_the_rest_of_an_offer_is_accepted_word_by_word_and_after_typing_through() -> None:
    typist = Typist()
    typist.keys.offered(["return total + one"])
    assert typist.put("return ") == "accepted"
    assert typist.type("to") == "typed"
    assert typist.put("tal + one") == "accepted"
    assert typist.put("tal + one") == "pasted"


def test_an_offer_in_a_document_of_other_line_ends_is_accepted() -> None:
    typist = Typist("def f():\r\n")
    typist.keys.offered(["    a = 1\n    return a"])
    assert typist.put("    a = 1\r\n    return a") == "accepted"


def test_an_offer_is_gone_once_something_else_is_typed() -> None:
    typist = Typist()
    typist.keys.offered(["return total + one"])
    typist.type("x")
    assert typist.put("return total + one") == "pasted"


def test_enter_is_typing_through_and_no_acceptance() -> None:
    typist = Typist("if x:")
    typist.keys.offered(["\n    return total"])
    assert typist.put("\n    ") == "enter"
    assert typist.put("return total") == "accepted"


def test_a_word_is_retyped_until_it_ends_or_the_cursor_goes_elsewhere() -> None:
    typist = Typist("self.values.total")
    typist.offset = 11
    typist.delete(4)
    assert typist.keys.retyping
    typist.type("ri")
    assert typist.keys.retyping
    typist.type(".")
    assert not typist.keys.retyping
    typist.delete()
    typist.offset = 0
    typist.type("x")
    assert not typist.keys.retyping


@pytest.mark.parametrize("after", ["one = two(three)", "\n    "])
def test_nothing_is_retyped_after_a_paste_or_enter(after: str) -> None:
    typist = Typist("value")
    typist.delete()
    typist.put(after)
    assert not typist.keys.retyping


def test_the_rhythm_is_that_of_the_keys_without_the_pauses() -> None:
    typist = Typist()
    for number in range(40):
        typist.gap = PAUSE_S + 3 if number % 10 == 9 else 0.1 if number % 2 else 0.3
        typist.type("a")
    found = typist.keys.rhythm()
    assert found is not None
    assert found.median_ms == pytest.approx(300)
    assert found.upper_ms == pytest.approx(300)
    assert max(typist.keys.gaps_ms(False)) == pytest.approx((PAUSE_S + 3) * 1000)


def test_deleting_and_pasting_are_no_rhythm_and_neither_is_a_key_held_down() -> None:
    typist = Typist("x" * 60)
    typist.delete(20)
    for _ in range(20):
        typist.put("one = two(three)")
    typist.gap = 0.005
    typist.type("a" * 20)
    assert typist.keys.rhythm() is None


def test_keys_that_came_together_share_their_gap() -> None:
    typist = Typist(gap=0.4)
    for _ in range(LEAST_GAPS + 1):
        typist.put("xyab")
    found = typist.keys.rhythm()
    assert found is not None
    assert found.median_ms == pytest.approx(100)


def test_gaps_where_one_stops_are_told_apart_from_those_in_words() -> None:
    typist = Typist()
    for _ in range(LEAST_GAPS + 1):
        typist.replace(typist.offset, typist.offset, "a", gap=0.6)
        typist.replace(typist.offset, typist.offset, "b", gap=0.1)
        typist.replace(typist.offset, typist.offset, " ", gap=0.1)
    assert typist.keys.gaps_ms(True) == pytest.approx([600.0] * LEAST_GAPS)
    assert typist.keys.gaps_ms(False) == pytest.approx([100.0] * (2 * LEAST_GAPS + 2))


@pytest.mark.parametrize(
    ("text", "stop"), [("a", False), ("_", False), ("(", True), (" ", True), ("\n", True)]
)
def test_a_stop_is_behind_what_is_no_letter(text: str, stop: bool) -> None:
    typist = Typist("x")
    typist.put(text)
    assert typist.keys.at_stop == stop


def test_milliseconds_since_the_last_change() -> None:
    typist = Typist()
    typist.type("a")
    assert typist.keys.since_ms(typist.now + 0.25) == pytest.approx(250)
    assert typist.keys.since_ms(typist.now - 1) == 0


def test_an_editor_that_sends_whole_texts_is_understood_too() -> None:
    typist = Typist("def f():\n    return 1\n")
    assert typist.whole("def f():\n    return 12\n") == "typed"
    assert typist.keys.place == (1, 13)
    assert typist.whole("def f():\n    \n    return 12\n") == "enter"
    assert typist.whole("import a, b\n\ndef f():\n    \n    return 12\n") == "pasted"
    assert typist.whole("def f():\n    \n    return 12\n") == "undone"


def test_a_text_that_is_sent_again_changes_nothing() -> None:
    typist = Typist("x = 1\n")
    typist.type("y")
    assert typist.whole("x = 1\ny") == "typed"
    assert typist.keys.since_ms(typist.now) == pytest.approx(200)


def test_the_server_tells_the_keys_of_each_document() -> None:
    documents = Documents()
    documents.open(types.TextDocumentItem(URI, "python", 1, "x"))
    end = types.Position(0, 1)
    change = types.TextDocumentContentChangePartial(types.Range(end, end), "y")
    documents.change(types.VersionedTextDocumentIdentifier(2, URI), [change])
    found = documents.get(URI)
    assert found is not None
    assert (found.keys.kind, found.keys.place) == ("typed", (0, 2))


# Few characters, so that texts come back by chance too.
pieces = st.text(st.sampled_from("ab \n("), max_size=6)
changes = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), pieces), max_size=12)


@given(pieces, changes)
def test_states_are_equal_just_when_texts_are(text: str, found: list[tuple[int, int, str]]) -> None:
    typist = Typist(text)
    states = {typist.document.plain: typist.document._state}
    for one, other, new in found:
        length = len(typist.document.plain)
        start, end = sorted((min(one, length), min(other, length)))
        typist.replace(start, end, new)
        after = typist.document.plain
        assert states.setdefault(after, typist.document._state) == typist.document._state
    assert len(set(states.values())) == len(states)


@given(pieces, changes)
def test_whole_texts_give_the_states_that_edits_give(
    text: str, found: list[tuple[int, int, str]]
) -> None:
    edits, wholes = Typist(text), Typist(text)
    for one, other, new in found:
        length = len(edits.document.plain)
        start, end = sorted((min(one, length), min(other, length)))
        edits.replace(start, end, new)
        wholes.whole(edits.document.text)
        assert wholes.document._state == edits.document._state
        assert wholes.document.plain == edits.document.plain


@given(pieces, changes, st.lists(pieces, max_size=3))
def test_the_place_is_in_the_text_and_behind_what_came(
    text: str, found: list[tuple[int, int, str]], offers: list[str]
) -> None:
    typist = Typist(text)
    typist.keys.offered(offers)
    for one, other, new in found:
        length = len(typist.document.plain)
        start, end = sorted((min(one, length), min(other, length)))
        before = typist.document.plain
        typist.replace(start, end, new)
        after = typist.document.plain
        if before == after:
            continue
        row, column = typist.keys.place
        assert column <= len(after.split("\n")[row])
        offset = sum(len(line) + 1 for line in after.split("\n")[:row]) + column
        assert after[:offset].endswith(typist.keys.last)
        assert before[len(before) - (len(after) - offset) :] == after[offset:]


@given(pieces, pieces, st.tuples(st.integers(0, 5), st.integers(0, 5)))
def test_a_narrowed_change_does_the_same_and_differs_at_both_ends(
    removed: str, inserted: str, start: tuple[int, int]
) -> None:
    found = narrowed(start, removed, inserted)
    head = next(n for n in range(len(removed) + 1) if end_of(start, removed[:n]) == found.start)
    tail = len(removed) - head - len(found.removed)
    assert removed[head : head + len(found.removed)] == found.removed
    assert removed[:head] + found.inserted + removed[len(removed) - tail :] == inserted
    both = found.removed and found.inserted
    assert not both or found.removed[0] != found.inserted[0]
    assert not both or found.removed[-1] != found.inserted[-1]


@given(st.lists(pieces, min_size=1), st.lists(pieces, min_size=1))
def test_lines_outside_of_the_difference_are_the_same(old: list[str], new: list[str]) -> None:
    top, old_end, new_end = difference(old, new)
    assert old[:top] == new[:top]
    assert old[old_end:] == new[new_end:]
    assert top <= min(old_end, new_end)


@given(st.lists(st.floats(0, 5), max_size=80))
def test_the_rhythm_is_within_the_gaps(gaps: list[float]) -> None:
    found, now = Keys(), 0.0
    for number, gap in enumerate(gaps):
        now += gap
        found.changed(Change((0, number), "", "a"), number + 1, now)
    rhythm = found.rhythm()
    if rhythm is not None:
        assert 0 < rhythm.median_ms <= rhythm.upper_ms <= PAUSE_S * 1000
    assert len(found.gaps_ms(False)) <= keys.RHYTHM_KEYS
