"""The log of recent edits: bursts become hunks at pauses, and say what changed."""

from hypothesis import given
from hypothesis import strategies as st

from completion.edits import KEPT, LARGEST_BURST, PAUSE_S, EditLog, Hunk, hunks

PATH = "a.py"
OLD = "def area(w, h):\n    return w * h\n\nprint(area(1, 2))\n"
lines = st.lists(st.sampled_from(["a", "b", "c", "", "  x", "y "]), max_size=12)


class Typing:
    """A document being typed in, with a clock."""

    def __init__(self, text: str, path: str = PATH) -> None:
        self.log = EditLog()
        self.path = path
        self.text = text
        self.now = 0.0

    def put(self, text: str, after: float = 0.1) -> None:
        self.now += after
        self.log.before_change(self.path, lambda: self.text, self.now)
        self.text = text

    def recent(self, after: float = 0.0) -> list[Hunk]:
        self.now += after
        return self.log.recent(self.path, lambda: self.text, self.now)


def test_a_burst_is_no_edit_until_typing_pauses() -> None:
    doc = Typing(OLD)
    for end in range(1, 6):
        doc.put(OLD.replace("area(w", "scale"[:end] + "(w"))
        assert doc.recent() == []
    assert doc.recent(PAUSE_S + 0.1) == [Hunk(PATH, 0, ("def area(w, h):",), ("def scale(w, h):",))]


def test_what_is_frozen_stays_the_same_while_the_next_burst_is_typed() -> None:
    doc = Typing(OLD)
    doc.put(OLD.replace("w * h", "h * w"))
    frozen = doc.recent(PAUSE_S + 1)
    assert [hunk.added for hunk in frozen] == [("    return h * w",)]
    for text in ("print(a", "print(ar", "print(area(3"):
        doc.put(OLD.replace("w * h", "h * w") + text)
        assert doc.recent() == frozen
    newest = doc.recent(PAUSE_S + 1)[0]
    assert newest.added == ("print(area(3",)


def test_a_burst_is_over_when_the_next_begins_after_a_pause() -> None:
    doc = Typing(OLD)
    doc.put(OLD.replace("1, 2", "1, 3"))
    doc.put(OLD.replace("1, 2", "1, 3") + "x", after=PAUSE_S + 1)
    assert [hunk.added for hunk in doc.recent()] == [("print(area(1, 3))",)]


def test_leaving_a_document_ends_its_burst() -> None:
    doc = Typing(OLD)
    doc.put(OLD.replace("w * h", "w + h"))
    doc.log.leave(PATH, lambda: doc.text)
    other = doc.log.recent("b.py", lambda: "", doc.now)
    assert [(hunk.path, hunk.removed) for hunk in other] == [(PATH, ("    return w * h",))]


def test_a_closed_document_s_edits_stay_known() -> None:
    doc = Typing(OLD)
    doc.put(OLD + "more\n")
    doc.log.leave(PATH, lambda: doc.text)
    doc.log.forget(PATH)
    assert doc.log.recent("b.py", lambda: "", doc.now)[0].added == ("more",)


def test_going_on_at_the_same_place_is_one_hunk() -> None:
    doc = Typing(OLD)
    doc.put(OLD.replace("w * h", "w"))
    doc.recent(PAUSE_S + 1)
    doc.put(OLD.replace("w * h", "w / h"))
    assert doc.recent(PAUSE_S + 1) == [Hunk(PATH, 1, ("    return w * h",), ("    return w / h",))]


def test_taking_an_edit_back_leaves_nothing() -> None:
    doc = Typing(OLD)
    doc.put(OLD.replace("w * h", "w"))
    doc.recent(PAUSE_S + 1)
    doc.put(OLD)
    assert doc.recent(PAUSE_S + 1) == []


def test_white_space_and_pastes_are_no_hints() -> None:
    assert hunks(PATH, ["x = 1"], ["    x = 1"]) == []
    many = [f"line {n}" for n in range(LARGEST_BURST + 1)]
    assert hunks(PATH, ["x"], many) == []


def test_only_so_many_are_kept_the_newest_first() -> None:
    doc = Typing("\n".join(map(str, range(200))))
    for n in range(0, 2 * KEPT * 4, 4):
        rows = doc.text.split("\n")
        rows[n] = f"changed {n}"
        doc.put("\n".join(rows))
        assert doc.recent(PAUSE_S + 1)[0].added == (f"changed {n}",)
    assert len(doc.recent()) == KEPT


def test_a_hunk_reads_like_a_diff() -> None:
    assert Hunk(PATH, 3, ("a", "b"), ("c",)).text == "-a\n-b\n+c"


@given(lines, lines)
def test_hunks_are_what_the_texts_say(old: list[str], new: list[str]) -> None:
    found = hunks(PATH, old, new)
    for hunk in found:
        assert tuple(new[hunk.row : hunk.row + len(hunk.added)]) == hunk.added
        joined = "\0".join(old)
        assert "\0".join(hunk.removed) in joined
    if "".join(old).split() == "".join(new).split() == []:
        assert not found
