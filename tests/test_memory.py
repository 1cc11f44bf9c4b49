"""What a memory says of the next token, against counting by hand."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.engine import memory as module
from completion.engine.memory import Memory, View, token_ids
from completion.engine.memory_table import LONGEST, Table
from completion.engine.tokenizer import Tokenizer
from tests import tiny_models

FEW = 5  # different tokens, so that there are repeats
VOCABULARIES = (300, 65_534, 65_535, 151_936)
TOKENS = st.lists(st.integers(0, FEW - 1), max_size=30)
FILES = st.dictionaries(st.sampled_from("abcdef"), TOKENS, max_size=5)


def ids(tokens: Sequence[int]) -> np.ndarray:
    return np.array(tokens, np.int32)


def remembering(files: Mapping[str, Sequence[int]], vocabulary: int = FEW) -> Memory:
    memory = Memory(vocabulary)
    memory.update({name: ids(tokens) for name, tokens in files.items()})
    return memory


def counted(files: Mapping[str, Sequence[int]], context: Sequence[int]) -> list[Counter[int]]:
    """For the last 1, 2, ... tokens of the context: what follows them, and how often."""
    found = []
    for length in range(1, min(LONGEST, len(context)) + 1):
        end = list(context[-length:])
        after = Counter(
            tokens[at]
            for tokens in files.values()
            for at in range(length, len(tokens))
            if list(tokens[at - length : at]) == end
        )
        if not after:
            break
        found.append(after)
    return found


def said(view: View, context: Sequence[int]) -> dict[int, Counter[int]]:
    return {
        level.length: Counter(dict(zip(level.tokens.tolist(), level.counts.tolist(), strict=True)))
        for level in view.levels(context)
    }


def check(memory: Memory, files: Mapping[str, Sequence[int]], context: Sequence[int]) -> None:
    expected = dict(enumerate(counted(files, context), 1))
    assert said(memory.view, context) == expected
    assert memory.tokens == sum(map(len, files.values()))
    assert memory.files == sum(1 for tokens in files.values() if tokens)


@given(FILES, TOKENS, st.sampled_from(VOCABULARIES))
def test_all_that_followed_is_counted(
    files: dict[str, list[int]], context: list[int], vocabulary: int
) -> None:
    check(remembering(files, vocabulary), files, context)


@given(st.lists(st.tuples(FILES, st.sets(st.sampled_from("abcdef"))), max_size=8), TOKENS)
def test_after_any_changes_it_is_as_if_made_of_what_is_left(
    changes: list[tuple[dict[str, list[int]], set[str]]], context: list[int]
) -> None:
    memory, files = Memory(FEW), {}
    for new, drop in changes:
        memory.update({name: ids(tokens) for name, tokens in new.items()}, drop)
        files = {name: tokens for name, tokens in files.items() if name not in drop} | new
        check(memory, files, context)


@given(st.lists(TOKENS.filter(bool), min_size=1, max_size=40))
def test_tables_are_few_and_hold_each_file_once(texts: list[list[int]]) -> None:
    memory = Memory(FEW)
    for number, tokens in enumerate(texts):
        memory.update({str(number): ids(tokens)})
    sizes = [len(table) for table in memory.view.tables]
    assert all(size > 2 * after for size, after in pairwise(sizes))
    names = [name for table in memory.view.tables for name in table.documents]
    assert sorted(names) == sorted(map(str, range(len(texts))))


@given(FILES, TOKENS, st.integers(1, 8))
def test_what_came_is_the_same_in_whatever_order_files_came(
    files: dict[str, list[int]], context: list[int], common: int
) -> None:
    """Also where frequent contexts are left out."""
    one_by_one = Memory(FEW)
    for name in reversed(files):
        one_by_one.update({name: ids(files[name])})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "COMMON", common)
        patch.setattr(module, "_TOO_COMMON", 2 * common)
        at_once = said(remembering(files).view, context)
        assert said(one_by_one.view, context) == at_once
        exact = dict(enumerate(counted(files, context), 1))
        assert all(exact[length] == counts for length, counts in at_once.items())
        assert all(counts.total() <= common for counts in at_once.values())


def test_a_view_stays_as_it_was() -> None:
    memory = remembering({"a": [1, 2, 3]})
    before = memory.view
    memory.update({"a": ids([1, 4])})
    assert said(before, [1]) == {1: Counter({2: 1})}
    assert said(memory.view, [1]) == {1: Counter({4: 1})}


def test_garbage_is_cleared_away() -> None:
    memory = Memory(300)
    memory.update({str(n): ids([n, n + 1] * 500) for n in range(20)})
    size = memory.nbytes
    memory.update({}, {str(n) for n in range(1, 20)})
    assert memory.files == 1
    assert memory.nbytes < size / 15


def test_bytes_a_token_are_as_stated() -> None:
    tokens = ids(range(250)).repeat(40)
    assert Table({"a": tokens}, 300).nbytes / len(tokens) < 14.1
    assert Table({"a": tokens}, 151_936).nbytes / len(tokens) < 16.1


def test_an_empty_memory_says_nothing() -> None:
    assert View().levels([1, 2]) == []
    memory = remembering({"a": []})
    assert memory.view == View()


def test_tokens_that_mark_structure_are_not_remembered(tmp_path: Path) -> None:
    tiny_models.make(tmp_path, "llama tied")
    tokenizer = Tokenizer.load(tmp_path)
    text = f"a = 1{tiny_models.SPECIALS[0]}b = 2"
    assert set(tokenizer.encode(text)) & tokenizer.special_ids
    assert tokenizer.decode(token_ids(tokenizer, text).tolist()) == "a = 1b = 2"
