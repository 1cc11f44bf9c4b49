"""Before the model: which requests are refused, for which reason, and how long others wait."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion import gate, silence
from completion.document import Document
from completion.gate import Ask, Rejections, refusal, wait_ms
from completion.hole import hole_kind
from completion.keys import Change, Keys, end_of
from tandem.config import CompletionConfig

NOW = 1000.0
CODE = "value = compute(|)\n"


def options(**changes: Any) -> CompletionConfig:
    return CompletionConfig.model_validate(changes)


def refused(
    marked: str,
    path: str = "/w/a.py",
    language: str = "python",
    root: Path | None = None,
    ask: Ask | None = None,
    **changes: Any,
) -> str:
    """The reason for a cursor at the bar of a text."""
    before, after = marked.split("|")
    document = Document(Path(path), language, before + after, root=root)
    hole = hole_kind(document.text, len(before), language)
    return refusal(document, len(before), hole, ask or Ask(NOW), options(**changes))


def keys_after(text: str, *changes: Change, now: float = NOW - 0.05) -> Keys:
    """Keys that were told of these changes, the last of them at `now`."""
    found, states = Keys(), {text: 0}
    for number, change in enumerate(changes):
        offset = sum(len(line) + 1 for line in text.split("\n")[: change.start[0]])
        offset += change.start[1]
        assert text.startswith(change.removed, offset)
        text = text[:offset] + change.inserted + text[offset + len(change.removed) :]
        found.changed(change, states.setdefault(text, len(states)), now - len(changes) + 1 + number)
    return found


def typed_at(gaps_s: list[float], text: str = "a") -> tuple[Keys, float]:
    """Keys that typed `text` over and over in these gaps, and when the last one came."""
    found, now = Keys(), 0.0
    for number, (gap, ch) in enumerate(zip([0.0, *gaps_s], itertools.cycle(text), strict=False)):
        now += gap
        found.changed(Change((0, number), "", ch), number + 1, now)
    return found, now


def test_code_at_a_cursor_is_asked_for() -> None:
    assert refused(CODE) == ""


@pytest.mark.parametrize(
    ("marked", "language", "reason"),
    [
        ("val|ue = 1\n", "python", silence.IN_WORD),
        ("x_|1 = 1\n", "python", silence.IN_WORD),
        ("größ|e = 1\n", "python", silence.IN_WORD),
        ("value|\n", "python", ""),
        ("|value\n", "python", ""),
        ("value.|total\n", "python", ""),
        ("x = 1  # the sum of|\n", "python", silence.IN_COMMENT),
        ("// the sum|\n", "rust", silence.IN_COMMENT),
        ("# the sum\n|\n", "python", ""),
        ("/*\n * the sum of|\n */\n", "javascript", silence.IN_COMMENT),
        ("/**\n * The sum.\n */\nlet |\n", "javascript", ""),
        ("let files = 'src/*'\nlet |\n", "javascript", ""),
        ("let x = 'the sum|'\n", "typescript", silence.IN_STRING),
        ("fn f<'a>(x: &'a |\n", "rust", ""),
        ("/* one */ x := |\n", "go", ""),
        ("-- the sum|\n", "lua", silence.IN_COMMENT),
        ("#include <a|\n", "c", ""),
        ('x = "the sum |"\n', "python", silence.IN_STRING),
        ('def f():\n    """The sum|\n    """\n', "python", silence.IN_STRING),
        ('x = "the sum"|\n', "python", ""),
        ('{"name": "value|"}\n', "json", ""),
        ('He said "go |\n', "markdown", ""),
    ],
)
def test_the_place_of_the_cursor(marked: str, language: str, reason: str) -> None:
    assert refused(marked, "/w/a.x", language) == reason


def test_comments_and_strings_by_setting() -> None:
    assert refused("# the sum|\n", in_comments=True) == ""
    assert refused('x = "the |"\n', in_strings=True) == ""
    assert refused('x = "the |"\n', in_comments=True) == silence.IN_STRING


def test_a_word_that_is_retyped_in_its_middle_is_asked_for() -> None:
    text = "self.values.total\n"
    deleted = Change((0, 5), "val", "")
    keys = keys_after(text, deleted, Change((0, 5), "", "r"))
    assert refused("self.r|ues.total\n", ask=Ask(NOW, keys=keys)) == ""
    assert refused("self.ru|es.total\n", ask=Ask(NOW, keys=keys)) == silence.IN_WORD


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Change((0, 16), "", "first, second, third"), silence.PASTED),
        (Change((0, 16), "", "x"), ""),
        (Change((0, 16), "", "some_name"), ""),
    ],
)
def test_a_paste_is_followed_by_silence_for_a_moment(change: Change, reason: str) -> None:
    before = "value = compute()\n"
    keys = keys_after(before, change)
    marked = f"value = compute({change.inserted}|)\n"
    assert refused(marked, ask=Ask(NOW, keys=keys)) == reason
    later = NOW + gate.SETTLED_MS / 1000
    assert refused(marked, ask=Ask(later, keys=keys)) == ""


def test_undo_is_followed_by_silence_for_a_moment() -> None:
    pasted = Change((0, 16), "", "first, second, third")
    keys = keys_after("value = compute()\n", pasted, Change((0, 16), pasted.inserted, ""))
    assert refused(CODE, ask=Ask(NOW, keys=keys)) == silence.UNDONE
    assert refused(CODE, ask=Ask(NOW + gate.SETTLED_MS / 1000, keys=keys)) == ""


def test_an_open_list_by_setting() -> None:
    assert refused(CODE, ask=Ask(NOW, popup=True)) == silence.POPUP
    assert refused(CODE, ask=Ask(NOW, popup=True), with_popup=True) == ""


@pytest.mark.parametrize(
    ("changes", "ask", "reason"),
    [
        ({"trigger": "manual"}, Ask(NOW), silence.MANUAL),
        ({}, Ask(NOW, snoozed=True), silence.SNOOZED),
        ({"enabled": False}, Ask(NOW), silence.DISABLED),
        ({"disabled_languages": ["python"]}, Ask(NOW), silence.DISABLED_LANGUAGE),
        ({"disabled_languages": ["rust"]}, Ask(NOW), ""),
    ],
)
def test_reasons_of_settings(changes: dict[str, Any], ask: Ask, reason: str) -> None:
    assert refused(CODE, ask=ask, **changes) == reason
    assert refused(CODE, ask=ask, gate=False, **changes) == reason


def test_who_asks_by_a_key_passes_all_but_what_was_switched_off() -> None:
    pasted = Change((0, 0), "", "first, second, third")
    rejections = Rejections()
    for _ in range(20):
        rejections.rejected(NOW)
    ask = Ask(NOW, True, True, True, keys_after("", pasted), rejections)
    for marked in ("val|ue\n", "# a|\n", 'x = "a|"\n'):
        assert refused(marked, ask=ask, trigger="manual") == ""
    assert refused(CODE, ask=ask, enabled=False) == silence.DISABLED
    assert refused(CODE, ask=ask, disabled_languages=["python"]) == silence.DISABLED_LANGUAGE
    assert refused(CODE, ask=ask, disabled_paths=["*.py"]) == silence.DISABLED_PATH
    assert refused(CODE, "/w/.env", ask=ask) == silence.PROTECTED_FILE


def test_without_the_gate_only_settings_hold() -> None:
    pasted = keys_after("", Change((0, 0), "", "first, second, third"))
    rejections = Rejections()
    for _ in range(20):
        rejections.rejected(NOW)
    ask = Ask(NOW, keys=pasted, rejections=rejections)
    assert refused("val|ue\n", ask=ask) == silence.IN_WORD
    assert refused("first, second, third|\n", ask=ask) == silence.PASTED
    assert refused(CODE, ask=ask) == silence.REJECTED, "the paste was elsewhere"
    assert refused("val|ue\n", ask=ask, gate=False) == ""
    assert refused("# a|\n", ask=ask, gate=False) == silence.IN_COMMENT


@pytest.mark.parametrize(
    ("patterns", "path", "out"),
    [
        (["*.min.js"], "web/app.min.js", True),
        (["*.min.js"], "web/app.js", False),
        (["/vendor/"], "vendor/a/b.py", True),
        (["/vendor/"], "lib/vendor/b.py", False),
        (["vendor/"], "lib/vendor/b.py", True),
        (["*.py", "!keep.py"], "keep.py", False),
        (["*.py", "!keep.py"], "other.py", True),
        (["docs/**/*.md"], "docs/a/b/c.md", True),
        (["[", "*.py"], "a.py", True),  # a broken line is passed over, as git does
        (["# a comment", ""], "a.py", False),
    ],
)
def test_paths_are_switched_off_as_in_gitignore(
    tmp_path: Path, patterns: list[str], path: str, out: bool
) -> None:
    (tmp_path / ".git").mkdir()
    file = str(tmp_path / path)
    reason = silence.DISABLED_PATH if out else ""
    assert refused("x = |\n", file, disabled_paths=patterns) == reason


def test_paths_outside_of_a_repository_are_of_the_editors_folder_or_whole(tmp_path: Path) -> None:
    file = str(tmp_path / "generated" / "a.py")
    assert refused(CODE, file, root=tmp_path, disabled_paths=["/generated/"]) != ""
    assert refused(CODE, file, disabled_paths=["/generated/"]) == ""
    assert refused(CODE, file, disabled_paths=["generated/"]) != ""
    assert refused(CODE, "untitled.py", disabled_paths=["untitled.*"]) != ""


def test_rejections_in_a_row_bring_growing_silence() -> None:
    found, now = Rejections(), 100.0
    for _ in range(gate.IN_A_ROW - 1):
        found.rejected(now)
        assert not found.quiet(now)
    quiets = []
    for _ in range(8):
        found.rejected(now)
        length = next(s for s in range(1, 100) if not found.quiet(now + s))
        quiets.append(length)
        now += 0.1
    assert quiets == sorted(quiets)
    assert quiets[0] == gate.FIRST_QUIET_S
    assert quiets[1] == 2 * gate.FIRST_QUIET_S
    assert quiets[-1] == gate.LONGEST_QUIET_S


def test_one_that_is_taken_ends_the_silence() -> None:
    found = Rejections()
    for _ in range(20):
        found.rejected(100.0)
    assert found.quiet(100.0)
    found.reset()
    assert not found.quiet(100.0)
    assert found.in_a_row == 0
    found.rejected(100.0)
    assert not found.quiet(100.0)


def test_rejections_far_apart_bring_no_silence_and_neither_do_glimpses() -> None:
    found = Rejections()
    for number in range(30):
        found.rejected(number * gate.WITHIN_S / 2)
        assert not found.quiet(number * gate.WITHIN_S / 2)
    seen = Rejections()
    for _ in range(30):
        seen.rejected(100.0, gate.SEEN_MS - 1)
    assert not seen.quiet(100.0)
    assert seen.in_a_row == 0


def wait(
    keys: Keys | None, expected_ms: float, now: float, marked: str = "x = a|\n", **changes: Any
) -> float:
    before, after = marked.split("|")
    hole = hole_kind(before + after, len(before), "python")
    return wait_ms(keys, expected_ms, hole, options(**changes), now)


# Fast within a word, a pause at every eighth key.
BURSTS = [0.15, 0.2, 0.25, 0.15, 0.2, 0.25, 0.2, 1.2] * 6


def test_nothing_waits_where_the_answer_comes_before_the_next_key() -> None:
    keys, now = typed_at(BURSTS)
    for expected in (0.0, 20.0, 60.0, 100.0):
        assert wait(keys, expected, now) == 0


def test_a_model_slower_than_the_fingers_waits_for_the_end_of_the_burst() -> None:
    keys, now = typed_at(BURSTS)
    for expected in (300.0, 600.0):
        assert wait(keys, expected, now) == pytest.approx(250)


def test_what_has_passed_since_the_key_is_not_waited_again() -> None:
    keys, now = typed_at(BURSTS)
    assert wait(keys, 300.0, now + 0.1) == pytest.approx(150)
    assert wait(keys, 300.0, now + 0.3) == 0
    assert wait(keys, 300.0, now + 60) == 0


def test_a_slow_typist_never_waits_for_a_fast_model() -> None:
    keys, now = typed_at([0.6, 0.8, 0.5, 0.7] * 8)
    assert wait(keys, 300.0, now) == 0


def test_a_stop_waits_no_longer_than_the_middle_of_a_word() -> None:
    gaps = [0.1, 0.1, 0.1, 0.5] * 12  # the pause comes behind the bracket
    in_word, at = typed_at(gaps[:-2], "abc(")
    assert (in_word.last, in_word.at_stop) == ("c", False)
    assert wait(in_word, 200.0, at) > 0
    stopped, at = typed_at(gaps[:-1], "abc(")
    assert (stopped.last, stopped.at_stop) == ("(", True)
    assert wait(stopped, 200.0, at) == 0


def test_who_deletes_is_waited_for() -> None:
    keys, now = typed_at(BURSTS)
    keys.changed(Change((0, 10), "a", ""), 10**6, now + 0.1)
    assert wait(keys, 20.0, now + 0.1) == pytest.approx(200)
    assert wait(keys, 20.0, now + 0.2) == pytest.approx(100)


def test_before_the_rhythm_is_known_the_usual_one_counts() -> None:
    keys, now = typed_at([0.2])
    assert wait(keys, 50.0, now) == 0
    assert 200 <= wait(keys, 500.0, now) <= gate.LONGEST_WAIT_MS


def test_no_wait_by_setting_and_none_without_a_key() -> None:
    keys, now = typed_at(BURSTS)
    assert wait(keys, 600.0, now) > 0
    assert wait(keys, 600.0, now, debounce=False) == 0
    assert wait(None, 600.0, now) == 0
    assert wait(Keys(), 600.0, now) == 0


gaps = st.lists(st.floats(0.02, 4), min_size=1, max_size=60)


@given(gaps, st.floats(0, 5000), st.floats(0, 3), st.text("ab(. ", min_size=1, max_size=5))
def test_a_wait_is_bounded_and_worth_more_than_none(
    found: list[float], expected: float, passed: float, text: str
) -> None:
    keys, now = typed_at(found, text)
    chosen = wait(keys, expected, now + passed)
    assert 0 <= chosen <= gate.LONGEST_WAIT_MS


@given(gaps, st.floats(0, 400))
def test_a_wait_gives_up_fewer_answers_in_time_than_it_saves_requests(
    found: list[float], expected: float
) -> None:
    """Whatever the rhythm: what is dropped by waiting is more than what comes too late by it."""
    keys, now = typed_at(found)
    chosen = wait(keys, expected, now)
    known = keys.gaps_ms(False) if keys.rhythm() else [float(gap) for gap in gate._USUAL_MS]
    dropped = sum(gap <= chosen for gap in known)
    late = sum(expected < gap <= chosen + expected for gap in known)
    assert late <= dropped


@given(st.text("ab_ (\n#'\"", max_size=30), st.data())
def test_any_place_gets_a_reason_or_none(text: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text)))
    marked = f"{text[:offset]}|{text[offset:]}"
    known = {value for name, value in vars(silence).items() if name.isupper()}
    assert refused(marked) in {"", *known}
    keys = keys_after("", Change((0, 0), "", text)) if text else None
    assert refused(marked, ask=Ask(NOW, keys=keys)) in {"", *known}
    assert end_of((0, 0), text[:offset])[0] == text[:offset].count("\n")
