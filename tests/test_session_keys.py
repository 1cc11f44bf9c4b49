"""What a key meets in a session: answers that are known, on their way, or asked for ahead."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from completion import silence
from completion.ahead import line_break
from completion.document import Document
from completion.flight import GRACE_S
from completion.gate import Ask
from completion.keys import Change, Keys
from completion.session import Completion, Session
from tandem import trace
from tandem.config import CompletionConfig, Config
from tests.lsp_client import until
from tests.paced import Paced, paced

FILE = Path("/project/shop.py")
BEFORE = "import json\n\n\ndef load(path):\n    return js"
AFTER = "\n\n\nprint(1)\n"
ANSWER = ["on.", "loads", "(path.read_text())"]
WHOLE = "".join(ANSWER)


def answers(prompt: str) -> list[str]:
    """Of a server that knows the file: whatever of the answer has yet to come."""
    if prompt.endswith("read_text())"):
        return ["\n"]
    written = prompt.rpartition("return js")[2]
    left, pieces = WHOLE, []
    if WHOLE.startswith(written):
        left = WHOLE[len(written) :]
        at = len(written)
        for piece in ANSWER:
            at -= len(piece)
            if at < 0:
                pieces.append(piece[at:])
                at = 0
        return pieces or [left]
    return ["nothing_known"]


@pytest.fixture
def server(empty_home: Path) -> Iterator[Paced]:
    with paced(answers) as server:
        yield server


@pytest.fixture
async def session(server: Paced) -> AsyncIterator[Session]:
    session = await started(server)
    yield session
    await session.close()


async def started(server: Paced, **options: Any) -> Session:
    completion = CompletionConfig.model_validate({"debounce": False, "prefetch": False, **options})
    session = Session(Config(endpoint=server.url, completion=completion), source="test")
    await session.start()
    return session


def ask(session: Session, typed: str, keys: Keys | None = None, after: str = AFTER) -> Any:
    """A request behind what was typed; as a task."""
    document = Document(FILE, "python", BEFORE + typed + after)
    now = time.monotonic()
    return asyncio.create_task(
        session.complete(document, len(BEFORE + typed), Ask(now, keys=keys or typing()))
    )


def typing() -> Keys:
    """Of somebody who typed one key long ago: no rhythm, and no reason to be quiet."""
    keys = Keys()
    keys.changed(Change((4, 12), "", "s"), 1, 0.0)
    return keys


async def answer(session: Session, typed: str, **more: Any) -> Completion:
    return await ask(session, typed, **more)


def last() -> dict[str, Any]:
    return trace.read()[-1]


async def test_typing_on_is_answered_without_the_model(server: Paced, session: Session) -> None:
    server.open = True
    first = await answer(session, "")
    assert first.items == [WHOLE]
    for typed in ("o", "on", "on.", "on.loads(", WHOLE[:-1]):
        completion = await answer(session, typed)
        assert completion.items == [WHOLE[len(typed) :]]
        assert completion.id == first.id
        assert last()["details"]["cache"] == "typed through"
        assert last()["details"]["continues"] == first.id
    assert len(server.bodies) == 1


async def test_what_contradicts_is_asked_anew(server: Paced, session: Session) -> None:
    server.open = True
    await answer(session, "")
    completion = await answer(session, "x")
    assert completion.items == ["nothing_known"]
    assert "cache" not in last()["details"]
    assert len(server.bodies) == 2


async def test_typing_back_finds_the_older_answer(server: Paced, session: Session) -> None:
    server.open = True
    await answer(session, "on")
    await answer(session, "onx")
    completion = await answer(session, "on")
    assert completion.items == [WHOLE[2:]]
    assert len(server.bodies) == 2


async def test_with_the_cache_off_each_key_asks(server: Paced, empty_home: Path) -> None:
    server.open = True
    session = await started(server, cache=False)
    await answer(session, "")
    await answer(session, "o")
    await session.close()
    assert len(server.bodies) == 2


async def test_a_place_with_nothing_to_say_is_not_asked_twice(
    server: Paced, session: Session
) -> None:
    server.open = True
    typed = WHOLE
    for _ in range(2):
        completion = await answer(session, typed)
        assert (completion.items, completion.reason) == ([], "empty answer")
    assert len(server.bodies) == 1
    assert last()["details"]["cache"] == "same place"


async def test_a_newer_key_waits_for_the_answer_on_its_way(server: Paced, session: Session) -> None:
    older = ask(session, "")
    await until(lambda: server.bodies)
    server.release(2)
    await asyncio.sleep(0.1)
    older.cancel()
    newer = ask(session, "on.lo")
    await asyncio.sleep(0.05)
    server.open = True
    completion = await newer
    assert completion.items == [WHOLE[5:]]
    assert len(server.bodies) == 1
    assert last()["details"]["cache"] == "under way"
    with pytest.raises(asyncio.CancelledError):
        await older


async def test_an_answer_on_its_way_that_strays_from_what_is_typed_is_given_up(
    server: Paced, session: Session
) -> None:
    older = ask(session, "")
    await until(lambda: server.bodies)
    server.release(1)
    await asyncio.sleep(0.1)
    newer = ask(session, "on.dumps")
    await until(lambda: len(server.bodies) == 1)
    server.open = True
    assert (await newer).items == ["nothing_known"]
    assert (await older).reason == silence.CANCELLED
    assert len(server.bodies) == 2
    await until(lambda: server.cut_off or True)


async def test_a_request_taken_back_with_no_other_after_it_ends_the_servers_work(
    server: Paced, session: Session
) -> None:
    older = ask(session, "")
    await until(lambda: server.bodies)
    server.release(1)
    older.cancel()
    await asyncio.sleep(GRACE_S + 0.2)
    server.release(1)
    await until(lambda: server.cut_off)
    assert last()["reason"] == silence.CANCELLED


async def test_an_answer_that_came_after_its_request_was_taken_back_is_known(
    server: Paced, session: Session
) -> None:
    older = ask(session, "")
    await until(lambda: server.bodies)
    older.cancel()
    server.open = True
    await asyncio.sleep(0.2)
    completion = await answer(session, "on")
    assert completion.items == [WHOLE[2:]]
    assert len(server.bodies) == 1


async def test_what_follows_is_asked_before_the_suggestion_is_taken(server: Paced) -> None:
    def more(prompt: str) -> list[str]:
        if prompt.endswith("read_text())"):
            return ["\n"]
        if prompt.rstrip().endswith("read_text())\n    ".rstrip()):
            return ["\n"]
        return answers(prompt)

    server.answers = more
    server.open = True
    session = await started(server, prefetch=True)
    await answer(session, "")
    await until(lambda: len(server.bodies) >= 2)
    asked = len(server.bodies)
    await asyncio.sleep(0.3)
    completion = await answer(session, WHOLE)
    assert last()["details"]["cache"] in ("same place", "prefetched", "under way")
    assert completion.reason in ("", "empty answer")
    assert server.prompts[1].endswith("read_text())")
    assert len(server.bodies) <= asked + 1
    await session.close()


async def test_a_pause_too_short_asks_nothing(server: Paced) -> None:
    """Fingers faster than the model: of two keys in a burst only the last one asks."""
    server.open = True
    session = await started(server, debounce=True)
    session._expected_ms = 300.0
    keys, now = Keys(), time.monotonic()
    for number in range(30):
        keys.changed(Change((4, number), "", "a"), number + 1, now - (29 - number) * 0.1)
    first = ask(session, "", keys)
    await asyncio.sleep(0)
    second = ask(session, "o", keys)
    assert (await first).reason == silence.TYPED_ON
    assert (await second).items == [WHOLE[1:]]
    assert len(server.bodies) == 1
    await session.close()


async def test_a_closed_document_ends_what_is_under_way(server: Paced, session: Session) -> None:
    waiting = ask(session, "")
    await until(lambda: server.bodies)
    session.forget(FILE)
    assert (await waiting).reason == silence.CANCELLED


async def test_the_first_of_several_lines_comes_before_the_others(empty_home: Path) -> None:
    def block(_: str) -> list[str]:
        return ["\n    first = 1\n", "    second = 2\n", "    third = 3\n"]

    with paced(block) as server:
        session = await started(server)
        text = "def f():\n    "
        lines: list[str] = []
        document = Document(FILE, "python", text)
        now = time.monotonic()
        task = asyncio.create_task(
            session.complete(document, len(text), Ask(now, keys=typing()), lines.append)
        )
        await until(lambda: server.bodies)
        server.release(2)  # a line is over when the next one has begun
        await until(lambda: lines)
        assert lines == ["first = 1"]
        assert not task.done()
        server.open = True
        completion = await task
        assert completion.items[0].startswith("first = 1\n    second")
        assert lines == ["first = 1"]
        await session.close()


async def test_a_doubtful_end_is_shown_when_the_sure_start_is_taken(empty_home: Path) -> None:
    with paced(answers, nats=(-0.1, -0.1, -5.0)) as server:
        server.open = True
        session = await started(server, display_gate=False)
        first = await answer(session, "")
        assert first.items == ["on.loads"]
        assert last()["details"]["left_out"] == "(path.read_text())"
        within = await answer(session, "on.l")
        assert (within.items, within.id) == (["oads"], first.id)
        rest = await answer(session, "on.loads")
        assert rest.items == ["(path.read_text())"]
        assert rest.id != first.id
        assert (await answer(session, "on.loads(pa")).id == rest.id
        assert len(server.bodies) == 1
        await session.close()


async def test_asked_by_a_key_it_is_shown_as_a_whole(empty_home: Path) -> None:
    with paced(answers, nats=(-0.1, -0.1, -5.0)) as server:
        server.open = True
        session = await started(server)
        document = Document(FILE, "python", BEFORE + AFTER)
        assert (await session.complete(document, len(BEFORE))).items == [WHOLE]
        await session.close()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("    x = 1", "\n", "\n    "),
        ("if x:", "", "\n    "),
        ("  if x:", "\n", "\n    "),
        ("x = f(", ")\n", ""),
        ("\tx = 1", "\n", "\n\t"),
        ("", "", "\n"),
    ],
)
def test_a_line_break_brings_the_indentation_that_enter_would(
    before: str, after: str, expected: str
) -> None:
    text = ("def f():\n  pass\n" if before.startswith("  if") else "") + before + after
    end = len(text) - len(after)
    assert line_break(Document(FILE, "python", text), end) == expected
