"""What the replay counts, on made-up requests, and what it calls a mistake."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.parts.display import Display
from benchmarks.parts.gain import gain
from benchmarks.parts.ledger import Asked, Sitting, figures
from benchmarks.parts.mistakes import BRACKETS, DELETES, REPEATS, TOKEN, mistakes
from benchmarks.parts.scripts import stretches


def event(
    reason: str = "", usage: tuple[int, int] | None = None, **stages: float
) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if usage:
        cached, prompt = usage
        details["usage"] = {
            "prompt_tokens": prompt,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
    return {"id": "x", "reason": reason, "stages_ms": stages, "details": details}


MODEL = event(usage=(80, 100), prompt=2.0, first_token=10.0, generate=50.0, total=53.0)
LOG = [
    Asked("f", 1, 60.0, 0.0, "one", True, accepted=3, presses=1, saved=3, event=MODEL),
    Asked("f", 2, 3.0, 0.0, "two", True, event=event(total=1.0)),
    Asked("f", 3, 2.0, 0.0, "wo", False, mistakes=[BRACKETS], event=event(total=1.0)),
    Asked("f", 4, 4.0, event=event("in a word", total=0.5)),
    Asked("f", 5, None, event=event("cancelled", generate=5.0)),
    Asked("f", 6, None, event=event("cancelled", debounce=30.0)),
    Asked("f", 7, None),
    Asked(
        "f",
        8,
        50.0,
        0.0,
        "a\n    bc",
        True,
        event=event(usage=(20, 100), debounce=30.0, score=10.0),
    ),
]


def test_own_time_by_stage_of_all_and_of_the_slowest() -> None:
    quick = [Asked("f", n, 5.0, event=event(gate=1.0, total=3.0)) for n in range(99)]
    slow = Asked("f", 99, 100.0, event=event(gate=1.0, context=30.0, generate=40.0, total=80.0))
    found = figures([Sitting("f", 9, 9, [*quick, slow])])["own_by_stage"]
    last = figures([Sitting("f", 9, 9, [slow])])["own_by_stage"]["slowest"]
    assert last == {"gate": 1.0, "context": 30.0, "between stages": 9.0, "outside": 20.0}
    assert found["all"]["gate"] == pytest.approx(1.0)
    assert found["all"]["context"] == pytest.approx(0.3)
    assert found["slowest"]["context"] == 15.0, "two of a hundred"
    assert sum(found["all"].values()) == pytest.approx((99 * 5 + 60) / 100)
    assert figures([Sitting("f", 9, 9, [Asked("f", 1)])])["own_by_stage"] == {}


def test_a_rows_figures() -> None:
    found = figures([Sitting("f", 40, 45, LOG), Sitting("g", 10, 12, [])])
    assert (found["files"], found["keys"], found["pressed"]) == (2, 50, 57)
    assert (found["requests"], found["answered"], found["with_suggestion"]) == (8, 5, 4)
    assert (found["shown"], found["accepted"]) == (3, 1), "typing through shows nothing new"
    assert found["accepted_of_shown"] == 1 / 3
    assert (found["net_keys"], found["net_share"]) == (2, 2 / 50)
    assert found["late_share"] == 3 / 8
    assert found["without_model"] == 5 / 8
    assert found["kv_reuse"] == 100 / 200
    assert found["mistakes"] == {BRACKETS: 1}
    assert found["outcomes"] == {
        "suggestion": 4,
        "in a word": 1,
        "late": 1,
        "late, no model asked": 1,
        "cancelled before it began": 1,
    }
    assert found["answered_without_model"] == found["typed_through_ms"]["n"] == 2
    assert found["typed_through_ms"]["p95"] == 3.0
    assert found["total_ms"]["p99"] == 60.0
    assert found["stages_ms"]["generate"] == {
        "n": 1,
        **dict.fromkeys(["p50", "p90", "p95", "p99"], 50.0),
    }


def test_what_the_server_takes_for_itself_is_all_but_the_waits() -> None:
    assert [one.own_ms for one in LOG] == [10.0, 3.0, 2.0, 4.0, None, None, None, 10.0]


def test_what_the_client_takes_is_not_the_servers() -> None:
    typed = Asked("f", 1, 6.0, 1.5, "x", event=event(total=1.0))
    asked = Asked("f", 2, 60.0, 1.5, "x", event=MODEL)
    assert (typed.own_ms, asked.own_ms) == (4.5, 8.5)
    found = figures([Sitting("f", 1, 1, [typed])])
    assert found["typed_through_ms"]["p95"] == 4.5
    assert found["total_ms"]["p95"] == 6.0, "what the user waits for"
    assert found["own_by_stage"]["all"]["outside"] == 3.5


def test_a_row_without_requests_has_no_shares() -> None:
    found = figures([Sitting("f", 0, 0, [])])
    assert found["net_share"] is None
    assert found["total_ms"] is None
    assert found["outcomes"] == {}


def test_rows_out_tell_what_became_of_what_was_suggested() -> None:
    rows = list(Sitting("f", 40, 45, LOG).rows("all"))
    assert [row["shown"] for row in rows] == ["one", "two", "wo", "a\n    bc"]
    assert [row["accepted"] for row in rows] == [True, False, False, False]
    assert rows[0]["characters"] == 3
    assert {row["row"] for row in rows} == {"all"}


def test_what_goes_on_with_the_text_on_display_is_not_new() -> None:
    display = Display()
    assert display.show("return x")
    display.typed("ret")
    assert not display.show("urn x"), "the same"
    assert not display.show("urn x + 1"), "more of it"
    assert not display.show("urn"), "less of it"
    display.typed("u")
    assert display.show("se")
    assert not display.show("")
    assert display.show("se")


@pytest.mark.parametrize("typed", ["x", "", "return"])
def test_another_key_clears_the_display(typed: str) -> None:
    display = Display()
    display.show("ab")
    display.typed(typed)
    assert display.text == ""
    assert display.show("ab")


def test_a_gain_has_an_interval_over_files() -> None:
    found = gain([10, 20, 30, 40], [8, 16, 24, 32])
    assert found.ratio == pytest.approx(1.25)
    assert found.low == pytest.approx(1.25)
    assert found.high == pytest.approx(1.25)
    wide = gain([10, 0, 30, 5], [8, 16, 3, 10])
    assert wide.low is not None
    assert wide.high is not None
    assert wide.low < 45 / 37 < wide.high
    assert str(found) == "+25% (95% interval +25% to +25%)"


def test_a_gain_that_cannot_be_told_says_so() -> None:
    assert "too few" in str(gain([3], [2]))
    assert gain([3, 1], [0, 0]).ratio is None
    assert "saves nothing" in str(gain([3, 1], [0, -1]))
    assert gain([3, 1], [2, -1]).low is None, "some draws have nothing to compare with"


SUFFIX = ")\n    return total\n"


@pytest.mark.parametrize(
    ("before", "text", "after", "found"),
    [
        ("x = f(", "a, b", SUFFIX, []),
        ("x = f(", "g(a)", SUFFIX, []),
        ("x = f(", "a)", SUFFIX, [BRACKETS]),
        ("x = f(", "g(a", SUFFIX, [BRACKETS]),
        ("x = f(", "a)\n    return total", "\n    return total\n", [REPEATS]),
        ("x = f(", "a)\n    b()\n    return total", "\n\n    return total\n", [REPEATS]),
        ("x = f(", "a)\n    b()", "\n    return total\n", []),
        ("    ", "return total", "\n    return total\n", [REPEATS]),
        ("    ", "x = 1\n    y = 2", "\n    x = 1\n    z = 2\n", []),
        ("    ", "x = 1\n    y = 2", "\n    y = 2\n    z = 2\n", [REPEATS]),
        ("    ", "x = 1\n    y = 2", "\n    x = 1\n    y = 2\n", [REPEATS]),
        ("if a: ", "b(name", " + name)\n", []),
        ("f(", "a + name", " name)\n", [REPEATS]),
        ("f(", "a + rename", " name)\n", []),
        ("f(", "a + name", " names)\n", []),
        ("x = ", "1<|endoftext|>", "\n", [TOKEN]),
        ("x = ", "1 <fim_middle>", "\n", [TOKEN]),
        ("a = '<|im_end|>'\nx = ", "'<|im_end|>'", "\n", []),
        ("x = ", "'('", "\n", []),
        ("x = ", "a < b and c > d", "\n", []),
    ],
)
def test_mistakes(before: str, text: str, after: str, found: list[str]) -> None:
    assert mistakes(before, text, "", after, "python") == found


def test_taking_away_what_stood_there_is_a_mistake() -> None:
    assert mistakes("f(", "a)", ")", "\n", "python") == []
    assert mistakes("f(", "a)", " b)", "\n", "python") == [DELETES]


@given(st.text(alphabet="ab (\n)", max_size=60), st.integers(1, 60), st.randoms())
def test_stretches_are_whole_lines_apart_from_each_other(text: str, keys: int, rng: Any) -> None:
    last = -1
    for start, end in stretches(text, rng, keys):
        assert last < start < end <= len(text)
        assert not text[:start].rpartition("\n")[2].strip()
        assert not text[end:].partition("\n")[0].strip()
        assert text[start:end].strip() == text[start:end]
        last = end
