"""The prompt: what is healed, what is redacted, and what a server without healing gives back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion import prompt
from completion.templates import for_model
from tandem import secrets

KEY = "ghp_" + "a1B2" * 9
TEXT = st.text(alphabet="ab_ .(\n\t\"'=é1", max_size=60)


@pytest.mark.parametrize(
    ("prefix", "tail"),
    [
        ("def f(x):\n    ret", "\n    ret"),
        ("def f(x):\n    ", "\n    "),
        ("value = ", " "),
        ("value = nam", " nam"),
        ("self.na", "na"),
        ("print(", "("),
        ("x = foo(a, ", " "),
        ("if a ==", " =="),
        ("name", ""),
        ("", ""),
    ],
)
def test_what_may_still_become_another_token_is_taken_off(prefix: str, tail: str) -> None:
    assert prompt.split_unfinished(prefix) == (prefix[: len(prefix) - len(tail)], tail)


def test_a_run_too_long_to_be_typed_is_left_alone() -> None:
    assert prompt.split_unfinished("x = " + "a" * 500)[1] == ""


@given(TEXT)
def test_the_pieces_are_the_prefix(prefix: str) -> None:
    for split in (prompt.split_unfinished, prompt.split_blanks):
        assert "".join(split(prefix)) == prefix


@given(TEXT, TEXT)
def test_text_without_secrets_is_left_as_it_is(prefix: str, suffix: str) -> None:
    assert prompt.redact(prefix, suffix) == (prefix, suffix)


@pytest.mark.parametrize("gap", ["", "\n", " = x\n"])
def test_secrets_on_both_sides_are_taken_out(gap: str) -> None:
    clean = prompt.redact(f'a = "{KEY}"\n{gap}', f'{gap}\nb = "{KEY}"\nc = 1')
    assert clean == (
        f'a = "{secrets.REDACTED}"\n{gap}',
        f'{gap}\nb = "{secrets.REDACTED}"\nc = 1',
    )


def test_inside_a_secret_there_is_no_prompt() -> None:
    assert prompt.redact(f'a = "{KEY[:20]}', f'{KEY[20:]}"') is None


def test_the_rendered_prompt_holds_the_prefix_without_its_tail() -> None:
    built = prompt.build("x = foo", "\n", for_model("Qwen/Qwen2.5-Coder-1.5B"), can_heal=True)
    assert built.heal == " foo"
    assert "x =<" in built.text
    assert "foo" not in built.text


@pytest.mark.parametrize(
    ("expected", "answer", "shown"),
    [
        ("\n    ", "\n    return x", "return x"),
        ("\n    ", "\n        return x", "    return x"),
        (" ", " 1", "1"),
        (" ", "1", "1"),
        ("", "  x", "  x"),
        ("\n    ", " + 1\n    y", ""),
        ("\n", "x", ""),
        (" ", "\nx", ""),
    ],
)
def test_leading_blanks_that_were_typed_are_found_in_the_answer(
    expected: str, answer: str, shown: str
) -> None:
    whole = prompt.Lead(expected)
    assert whole.feed(answer) == shown
    by_character = prompt.Lead(expected)
    assert "".join(by_character.feed(ch) for ch in answer) == shown
    assert by_character.failed == whole.failed == (shown == "")
