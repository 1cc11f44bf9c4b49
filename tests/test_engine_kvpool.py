"""The pool of cached sequences, held against what a simple model says it must and may do."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from completion.engine.kv import KVCache
from completion.engine.kvpool import MAX_IDLE, KVPool
from completion.shared import shared_length

CAPACITY = 512
LIMIT = 3 * CAPACITY * 2 * 2 * 4  # three whole sequences: keys and values, two floats a token


def new_cache() -> KVCache:
    return KVCache(1, 1, CAPACITY, 2, torch.float32)


def fill(cache: KVCache, tokens: list[int]) -> None:
    """Write each token's id as its key, as a forward pass would."""
    keys = torch.tensor(tokens, dtype=torch.float32)[None, :, None].expand(1, -1, 2)
    cache.append(0, keys, keys)
    cache.advance(tokens)


def read(pool: KVPool, tokens: list[int], answer: list[int] | None = None, salt: str = "") -> int:
    """Take, read the rest, answer, give back; how many tokens came from the cache."""
    answer = answer or []
    taken = pool.take(tokens, len(tokens) + len(answer), salt=salt)
    assert taken is not None
    cache, known = taken.cache, len(taken.cache)
    assert cache.tokens == tokens[:known]
    assert known < len(tokens)
    fill(cache, tokens[known:] + answer)
    pool.give_back(cache)
    return known


def text(seed: int, length: int) -> list[int]:
    return torch.randint(0, 500, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def test_typing_on_reads_only_what_is_new() -> None:
    pool = KVPool(new_cache, LIMIT)
    document = text(1, 200)
    read(pool, document[:150], text(2, 20))
    assert read(pool, document[:153]) == 150
    assert pool.sequences == 1


def test_going_to_another_function_and_back_finds_the_old_cache() -> None:
    pool = KVPool(new_cache, LIMIT)
    shared, one, other = text(1, 60), text(2, 100), text(3, 100)
    read(pool, shared + one)
    assert read(pool, shared + other) == 60
    assert read(pool, shared + one) == 159
    assert read(pool, shared + other) == 159


def test_deleting_a_block_and_typing_it_again_reads_nothing_twice() -> None:
    pool = KVPool(new_cache, LIMIT)
    document = text(1, 200)
    read(pool, document, text(2, 24))
    assert read(pool, document[:120], text(3, 24)) == 119
    assert read(pool, document, text(4, 24)) == 199


def test_deleting_token_by_token_loses_little_of_what_was_typed() -> None:
    pool = KVPool(new_cache, LIMIT)
    document = text(1, 200)
    read(pool, document, text(2, 24))
    for length in range(199, 120, -1):
        assert read(pool, document[:length], text(length, 24)) == length - 1
    assert read(pool, document) >= 200 - 32


def test_an_answer_that_nobody_took_is_not_worth_a_sequence() -> None:
    pool = KVPool(new_cache, LIMIT)
    document = text(1, 200)
    for length in range(100, 200):
        read(pool, document[:length], text(length, 64))
    assert pool.sequences == 1


def test_an_accepted_answer_is_not_read_again() -> None:
    pool = KVPool(new_cache, LIMIT)
    document, answer = text(1, 100), text(2, 30)
    read(pool, document, answer)
    assert read(pool, document + answer + [7]) == 130


def test_what_followed_the_prompt_is_told() -> None:
    pool = KVPool(new_cache, LIMIT)
    document, answer = text(1, 100), text(2, 30)
    read(pool, document, answer)
    taken = pool.take(document + answer[:5], 200)
    assert taken is not None
    assert taken.followed == answer[5:]


def test_candidates_share_their_prompt_by_copies() -> None:
    pool = KVPool(new_cache, 10 * LIMIT)
    document = text(1, 100)
    first = pool.take(document, 120)
    assert first is not None
    fill(first.cache, document)
    others = [pool.take(document, 120) for _ in range(3)]
    for other in others:
        assert other is not None
        assert other.cache is not first.cache
        assert other.cache.tokens == document[:99]
        assert other.cache.keys[0, 0, :99, 0].tolist() == document[:99]


def test_what_a_newer_sequence_holds_as_well_is_dropped_first() -> None:
    pool = KVPool(new_cache, LIMIT)
    old, document = text(1, 200), text(2, 200)
    read(pool, old)
    loans = []
    for _ in range(3):
        taken = pool.take(document, 220)
        assert taken is not None
        fill(taken.cache, document[len(taken.cache) :])
        loans.append(taken.cache)
    for cache in loans:
        pool.give_back(cache)
    read(pool, text(3, 400))
    assert pool.cached(old) == 199


def test_owners_never_see_each_others_sequences() -> None:
    pool = KVPool(new_cache, LIMIT)
    document, one, two = text(1, 100), object(), object()
    taken = pool.take(document, 100, one)
    assert taken is not None
    fill(taken.cache, document)
    pool.give_back(taken.cache)
    assert pool.cached(document, two) == 0
    assert pool.cached(document, one) == 99
    pool.forget(one)
    assert pool.cached(document, one) == 0


def test_a_salt_finds_nothing_that_another_one_cached() -> None:
    pool = KVPool(new_cache, LIMIT)
    document, answer = text(1, 100), text(2, 20)
    for salt in ("", "one", "two"):
        assert pool.cached(document, salt=salt) == 0
        taken = pool.take(document, 120, salt=salt)
        assert taken is not None
        assert (len(taken.cache), taken.followed) == (0, [])
        fill(taken.cache, document + answer)
        pool.give_back(taken.cache)
        assert pool.cached(document, salt=salt) == 99
    pool.forget(None)
    assert [pool.cached(document, salt=salt) for salt in ("", "one", "two")] == [0, 0, 0]


prompts = st.tuples(st.integers(1, 2), st.integers(20, 60), st.integers(0, 20))
asked = st.lists(st.tuples(st.sampled_from(["one", "two"]), prompts), max_size=MAX_IDLE)


@given(asked)
def test_what_a_salt_is_told_is_the_same_as_if_nobody_else_had_asked(
    everybody: list[tuple[str, tuple[int, int, int]]],
) -> None:
    """While there is room for all: what was found cached, and what was known to follow."""

    def told(who: str, asked: list[tuple[str, tuple[int, int, int]]]) -> list[object]:
        pool = KVPool(new_cache, 100 * LIMIT)
        found: list[object] = []
        for salt, (seed, length, answer) in asked:
            prompt = text(seed, length)
            taken = pool.take(prompt, length + answer, salt=salt)
            assert taken is not None
            if salt == who:
                found += [len(taken.cache), taken.followed]
            fill(taken.cache, prompt[len(taken.cache) :] + text(length, answer))
            pool.give_back(taken.cache)
        return found

    for who in ("one", "two"):
        assert told(who, everybody) == told(who, [one for one in everybody if one[0] == who])


def test_a_single_sequence_can_be_had_however_small_the_limit() -> None:
    pool = KVPool(new_cache, 1)
    document = text(1, 300)
    assert read(pool, document) == 0
    assert read(pool, document[:250]) == 249
    assert pool.sequences == 1


tokens = st.lists(st.integers(0, 1), max_size=3).map(
    lambda kinds: [token for kind in kinds for token in text(kind, 60)]
)


class Borrowing(RuleBasedStateMachine):
    """Several requests at once, against: what is lent to whom, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = KVPool(new_cache, LIMIT)
        self.lent: list[tuple[KVCache, list[int], int, list[list[int]]]] = []
        self.owners = (object(), object())
        # For each owner and salt all that was ever read: nothing else may come from a cache.
        self.read = {(owner, salt): [] for owner in self.owners for salt in ("", "salt")}

    @rule(
        prompt=tokens,
        more=st.integers(1, 90),
        room=st.integers(0, 200),
        owner=st.integers(0, 1),
        salt=st.sampled_from(["", "salt"]),
    )
    def take(self, prompt: list[int], more: int, room: int, owner: int, salt: str) -> None:
        wanted, known_here = prompt + text(more, more), self.read[self.owners[owner], salt]
        room = min(len(wanted) + room, CAPACITY)
        taken = self.pool.take(wanted, room, self.owners[owner], salt=salt)
        if taken is None:
            assert self.lent, "one sequence can always be had"
            return
        cache = taken.cache
        known = len(cache)
        assert known < len(wanted)
        assert cache.tokens == wanted[:known]
        assert cache.keys[0, 0, :known, 0].tolist() == wanted[:known]
        assert all(cache is not lent[0] for lent in self.lent), "two holders of one cache"
        assert max((shared_length(wanted, old) for old in known_here), default=0) >= known
        fill(cache, wanted[known:])
        known_here.append(wanted)
        self.lent.append((cache, wanted, room, known_here))

    @precondition(lambda self: self.lent)
    @rule(which=st.integers(0, 9), answer=st.integers(0, 40), data=st.data())
    def give_back(self, which: int, answer: int, data: st.DataObject) -> None:
        cache, prompt, room, known_here = self.lent.pop(which % len(self.lent))
        assert cache.tokens == prompt, "somebody else wrote here"
        assert cache.keys[0, 0, : len(cache), 0].tolist() == prompt
        fill(cache, text(answer, min(answer, room - len(cache))))
        if prompt in known_here:
            known_here.append(list(cache.tokens))
        cache.rewind(data.draw(st.integers(0, len(cache))))
        self.pool.give_back(cache)

    @rule(owner=st.integers(0, 1))
    def forget(self, owner: int) -> None:
        self.pool.forget(self.owners[owner])
        for salt in ("", "salt"):
            self.read[self.owners[owner], salt].clear()
            for _, prompt, _, _ in self.lent:
                assert self.pool.cached(prompt, self.owners[owner], salt) == 0

    @invariant()
    def memory_is_bounded(self) -> None:
        assert self.pool.bytes <= LIMIT or self.pool.sequences == 1


TestBorrowing = Borrowing.TestCase
TestBorrowing.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(st.lists(st.integers(0, 1), max_size=20), st.lists(st.integers(0, 1), max_size=20))
def test_shared_length_is_that_of_a_loop(a: list[int], b: list[int]) -> None:
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    assert shared_length(a, b) == n
