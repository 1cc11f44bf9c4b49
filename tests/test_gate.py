"""The gate: what passes, what is refused, in words."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune import gate
from finetune.gate import Figures, judge

GOOD = Figures(0.01, 0.04, 0.07, 300, -0.02, 0.0, 0.02, 300)


def test_a_gain_beyond_chance_with_no_loss_elsewhere_passes() -> None:
    assert judge(GOOD).passed
    assert judge(GOOD).refusals == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gain_low": 0.0}, "not above zero"),
        ({"gain_low": -0.02}, r"\+4.0 points \(-2.0 points to \+7.0 points\)"),
        ({"holes": 29}, "29 held-out holes"),
        ({"general_holes": 0}, "general set has 0 holes"),
        ({"general_low": -0.04, "general_mean": -0.021}, "changes -2.1 points; at most -2.0"),
        ({"general_low": -0.051}, "loss of -5.1 points is not ruled out"),
        ({"chat_kept": False}, "chat got worse"),
    ],
)
def test_each_reason_against_is_told_alone(changes: dict[str, Any], reason: str) -> None:
    verdict = judge(replace(GOOD, **changes))
    assert not verdict.passed
    [refusal] = verdict.refusals
    assert re.search(reason, refusal), refusal


def test_all_reasons_are_told() -> None:
    bad = Figures(-0.1, -0.05, 0.0, 5, -0.2, -0.1, 0.0, 5, chat_kept=False)
    assert len(judge(bad).refusals) == 6


def test_the_limits_themselves_pass() -> None:
    edge = replace(
        GOOD,
        gain_low=1e-9,
        holes=gate.LEAST_HOLES,
        general_holes=gate.LEAST_HOLES,
        general_mean=-gate.GENERAL_MARGIN,
        general_low=-gate.GENERAL_LIMIT,
    )
    assert judge(edge).passed


def test_what_we_ship_must_have_kept_chat() -> None:
    assert judge(GOOD, chat=True).refusals == ("chat was not checked",)
    assert judge(replace(GOOD, chat_kept=True), chat=True).passed


def test_figures_survive_a_manifest() -> None:
    assert Figures.from_json(GOOD.to_json()) == GOOD
    assert Figures.from_json({**GOOD.to_json(), "more": 1}) == GOOD


@pytest.mark.parametrize(
    "damage",
    [
        {"gain_low": "0.1"},
        {"gain_low": None},
        {"gain_low": float("nan")},
        {"gain_high": float("inf")},
        {"gain_high": 4.0},  # points, not a share
        {"gain_high": 10**400},
        {"gain_low": True},
        {"gain_low": 0.05},  # above its mean
        {"general_high": -0.5},
        {"holes": -1},
        {"holes": 3.5},
        {"chat_kept": "yes"},
    ],
)
def test_damaged_figures_are_none_and_none_is_refused(damage: dict[str, Any]) -> None:
    found = Figures.from_json(GOOD.to_json() | damage)
    assert found is None
    assert "no figures" in judge(found).refusals[0]


def test_a_missing_figure_is_none() -> None:
    for key in GOOD.to_json().keys() - {"chat_kept"}:
        data = GOOD.to_json()
        del data[key]
        assert Figures.from_json(data) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=3,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(GOOD.to_json())), JSON))
def test_no_damage_raises_or_passes_by_accident(damage: dict[str, Any]) -> None:
    found = Figures.from_json(GOOD.to_json() | damage)
    verdict = judge(found)
    if verdict.passed:
        assert found is not None
        assert found.gain_low > 0
        assert found.general_low >= -gate.GENERAL_LIMIT
