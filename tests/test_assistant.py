"""The model's word in a repair: what comes first, what is ordered, and that nothing comes twice."""

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from completion.models import InstalledModel
from sandbox import assistant
from sandbox.assistant import UNREAD, Assistant
from sandbox.fixrun import Order
from sandbox.repair.change import Candidate
from sandbox.repair.order import Gain
from sandbox.repair.search import candidates
from tandem.errors import ModelError

SOURCE = """def links(number, pages, around=2):
    first = max(1, number - around)
    last = min(pages, number + around)
    return list(range(first, last))
"""


class Suspected:
    def __init__(self, line: int, score: float) -> None:
        self.path, self.line, self.score = "paging.py", line, score


SUSPECTS = [Suspected(4, 0.9), Suspected(3, 0.5)]


class Longest:
    """A stand-in that finds long changes likely."""

    def gains(self, source: str, found: Sequence[Candidate]) -> list[Gain]:
        assert source == SOURCE
        return [Gain(0.0, 0, float(len(one.text))) for one in found]


class Slow(Longest):
    def gains(self, source: str, found: Sequence[Candidate]) -> list[Gain]:
        time.sleep(0.01 * len(found))
        return super().gains(source, found)


def made(
    helper: Assistant, mixed: Iterator[Candidate] | None = None, trying_s: float = math.inf
) -> list[Candidate]:
    plain = candidates(SOURCE, "paging.py", SUSPECTS)
    other = candidates(SOURCE, "paging.py", SUSPECTS)
    return list(helper.ordered(plain, mixed or other, {"paging.py": SOURCE}, lambda: trying_s))


@pytest.fixture
def helper() -> Assistant:
    return Assistant("longest", Longest(), None)  # pyright: ignore[reportArgumentType]


def test_the_first_come_as_the_templates_have_them(helper: Assistant) -> None:
    plain = list(candidates(SOURCE, "paging.py", SUSPECTS))
    assert len(plain) > 3 * UNREAD
    assert made(helper)[:UNREAD] == plain[:UNREAD]


def test_all_come_once(helper: Assistant) -> None:
    found = made(helper)
    plain = list(candidates(SOURCE, "paging.py", SUSPECTS))
    assert len(found) == len(plain)
    assert set(found) == set(plain)


def test_behind_the_first_a_block_is_in_the_models_order(helper: Assistant) -> None:
    found = made(helper)
    plain = list(candidates(SOURCE, "paging.py", SUSPECTS))
    assert set(found[: UNREAD + 64]) == set(plain[: UNREAD + 64])
    assert found[UNREAD : UNREAD + 64] != plain[UNREAD : UNREAD + 64]


def test_where_trying_is_quicker_than_reading_only_one_block_is_read() -> None:
    slow = Assistant("slow", Slow(), None)  # pyright: ignore[reportArgumentType]
    plain = list(candidates(SOURCE, "paging.py", SUSPECTS))
    quick, later = made(slow, trying_s=0.001), UNREAD + 64
    assert len(plain) > later
    assert quick[UNREAD:later] != plain[UNREAD:later]
    assert quick[later:] == plain[later:]
    assert made(slow, trying_s=1.0)[later:] != plain[later:]


def test_what_only_the_model_proposes_comes_too(helper: Assistant) -> None:
    own = Candidate("paging.py", 0, 3, "def", "model", 0.9)
    mixed = iter([own, *candidates(SOURCE, "paging.py", SUSPECTS)])
    assert own in made(helper, mixed)


def test_the_default_model_orders_and_proposes(default_model: InstalledModel) -> None:
    helper = assistant.load(str(default_model.folder))
    mixed = candidates(SOURCE, "paging.py", SUSPECTS[:1], model=helper.infiller)
    plain = candidates(SOURCE, "paging.py", SUSPECTS[:1])
    found = helper.ordered(plain, mixed, {"paging.py": SOURCE}, lambda: math.inf)
    first = [next(found) for _ in range(UNREAD + 40)]
    assert len(set(first)) == len(first)
    assert all(one.applied(SOURCE) != SOURCE for one in first)


def test_a_model_that_is_not_there_is_told(empty_home) -> None:
    with pytest.raises(ModelError):
        assistant.load("no-such-model")


def test_a_run_goes_without_a_model_that_is_not_there_and_says_what_to_do(
    empty_home: Path, tmp_path: Path
) -> None:
    notes: list[str] = []
    assert assistant.of(Order(str(tmp_path)), notes.append) is None
    [note] = notes
    assert note.startswith("without a model: ")
    assert note.endswith("Run: tandem models pull tandem-135m")
    assert assistant.of(Order(str(tmp_path), model=False), notes.append) is None
    assert len(notes) == 1
