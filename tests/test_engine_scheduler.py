"""The scheduler with a tiny model: who goes first, who takes whose place, who is cancelled."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from completion.adapters import Base
from completion.engine.adapters import Variants
from completion.engine.generate import Decoder
from completion.engine.request import CHAT, Chunk, Request
from completion.engine.scheduler import Job, QueueFull, Scheduler
from tests import tiny_models
from tests.wire import wait_until

TOKENS = torch.randint(3, 512, (200,), generator=torch.Generator().manual_seed(5)).tolist()


def no_adapters() -> Base:
    raise AssertionError("nobody asked for an adapter")


class Listener:
    """Collects an answer; `pause_after` chunks it holds the model's thread until let go."""

    def __init__(self, pause_after: int | None = None) -> None:
        self.chunks: list[Chunk] = []
        self.paused = threading.Event()
        self.go_on = threading.Event()
        self.ended = threading.Event()
        self._pause_after = pause_after

    def __call__(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        if chunk.last:
            self.ended.set()
        if len(self.chunks) == self._pause_after:
            self.paused.set()
            assert self.go_on.wait(60)

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def finish(self) -> str | None:
        assert self.ended.wait(60)
        return self.chunks[-1].finish


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_models.make(folder, "llama tied")
    return Decoder.load(folder, "float32", threads=1, context=256)


@pytest.fixture(scope="module")
def talkative(decoder: Decoder) -> Request:
    """A request whose answer is long, and in many pieces."""
    for start in range(150):
        request = long_request(start, document="a.py")
        chunks = list(decoder.generate(request))
        if len(chunks) > 30 and chunks[-1].finish == "length" and chunks[0].text.isascii():
            return request
    raise AssertionError("the tiny model has nothing to say")


@pytest.fixture
def scheduler(decoder: Decoder) -> Iterator[Scheduler]:
    decoder.forget()
    scheduler = Scheduler(Variants(decoder, no_adapters), queue=4, batch=3)
    scheduler.start()
    yield scheduler
    scheduler.stop()
    assert scheduler.stats()["running"] == scheduler.stats()["waiting"] == 0


def alone(decoder: Decoder, request: Request) -> str:
    """What a fresh engine answers."""
    decoder.forget()
    text = "".join(chunk.text for chunk in decoder.generate(request))
    decoder.forget()
    return text


def ask(scheduler: Scheduler, request: Request, listener: Listener) -> Job:
    return scheduler.submit(request, listener)


def long_request(start: int = 0, **fields) -> Request:
    """One whose answer goes on for a while: the tiny model seldom ends by itself."""
    return Request(tuple(TOKENS[start : start + 30]), 60, **fields)


def test_requests_together_answer_as_each_does_alone(
    scheduler: Scheduler, decoder: Decoder
) -> None:
    requests = [long_request(n) for n in (0, 0, 3, 40)]
    expected = [alone(decoder, request) for request in requests]
    listeners = [Listener() for _ in requests]
    for request, listener in zip(requests, listeners, strict=True):
        ask(scheduler, request, listener)
    assert {listener.finish for listener in listeners} <= {"stop", "length"}
    assert [listener.text for listener in listeners] == expected


def test_several_requests_share_passes(scheduler: Scheduler) -> None:
    first = Listener(pause_after=1)
    ask(scheduler, long_request(), first)
    assert first.paused.wait(60)
    before = scheduler.stats()
    others = [Listener(), Listener()]
    for n, listener in enumerate(others, 1):
        ask(scheduler, long_request(n), listener)
    first.go_on.set()
    assert all(listener.finish for listener in (first, *others))
    after = scheduler.stats()
    generated = after["generated_tokens"] - before["generated_tokens"]
    assert after["passes"] - before["passes"] < 0.6 * generated


def test_a_full_queue_refuses_and_a_cancelled_request_holds_no_place(scheduler: Scheduler) -> None:
    first = Listener(pause_after=1)
    ask(scheduler, long_request(), first)
    assert first.paused.wait(60)
    waiting = [Listener() for _ in range(4)]
    jobs = [ask(scheduler, long_request(n), one) for n, one in enumerate(waiting)]
    with pytest.raises(QueueFull):
        ask(scheduler, long_request(), Listener())
    jobs[0].cancel()
    last = Listener()
    ask(scheduler, long_request(), last)
    assert waiting[0].finish == "cancelled"
    first.go_on.set()
    assert all(listener.finish for listener in [*waiting[1:], last])


def test_a_completion_does_not_wait_for_a_chat_and_the_chat_goes_on(
    scheduler: Scheduler,
) -> None:
    order: list[str] = []
    chat = Listener(pause_after=1)
    ask(scheduler, replace(long_request(), max_tokens=200, priority=CHAT), chat)
    assert chat.paused.wait(60)
    completion = Listener()
    ask(scheduler, long_request(50), completion)
    threads = [
        threading.Thread(target=lambda w=who, n=name: (w.ended.wait(60), order.append(n)))
        for who, name in ((chat, "chat"), (completion, "completion"))
    ]
    for thread in threads:
        thread.start()
    chat.go_on.set()
    for thread in threads:
        thread.join()
    tokens_until = len(chat.chunks)
    assert order[0] == "completion" or tokens_until < 8
    assert chat.finish in ("stop", "length")


def test_a_chat_is_not_starved_by_completions_without_end(scheduler: Scheduler) -> None:
    chat = Listener()
    stop = threading.Event()

    def type_on() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            listener = Listener()
            try:
                ask(scheduler, long_request(n % 100), listener)
            except QueueFull:
                listener = chat
                stop.wait(0.01)

    typist = threading.Thread(target=type_on)
    typist.start()
    wait_until(lambda: scheduler.stats()["waiting"] > 0)
    while True:
        try:
            ask(scheduler, replace(long_request(), max_tokens=5, priority=CHAT), chat)
            break
        except QueueFull:
            stop.wait(0.001)
    finish = chat.finish
    stop.set()
    typist.join()
    assert finish in ("stop", "length")


def test_a_newer_request_of_a_document_takes_the_older_ones_place(
    scheduler: Scheduler, decoder: Decoder
) -> None:
    newer = long_request(60, document="a.py")
    expected = alone(decoder, newer)
    older, other, listener = Listener(pause_after=1), Listener(), Listener()
    ask(scheduler, long_request(document="a.py"), older)
    assert older.paused.wait(60)
    ask(scheduler, long_request(30, document="b.py"), other)
    ask(scheduler, newer, listener)
    older.go_on.set()
    assert older.finish == "superseded"
    assert len([chunk for chunk in older.chunks if chunk.text]) == 1
    assert listener.finish in ("stop", "length")
    assert other.finish in ("stop", "length")
    assert listener.text == expected
    assert scheduler.stats()["superseded"] == 1


def test_of_waiting_requests_of_a_document_only_the_newest_is_answered(
    scheduler: Scheduler,
) -> None:
    first = Listener(pause_after=1)
    ask(scheduler, long_request(), first)
    assert first.paused.wait(60)
    listeners = [Listener() for _ in range(10)]
    for n, listener in enumerate(listeners):
        ask(scheduler, long_request(n, document="a.py"), listener)
    first.go_on.set()
    finishes = [listener.finish for listener in listeners]
    assert finishes[:-1] == ["superseded"] * 9
    assert finishes[-1] in ("stop", "length")


def test_a_newer_request_may_come_while_an_older_one_is_being_started(
    scheduler: Scheduler, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    bystander, older, newer = Listener(), Listener(), Listener()
    ask(scheduler, long_request(9), bystander)
    start = decoder.try_start
    submitted = threading.Event()

    def start_slowly(request: Request, *rest, **more):
        running = start(request, *rest, **more)
        if request.document == "a.py" and not submitted.is_set():
            submitted.set()
            ask(scheduler, long_request(1, document="a.py"), newer)
        return running

    monkeypatch.setattr(decoder, "try_start", start_slowly)
    ask(scheduler, long_request(0, document="a.py"), older)
    assert older.finish == "superseded"
    assert [chunk.last for chunk in older.chunks] == [True]
    assert newer.finish in ("stop", "length")
    assert bystander.finish in ("stop", "length")
    assert scheduler.stats()["failed"] == 0


def test_candidates_of_one_place_do_not_push_each_other_out(scheduler: Scheduler) -> None:
    request = long_request(document="a.py", temperature=1.0)
    listeners = [Listener() for _ in range(5)]
    scheduler.submit_all([(replace(request, seed=n), one) for n, one in enumerate(listeners)])
    assert {listener.finish for listener in listeners} <= {"stop", "length"}
    assert len({listener.text for listener in listeners}) > 1


def test_candidates_read_their_prompt_once(scheduler: Scheduler) -> None:
    prompt = tuple(TOKENS[:180])
    listeners = [Listener() for _ in range(3)]
    scheduler.submit_all([(Request(prompt, 20), one) for one in listeners])
    assert all(listener.finish for listener in listeners)
    cached = sorted(listener.chunks[-1].usage.cached_tokens for listener in listeners)
    assert cached == [0, 179, 179]


def test_a_request_of_another_salt_takes_no_place_and_is_not_waited_for(
    scheduler: Scheduler,
) -> None:
    older, newer = Listener(pause_after=1), Listener()
    ask(scheduler, long_request(document="a.py", salt="one"), older)
    assert older.paused.wait(60)
    ask(scheduler, long_request(document="a.py", salt="two"), newer)
    older.go_on.set()
    assert {older.finish, newer.finish} <= {"stop", "length"}
    assert newer.chunks[-1].usage.cached_tokens == 0
    assert scheduler.stats()["superseded"] == 0


@pytest.mark.parametrize(("salts", "passes", "cached"), [("ab", 1, 0), ("aa", 2, 179)])
def test_a_prompt_that_is_being_read_is_waited_for_by_its_own_salt_alone(
    scheduler: Scheduler, salts: str, passes: int, cached: int
) -> None:
    listeners = [Listener() for _ in salts]
    requests = [Request(tuple(TOKENS[:180]), 1, salt=salt) for salt in salts]
    scheduler.submit_all(list(zip(requests, listeners, strict=True)))
    assert all(listener.finish for listener in listeners)
    assert listeners[1].chunks[-1].usage.cached_tokens == cached
    assert scheduler.stats()["passes"] == passes


@pytest.mark.parametrize("healed", [False, True])
def test_typing_what_is_being_generated_is_answered_by_the_running_request(
    scheduler: Scheduler, decoder: Decoder, talkative: Request, healed: bool
) -> None:
    older = talkative
    if healed:
        newer = replace(older, heal=alone(decoder, older)[:3], max_tokens=50)
    else:
        tokens = answer_tokens(decoder, older)[:2]
        newer = replace(older, prompt=older.prompt + tokens, max_tokens=50)
    expected = alone(decoder, newer)
    first, second = Listener(pause_after=6), Listener()
    ask(scheduler, older, first)
    assert first.paused.wait(60)
    before = scheduler.stats()["generated_tokens"]
    ask(scheduler, newer, second)
    first.go_on.set()
    assert first.finish == "superseded"
    assert second.finish in ("stop", "length")
    assert second.text == expected
    after = scheduler.stats()
    assert after["reused"] == 1
    last = second.chunks[-1].usage
    assert last.prompt_tokens == len(newer.prompt)
    assert after["generated_tokens"] - before < last.completion_tokens


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.8, "seed": 1},
        {"prompt": tuple(TOKENS[:29])},
        {"prompt": (*TOKENS[:30], 7)},
        {"heal": "\x00"},
    ],
)
def test_what_the_running_request_does_not_answer_is_read_anew(
    scheduler: Scheduler, decoder: Decoder, talkative: Request, change: dict
) -> None:
    older = talkative
    newer = replace(older, **change)
    expected = alone(decoder, newer)
    first, second = Listener(pause_after=5), Listener()
    ask(scheduler, older, first)
    assert first.paused.wait(60)
    ask(scheduler, newer, second)
    first.go_on.set()
    assert second.finish in ("stop", "length")
    assert second.text == expected
    assert scheduler.stats()["reused"] == 0


def test_a_cancel_takes_effect_before_the_next_token(
    scheduler: Scheduler, decoder: Decoder, talkative: Request
) -> None:
    listener = Listener(pause_after=3)
    job = ask(scheduler, talkative, listener)
    assert listener.paused.wait(60)
    before = decoder.work.written
    job.cancel()
    listener.go_on.set()
    assert listener.finish == "cancelled"
    assert decoder.work.written == before


def test_memory_stays_bounded_over_many_requests(decoder: Decoder) -> None:
    """A few hundred, some of them cancelled, some of other documents, eight at once."""
    decoder.forget()
    limit = decoder.pool._limit
    decoder.pool._limit = 4 * 256 * 3 * 2 * 8 * 2 * 4
    scheduler = Scheduler(Variants(decoder, no_adapters), queue=8, batch=8)
    scheduler.start()
    most, listeners = 0.0, []
    for n in range(300):
        listener = Listener()
        request = Request(tuple(TOKENS[n % 50 : n % 50 + 40]), 8, document=f"{n % 7}.py")
        wait_until(lambda: scheduler.stats()["waiting"] < 8)
        job = ask(scheduler, request, listener)
        if n % 5 == 0:
            job.cancel()
        listeners.append(listener)
        most = max(most, scheduler.stats()["cache_bytes"])
    assert all(listener.finish for listener in listeners)
    stats = scheduler.stats()
    scheduler.stop()
    limit, decoder.pool._limit = decoder.pool._limit, limit
    assert most <= limit + limit // 4  # one urgent sequence may go over it
    assert stats["requests"] == 300
    assert not decoder.pool._held


def answer_tokens(decoder: Decoder, request: Request) -> tuple[int, ...]:
    decoder.forget()
    running = decoder.start(request)
    while running.finish is None:
        decoder.step([running])
    decoder.forget()
    return tuple(running.answer)
