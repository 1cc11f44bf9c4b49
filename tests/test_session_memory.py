"""A session has its repository's memory at the server, and asks for it by name."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from completion.document import Document
from completion.engine.background import Address
from completion.index import Indexer
from completion.repository import Repositories
from completion.session import Session
from tandem import trace
from tandem.config import CompletionConfig, Config
from tests.repositories import MadeRepository

CODE = "def total(invoice):\n    return invoice."


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = MadeRepository(tmp_path / "shop")
    made.write({"work.py": CODE, "billing.py": "class Invoice:\n    cents = 0\n" * 20})
    Indexer(made.folder).update()
    return made.folder


def memory_of(event: dict[str, Any]) -> str:
    return event["details"]["usage"]["tandem"].get("memory", "")


@pytest.mark.parametrize("wanted", [True, False])
async def test_it_is_sent_in_the_background_and_mixed_in_when_it_is_there(
    empty_home: Path, engine: Address, repository: Path, wanted: bool
) -> None:
    repositories = Repositories()
    options = CompletionConfig(memory=wanted, cache=False)
    config = Config(endpoint=engine.url, token=SecretStr(engine.token), completion=options)
    session = Session(config, "test", repositories)
    await session.start()
    told = []
    document = Document(repository / "work.py", "python", CODE)
    try:
        for _ in range(600 if wanted else 3):  # a busy machine takes its time
            await session.complete(document, len(CODE))
            told.append(memory_of(trace.read()[-1]))
            if told[-1] == "used":
                break
            await asyncio.sleep(0.05)
    finally:
        await session.close()
        repositories.close()
    assert told[0] == ""
    assert told[-1] == ("used" if wanted else "")
