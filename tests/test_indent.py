"""Answers are moved to the indentation that was typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.hole import hole_kind
from completion.indent import Dedent


def moved(text: str, answer: str) -> str:
    return Dedent(text, hole_kind(text, len(text), "python")).feed(answer)


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        (
            "def f():\n    ",
            "    if x:\n            y()\n        z()",
            "if x:\n        y()\n    z()",
        ),
        ("def f():\n    ", "if x:\n        y()", "if x:\n        y()"),
        ("def f():\n", "    return 1", "    return 1"),
        ("x = ", "  1", "  1"),
        ("def f():\n    ", "\n    return 1", "\n    return 1"),
        ("class A:\n    def f(self):\n    ", "    return 1", "    return 1"),
        ("def f():\n\t", "\treturn 1\n\t\treturn 2", "return 1\n\treturn 2"),
        ("def f():\n    ", "    a\nb", "a\nb"),
    ],
)
def test_lines_move_to_the_cursor(text: str, answer: str, expected: str) -> None:
    assert moved(text, answer) == expected


@given(st.text(alphabet=" \tx\n", max_size=30), st.integers(1, 5))
def test_pieces_do_not_matter(answer: str, size: int) -> None:
    text = "def f():\n    "
    dedent = Dedent(text, hole_kind(text, len(text), "python"))
    pieces = [answer[i : i + size] for i in range(0, len(answer), size)]
    assert "".join(map(dedent.feed, pieces)) == moved(text, answer)
