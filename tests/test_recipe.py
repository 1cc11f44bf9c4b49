"""Recipes: what they refuse, and that they survive JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.recipe import Recipe
from tandem.errors import UsageError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 1, "method": "dora"}, "no method 'dora'"),
        ({"steps": 1, "precision": "float16"}, "no precision 'float16'"),
        ({}, "How long"),
        ({"steps": 1, "minutes": 1.0}, "How long"),
        ({"minutes": -1.0, "steps": 2}, "minutes is -1.0"),
        ({"steps": 1, "rank": 0}, "rank is 0"),
        ({"steps": 1, "learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"steps": 1, "learning_rate": float("nan")}, "learning_rate is nan"),
        ({"steps": 1, "decay_share": 1.5}, "decay_share is 1.5"),
        ({"steps": 1, "patience": -1}, "patience is -1"),
        ({"steps": 1, "seed": -1}, "seed is -1"),
        ({"steps": 1, "rows": [5]}, "lora does not train embeddings"),
        ({"steps": 1.5}, "steps is 1.5"),
        ({"steps": True}, "steps is True"),
        ({"steps": 1, "lr": 0.1}, "has no 'lr'"),
        ({"steps": 1, "rows": "ab", "method": "full"}, "rows is 'ab'"),
        ({"steps": 1, "gradient_checkpointing": 1}, "gradient_checkpointing is 1"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Recipe.of(values)
    assert message in str(caught.value)
    assert caught.value.hint


@given(
    st.sampled_from(["full", "lora", "qlora"]),
    st.floats(0.1, 1000),
    st.integers(1, 256),
    st.lists(st.integers(0, 99), max_size=3),
)
def test_a_recipe_survives_json(method: Any, minutes: float, rank: int, rows: list[int]) -> None:
    chosen = tuple(rows) if method == "full" else ()
    recipe = Recipe(method=method, minutes=minutes, rank=rank, rows=chosen)
    assert Recipe.of(json.loads(json.dumps(recipe.as_json()))) == recipe


def test_only_what_changes_the_result_makes_recipes_differ() -> None:
    recipe = Recipe(steps=10)
    assert recipe.differences(recipe.but(save_minutes=1.0)) == []
    assert recipe.differences(recipe.but(rank=8, seed=1)) == ["rank", "seed"]
