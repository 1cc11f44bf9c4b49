"""What a model adds: the order of candidates, and infills; with a small random model."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.engine import scoring
from completion.engine.generate import Decoder
from completion.templates import templates
from sandbox.repair.change import Candidate
from sandbox.repair.infill import Infiller, holes
from sandbox.repair.likelihood import AFTER, LONGEST, Reader
from sandbox.repair.names import Names
from sandbox.repair.order import Gain, Weights, ordered, score
from sandbox.repair.pieces import Pieces
from sandbox.repair.search import Search, candidates
from sandbox.repair.source import Source
from sandbox.repair.spot import Spot
from tests import tiny_models

TEXT = """import os


def first(items, limit):
    found = []
    for item in items:
        if item < limit:
            found.append(item)
    return items
"""


@dataclass(frozen=True)
class Suspect:
    line: int
    score: float = 1.0
    path: str = "a.py"


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_models.make(folder, "qwen2")
    # A context that LONGEST leaves room in.
    return Decoder.load(folder, "float32", context=256)


def edit(old: str, new: str, prior: float = 0.1, path: str = "a.py") -> Candidate:
    start = TEXT.index(old)
    return Candidate(path, start, start + len(old), new, "test", prior)


EDITS = [
    edit("item < limit", "item <= limit"),
    edit("item < limit", "item > limit"),
    edit("<", "<="),
    edit("    return items\n", "    return found\n"),
    edit("    return items\n", ""),
    edit("found = []", "found = list(items)"),
    edit(
        "        if item < limit:\n            found.append(item)\n", "        found.append(item)\n"
    ),
    edit("import os\n", "import os\nimport re\n"),
]


def nats(decoder: Decoder, before: str, text: str) -> list[float]:
    """What the engine's own scoring says, each text read by itself after what there is room for."""
    tokens = decoder.tokenizer.encode(before, begin=True) or decoder.tokenizer.encode("\n")
    tokens = tokens[-(decoder.context - LONGEST) :]
    decoder.forget()
    return scoring.score(decoder, tokens, [decoder.tokenizer.encode(text)[:LONGEST]])[0]


@pytest.mark.parametrize("number", range(len(EDITS)))
def test_a_gain_is_the_difference_of_two_readings(decoder: Decoder, number: int) -> None:
    one = EDITS[number]
    gain = Reader(decoder).gains(TEXT, EDITS)[number]
    place = max(0, TEXT.rfind("\n", 0, one.start))
    after = TEXT[one.end : one.end + AFTER]
    new = nats(decoder, TEXT[:place], TEXT[place : one.start] + one.text + after)
    old = nats(decoder, TEXT[:place], TEXT[place : one.end] + after)
    assert gain.nats == pytest.approx(sum(new) - sum(old), abs=1e-3)
    assert gain.tokens == len(new) - len(old)


def test_gains_do_not_depend_on_what_is_read_beside_them(decoder: Decoder) -> None:
    reader = Reader(decoder)
    together = reader.gains(TEXT, EDITS)
    alone = [reader.gains(TEXT, [one])[0] for one in EDITS]
    for one, other in zip(together, alone, strict=True):
        assert one.nats == pytest.approx(other.nats, abs=1e-3)
        assert one.tokens == other.tokens
        assert one.mean == pytest.approx(other.mean, abs=1e-3)


def test_no_change_gains_nothing(decoder: Decoder) -> None:
    (gain,) = Reader(decoder).gains(TEXT, [edit("limit:", "limit:")])
    assert (gain.nats, gain.tokens, gain.mean) == (0.0, 0, 0.0)


def test_nothing_is_read_for_no_candidates(decoder: Decoder) -> None:
    assert Reader(decoder).gains(TEXT, []) == []


def test_a_long_file_and_a_long_change_are_read_in_part(decoder: Decoder) -> None:
    text = "x = 'é🎉'\n" * 3000
    many = [
        Candidate("a.py", len(text) - 3, len(text) - 2, "é" * 5000, "test", 0.1),
        Candidate("a.py", 0, len(text), "", "test", 0.1),
    ]
    gains = Reader(decoder).gains(text, many)
    assert all(math.isfinite(one.nats) for one in gains)


def test_the_pool_gets_back_what_was_lent(decoder: Decoder) -> None:
    decoder.forget()
    Reader(decoder).gains(TEXT, EDITS)
    assert decoder.pool.sequences <= 2 + len({one.start for one in EDITS})
    decoder.forget()
    assert decoder.pool.sequences == 0


@dataclass(frozen=True)
class Shorter:
    """Likes what is shorter: a likelihood that anyone can work out."""

    def gains(self, source: str, candidates: Sequence[Candidate]) -> list[Gain]:
        return [Gain(-len(one.text), 0, -float(len(one.text))) for one in candidates]


CANDIDATES = st.lists(
    st.builds(
        Candidate,
        path=st.sampled_from(["a.py", "b.py"]),
        start=st.just(0),
        end=st.just(0),
        text=st.text("ab", max_size=6),
        template=st.just("test"),
        prior=st.floats(1e-9, 1),
    ),
    max_size=20,
)
SOURCES = {"a.py": TEXT, "b.py": ""}


@given(CANDIDATES, st.integers(1, 9))
def test_ordering_loses_and_adds_nothing(some: list[Candidate], block: int) -> None:
    found = list(ordered(some, SOURCES, Shorter(), block))
    assert sorted(found, key=repr) == sorted(some, key=repr)
    for start in range(0, len(some), block):
        part = found[start : start + block]
        assert sorted(part, key=repr) == sorted(some[start : start + block], key=repr)
        scores = [score(one, Gain(-len(one.text), 0, -len(one.text))) for one in part]
        assert scores == sorted(scores, reverse=True)


@given(CANDIDATES)
def test_without_a_model_they_stay_as_they_came(some: list[Candidate]) -> None:
    assert list(ordered(some, SOURCES, None)) == some


def test_a_block_is_read_only_when_it_is_asked_for() -> None:
    taken = []

    def many():
        for number in range(100):
            taken.append(number)
            yield Candidate("a.py", 0, 0, "a" * number, "test", 0.1)

    list(itertools.islice(ordered(many(), SOURCES, Shorter(), 8), 3))
    assert len(taken) == 8


def test_a_gain_cannot_outweigh_everything() -> None:
    one = edit("items", "found")
    huge, large = Gain(1e6, -500, 1e6), Gain(1e5, -100, 1e5)
    assert score(one, huge) == score(one, large) > score(one, Gain(0.0, 0, 0.0))
    assert score(one, huge, Weights(0, 0, 0)) == math.log(one.prior)


def test_templates_and_a_model_go_together(decoder: Decoder) -> None:
    some = list(itertools.islice(candidates(TEXT, "a.py", [Suspect(9)]), 60))
    found = list(ordered(some, {"a.py": TEXT}, Reader(decoder)))
    assert sorted(found, key=repr) == sorted(some, key=repr)
    assert found != some
    assert found == list(ordered(some, {"a.py": TEXT}, Reader(decoder)))


def spot(text: str, line: int) -> Spot:
    source = Source(text, "a.py")
    return Spot(source, Names(source), source.at_line(line)[-1], Pieces(source))


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (9, {"return items": None, "items": None, "": True}),
        (7, {"if item < limit": None, "item < limit": None, "": False}),
        (8, {"found.append(item)": None, "": True}),
    ],
)
def test_the_statement_its_value_and_a_line_beside_it_are_cut_out(
    line: int, wanted: dict[str, bool | None]
) -> None:
    found = {TEXT[hole.start : hole.end]: hole.beside for hole in holes(spot(TEXT, line))}
    assert found == wanted


@pytest.mark.parametrize("text", ["x = 1", "x = 1\n", "if x:\n\ty = 1"])
def test_a_line_below_the_last_one_is_a_line_of_its_own(text: str) -> None:
    one = spot(text, text.count("\n", 0, -1) + 1)
    hole = next(hole for hole in holes(one) if hole.beside)
    result = text[: hole.start] + hole.before + "z = 2" + hole.after + text[hole.end :]
    compile(result, "a.py", "exec")
    indent = one.statement.block.indent if one.statement.block else ""
    assert result.splitlines()[-1] == indent + "z = 2"


def test_infills_are_candidates_like_others(decoder: Decoder) -> None:
    """Random weights hardly ever write Python: what is no Python must not come out."""
    infiller = Infiller(decoder, templates()["plain"], samples=2)
    priors = {"model": 1.0}
    asked = [Suspect(line) for line in range(4, 10)]
    every = list(candidates(TEXT, "a.py", asked, priors=priors, model=infiller))
    again = list(candidates(TEXT, "a.py", asked, priors=priors, model=infiller))
    assert every == again
    for one in every:
        if one.template == "model":
            compile(one.applied(TEXT), "a.py", "exec", dont_inherit=True)


def test_a_statement_with_a_secret_in_it_is_not_shown_to_the_model(decoder: Decoder) -> None:
    text = 'import os\nkey = "AKIAIOSFODNN7EXAMPLE"\n'
    source = Source(text, "a.py")
    search = Search(source, model=Infiller(decoder, templates()["plain"], samples=1))
    for statement in source.at_line(2):
        for _, proposals in search.by_template(statement, ["model"]):
            assert all("AKIA" not in one.text for one, _ in proposals)


def test_a_folder_s_model_is_not_needed(tmp_path: Path) -> None:
    """Templates import no torch: a machine without the engine repairs as well."""
    import subprocess
    import sys

    code = (
        "import sys, sandbox.repair.search, sandbox.repair.order;sys.exit('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent)
    assert ran.returncode == 0
