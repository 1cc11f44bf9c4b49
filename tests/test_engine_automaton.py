"""The suffix automaton against a search by hand."""

from hypothesis import given
from hypothesis import strategies as st

from completion.engine.automaton import SuffixAutomaton

TEXTS = st.lists(st.integers(0, 2), max_size=40)


def occurrences(text: list[int], piece: list[int]) -> list[int]:
    """Where it ends."""
    return [
        end for end in range(len(piece), len(text) + 1) if text[end - len(piece) : end] == piece
    ]


@given(TEXTS)
def test_the_longest_suffix_that_occurs_earlier_is_found_after_each_token(text: list[int]) -> None:
    automaton = SuffixAutomaton()
    for n, token in enumerate(text, 1):
        automaton.append(token)
        length, end = automaton.repeat()
        now = text[:n]
        assert now[n - length :] == now[end - length : end]
        assert end < n or length == 0
        if length < n:
            assert occurrences(now, now[n - length - 1 :]) == [n]


@given(TEXTS)
def test_an_occurrence_is_the_last_one_while_few_suffixes_repeat(text: list[int]) -> None:
    automaton = SuffixAutomaton(text)
    length, end = automaton.repeat()
    if 0 < length < 5:
        assert end == occurrences(text, text[len(text) - length :])[-2]


@given(TEXTS, TEXTS)
def test_another_texts_longest_matching_suffix_is_followed(
    text: list[int], other: list[int]
) -> None:
    automaton, state, length = SuffixAutomaton(text), 0, 0
    for n, token in enumerate(other, 1):
        state, length = automaton.step(state, length, token)
        matching = [k for k in range(n + 1) if k == 0 or occurrences(text, other[n - k : n])]
        assert length == max(matching)


@given(st.lists(st.integers(0, 3), max_size=300))
def test_there_are_at_most_two_states_a_token(text: list[int]) -> None:
    assert len(SuffixAutomaton(text)._next) <= max(2 * len(text), 2)
