"""Where statements are, and the chain of places above a cursor where a prompt may begin."""

import random
from itertools import pairwise

import pytest

from completion import stops
from completion.statements import Span, line_starts, spans, statements
from completion.stops import chain
from tests.holes import modules

SIZE = 2400


def test_spans_are_statements_with_the_level_of_their_place():
    text = (
        "import os\n\nclass A:\n    x = 1\n\n    @property\n    def f(self):\n        return 1\n"
        "\n\ny = [\n    1,\n]\n"
    )
    found = {text[span.start : span.end]: span.level for span in spans(text, "python")}
    assert found == {
        "import os": 0,
        "class A:\n    x = 1\n\n    @property\n    def f(self):\n        return 1": 0,
        "    x = 1": 2,
        "    @property\n    def f(self):\n        return 1": 1,
        "        return 1": 2,
        "y = [\n    1,\n]": 0,
    }


def test_spans_count_characters_not_bytes():
    text = 'a = "ä€😀"\n😀 = 1\ndef f():\n    return "é"\n'
    assert "def f():\n    return" in text[spans(text, "python")[-2].start :]
    for span in spans(text, "python"):
        assert text[: span.start].endswith("\n") or span.start == 0
        assert span.end == len(text) or text[span.end] == "\n"


def test_spans_survive_half_a_surrogate_pair():
    text = 'a = "\ud83d"\nb = 2\n'
    assert [text[span.start : span.end] for span in spans(text, "python")][1] == "b = 2"


def test_spans_of_an_unknown_language_are_none():
    assert spans("def f(): pass\n", "plaintext") == ()


@pytest.mark.parametrize("text", ["(" * 10_000, "[" * 10_000 + "]" * 10_000, "if x:\n" * 10_000])
def test_spans_of_deep_nesting_end(text: str):
    assert len(spans(text, "python")) <= 10_000


def test_a_line_that_goes_on_from_above_starts_no_statement():
    assert spans("            .isoformat()[:19]\n        )\n", "python") == ()


@pytest.mark.parametrize(("name", "text"), modules()[::5], ids=[n for n, _ in modules()[::5]])
def test_a_part_of_a_text_has_the_statements_that_touch_it(name: str, text: str):
    known = statements(text, "python")
    for low in range(0, len(text), max(1, len(text) // 9)):
        high = low + 500
        touching = [one for one in spans(text, "python") if one.end >= low and one.start <= high]
        # Whole rows are looked at, so a neighbour may be among them.
        assert _first_by_start(known.touching(low, high)) >= set(touching)
        starting = [one for one in touching if low <= one.start]
        best = min(starting, key=lambda one: (one.level, one.start), default=None)
        assert known.best(low, high) == (best.start if best else None)


def _first_by_start(found) -> set[Span]:
    by_start: dict[int, Span] = {}
    for span in found:
        by_start.setdefault(span.start, span)
    return set(by_start.values())


# Stops


@pytest.mark.parametrize(("name", "text"), modules()[::3], ids=[n for n, _ in modules()[::3]])
def test_the_chain_is_the_same_wherever_the_cursor_was_before(name: str, text: str):
    """Above errors: in half a docstring the words that were read as words before stay so."""
    rng = random.Random(name)
    for _ in range(12):
        offset = rng.randrange(len(text) + 1)
        kept = chain(text, offset, "python", SIZE)
        stops._heads.clear()  # pyright: ignore[reportPrivateUsage]
        found = chain(text, offset, "python", SIZE)
        head = text[: text.rfind("\n", 0, offset) + 1]
        sure = min(statements(head, "python").sure, offset)
        same = sum(one + SIZE // 2 <= sure for one in found)
        assert kept[: same + 1] == found[: same + 1]
        for _ in range(3):  # what is kept for the next round comes from several places
            chain(text, rng.randrange(len(text) + 1), "python", rng.choice([SIZE, 1000]))


def test_the_chain_follows_edits_above():
    line = "value = call(value)\n"
    text = line * 600
    for at in (0, 3000, 9000):
        text = text[:at] + "def f():\n    pass\n" + text[at:]
        kept = chain(text, len(text), "python", SIZE)
        stops._heads.clear()  # pyright: ignore[reportPrivateUsage]
        assert kept == chain(text, len(text), "python", SIZE)
        assert set(kept) <= set(line_starts(text))


def test_stops_are_a_quarter_to_a_half_of_the_size_apart():
    text = max((text for _, text in modules()), key=len)
    found = chain(text, len(text), "python", SIZE)
    assert found[0] == 0
    assert all(SIZE // 4 <= b - a <= SIZE // 2 for a, b in pairwise(found))
