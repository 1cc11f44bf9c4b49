"""The display gate: features of a suggestion, the model, and how it is learned."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from completion import display
from completion.display import EXPLORED, Figures, Gate, features
from completion.display_learning import LOST, Row, judge, learn, threshold
from completion.hole import hole_kind
from completion.keys import Change, Keys

FIGURES = Figures(100, 30, 20, 0.3, 0.1, 0.5, 0.05)
GATE = Gate({"a": 1.0, "b": -2.0}, {"a": 0.0, "b": 1.0}, {"a": 1.0, "b": 0.5}, 0.0, 0.4, FIGURES)


def known(marked: str, shown: str, language: str = "python", **more: Any) -> dict[str, float]:
    before, after = marked.split("|")
    text = before + after
    hole = hole_kind(text, len(before), language)
    return features(shown, text, len(before), hole, language, **more)


def test_length_and_lines_of_a_suggestion() -> None:
    one, two = known("x = |\n", "abc"), known("x = |\n", "abc\n    def\n")
    assert one["characters"] == pytest.approx(math.log1p(3), abs=1e-4)
    assert (one["lines"], one["more"]) == (0, 0)
    assert (two["lines"], two["more"]) == (1, 1)
    assert two["line_characters"] == one["line_characters"]


@pytest.mark.parametrize(
    ("marked", "shown", "share"),
    [
        ("total = 1\n|\n", "total", 0.0),
        ("total = 1\n|\n", "other", 1.0),
        ("total = 1\n|\n", "total + other", 0.5),
        ("total = 1\nto|\n", "tal", 0.0),  # the rest of a name that is begun
        ("total = 1\nto|\n", "day", 1.0),
        ("total = 1\n|\n", "1 + 2", 0.0),
    ],
)
def test_names_that_the_file_does_not_know(marked: str, shown: str, share: float) -> None:
    assert known(marked, shown)["new_names"] == share


@pytest.mark.parametrize(
    ("marked", "name"),
    [
        ("val|\n", "in_word"),
        ("x = |\n", "after_space"),
        ("call(|)\n", "after_opener"),
        ("self.|\n", "after_dot"),
        ("x = 1\n|\n", "blank_line"),
        ("call(|)\n", "right"),
        ("if x:\n    |\n", "block"),
        ('x = "a|"\n', "not_code"),
    ],
)
def test_the_place_is_among_the_features(marked: str, name: str) -> None:
    assert known(marked, "y")[name] == 1
    assert known("lambda:|\n", "y")[name] == 0


def test_log_probabilities_are_of_the_whole_and_of_the_first_line() -> None:
    found = known("x = |\n", "ab\ncd", logprobs=[-0.1, -0.2, -3.0, -0.5])
    assert found["logprob_mean"] == pytest.approx(-0.95)
    assert found["logprob_min"] == -3.0
    assert found["logprob_first"] == -0.1
    assert found["line_min"] == -0.2
    assert found["line_chance"] == pytest.approx(math.exp(-0.3), abs=1e-4)


def test_what_is_cut_off_an_answer_has_no_say() -> None:
    marks, logprobs = [(2, 1), (5, 3), (9, 4)], [-0.1, -0.2, -0.3, -4.0]
    assert display.of_shown(marks, logprobs, "ab") == [-0.1]
    assert display.of_shown(marks, logprobs, "abcd") == [-0.1, -0.2, -0.3]
    assert display.of_shown(marks, logprobs, "abcdefghi") == logprobs
    assert display.of_shown([], logprobs, "ab") == logprobs


def test_impossible_tokens_are_clipped() -> None:
    found = known("x = |\n", "ab", logprobs=[-math.inf, -0.2])
    assert all(map(math.isfinite, found.values()))


def test_what_is_not_known_is_left_out() -> None:
    found = known("x = |\n", "ab")
    for name in ("logprob_mean", "at_member", "took", "since_key", "rhythm"):
        assert name not in found


def test_the_last_outcomes_count_the_newest_first() -> None:
    found = known("x = |\n", "ab", last=["ignored", "rejected", "typed", "accepted"])
    assert (found["took_last"], found["left_in_a_row"], found["took"]) == (0, 2, 0.5)
    found = known("x = |\n", "ab", last=["accepted"])
    assert (found["took_last"], found["left_in_a_row"], found["took"]) == (1, 0, 1)
    assert known("x = |\n", "ab", last=["ignored"] * 50)["left_in_a_row"] == display.LAST_OUTCOMES


def test_keys_tell_the_rhythm_and_the_last_key() -> None:
    keys = Keys()
    for number in range(20):
        keys.changed(Change((0, number), "", "a"), number + 1, number * 0.2)
    found = known("x = |\n", "ab", keys=keys, now=19 * 0.2 + 0.05)
    assert found["rhythm"] == pytest.approx(math.log1p(200), abs=1e-3)
    assert found["since_key"] == pytest.approx(math.log1p(50), abs=1e-3)
    assert found["deleted"] == 0


@given(
    st.text(max_size=30),
    st.text(max_size=30),
    st.text(min_size=1, max_size=30),
    st.lists(st.floats(-50, 0), max_size=5),
    st.lists(st.sampled_from(["accepted", "typed", "rejected", "ignored"]), max_size=12),
)
def test_features_are_finite_numbers_with_one_set_of_names(
    before: str, after: str, shown: str, logprobs: list[float], last: list[str]
) -> None:
    before, after = before.replace("\r", ""), after.replace("\r", "")
    text = before + after
    hole = hole_kind(text, len(before), "python")
    found = features(
        shown, text, len(before), hole, "python", logprobs, "member", last, Keys(), 1.0
    )
    assert all(type(value) is float and math.isfinite(value) for value in found.values())
    assert found.keys() <= display.shipped().weights.keys() | {"since_key", "deleted", "rhythm"}
    assert 0 <= display.shipped().score(found) <= 1


def test_a_missing_feature_counts_as_its_mean() -> None:
    assert GATE.score({"a": 1.0, "b": 1.0}) == GATE.score({"a": 1.0})
    assert GATE.score({"a": 1.0}) == pytest.approx(1 / (1 + math.exp(-1)))
    assert GATE.score({"b": 2.0}) == pytest.approx(1 / (1 + math.exp(4)))
    assert GATE.score({"unknown": 5.0}) == 0.5


def test_extreme_features_overflow_nothing() -> None:
    assert GATE.score({"a": 1e300}) == pytest.approx(1)
    assert GATE.score({"a": -1e300}) == pytest.approx(0)


def test_the_unlikely_is_hidden_but_for_one_in_twenty() -> None:
    unlikely = {"a": -3.0, "b": 1.0}
    verdicts = [GATE.verdict(unlikely, f"text {n}") for n in range(2000)]
    explored = [one for one in verdicts if one.show]
    assert all(one.explored for one in explored)
    assert 0.5 / EXPLORED < len(explored) / len(verdicts) < 2 / EXPLORED
    assert GATE.verdict(unlikely, "text 1") == GATE.verdict(unlikely, "text 1")
    likely = GATE.verdict({"a": 3.0, "b": 1.0}, "text")
    assert (likely.show, likely.explored) == (True, False)


def test_a_gate_that_lacks_most_of_what_it_goes_by_hides_nothing() -> None:
    assert not GATE.likely({"b": 3.0})
    assert GATE.likely({"a": -9.0})  # a third of the weight
    assert GATE.likely({})
    shipped = display.shipped()
    marked, shown = "x = |\n", "frobnicate(quux, blub, zork)"
    assert shipped.likely(known(marked, shown))
    assert not shipped.likely(known(marked, shown, logprobs=[-6.0] * 9, last=["ignored"] * 5))


def test_a_gate_survives_its_file(tmp_path: Path) -> None:
    GATE.save(tmp_path / "gate.json")
    assert display.load(tmp_path / "gate.json") == GATE


@pytest.mark.parametrize(
    "damage",
    [
        {"v": 2},
        {"bias": "high"},
        {"bias": math.nan},
        {"threshold": math.inf},
        {"scales": {"a": 1.0, "b": 0.0}},
        {"scales": {"a": 1.0}},
        {"means": {}},
        {"weights": [1, 2]},
        {"weights": {"a": "x", "b": 1}},
        {"figures": {"shown": 3}},
        {"figures": None},
        {"surprise": 1},
    ],
)
def test_a_damaged_file_is_none(tmp_path: Path, damage: dict[str, Any]) -> None:
    file = tmp_path / "gate.json"
    GATE.save(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | damage))
    assert display.load(file) is None


@given(st.binary(max_size=60))
def test_no_bytes_raise(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "bytes.json"
    file.write_bytes(data)
    assert display.load(file) is None
    assert display.load(file.parent / "missing.json") is None


def test_ones_own_gate_goes_before_the_shipped_one_and_a_broken_one_does_not(
    empty_home: Path,
) -> None:
    assert display.current() == display.shipped()
    GATE.save(display.own_file())
    assert display.current() == GATE
    display.own_file().write_text("nonsense")
    assert display.current() == display.shipped()
    display.own_file().unlink()
    assert display.current() == display.shipped()


def test_the_shipped_gate_keeps_its_promise_by_its_own_figures() -> None:
    gate = display.shipped()
    assert gate.figures.low > 0
    assert gate.figures.gain >= 0.30
    assert gate.figures.lost <= LOST
    assert not set(gate.trained["repositories"]) & set(gate.trained["held_out"])
    # Only what the code still reckons may have a weight.
    line = known("if x:\n    y = |\n", "a", logprobs=[-1.0], place="member", last=["ignored"])
    assert gate.weights.keys() == line.keys()


def rows(count: int, seed: int, slope: float = 2.0, groups: int = 40) -> list[Row]:
    """Suggestions whose acceptance hangs on `a` and not on `noise`."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        a, noise = rng.gauss(5, 2), rng.gauss(0, 1)
        chance = 1 / (1 + math.exp(-slope * (a - 6) / 2))
        taken = rng.randint(5, 30) if rng.random() < chance else 0
        known = {"a": a, "noise": noise}
        if number % 7 == 0:
            del known["noise"]
        found.append(Row(known, taken, number % groups))
    return found


def test_learning_finds_what_acceptance_hangs_on() -> None:
    gate = learn(rows(1500, 1), rows(800, 2), {"how": "test"}, None)
    # The slope is 2 in units of the standard deviation; a ridge draws it a little to zero.
    assert gate.weights["a"] == pytest.approx(2.0, abs=0.4)
    assert abs(gate.weights["noise"]) < 0.3
    assert gate.figures.shown == 800
    assert gate.figures.low > 0
    assert gate.figures.lost <= LOST
    assert gate.trained["shown"] == 1500


def test_learning_is_the_same_each_time() -> None:
    first = learn(rows(300, 1), rows(200, 2), {}, None)
    assert learn(rows(300, 1), rows(200, 2), {}, None) == first


def test_newton_reaches_a_point_where_the_penalized_likelihood_is_flat() -> None:
    data = rows(400, 3)
    gate = learn(data, data, {}, None)
    for name in gate.weights:
        slope = 0.0
        for row in data:
            if name in row.features:
                x = (row.features[name] - gate.means[name]) / gate.scales[name]
                slope += x * ((row.characters > 0) - gate.score(row.features))
        assert slope == pytest.approx(3.0 * gate.weights[name], abs=0.05)


def test_where_nothing_can_be_learned_the_figures_say_so() -> None:
    gate = learn(rows(600, 1, slope=0.0), rows(400, 2, slope=0.0), {}, None)
    assert gate.figures.low <= 0 <= gate.figures.high


def test_separable_rows_give_finite_weights() -> None:
    data = [Row({"a": float(n)}, 10 if n > 50 else 0, n) for n in range(100)]
    gate = learn(data, data, {}, None)
    assert all(map(math.isfinite, gate.weights.values()))
    assert gate.figures.lost <= LOST


def test_few_rows_stay_near_the_prior_and_many_leave_it() -> None:
    prior = learn(rows(1500, 1), rows(400, 2), {}, None)
    turned = [replace(row, features={"a": 10 - row.features["a"]}) for row in rows(3000, 4)]
    few, many = (learn(part, turned, {}, prior) for part in (turned[:20], turned))
    assert few.weights["a"] > 0
    assert many.weights["a"] < -1
    # What is never known has no say.
    assert many.weights.keys() == {"a"}


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 50)), min_size=1, max_size=60),
    st.floats(0, 0.5),
)
def test_the_threshold_hides_no_more_than_it_may(
    found: list[tuple[float, int]], lost: float
) -> None:
    scores = np.array([score for score, _ in found])
    characters = [taken for _, taken in found]
    limit = threshold(scores, characters, lost)
    hidden = sum(taken for score, taken in found if score < limit)
    assert hidden <= lost * sum(characters) + 1e-9


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.floats(-5, 5), st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=40
    )
)
def test_figures_are_shares_whatever_the_rows(found: list[tuple[float, int, int]]) -> None:
    figures = judge(GATE, [Row({"a": a, "b": 1.0}, taken, group) for a, taken, group in found])
    assert 0 <= figures.lost <= 1
    assert figures.hidden <= figures.shown == len(found)
    assert figures.low <= figures.high
    assert figures.gain >= -1


def test_figures_of_a_gate_that_is_right_by_hand() -> None:
    likely, unlikely = {"a": 3.0, "b": 1.0}, {"a": -3.0, "b": 1.0}
    data = [Row(likely, 10, 1), Row(likely, 0, 2), Row(unlikely, 0, 3), Row(unlikely, 5, 4)]
    figures = judge(GATE, [*data, Row(unlikely, 0, 5), Row(unlikely, 0, 6)])
    assert (figures.shown, figures.accepted, figures.hidden) == (6, 2, 4)
    assert figures.gain == pytest.approx(0.5)  # of 2 in 6 it makes 1 in 2
    assert figures.lost == pytest.approx(5 / 15, abs=1e-3)
