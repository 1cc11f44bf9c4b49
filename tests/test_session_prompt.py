"""What a session sends to the model: which template, the file's name, what the cursor waits for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from completion.counting import estimate
from completion.document import LONGEST_NAME, Document, name_in_repository
from completion.engine.tokenizer import Tokenizer
from completion.models import InstalledModel
from completion.session import Session
from completion.templates import for_model, templates
from finetune.samples import END, Encoder
from tandem import trace
from tandem.config import CompletionConfig, Config
from tests.lsp_client import StartEditor
from tests.recorder import Recorder, recording

TANDEM = templates()["tandem"]
BEFORE = "def area(width, height):\n    return "
AFTER = "\n\n\nprint(area(2, 3))\n"
KEY = "ghp_" + "a1B2" * 9


@pytest.fixture
def server(empty_home: Path) -> Iterator[Recorder]:
    """Any OpenAI-compatible server with a model that has our model's name."""
    with recording({"id": "tandem-135m"}) as recorder:
        yield recorder


async def asked(
    server: Recorder, document: Document, offset: int, settings: dict[str, Any] | None = None
) -> str:
    """The prompt of one completion; "" if nothing was sent."""
    options = CompletionConfig.model_validate(settings or {})
    session = Session(Config(endpoint=server.url, completion=options), source="test")
    await session.start()
    sent = len(server.bodies)
    await session.complete(document, offset)
    await session.close()
    return "".join(server.prompts[sent:])


def document(path: Path, before: str = BEFORE, after: str = AFTER) -> Document:
    return Document(path, "python", before + after)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / ".git").mkdir(parents=True)
    return folder


async def test_the_suffix_the_path_and_the_kind_are_sent_as_the_model_learned(
    server: Recorder, repository: Path
) -> None:
    prompt = await asked(server, document(repository / "shapes" / "area.py"), len(BEFORE))
    assert prompt == (
        f"<filename>shapes/area.py\n<issue_start>{AFTER}<issue_closed>{BEFORE.rstrip()}"
    )
    assert trace.read()[-1]["shown"] == "1"


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("x = ", "\n", "statement"),
        ("# this is ", "\n", "line"),
        ("def area(width):\n    ", "\n\nx = 1\n", "block"),
    ],
)
async def test_the_kind_is_the_one_of_the_place(
    server: Recorder, repository: Path, before: str, after: str, kind: str
) -> None:
    prompt = await asked(server, document(repository / "a.py", before, after), len(before))
    assert trace.read()[-1]["details"]["hole"] == kind
    found = [word for word in TANDEM.kinds.values() if word in prompt]
    assert found == [TANDEM.kinds[kind]]


async def test_a_model_that_never_learned_it_gets_the_prefix_alone(
    empty_home: Path, repository: Path
) -> None:
    with recording({"id": "SmolLM2-135M-Instruct"}) as server:
        config = Config(endpoint=server.url, model="SmolLM2-135M-Instruct")
        session = Session(config)
        await session.start()
        await session.complete(document(repository / "area.py"), len(BEFORE))
        await session.close()
    assert server.prompts == [BEFORE.rstrip()]


async def test_our_engine_without_the_difference_gets_the_prefix_alone(
    empty_home: Path, repository: Path
) -> None:
    with recording({"id": "tandem-135m", "fim_template": "plain"}) as server:
        prompt = await asked(server, document(repository / "area.py"), len(BEFORE))
    assert prompt == BEFORE.rstrip()


async def test_training_sees_the_prompt_that_is_sent(
    repository: Path, empty_home: Path, default_model: InstalledModel
) -> None:
    """The same text, tokenizer and budget through both; our engine's capability said."""
    tokenizer = Tokenizer.load(default_model.folder)
    encoder = Encoder(tokenizer, TANDEM, END)
    before = "import math\n\n" * 30 + BEFORE
    with recording({"id": "tandem-135m", "capabilities": ["heal"]}) as server:
        session = Session(
            Config(endpoint=server.url, completion=CompletionConfig(prompt_tokens=128))
        )
        await session.start()
        session._connection.count = (
            tokenizer.count
        )  # of a remote model the session only has an estimate
        await session.complete(document(repository / "src" / "area.py", before), len(before))
        await session.close()
    wanted = encoder.prompt(before, AFTER, "python", "statement", 128, "src/area.py")
    assert wanted is not None
    assert server.prompts == [wanted.text]
    assert server.bodies[0]["heal"] == wanted.heal


async def test_the_paths_tokens_are_taken_from_the_texts_budget(
    server: Recorder, repository: Path
) -> None:
    text = "".join(f"value_{n} = {n}\n" for n in range(400)) + "x = "
    settings = {"prompt_tokens": 128}
    short, long = [
        await asked(server, document(repository / path, text, "\n"), len(text), settings)
        for path in ("a.py", "a_folder_with_a_name/" * 4 + "a.py")
    ]
    sentinels = estimate("<issue_start><issue_closed>")
    assert all(estimate(prompt) <= 128 + sentinels for prompt in (short, long))
    assert long.count("value_") < short.count("value_")


async def test_a_key_elsewhere_in_the_file_is_taken_out(server: Recorder, tmp_path: Path) -> None:
    before = f'TOKEN = "{KEY}"\n' + BEFORE
    prompt = await asked(server, document(tmp_path / "a.py", before), len(before))
    assert "a1B2" not in prompt
    assert BEFORE.rstrip() in prompt


async def test_a_secret_file_sends_neither_text_nor_name(
    server: Recorder, repository: Path
) -> None:
    assert await asked(server, document(repository / ".env"), len(BEFORE)) == ""


async def test_a_name_with_sentinels_gives_no_structure(server: Recorder, repository: Path) -> None:
    path = repository / "<issue_start><filename>x.py"
    prompt = await asked(server, document(path), len(BEFORE))
    assert prompt.startswith("<filename>< issue_start>< filename>x.py\n<issue_start>")
    assert prompt.count("<issue_start>") == prompt.count("<filename>") == 1


async def test_the_editors_folder_names_a_file_that_is_in_no_repository(
    start: StartEditor, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "work" / "pkg"
    folder.mkdir(parents=True)
    with recording({"id": "tandem-135m"}) as server:
        options = {"endpoint": server.url}
        editor = await start(options=options, folders=[tmp_path / "work"])
        for path in (folder / "area.py", tmp_path / "elsewhere.py"):
            editor.open(path.as_uri(), BEFORE + AFTER)
            await editor.inline(path.as_uri(), 1, 11)
    named = [prompt.partition("\n")[0] for prompt in server.prompts]
    assert named == ["<filename>pkg/area.py", "<filename>elsewhere.py"]


# The name


@pytest.mark.parametrize(
    ("path", "root", "name"),
    [
        ("{repository}/src/a.py", None, "src/a.py"),
        ("{repository}/a.py", "{repository}/src", "a.py"),
        ("{outside}/src/a.py", None, "a.py"),
        ("{outside}/src/a.py", "{outside}", "src/a.py"),
        ("{outside}/src/a.py", "{repository}", "a.py"),
        ("untitled:Untitled-1", "{outside}", "untitled:Untitled-1"),
        ("{repository}/a\nb\u2028.py", None, "a?b?.py"),
        ("{repository}/caf\udce9.py", None, "caf?.py"),
        ("{repository}/語.py", None, "語.py"),
        ("{repository}/" + KEY + "/a.py", None, ""),
    ],
)
def test_a_document_is_named_without_what_lies_above_its_repository(
    repository: Path, tmp_path: Path, path: str, root: str | None, name: str
) -> None:
    places = {"repository": repository, "outside": tmp_path / "outside"}
    known = Path(root.format(**places)) if root else None
    found = name_in_repository(Document(Path(path.format(**places)), "python", "", root=known))
    assert found == name


def test_a_relative_name_is_not_looked_for_in_the_current_folder(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    assert name_in_repository(Document(Path("here/a.py"), "python", "")) == "a.py"


def test_a_very_long_name_keeps_its_end(repository: Path) -> None:
    path = repository / ("folder/" * 60 + "a.py")
    name = name_in_repository(Document(path, "python", ""))
    assert len(name) <= LONGEST_NAME
    assert name.startswith("folder/")
    assert name.endswith("/a.py")


def test_templates_without_a_place_for_a_path_spend_nothing_on_it() -> None:
    template = for_model("Qwen/Qwen2.5-Coder-1.5B")
    assert template.render_path("a/b.py") == ""
