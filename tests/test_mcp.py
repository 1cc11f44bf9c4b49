"""`tandem mcp`, driven by the official SDK's client over stdio, in both generations of MCP."""

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import ElicitResult, ListRootsResult, Root
from pydantic import FileUrl

from sandbox import audit
from tests.lsp_client import environment
from tests.repositories import MadeRepository

KEY = "AKIA" + "IOSFODNN7ABCDEFG"


@dataclass
class Person:
    """Who sits at the client; `answer` None: the client cannot ask."""

    answer: bool | None = True
    roots: Sequence[Path] = ()
    asked: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)

    async def elicit(self, context: Any, params: Any) -> ElicitResult:
        self.asked.append(params.message)
        return ElicitResult(action="accept", content={"yes": self.answer is True})

    async def list_roots(self, context: Any) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri=FileUrl(one.as_uri())) for one in self.roots])

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        self.stages.append(message or "")


Connect = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def folder(paging: MadeRepository) -> MadeRepository:
    paging.commit({"shop.py": "from paging import count\n\n\ndef pages(rows):\n    return 1\n"})
    return paging


@pytest.fixture
def connect(bare_home: Path, tmp_path: Path) -> Connect:
    @asynccontextmanager
    async def connected(
        person: Person, *arguments: str, mode: str = "auto"
    ) -> AsyncIterator[Client]:
        command = ["-m", "tandem", "mcp", *arguments]
        server = StdioServerParameters(
            command=sys.executable, args=command, env=environment(bare_home), cwd=tmp_path
        )
        async with Client(
            server,
            mode=mode,
            elicitation_callback=None if person.answer is None else person.elicit,
            list_roots_callback=person.list_roots if person.roots else None,
        ) as client:
            yield client

    return connected


def told(result: Any) -> Any:
    assert not result.is_error, result.content
    found = result.structured_content
    return found["result"] if set(found) == {"result"} else found


def refused(result: Any) -> str:
    assert result.is_error, result.structured_content
    return result.content[0].text


async def test_the_tools_say_what_they_are(connect: Connect, folder: MadeRepository) -> None:
    async with connect(Person(roots=[folder.folder])) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert sorted(tools) == ["apply_fix", "context", "fix", "sandbox_run", "search"]
    assert tools["apply_fix"].annotations is not None
    assert tools["apply_fix"].annotations.destructive_hint is True
    assert set(tools["apply_fix"].input_schema["properties"]) == {"run"}
    assert all(tool.description for tool in tools.values())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_symbols_text_and_context_come_from_the_index(
    connect: Connect, folder: MadeRepository, mode: str
) -> None:
    async with connect(Person(roots=[folder.folder]), mode=mode) as client:
        symbols = told(await client.call_tool("search", {"query": "count", "kind": "symbols"}))
        lines = told(await client.call_tool("search", {"query": "page holds at least"}))
        none = told(await client.call_tool("search", {"query": "zebra giraffe"}))
        place = {"file": "shop.py", "line": 5, "column": 11}
        pieces = told(await client.call_tool("context", place))
    assert symbols[0]["path"] == "paging.py"
    assert symbols[0]["text"].startswith("def count(results: int, size: int)")
    assert lines[0]["text"] == 'raise ValueError("a page holds at least one result")'
    assert none == []
    assert any("def count" in piece["text"] for piece in pieces)


async def test_what_is_outside_of_roots_and_folders_is_refused(
    connect: Connect, folder: MadeRepository, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.py").write_text("def secret(): ...\n")
    (folder.folder / "link").symlink_to(other)
    (folder.folder / ".env").write_text(f"KEY={KEY}\n")
    async with connect(Person(roots=[folder.folder])) as client:
        for name in (str(other), "../other", "link", "/etc"):
            result = await client.call_tool("search", {"query": "secret", "repository": name})
            assert "is outside of" in refused(result)
        result = await client.call_tool("context", {"file": ".env", "line": 1})
        assert "holds secrets" in refused(result)
        result = await client.call_tool("context", {"file": "shop.py", "line": 99})
        assert "has 6 lines" in refused(result)
    person = Person(roots=[folder.folder, other])
    async with connect(person, "--root", str(folder.folder)) as client:
        result = await client.call_tool("search", {"query": "secret", "repository": str(other)})
        assert "is outside of" in refused(result)
        assert told(await client.call_tool("search", {"query": "count", "kind": "symbols"}))


async def test_a_folder_that_is_not_there_ends_the_command(bare_home: Path, tmp_path: Path) -> None:
    import subprocess

    command = [sys.executable, "-m", "tandem", "mcp", "--root", str(tmp_path / "nowhere")]
    done = subprocess.run(
        command, env=environment(bare_home), capture_output=True, text=True, check=False, input=""
    )
    assert done.returncode == 2
    assert "There is no folder" in done.stderr
    assert done.stdout == ""


async def test_secrets_leave_as_one_word(connect: Connect, folder: MadeRepository) -> None:
    folder.commit({"keys.py": f'def login(user):\n    return connect(user, "{KEY}")\n'})
    async with connect(Person(roots=[folder.folder])) as client:
        lines = await client.call_tool("search", {"query": "return connect user"})
        symbols = await client.call_tool("search", {"query": "login", "kind": "symbols"})
    assert KEY not in str(lines.content) + str(symbols.content)


async def test_a_client_that_cannot_ask_runs_and_writes_nothing(
    connect: Connect, folder: MadeRepository
) -> None:
    for mode in ("auto", "legacy"):
        async with connect(Person(None, [folder.folder]), mode=mode) as client:
            ran = await client.call_tool("sandbox_run", {"command": ["true"]})
            assert "cannot ask its user" in refused(ran)
            wrote = await client.call_tool("apply_fix", {"run": "20260101-000000-0000"})
            assert "cannot ask its user" in refused(wrote)


@pytest.mark.usefixtures("proved")
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_command_runs_in_the_sandbox_after_a_yes(
    connect: Connect, folder: MadeRepository, mode: str
) -> None:
    script = f"open('made.txt', 'w').write('x'); print('{KEY}'); raise SystemExit(3)"
    call = {"command": ["python3", "-c", script]}
    yes, no = Person(True, [folder.folder]), Person(False, [folder.folder])
    async with connect(yes, mode=mode) as client:
        ran = told(await client.call_tool("sandbox_run", call))
    async with connect(no, mode=mode) as client:
        assert "did not say yes" in refused(await client.call_tool("sandbox_run", call))
    assert ran["exit_code"] == 3
    assert "made.txt" in yes.asked[0]
    assert KEY not in ran["stdout"]
    assert len(no.asked) == 1
    assert not (folder.folder / "made.txt").exists()


@pytest.mark.usefixtures("proved")
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_fix_is_told_with_progress_and_written_only_after_a_yes(
    connect: Connect, folder: MadeRepository, mode: str
) -> None:
    person = Person(False, [folder.folder])
    async with connect(person, mode=mode) as client:
        found = told(
            await client.call_tool("fix", {"model": False}, progress_callback=person.progress)
        )
        assert found["ended"] == "fixed"
        assert "+    return list(range(first, last + 1))" in found["diff"]
        assert person.asked == []
        refused_once = refused(await client.call_tool("apply_fix", {"run": found["run"]}))
        assert "did not say yes" in refused_once
        assert folder.git("status", "--short") == ""
        person.answer = True
        written = told(await client.call_tool("apply_fix", {"run": found["run"]}))
    assert {"baseline", "search", "verdict"} <= set(person.stages)
    assert "+    return list(range(first, last + 1))" in person.asked[-1]
    assert written["files"] == ["paging.py"]
    assert "range(first, last + 1)" in (folder.folder / "paging.py").read_text()
    assert "range(first, last))" in folder.git("show", f"{written['backup']}:paging.py")
    log = audit.file_of(found["run"])
    assert audit.verify(log).intact
    assert '"by": "the user of an MCP client"' in log.read_text()


@pytest.mark.usefixtures("proved")
async def test_what_the_settings_protect_is_not_written_even_with_a_yes(
    connect: Connect, folder: MadeRepository
) -> None:
    (folder.folder / ".tandem.toml").write_text("[agent]\nprotected = ['/paging.py']\n")
    before = (folder.folder / "paging.py").read_text()
    async with connect(Person(True, [folder.folder])) as client:
        found = told(await client.call_tool("fix", {"model": False}))
        said = refused(await client.call_tool("apply_fix", {"run": found["run"]}))
    assert "your settings protect it" in said
    assert (folder.folder / "paging.py").read_text() == before


async def test_what_the_rules_refuse_is_not_run_and_what_they_doubt_is_said(
    connect: Connect, folder: MadeRepository
) -> None:
    (folder.folder / ".tandem.toml").write_text("[agent]\nrefused = ['make']\n")
    person = Person(False, [folder.folder])
    async with connect(person) as client:
        said = refused(await client.call_tool("sandbox_run", {"command": ["make", "all"]}))
        assert "rules refuse it" in said
        assert person.asked == []
        await client.call_tool("sandbox_run", {"command": ["curl", "example.org"]})
    assert "because of a rule" in person.asked[-1]


@pytest.mark.usefixtures("proved")
async def test_a_run_of_another_repository_is_not_written(
    connect: Connect, folder: MadeRepository, tmp_path: Path
) -> None:
    async with connect(Person(True, [folder.folder])) as client:
        found = told(await client.call_tool("fix", {"model": False}))
    other = MadeRepository(tmp_path / "other")
    person = Person(True, [other.folder])
    async with connect(person) as client:
        result = await client.call_tool("apply_fix", {"run": found["run"]})
    assert "is outside of" in refused(result)
    assert person.asked == []
    assert folder.git("status", "--short") == ""
