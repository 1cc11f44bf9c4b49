"""Patches told apart by what they do on inputs that no test has."""

import json
import random
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.behaviour import Outcome, Standing, function_at, standings
from sandbox.inside import calls

TILL = textwrap.dedent('''
    """Our own sample, no repository's code."""


    def biggest(prices, floor=0):
        best = floor
        for price in prices:
            if price > best:
                best = price
        return best


    class Till:
        def __init__(self):
            self.sold = []

        @property
        def last(self):
            return self.sold[-1]

        def sell(self, name, *, count=1):
            self.sold.append((name, count))
            return len(self.sold)


    def forever(n):
        while n:
            pass
        return n


    def lazily(n):
        yield from range(n)
''')
TESTS = textwrap.dedent("""
    from till import Till, biggest, forever, lazily


    def test_biggest():
        assert biggest([3, 9, 2]) == 9
        assert biggest([1], floor=4) == 4
        assert biggest([3, 9, 2]) == 9


    def test_till():
        till = Till()
        assert till.sell("tea", count=2) == 1
        assert till.last == ("tea", 2)


    def test_others():
        assert forever(0) == 0
        assert list(lazily(3)) == [0, 1, 2]
""")


ENDLESS = TILL.replace("best = floor", "while True:\n        pass\n    best = floor")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "till.py").write_text(TILL)
    (tmp_path / "test_till.py").write_text(TESTS)
    return tmp_path


def inside(shop: Path, **order: Any) -> list[dict[str, Any]]:
    """What the script says of our own sample, in a process of this machine."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", Path(calls.__file__).read_text("utf-8")],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        cwd=shop,
        check=True,
        timeout=120,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def recorded(shop: Path, name: str, most: int = 40) -> dict[str, Any]:
    line = next(number for number, text in enumerate(TILL.split("\n"), 1) if f"def {name}(" in text)
    found = function_at(TILL, "till.py", line)
    assert found
    order = {"path": "till.py", "first": found.first, "argv": ["-q"], "most": most}
    told, *those = inside(shop, do="record", **order)
    return {**told, "calls": [one["call"] for one in those]}


def played(shop: Path, told: dict[str, Any], made: int = 0, **order: Any) -> list[dict[str, Any]]:
    return inside(shop, do="play", **told, made=made, **{"seed": 1, "seconds": 0.3, **order})


def test_calls_of_a_function_are_kept_once_each(shop: Path) -> None:
    told = recorded(shop, "biggest")
    assert (told["module"], told["name"]) == ("till", "biggest")
    assert len(told["calls"]) == 2
    assert [one["asked"] for one in played(shop, told)] == [
        "tuple(list(list(3, 9, 2), 0), dict())",
        "tuple(list(list(1), 4), dict())",
    ]


def test_no_more_calls_than_asked_for_are_kept(shop: Path) -> None:
    assert len(recorded(shop, "biggest", most=1)["calls"]) == 1


def test_a_method_is_called_with_its_object_as_it_was(shop: Path) -> None:
    told = recorded(shop, "sell")
    assert told["name"] == "Till.sell"
    (one,) = played(shop, told)
    assert one["kind"] == "value"
    assert one["text"].startswith("1 | ")
    assert "tuple('tea', 2)" in one["text"]


def test_a_function_that_no_test_calls_has_no_calls(shop: Path) -> None:
    assert inside(shop, do="record", path="till.py", first=1, argv=["-q"], most=9) == []


def test_the_same_seed_makes_the_same_inputs_for_every_candidate(shop: Path) -> None:
    told = recorded(shop, "biggest")
    before = played(shop, told, made=60)
    (shop / "till.py").write_text(TILL.replace("price > best", "price >= best"))
    after = played(shop, told, made=60)
    assert [one["asked"] for one in before] == [one["asked"] for one in after]
    assert [one["outcome"] for one in before] == [one["outcome"] for one in after]
    assert len({one["asked"] for one in before}) > 20
    assert played(shop, told, made=60, seed=2) != before


def test_a_patch_that_differs_where_no_test_looks_is_seen(shop: Path) -> None:
    told = recorded(shop, "biggest")
    before = played(shop, told, made=60)
    (shop / "till.py").write_text(TILL.replace("return best", "return 9 if len(prices) > 1 else 4"))
    after = played(shop, told, made=60)
    assert [one["outcome"] for one in before[:2]] == [one["outcome"] for one in after[:2]]
    assert [one["outcome"] for one in before] != [one["outcome"] for one in after]


def test_what_does_not_end_is_stopped_and_the_rest_goes_on(shop: Path) -> None:
    told = recorded(shop, "forever")
    found = played(shop, told, made=8, seconds=0.1)
    kinds = [one["kind"] for one in found]
    assert len(kinds) == 9
    assert "timeout" in kinds
    assert kinds[0] == "value"


def test_a_call_that_does_not_end_is_known(shop: Path) -> None:
    (shop / "till.py").write_text(ENDLESS)
    assert len(recorded(shop, "biggest")["calls"]) == 1


def test_a_play_of_nothing_but_endless_calls_ends(shop: Path) -> None:
    told = recorded(shop, "biggest")
    (shop / "till.py").write_text(ENDLESS)
    found = played(shop, told, made=400, seconds=0.1)
    assert {one["kind"] for one in found} == {"timeout"}
    assert len(found) < 100


def test_a_generator_is_what_it_yields(shop: Path) -> None:
    (one,) = played(shop, recorded(shop, "lazily"))
    assert one["text"].startswith("list(0, 1, 2)")


def test_a_module_that_cannot_be_imported_says_so(shop: Path) -> None:
    told = recorded(shop, "biggest")
    (shop / "till.py").write_text("import nothing_of_that_name\n")
    (one,) = played(shop, told, made=3)
    assert "nothing_of_that_name" in one["broken"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=5) | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.sets(st.integers(), max_size=4)
    ),
    max_leaves=12,
)


@given(PLAIN, st.integers())
def test_a_changed_value_is_of_the_same_type(value: Any, seed: int) -> None:
    before = calls.canonical(value)
    assert type(calls.mutated(value, random.Random(seed))) is type(value)
    assert calls.canonical(value) == before


@given(PLAIN, st.integers())
def test_a_value_changes_in_the_same_way_for_the_same_seed(value: Any, seed: int) -> None:
    once, again = (calls.mutated(value, random.Random(seed)) for _ in range(2))
    assert calls.canonical(once) == calls.canonical(again)


def test_addresses_and_the_order_of_sets_make_no_difference() -> None:
    class Box:
        def __init__(self, inner: object) -> None:
            self.inner = inner

    one, other = Box({"b": object(), "a": {3, 1, 2}}), Box({"a": {2, 3, 1}, "b": object()})
    assert calls.canonical(one) == calls.canonical(other)
    assert calls.canonical(Box(1)) != calls.canonical(Box(2))


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("def biggest", "biggest"),
        ("best = price", "biggest"),
        ("self.sold.append", "Till.sell"),
        ("def last", "Till.last"),
        ("@property", "Till.last"),
        ("class Till", None),
    ],
)
def test_the_function_around_a_line(line: str, name: str | None) -> None:
    number = next(n for n, text in enumerate(TILL.split("\n"), 1) if line in text)
    found = function_at(TILL, "till.py", number)
    assert (found and found.name) == name


def test_a_function_inside_a_function_is_its_outer_one() -> None:
    source = "def outer():\n    def inner():\n        return 1\n    return inner\n"
    found = function_at(source, "x.py", 3)
    assert found
    assert (found.name, found.first, found.end) == ("outer", 1, 4)


def test_a_file_that_does_not_parse_has_no_functions() -> None:
    assert function_at("def (", "x.py", 1) is None


def values(*texts: str) -> tuple[Outcome, ...]:
    return tuple(Outcome("timeout" if text == "no end" else "value", text) for text in texts)


def test_what_worked_before_should_work_as_before() -> None:
    before = values("1", "2", "3", "4")
    found = standings(before, [before, values("1", "2", "9", "9")], (), [(), ()])
    assert [one.kept for one in found] == [1.0, 0.5]
    assert found[0].score > found[1].score


def test_patches_that_behave_alike_have_one_voice() -> None:
    failing = values("0", "0")
    alike, other, third = values("1", "1"), values("2", "1"), values("2", "2")
    found = standings((), [()] * 4, failing, [alike, alike, other, third])
    assert [round(one.agreed, 2) for one in found] == [0.5, 0.5, 0.67, 0.5]


def test_an_input_on_which_only_the_patch_hangs_counts_against_it() -> None:
    before = values("1", "no end")
    (found,) = standings(before, [values("no end", "no end")], (), [()])
    assert (found.broken, found.inputs) == (1, 2)
    assert found.score == pytest.approx(0.5 + 1.0 - 0.5)


def test_nothing_known_speaks_for_nobody() -> None:
    assert standings((), [(), ()], (), [(), ()]) == [Standing(1.0, 1.0, 0, 0)] * 2


def test_a_value_of_a_type_that_no_right_value_had_speaks_against_a_patch() -> None:
    right = (Outcome("value", "yes", shape="bool"), Outcome("value", "no", shape="bool"))
    wrong = (Outcome("error", "raises"),)
    same, odd = (
        (Outcome("value", "no", shape="bool"),),
        (Outcome("value", "none", shape="NoneType"),),
    )
    one, other = standings(right, [right, right], wrong, [same, odd])
    assert (one.odd, other.odd) == (0, 1)
    assert one.score > other.score
