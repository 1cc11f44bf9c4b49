"""The bugs of `benchmarks.episodes` are what it says of them, and its counts are of what they say."""

import ast
from pathlib import Path

import pytest

from benchmarks import episodes as benchmark
from benchmarks.parts.alike import KINDS, Kind

PLACES = [(kind, place) for kind in KINDS for place in range(len(kind.places))]


@pytest.mark.parametrize(("kind", "place"), PLACES)
def test_each_bug_is_one_change_of_the_shop(kind: Kind, place: int) -> None:
    _, wrong, right = kind.places[place]
    assert wrong != right
    bad, good = benchmark.shop(kind, place), benchmark.shop()
    assert ast.dump(ast.parse(bad)) != ast.dump(ast.parse(good))
    lines = {one.line for one in benchmark.suspects(kind, place)}
    first = next(
        n
        for n, (one, other) in enumerate(zip(bad.split("\n"), good.split("\n"), strict=False), 1)
        if one != other
    )
    assert first in lines


def test_a_memory_of_the_kind_brings_the_right_change_first(
    tmp_path: Path, empty_home: Path
) -> None:
    known = benchmark.remembered(tmp_path)
    kind = next(one for one in KINDS if one.name == "money through text")
    assert benchmark.tried(kind, 1, [known[kind.name]], most=50) == 1
    assert benchmark.tried(kind, 1, [], most=50) == 50
