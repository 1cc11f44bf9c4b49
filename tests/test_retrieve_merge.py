"""Ranks fused, pieces filled into a budget: what holds whatever the sources say."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from completion.pieces import SOURCES, Context, Source
from completion.retrieve.candidates import Candidate
from completion.retrieve.merge import WEIGHTS, Visible, fill, fuse

NOTHING = Visible("open.py", 0, 0, frozenset())
lines = st.lists(st.sampled_from(["alpha beta", "    gamma", "delta(x)", "", "e = 1"]), min_size=1)


def candidate(
    number: int, source: Source, texts: Sequence[str], path: str = "", first: int = 0
) -> Candidate:
    forms = tuple((lambda text=text: text) for text in texts)
    path = path or f"f{number % 3}.py"
    symbol = "" if source == "lexical" else f"s{number}"
    return Candidate((path, f"{number}"), path, source, "", first, first + 5, symbol, forms)


def count(text: str) -> int:
    return len(text.split()) + 1


candidates = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(SOURCES), st.lists(lines, min_size=1, max_size=3)),
    max_size=12,
)


@given(candidates, st.integers(0, 120))
def test_the_sum_of_tokens_is_never_over_the_budget(
    drawn: list[tuple[int, Source, list[list[str]]]], budget: int
) -> None:
    ranked: dict[Source, list[Candidate]] = {}
    for number, source, texts in drawn:
        forms = ["\n".join(text) for text in texts]
        ranked.setdefault(source, []).append(candidate(number, source, forms))
    pieces = fill(fuse(ranked), budget, count, NOTHING)
    assert sum(piece.tokens for piece in pieces) <= budget
    assert len({(piece.path, piece.symbol, piece.text) for piece in pieces}) == len(pieces)
    order = [(piece.source == "edits", piece.path, piece.first) for piece in pieces]
    assert order == sorted(order)


@given(candidates)
def test_each_thing_comes_once_and_the_order_does_not_depend_on_the_sources_order(
    drawn: list[tuple[int, Source, list[list[str]]]],
) -> None:
    ranked: dict[Source, list[Candidate]] = {}
    for number, source, _ in drawn:
        ranked.setdefault(source, []).append(candidate(number, source, ["x"]))
    fused = fuse(ranked)
    assert len({one.key for one in fused}) == len(fused)
    backwards = dict(reversed(list(ranked.items())))
    assert [one.key for one in fuse(backwards)] == [one.key for one in fused]


def test_what_two_sources_name_comes_before_what_one_does() -> None:
    both, one = candidate(1, "definitions", ["a"]), candidate(2, "definitions", ["b"])
    again = candidate(1, "siblings", ["c"])
    first = fuse({"definitions": [one, both], "siblings": [again]})[0]
    assert first.key == both.key
    assert first.source == "definitions"
    assert WEIGHTS["definitions"] > WEIGHTS["siblings"]


def test_headers_come_before_any_body() -> None:
    long = [
        candidate(n, "definitions", ["def f():", "def f():\n" + "    body line\n" * 9])
        for n in (1, 2)
    ]
    pieces = fill(fuse({"definitions": long}), 26, count, NOTHING)
    assert [piece.text for piece in pieces] == ["def f():", "def f():"]


def test_mere_code_that_overlaps_a_piece_is_left_out() -> None:
    near = [candidate(n, "lexical", [f"code {n}"], "f.py", first) for n, first in ((1, 0), (2, 3))]
    assert len(fill(fuse({"lexical": near}), 100, count, NOTHING)) == 1


def test_what_stands_near_the_cursor_already_is_left_out() -> None:
    visible = Visible("open.py", 0, 9, frozenset({"alpha beta", "gamma"}))
    shown = candidate(1, "lexical", ["alpha beta\n    gamma"], "copy.py")
    own = candidate(2, "definitions", ["anything"], "open.py", 2)
    other = candidate(3, "definitions", ["something else"], "other.py")
    pieces = fill(fuse({"lexical": [shown], "definitions": [own, other]}), 100, count, visible)
    assert [piece.path for piece in pieces] == ["other.py"]


def test_pieces_of_one_file_stand_under_one_path_and_one_class_header() -> None:
    methods = [
        candidate(n, "definitions", [f"class A:\n    def m{n}(self):"], "a.py", n) for n in (1, 2)
    ]
    pieces = fill(fuse({"definitions": methods}), 100, count, NOTHING)
    [snippet] = Context(pieces).snippets
    assert snippet.path == "a.py"
    assert snippet.text == "class A:\n    def m1(self):\n    def m2(self):"
