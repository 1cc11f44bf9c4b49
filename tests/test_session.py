"""A session over a real engine: what it shows, why it is silent, how it comes back."""

import asyncio
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from completion import silence
from completion.client import Client, ServedModel
from completion.document import Document
from completion.engine.background import Address
from completion.flight import GRACE_S
from completion.session import Session
from tandem import paths, trace
from tandem.config import CompletionConfig, Config
from tandem.errors import EngineError
from tests.lsp_client import digits

CODE = "import json\n\n\ndef load(path):\n    with open(path) as stream:\n        return json.lo"


def settings(engine: Address, **changes: object) -> Config:
    base = {"endpoint": engine.url, "token": SecretStr(engine.token)}
    return Config.model_validate(base | changes)


def document(text: str, name: str = "load.py") -> Document:
    return Document(Path("/project") / name, "python", text)


@pytest.fixture
async def session(empty_home: Path, engine: Address):
    session = Session(settings(engine), source="test")
    await session.start()
    yield session
    await session.close()


async def generated(engine: Address) -> int:
    headers = {"Authorization": f"Bearer {engine.token}"}
    async with httpx.AsyncClient(headers=headers) as http:
        health = (await http.get(engine.url.removesuffix("/v1") + "/health")).json()
    return health["stats"]["generated_tokens"]


async def test_a_half_typed_name_is_completed(session: Session) -> None:
    completion = await session.complete(document(CODE), len(CODE))
    [text] = completion.items
    assert text.startswith("ad(")
    assert completion.reason == ""
    [event] = trace.read()
    assert event["id"] == completion.id
    assert event["shown"] == text
    assert event["stages_ms"] == completion.timing_ms
    assert event["details"]["usage"]["prompt_tokens"] > 10


async def test_before_the_start_it_is_silent_at_once(empty_home: Path, engine: Address) -> None:
    completion = await Session(settings(engine)).complete(document(CODE), len(CODE))
    assert (completion.items, completion.reason) == ([], silence.LOADING)


@pytest.mark.parametrize(
    ("options", "name", "text", "reason"),
    [
        ({"enabled": False}, "a.py", CODE, silence.DISABLED),
        ({"disabled_languages": ["python"]}, "a.py", CODE, silence.DISABLED_LANGUAGE),
        ({}, ".env", "A=", silence.PROTECTED_FILE),
        ({}, "a.py", 'key = "ghp_' + "a1B2" * 9, silence.CURSOR_IN_KEY),
    ],
)
async def test_what_is_off_or_secret_never_reaches_the_model(
    empty_home: Path, engine: Address, options: dict[str, object], name: str, text: str, reason: str
) -> None:
    config = settings(engine, completion=CompletionConfig.model_validate(options))
    session = Session(config)
    await session.start()
    before = await generated(engine)
    completion = await session.complete(document(text + 'xyz"', name), len(text))
    await session.close()
    assert (completion.items, completion.reason) == ([], reason)
    assert trace.read()[-1]["reason"] == reason
    assert await generated(engine) == before


async def test_a_cancel_is_traced_and_stops_the_engine(session: Session, engine: Address) -> None:
    text = f"total = {digits(73)}"  # takes a second, however slowly this test is run
    task = asyncio.create_task(session.complete(document(text), len(text)))
    before = await generated(engine)
    while await generated(engine) == before:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trace.read()[-1]["reason"] == silence.CANCELLED
    await asyncio.sleep(GRACE_S + 0.3)  # nobody asks again
    stopped = await generated(engine)
    await asyncio.sleep(0.5)
    assert await generated(engine) == stopped


async def test_a_secret_elsewhere_in_the_file_is_not_sent(session: Session) -> None:
    """The model would copy the key, so what it answers tells what it saw."""
    key = "ghp_" + "a1B2" * 9
    text = f'TOKEN = "{key}"\nSAME_TOKEN = "'
    completion = await session.complete(document(text + '"\n'), len(text))
    assert not any("a1B2" in item for item in completion.items)


async def test_without_healing_the_typed_text_is_still_continued(
    session: Session, monkeypatch: pytest.MonkeyPatch, engine: Address
) -> None:
    """Any other OpenAI-compatible server: our engine with its capability left unsaid."""
    models = await Client(engine.url, engine.token).models()
    plain = [ServedModel(model.id) for model in models]

    async def without_capabilities(_: Client) -> list[ServedModel]:
        return plain

    monkeypatch.setattr(Client, "models", without_capabilities)
    await session.start()
    text = "def add(a, b):\n    "
    completion = await session.complete(document(text), len(text))
    assert completion.items, completion.reason
    assert not completion.items[0].startswith((" ", "\n"))


async def test_an_unknown_model_name_lists_what_is_served(
    empty_home: Path, engine: Address
) -> None:
    with pytest.raises(EngineError, match=r"does not serve other.*It serves: tandem-135m"):
        await Session(settings(engine, model="other")).start()


async def test_a_server_that_is_no_openai_server_is_told(empty_home: Path, engine: Address) -> None:
    wrong = engine.url.removesuffix("/v1")
    with pytest.raises(EngineError, match="404"):
        await Session(Config(endpoint=wrong, token=SecretStr(engine.token))).start()


async def test_a_server_that_went_away_is_found_again(session: Session, engine: Address) -> None:
    """The connection breaks under the session; the answer is empty, the next one is not."""
    client = session.client
    assert client is not None
    good, client._http.base_url = client._http.base_url, httpx.URL("http://127.0.0.1:9/v1/")
    assert str(good).startswith(engine.url)
    first = await session.complete(document(CODE), len(CODE))
    assert (first.items, first.reason) == ([], silence.RESTARTING)
    while not session.ready or session.client is client:
        await asyncio.sleep(0.02)
    second = await session.complete(document(CODE), len(CODE))
    assert second.items


async def test_requests_at_once_each_get_their_own_text(session: Session) -> None:
    texts = [CODE, "import os\n\nhere = os.getc"]
    places = [(document(text, f"{n}.py"), len(text)) for n, text in enumerate(texts)]
    alone = [(await session.complete(*place)).items for place in places]
    together = await asyncio.gather(*(session.complete(*place) for place in places))
    assert [completion.items for completion in together] == alone


async def test_of_two_requests_of_one_file_the_newer_is_answered(session: Session) -> None:
    places = [(document(text), len(text)) for text in (CODE, "import os\n\nhere = os.getc")]
    older, newer = await asyncio.gather(*(session.complete(*place) for place in places))
    assert newer.items
    assert older.items or older.reason == silence.CANCELLED


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
async def test_a_full_disk_loses_the_trace_and_not_the_completion(session: Session) -> None:
    file = paths.trace_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.symlink_to("/dev/full")
    before = trace.lost()
    completion = await session.complete(document(CODE), len(CODE))
    assert completion.items
    assert trace.lost() == before + 1


async def test_a_model_that_is_too_slow_is_told(empty_home: Path, engine: Address) -> None:
    config = settings(engine, completion=CompletionConfig(timeout_ms=100, prompt_tokens=200))
    session = Session(config)
    await session.start()
    text = "import os\n" + "value = os.path.join('a', 'b')\n" * 30
    completion = await session.complete(document(text), len(text))
    await session.close()
    assert (completion.items, completion.reason) == ([], silence.TOO_SLOW)


async def test_what_stands_there_already_is_not_suggested(session: Session) -> None:
    [text] = (await session.complete(document(CODE), len(CODE))).items
    again = await session.complete(document(CODE + text + "\n"), len(CODE))
    assert (again.items, again.reason) == ([], "repeats the suffix")
    assert trace.read()[-1]["details"]["answer"].startswith(text[:3])


async def test_of_several_candidates_one_is_shown_and_all_are_in_the_trace(
    empty_home: Path, engine: Address
) -> None:
    session = Session(settings(engine, completion=CompletionConfig(candidates=4, cache=False)))
    await session.start()
    texts = [CODE, "import os\n\nhere = os.", "def area(w, h):\n    return w"]
    seen = 0
    for text in texts:
        completion = await session.complete(document(text), len(text))
        told = trace.read()[-1]["details"].get("candidates", [])
        assert completion.items == [one["text"] for one in told[:1]]
        assert [one["score"] for one in told] == sorted((o["score"] for o in told), reverse=True)
        seen += bool(told)
    await session.close()
    assert seen
