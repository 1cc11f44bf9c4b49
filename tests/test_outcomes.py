"""What became of suggestions, told by edits and by what an editor says."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.changes import Change
from completion.document import Document
from completion.outcomes import IDLE_S, SETTLE_S, Outcomes
from tandem.trace import Event

PATH = Path("/work/a.py")
BEFORE = "def add(a, b):\n    "
AFTER = "\n\nprint(add(1, 2))\n"
TEXT = "return a + b"


class Editor:
    """A document, its cursor and a clock; suggestions are shown at the cursor."""

    def __init__(self, before: str = BEFORE, after: str = AFTER) -> None:
        self.events: list[Event] = []
        self.outcomes = Outcomes(self.events.append)
        self.text, self.cursor, self.now = before + after, len(before), 1000.0
        self.count = 0

    def show(self, text: str = TEXT, back: int = 0) -> str:
        self.count += 1
        document = Document(PATH, "python", self.text)
        self.outcomes.shown(f"id{self.count}", document, text, self.cursor - back, self.now)
        return f"id{self.count}"

    def type(self, text: str, after: float = 0.1) -> None:
        """One change at the cursor."""
        self.edit((self.cursor, 0, text), after=after)
        self.cursor += len(text)

    def keys(self, text: str) -> None:
        for key in text:
            self.type(key)

    def backspace(self, count: int = 1) -> None:
        self.cursor -= count
        self.edit((self.cursor, count, ""))

    def edit(self, *edits: tuple[int, int, str], after: float = 0.1) -> None:
        """One message with some edits: start, how many characters go, what comes."""
        self.now += after
        changes = []
        for start, count, text in edits:
            changes.append(Change(start, self.text[start : start + count], text))
            self.text = changes[-1].apply(self.text)
        self.outcomes.changed(str(PATH), changes, self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.outcomes.tick(self.now)

    def told(self, *names: str) -> list[tuple]:
        """The outcomes so far but for what was kept: these details of each."""
        self.wait(SETTLE_S)
        return [
            tuple(event.details[name] for name in names)
            for event in self.events
            if event.details["outcome"] != "kept"
        ]

    def kept(self) -> list[dict]:
        return [event.details for event in self.events if event.details["outcome"] == "kept"]


# By edits alone


def test_all_of_it_in_one_edit_was_accepted_whole() -> None:
    editor = Editor()
    id = editor.show()
    editor.type(TEXT)
    assert editor.told("of", "outcome", "how", "characters") == [(id, "accepted", "whole", 12)]


def test_one_event_tells_the_file_the_language_and_no_text() -> None:
    editor = Editor()
    editor.show()
    editor.type(TEXT)
    editor.told()
    [event] = editor.events
    assert (event.kind, event.file, event.details["language"]) == ("outcome", str(PATH), "python")
    assert event.shown is None
    assert TEXT not in str(event.to_json())


@pytest.mark.parametrize(
    ("part", "how"),
    [
        ("return", "word"),
        ("return a", "word"),
        ("return ", "word"),
        ("ret", ""),
        ("return a + b", "whole"),
    ],
)
def test_a_part_that_ends_where_a_word_does_was_accepted_as_words(part: str, how: str) -> None:
    editor = Editor()
    editor.show()
    editor.type(part)
    editor.outcomes.closed(str(PATH), editor.now)
    assert editor.events[0].details["how"] == how


def test_a_part_that_ends_where_a_line_does_was_accepted_as_a_line() -> None:
    editor = Editor()
    editor.show("if a:\n        return a\n    return b")
    editor.type("if a:")
    editor.type("\n        return a\n")
    editor.keys("x")
    assert editor.told("outcome", "how", "characters") == [("accepted", "line", 23)]


def test_word_by_word_is_one_suggestion() -> None:
    editor = Editor()
    editor.show()
    for word in ("return", " a", " +", " b"):
        editor.type(word)
    assert editor.told("outcome", "characters") == [("accepted", 12)]


def test_letter_by_letter_is_typed_and_not_accepted() -> None:
    editor = Editor()
    editor.show()
    editor.keys(TEXT)
    assert editor.told("outcome", "how", "characters", "typed") == [("typed", "", 0, 12)]


def test_some_letters_then_the_rest_counts_only_the_rest() -> None:
    editor = Editor()
    editor.show()
    editor.keys("retu")
    editor.type("rn a + b")
    assert editor.told("outcome", "characters", "typed") == [("accepted", 8, 4)]


def test_enter_with_the_indentation_the_editor_adds_is_one_key() -> None:
    editor = Editor("def add(a, b):")
    editor.show("\n    return a")
    editor.type("\n    ")
    editor.keys("return a")
    assert editor.told("outcome", "typed") == [("typed", 13)]


def test_a_bracket_that_the_editor_closes_is_one_key() -> None:
    editor = Editor()
    editor.show("(a)")
    editor.edit((editor.cursor, 0, "()"))
    editor.cursor += 1
    editor.type("a)")
    assert editor.told("outcome", "typed") == [("accepted", 1)]


def test_other_text_there_is_a_rejection() -> None:
    editor = Editor()
    editor.show()
    editor.type("p")
    assert editor.told("outcome", "why") == [("rejected", "other text")]


def test_other_text_long_after_is_none() -> None:
    editor = Editor()
    editor.show()
    editor.type("p", after=IDLE_S + 1)
    assert editor.told("outcome", "why") == [("ignored", "idle")]


def test_letters_that_fit_and_then_others_are_a_rejection() -> None:
    editor = Editor()
    editor.show()
    editor.keys("rep")
    assert editor.told("outcome", "typed") == [("rejected", 2)]


def test_deleting_and_typing_again_goes_on_with_it() -> None:
    editor = Editor()
    editor.show()
    editor.keys("reto")
    editor.told()
    assert [e.details["outcome"] for e in editor.events] == ["rejected"]
    editor = Editor()
    editor.show()
    editor.keys("ret")
    editor.backspace(2)
    editor.keys("et")
    editor.type("urn a + b")
    assert editor.told("outcome", "characters", "typed") == [("accepted", 9, 3)]


def test_a_word_accepted_twice_stands_once() -> None:
    editor = Editor()
    editor.show()
    editor.type("return")
    editor.backspace(6)
    editor.type("return")
    editor.edit((0, 0, "#"))
    editor.wait(40)
    assert editor.told("outcome", "characters") == [("accepted", 12)]
    assert [found["kept_30s"] for found in editor.kept()] == [6]


def test_deleting_more_than_was_typed_makes_it_longer() -> None:
    editor = Editor("def add(a, b):\n    re")
    editor.show("turn a + b")
    editor.backspace(2)
    editor.show("return a + b")
    editor.type("return a + b")
    assert editor.told("outcome", "characters", "also") == [("accepted", 12, ["id2"])]


def test_an_edit_elsewhere_means_the_user_has_gone() -> None:
    editor = Editor()
    editor.show()
    editor.edit((len(editor.text), 0, "x"))
    assert editor.told("outcome", "why") == [("ignored", "elsewhere")]


def test_edits_elsewhere_that_come_along_move_it() -> None:
    editor = Editor()
    editor.show()
    imported = "import math\n"
    editor.edit((0, 0, imported), (editor.cursor + len(imported), 0, TEXT))
    assert editor.told("outcome", "how") == [("accepted", "whole")]


def test_a_replaced_line_that_has_it_in_is_no_surprise() -> None:
    """An edit over the place, as an editor that replaces what is behind the cursor sends it."""
    editor = Editor(BEFORE, " 1\n")
    editor.show("return")
    editor.edit((editor.cursor, 2, "return 1"))
    assert editor.told("outcome", "why") == [("rejected", "other text")]
    assert editor.events[0].details["seconds"] == pytest.approx(0.1)


def test_another_suggestion_takes_its_place() -> None:
    editor = Editor()
    editor.show()
    other = editor.show("pass")
    editor.type("pass")
    assert editor.told("outcome", "why") == [("ignored", "replaced"), ("accepted", "")]
    assert editor.events[1].details["of"] == other


def test_the_same_suggestion_shown_again_while_it_is_typed_is_one() -> None:
    editor = Editor()
    first = editor.show()
    for number, key in enumerate("retu", 1):
        editor.type(key)
        editor.show(TEXT[number:])
    editor.type("rn a + b")
    assert editor.told("of", "outcome", "also") == [
        (first, "accepted", ["id2", "id3", "id4", "id5"])
    ]


def test_a_longer_answer_for_the_same_place_goes_on_with_it() -> None:
    editor = Editor()
    editor.show("return a")
    editor.show("return a + b")
    editor.type("return a + b")
    assert editor.told("outcome", "how") == [("accepted", "whole")]


def test_two_documents_do_not_touch_each_other() -> None:
    editor = Editor()
    editor.show()
    other = Document(Path("/work/b.py"), "python", "x = ")
    editor.outcomes.shown("other", other, "1", 4, editor.now)
    editor.outcomes.changed("/work/b.py", [Change(4, "", "2")], editor.now)
    editor.type(TEXT)
    assert sorted(editor.told("of", "outcome")) == [("id1", "accepted"), ("other", "rejected")]


# By what the editor says


@pytest.mark.parametrize("first", [True, False], ids=["before the edit", "after it"])
@pytest.mark.parametrize("how", ["whole", "line", "word"])
def test_the_editors_word_counts_more_than_the_edit(how: str, first: bool) -> None:
    """One letter at once looks typed."""
    editor = Editor()
    id = editor.show("x")
    say = [lambda: editor.outcomes.accepted(id, how, 1, editor.now), lambda: editor.type("x")]  # type: ignore[arg-type]
    for step in say if first else reversed(say):
        step()
    assert editor.told("outcome", "how", "characters") == [("accepted", how, 1)]


def test_an_insertion_that_the_editor_has_changed_is_accepted_if_it_says_so() -> None:
    editor = Editor()
    id = editor.show()
    editor.type("return  a+b")
    assert [one.outcome for one in editor.outcomes.recent(str(PATH))] == ["rejected"]
    editor.outcomes.accepted(id, "whole", None, editor.now)
    assert [one.outcome for one in editor.outcomes.recent(str(PATH))] == ["accepted"]
    assert editor.told("outcome", "how", "characters") == [("accepted", "whole", 11)]


def test_an_acceptance_whose_edit_never_comes_counts_and_cannot_be_judged() -> None:
    editor = Editor()
    id = editor.show()
    editor.outcomes.accepted(id, "whole", 12, editor.now)
    editor.outcomes.closed(str(PATH), editor.now)
    assert [event.details["outcome"] for event in editor.events] == ["accepted"]
    assert editor.events[0].details["characters"] == 12


def test_what_the_editor_says_twice_or_of_no_suggestion_changes_nothing() -> None:
    editor = Editor()
    id = editor.show()
    editor.type(TEXT)
    for _ in range(3):
        editor.outcomes.accepted(id, "whole", None, editor.now)
    editor.outcomes.accepted("nobody", "whole", 3, editor.now)
    editor.outcomes.rejected("nobody", editor.now)
    editor.outcomes.rejected(id, editor.now)
    assert editor.told("outcome", "characters") == [("accepted", 12)]
    editor.outcomes.accepted(id, "word", 3, editor.now)
    assert len(editor.told()) == 1


def test_the_id_of_what_went_on_with_it_is_as_good() -> None:
    editor = Editor()
    editor.show()
    editor.type("r")
    second = editor.show(TEXT[1:])
    editor.type(TEXT[1:])
    editor.outcomes.accepted(second, "whole", None, editor.now)
    assert editor.told("of", "outcome", "characters") == [("id1", "accepted", 11)]


def test_a_dismissal_is_a_rejection_whatever_follows() -> None:
    editor = Editor()
    id = editor.show()
    editor.outcomes.rejected(id, editor.now)
    editor.keys(TEXT)
    assert editor.told("outcome", "why") == [("rejected", "dismissed")]


def test_an_editor_that_tells_what_it_displays_has_ignored_nothing_else() -> None:
    editor = Editor()
    editor.outcomes.displayed(editor.show())
    editor.type("p")
    editor.show("pass")
    editor.type("x")
    assert editor.told("outcome", "why") == [
        ("rejected", "other text"),
        ("ignored", "not displayed"),
    ]


def test_an_answer_for_an_older_text_is_told_as_late_at_once() -> None:
    editor = Editor()
    editor.outcomes.late("id0", Document(PATH, "python", ""), "x", editor.now)
    assert [event.details["why"] for event in editor.events] == ["late"]
    assert not editor.outcomes.follows(str(PATH))


# What stays


def test_what_still_stands_after_30_seconds_and_5_minutes_is_counted_in_time() -> None:
    editor = Editor()
    editor.show()
    editor.type(TEXT)
    start = editor.now
    editor.wait(20)
    editor.edit((editor.text.index("a + b"), 1, "b"))
    editor.wait(15)
    assert [found.get("kept_30s") for found in editor.kept()] == [11]
    editor.edit((editor.text.index("return"), 12, "pass"))
    editor.wait(300)
    assert [found.get("kept_5min") for found in editor.kept()] == [None, 0]
    times = [event.time - start for event in editor.events]
    assert times == pytest.approx([0.0, 30.0, 300.0])
    assert not editor.outcomes.follows(str(PATH))


def test_an_edit_after_the_time_does_not_change_what_was() -> None:
    """Without any timer: what stood before an edit is what stood then."""
    editor = Editor()
    editor.show()
    editor.type(TEXT)
    editor.edit((0, len(editor.text), ""), after=400)
    assert [(d.get("kept_30s"), d.get("kept_5min")) for d in editor.kept()] == [
        (12, None),
        (None, 12),
    ]


def test_a_closed_document_is_judged_as_it_was() -> None:
    editor = Editor()
    editor.show()
    editor.type(TEXT)
    editor.edit((editor.text.index(" + b"), 4, ""))
    editor.outcomes.closed(str(PATH), editor.now)
    [found] = editor.kept()
    assert (found["kept_30s"], found["kept_5min"], found["closed"]) == (8, 8, True)
    assert not editor.outcomes.follows(str(PATH))
    editor.wait(1000)
    assert len(editor.kept()) == 1


def test_the_servers_end_concludes_everything() -> None:
    editor = Editor()
    editor.show()
    editor.type(TEXT)
    editor.show("\n")
    editor.outcomes.close(editor.now)
    assert [event.details["outcome"] for event in editor.events] == ["accepted", "ignored", "kept"]


def test_an_undo_keeps_nothing() -> None:
    editor = Editor()
    editor.show()
    editor.type(TEXT)
    editor.backspace(len(TEXT))
    editor.wait(31)
    assert [found["kept_30s"] for found in editor.kept()] == [0]


def test_only_what_was_accepted_is_followed() -> None:
    editor = Editor()
    editor.show()
    editor.keys("return ")
    editor.type("a + b")
    editor.edit((editor.cursor - 12, 7, ""))
    editor.wait(31)
    assert [(found["characters"], found["kept_30s"]) for found in editor.kept()] == [(5, 5)]


# For the gates


def test_recent_outcomes_are_told_at_once_and_the_newest_first() -> None:
    editor = Editor()
    editor.show("one")
    editor.type("x")
    editor.show("two")
    editor.type("two")
    found = editor.outcomes.recent(str(PATH))
    assert [(one.id, one.outcome, one.how) for one in found] == [
        ("id2", "accepted", "whole"),
        ("id1", "rejected", ""),
    ]
    assert [one.at for one in found] == pytest.approx([1000.2, 1000.1])
    editor.wait(5)
    assert editor.outcomes.recent(str(PATH)) == found
    assert editor.outcomes.recent("/work/b.py") == []


def test_recent_outcomes_are_bounded() -> None:
    editor = Editor()
    for _ in range(100):
        editor.show("ab")
        editor.type("x", after=2)
    assert len(editor.outcomes.recent(str(PATH))) == 32
    assert len(editor.events) >= 99


def test_it_says_when_it_wants_to_be_woken() -> None:
    editor = Editor()
    assert editor.outcomes.next_due() is None
    editor.show()
    assert editor.outcomes.next_due() is None
    editor.type(TEXT)
    ended = editor.now
    assert editor.outcomes.next_due() == ended + SETTLE_S
    editor.wait(SETTLE_S)
    assert editor.outcomes.next_due() == ended + 30
    editor.wait(30)
    assert editor.outcomes.next_due() == ended + 300
    editor.wait(300)
    assert editor.outcomes.next_due() is None


# Whatever comes

steps = st.one_of(
    st.tuples(st.just("show"), st.sampled_from(["ab c", "ab c\nd", "(x)", "b c", " "])),
    st.tuples(st.just("type"), st.sampled_from(["a", "b", "ab", "ab c", "()", "\n", " ", "x"])),
    st.tuples(st.just("edit"), st.integers(0, 40), st.integers(0, 9), st.sampled_from(["", "a\n"])),
    st.tuples(st.just("back"), st.integers(1, 3)),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 2.0, 40.0, 400.0])),
    st.tuples(
        st.just("accept"),
        st.integers(1, 9),
        st.sampled_from(["whole", "line", "word"]),
        st.sampled_from([None, 1, 5]),
    ),
    st.tuples(st.just("reject"), st.integers(1, 9)),
    st.tuples(st.just("display"), st.integers(1, 9)),
)


def carry_out(editor: Editor, step: tuple) -> None:
    match step:
        case ("show", text):
            editor.show(text)
        case ("type", text):
            editor.type(text)
        case ("edit", start, count, text):
            start = min(start, len(editor.text))
            editor.edit((start, min(count, len(editor.text) - start), text))
            editor.cursor = min(editor.cursor, len(editor.text))
        case ("back", count) if editor.cursor >= count:
            editor.backspace(count)
        case ("wait", seconds):
            editor.wait(seconds)
        case ("accept", number, how, characters):
            editor.outcomes.accepted(f"id{number}", how, characters, editor.now)
        case ("reject", number):
            editor.outcomes.rejected(f"id{number}", editor.now)
        case ("display", number):
            editor.outcomes.displayed(f"id{number}")


@given(st.lists(steps, max_size=25))
def test_every_suggestion_has_one_outcome_whatever_is_done(done: list[tuple]) -> None:
    editor = Editor("x", "\ny\n")
    for step in done:
        carry_out(editor, step)
        pieces = [p for file in editor.outcomes._files.values() for p in file.pieces()]
        standing = [piece for piece in pieces if piece.now]
        assert all(editor.text[piece.start : piece.end] == piece.now for piece in standing)
        active = [file.active for file in editor.outcomes._files.values() if file.active]
        spans = sorted((p.start, p.end) for one in active for p in one.pieces() if p.now)
        assert all(a[1] <= b[0] for a, b in pairwise(spans)), "a letter counts twice"
    editor.outcomes.close(editor.now)
    concluded = [e.details for e in editor.events if e.details["outcome"] != "kept"]
    ids = [id for details in concluded for id in (details["of"], *details.get("also", ()))]
    assert sorted(ids) == sorted(f"id{n}" for n in range(1, editor.count + 1))
    assert editor.outcomes._open == {}
    assert editor.outcomes.next_due() is None
    by_id = {details["of"]: details for details in concluded}
    for details in editor.kept():
        accepted = by_id[details["of"]]
        assert accepted["outcome"] == "accepted"
        assert details["characters"] <= accepted["characters"] or accepted["how"]
        for name in {"kept_30s", "kept_5min"} & set(details):
            assert 0 <= details[name] <= details["characters"]


@given(st.text(st.sampled_from("ab (\n)_"), min_size=1, max_size=20), st.data())
def test_all_of_a_suggestion_in_any_pieces_is_accepted_or_typed(
    text: str, data: st.DataObject
) -> None:
    editor = Editor()
    editor.show(text)
    left = text
    while left:
        count = data.draw(st.integers(1, len(left)))
        editor.type(left[:count])
        left = left[count:]
    [(outcome, characters, typed)] = editor.told("outcome", "characters", "typed")
    assert outcome in ("accepted", "typed")
    assert characters + typed == len(text)
