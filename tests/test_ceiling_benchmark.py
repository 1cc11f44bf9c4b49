"""A replay without a clock: what rows save, of answers that are known."""

from pathlib import Path

import pytest

from benchmarks import ceiling
from benchmarks.ceiling import Desk
from benchmarks.parts.scripts import Script
from benchmarks.parts.suggestions import Told

TEXT = "rows = load(path)\ncount = measure(rows)\nshow(count)\n"
START = TEXT.index("count")
SCRIPT = Script(
    Path("/nowhere/a.py"), Path("/nowhere"), TEXT, ((START, TEXT.index("\nshow")),), "seed"
)


class Model:
    """Answers what it is told to, where the cursor's line is one of them."""

    def __init__(self, **answers: Told) -> None:
        self._answers = answers
        self.asked = 0

    def told(self, script: Script, text: str, offset: int, most: int) -> list[Told]:
        self.asked += 1
        line = text[text.rfind("\n", 0, offset) + 1 : offset]
        found = self._answers.get(line)
        return [found] if found else []


def told(*tokens: tuple[str, float]) -> Told:
    ends, text = [], ""
    for token, nats in tokens:
        text += token
        ends.append((len(text), nats))
    return Told(text, tuple(ends))


@pytest.fixture(autouse=True)
def no_slips(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WRONG_KEY", "RETYPED_WORD", "JUMP"):
        monkeypatch.setattr(f"benchmarks.parts.typist.{name}", 0.0)


def desk(pick, answer: Told, **options) -> Desk:
    return Desk(Model(c=answer), pick, **options)  # pyright: ignore[reportArgumentType]


RIGHT = told(("ount", 0.0), (" =", 0.0), (" measure", 0.0), ("(rows)", 0.0))
HALF = told(("ount", 0.0), (" =", 0.0), (" compute", -2.0), ("(rows)", -0.1))


def test_what_is_right_is_taken_as_a_whole() -> None:
    sat = desk(ceiling.whole, RIGHT, keeps=False).type(SCRIPT)
    assert (sat.shown, sat.taken, sat.net) == (1, 1, len(RIGHT.text) - 1)


def test_a_wrong_end_costs_a_whole_suggestion_and_no_part() -> None:
    sat = desk(ceiling.whole, HALF, keeps=False).type(SCRIPT)
    assert (sat.taken, sat.net) == (0, 0)
    sat = desk(ceiling.parts, HALF).type(SCRIPT)
    assert (sat.taken, sat.net) == (1, len("ount =") - 1)
    assert sat.shown == 2  # what was left out followed


def test_the_oracle_shows_what_is_right_of_an_answer() -> None:
    sat = desk(ceiling.right_start, HALF).type(SCRIPT)
    assert (sat.shown, sat.taken, sat.net) == (1, 1, len("ount = ") - 1)


def test_nothing_is_asked_before_the_first_key_and_what_is_typed_through_not_again() -> None:
    model = Model(c=Told("ount = other(rows)", ()))
    sat = Desk(model, ceiling.whole).type(SCRIPT)  # pyright: ignore[reportArgumentType]
    assert (sat.shown, sat.taken) == (1, 0)
    assert model.asked < sat.keys - len("ount = ")
