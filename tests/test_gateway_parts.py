"""The gateway's parts that decide: breaker, choice of a replica, quotas, cache, events, settings."""

import json
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from completion import affinity
from completion.engine.api import ApiError
from gateway import cache, config, fields
from gateway.breaker import FAILURES, LONGEST, PAUSE, Breaker
from gateway.cache import Cache, Known
from gateway.config import User
from gateway.events import MAX_EVENT, Events, TooLong
from gateway.quota import DAY, Quotas
from gateway.refusals import clean
from tandem.errors import ConfigError


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Replica:
    name: str
    slots: int = 4
    running: int = 0


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        assert breaker.allow()
        breaker.failed()
    return breaker


def test_a_breaker_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(Clock())
    for _ in range(10):
        breaker.failed()
        breaker.succeeded()
    assert breaker.state == "closed"
    assert opened(Clock()).state == "open"


def test_a_half_open_breaker_lets_one_try_and_waits_twice_as_long_if_that_fails() -> None:
    clock = Clock()
    breaker, pause = opened(clock), PAUSE
    while pause < LONGEST:
        assert not breaker.allow()
        assert breaker.wait == pytest.approx(pause)
        clock.now += pause
        assert [breaker.allow(), breaker.allow()] == [True, False]
        breaker.failed()
        pause = min(2 * pause, LONGEST)
    clock.now += LONGEST
    assert breaker.allow()
    breaker.left()  # nobody knows: another one may try
    assert breaker.allow()
    breaker.succeeded()
    assert breaker.state == "closed"


def test_who_is_seen_to_be_well_is_tried_at_once() -> None:
    breaker = opened(Clock())
    breaker.revived()
    assert breaker.state == "half open"
    assert breaker.allow()


def test_a_replica_that_leaves_moves_only_its_own_share() -> None:
    replicas = [Replica(name) for name in "abcd"]
    keys = [f"document {number}" for number in range(400)]
    before = {key: affinity.order(key, replicas)[0].name for key in keys}
    after = {key: affinity.order(key, replicas[:-1])[0].name for key in keys}
    assert all(after[key] == before[key] for key in keys if before[key] != "d")
    counts = Counter(before.values())
    assert min(counts.values()) > 60
    assert affinity.order("x", replicas) == affinity.order("x", list(reversed(replicas)))


def test_a_busy_replica_is_passed_over_and_stays_the_last_resort() -> None:
    replicas = [Replica("a"), Replica("b")]
    best = affinity.order("key", replicas)[0]
    best.running = best.slots
    assert affinity.order("key", replicas)[0] is not best
    assert best in affinity.order("key", replicas)
    best.running = best.slots - 1
    assert affinity.order("key", replicas)[0] is best


def test_a_replicas_key_is_what_stays_the_same() -> None:
    def key(tenant: str = "t", **body: object) -> str:
        return affinity.key_of(tenant, body)

    assert key(prompt="a", tandem={"document": "d"}) == key(prompt="b", tandem={"document": "d"})
    start = "x" * affinity.PREFIX
    assert key(prompt=start + "a") == key(prompt=start + "b") != key(prompt="a")
    assert key("t", prompt="a") != key("u", prompt="a")
    system, question = {"role": "system", "content": "s"}, {"role": "user", "content": "q"}
    answer = {"role": "assistant", "content": "a"}
    assert key(messages=[system, question]) == key(messages=[system, question, answer, question])
    assert key(messages=[]) == key(messages=[system])


def known(size: int) -> Known:
    return Known(b"x" * size, b"text/plain", "one", "m", 1, 1)


def test_a_cache_is_bounded_in_bytes_and_age() -> None:
    clock = Clock()
    answers = Cache(10_000, 60, clock)
    for number in range(100):
        answers.put(b"%d" % number, known(1000))
        answers.get(b"0")  # asked for again and again
    assert answers.bytes <= 10_000
    assert answers.get(b"0")
    assert answers.get(b"99")
    assert answers.get(b"1") is None
    answers.put(b"large", known(cache.LARGEST + 1))
    assert answers.get(b"large") is None
    clock.now += 61
    assert answers.get(b"99") is None


@given(some.lists(some.tuples(some.integers(0, 9), some.integers(0, 3000)), max_size=60))
def test_a_caches_bytes_are_those_of_what_it_holds(puts: list[tuple[int, int]]) -> None:
    answers = Cache(8000, 60, Clock())
    for key, size in puts:
        answers.put(b"%d" % key, known(size))
    held = [answers.get(b"%d" % key) for key in range(10)]
    sizes = [len(entry.body) + 300 for entry in held if entry]
    assert answers.bytes == sum(sizes) <= 8000
    assert len(answers) == len(sizes)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"tandem": {"document": "x"}}, True),
        ({"prompt": "b"}, False),
        ({"max_tokens": 2}, False),
        ({"stop": ["\n"]}, False),
        ({"stream": True}, False),
        ({"seed": 1}, False),
    ],
)
def test_a_caches_key_has_all_that_decides(change: dict[str, object], same: bool) -> None:
    body = {"temperature": 0, "prompt": "a", "max_tokens": 1}
    one = cache.key_of("t", "completion", "1", body)
    assert (cache.key_of("t", "completion", "1", body | change) == one) is same
    others = [("u", "completion", "1"), ("t", "chat", "1"), ("t", "completion", "2")]
    assert all(cache.key_of(*other, body) != one for other in others)


def test_tokens_are_set_aside_and_settled() -> None:
    clock = Clock()
    quotas = Quotas(clock, clock)
    user = User(tokens_per_day=100)
    with quotas.admitted("ann", user, 60) as charge:
        with pytest.raises(ApiError, match="100 tokens"), quotas.admitted("ann", user, 60):
            pass
        charge.used = 10
    assert quotas.today("ann", user) == 10
    with quotas.admitted("ann", user, 90):
        clock.now += DAY  # ends on another day, which it does not burden
    assert quotas.today("ann", user) == 0


def test_a_minutes_requests_come_back_steadily() -> None:
    clock = Clock()
    quotas, user = Quotas(clock, clock), User(requests_per_minute=60)

    def admitted() -> bool:
        try:
            with quotas.admitted("ann", user, 1):
                return True
        except ApiError as error:
            return error.headers != {"Retry-After": "1"}

    assert [admitted() for _ in range(61)] == [True] * 60 + [False]
    clock.now += 2
    assert [admitted() for _ in range(3)] == [True, True, False]


STREAM = (
    b'data: {"choices": [{"text": "a"}]}\n\n: a comment\n\n'
    b'data: {"choices": [{"text": "say \\"usage\\" and \\"error\\""}], "usage": null}\r\n\r\n'
    b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}\n\n'
    b"data: [DONE]\n\n"
)


@given(some.lists(some.integers(1, len(STREAM) - 1), max_size=8), some.booleans())
def test_events_are_the_same_however_they_are_cut(cuts: list[int], wants: bool) -> None:
    events = Events(wants)
    places = [0, *sorted(cuts), len(STREAM)]
    passed = b"".join(events.feed(STREAM[start:end]) for start, end in pairwise(places))
    assert passed == Events(wants).feed(STREAM)
    assert (events.done, events.events, events.error) == (True, 2, None)
    assert events.usage == {"prompt_tokens": 3, "completion_tokens": 2}
    assert (b"completion_tokens" in passed) is wants
    assert b"comment" not in passed


def test_an_error_in_a_stream_is_kept_back_with_all_after_it() -> None:
    events = Events(False)
    assert events.feed(b'data: {"error": {"message": "no"}}\n\ndata: {"choices": []}\n\n') == b""
    assert events.error == {"message": "no"}
    broken = Events(False)
    assert broken.feed(b'data: {"error": \n\n') == b""
    assert broken.error
    endless = Events(False)
    assert endless.feed(b"x" * MAX_EVENT) == b""
    with pytest.raises(TooLong):
        endless.feed(b"x")


@given(
    some.recursive(
        some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
        lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    )
)
def test_any_json_is_read_or_refused(value: object) -> None:
    statuses = set()
    for kind in ("completion", "chat"):
        for body in (value, {"prompt": value, "messages": value, "tandem": value, "stop": value}):
            try:
                fields.parse(kind, json.dumps(body).encode(), 100)
            except ApiError as error:
                statuses.add(error.status)
    assert statuses <= {400}


def test_messages_of_servers_are_read_but_for_places() -> None:
    assert clean("n must be 1, see and/or; 3/4 of a.b.c") == "n must be 1, see and/or; 3/4 of a.b.c"
    assert clean("at https://x:8/v1, ~/models/a, C:\\models\\a") == "at (address) (path), (path)"
    assert clean("token = 'ghp_" + "a1B2" * 9 + "'").count("a1B2") == 0


ROW = '[[backends]]\nname = "a"\nurl = "http://x"\nroles = ["chat"]\nmodels = ["m"]\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "backends"),
        ("nonsense", "Cannot read"),
        ('[[backends]]\nname = "a"\nurl = "ftp://x"\nroles = ["chat"]\nmodels = ["m"]', "http"),
        (
            '[[backends]]\nname = "a"\nurl = "http://u:p@x"\nroles = ["chat"]\nmodels = ["m"]',
            "user",
        ),
        ('[[backends]]\nname = "a"\nurl = "http://x"\nroles = ["cook"]\nmodels = ["m"]', "roles"),
        ('[[backends]]\nname = "a"\nurl = "http://x"\nroles = ["chat"]\nmodels = []', "models"),
        (f"surprise = 1\n{ROW}", "surprise"),
    ],
)
def test_settings_that_are_wrong_are_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        config.load(file)


def test_a_token_in_settings_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    row = 'name = "a"\nurl = "http://x"\nroles = ["chat"]\nmodels = ["m"]\ntoken = "secret"'
    file.write_text(f"[[backends]]\n{row}")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        config.load(file)
    assert "secret" not in str(caught.value)
    file.chmod(0o600)
    assert config.load(file).backends[0].bearer() == "secret"
