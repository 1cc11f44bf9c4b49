"""`tandem chat` with real processes, its commands, and how answers look on a terminal."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from completion.chat_context import selection_of
from tandem import changing
from tandem.errors import TandemError
from tandem.spoken import Spoken, settled
from tests.lsp_client import environment
from tests.scripted_chat import ScriptedChat, Turn, breaks_off, fails, says, scripted

APP = "def show(cents):\n    print(cents)\n\n\ndef hide():\n    pass\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    root.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / "app.py").write_text(APP)
    return root


class Person:
    """Who types into `tandem chat` and reads what comes."""

    def __init__(self, repository: Path, home: Path, *turns: Turn) -> None:
        self._turns = turns
        self._repository = repository
        self._home = home
        self.server: ScriptedChat | None = None

    def types(self, *lines: str, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        with scripted(*self._turns) as self.server:
            return subprocess.run(
                [sys.executable, "-m", "tandem", "chat", *flags],
                input="".join(f"{line}\n" for line in lines),
                capture_output=True,
                text=True,
                cwd=self._repository,
                env={**environment(self._home), "TANDEM_CHAT__ENDPOINT": self.server.url},
                timeout=200,
            )

    @property
    def messages(self) -> list[list[dict[str, str]]]:
        assert self.server
        return [body["messages"] for body in self.server.bodies]


def test_a_conversation_goes_on_and_is_kept(repository: Path, empty_home: Path) -> None:
    person = Person(repository, empty_home, says("One."), says("Two."))
    done = person.types("first?", "second?", "/quit", "never read")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "One.\nTwo.\n"
    said = [message["content"] for message in person.messages[1][1:]]
    assert said == ["first?", "One.", "second?"]

    later = Person(repository, empty_home, says("Three."), says("Four."))
    assert later.types("third?").returncode == 0
    assert [m["content"] for m in later.messages[0][1:4]] == ["first?", "One.", "second?"]
    later.types("fourth?", flags=("--new",))
    assert len(later.messages[0]) == 2

    listed = later.types(flags=("--list",))
    assert "6 messages  first?" in listed.stdout
    assert "2 messages  fourth?" in listed.stdout


def test_explaining_shows_the_code_and_pinned_code_stays(
    repository: Path, empty_home: Path
) -> None:
    person = Person(repository, empty_home, says("It prints."), says("Yes."), says("No."))
    done = person.types(
        "/explain app.py:1-2 in one word", "/context app.py:5-6", "sure?", "/context -", "and?"
    )
    assert done.returncode == 0, done.stderr
    explain, sure, _ = (messages[-1]["content"] for messages in person.messages)
    assert [len(messages) for messages in person.messages] == [2, 4, 6]
    assert "Explain what this code does" in explain
    assert "in one word." in explain
    assert "def show(cents):" in explain
    assert "def hide():" in sure
    assert "pinned: app.py, lines 5–6" in done.stdout
    assert "Unpinned." in done.stdout


NEW = "```python\ndef show(cents):\n    print(cents / 100)\n```"


def test_an_edit_is_shown_as_a_difference_and_made_with_a_yes(
    repository: Path, empty_home: Path
) -> None:
    person = Person(repository, empty_home, says(NEW))
    done = person.types("/edit app.py:1-2 print euros", "y")
    assert done.returncode == 0, done.stderr
    assert "-    print(cents)\n+    print(cents / 100)\n" in done.stdout
    assert "Apply it? [y/N]" in done.stdout
    assert (repository / "app.py").read_text() == APP.replace("print(cents)", "print(cents / 100)")


@pytest.mark.parametrize("answer", [("n",), ("",), ("yes please",), ()])
def test_an_edit_without_a_yes_changes_nothing(
    repository: Path, empty_home: Path, answer: tuple[str, ...]
) -> None:
    done = Person(repository, empty_home, says(NEW)).types("/edit app.py:1-2 print euros", *answer)
    assert done.returncode == 0, done.stderr
    assert (repository / "app.py").read_text() == APP


def test_an_edit_that_broke_off_is_not_offered(repository: Path, empty_home: Path) -> None:
    cut = breaks_off("```python\ndef show(cents):\n")
    done = Person(repository, empty_home, cut).types("/edit app.py:1-2 print euros", "y")
    assert done.returncode == 1
    assert "broke off" in done.stderr
    assert (repository / "app.py").read_text() == APP


def test_an_edit_that_changes_nothing_or_holds_no_code_is_told(
    repository: Path, empty_home: Path
) -> None:
    same = says("```python\ndef show(cents):\n    print(cents)\n```")
    done = Person(repository, empty_home, same, says("Sure, will do.")).types(
        "/doc app.py:1-2", "/doc app.py:1-2"
    )
    assert "The answer changes nothing." in done.stdout
    assert "The answer holds no code." in done.stderr


def test_tests_are_saved_in_a_new_file_with_a_yes(repository: Path, empty_home: Path) -> None:
    (repository / "tests").mkdir()
    (repository / "tests" / "test_app.py").write_text("mine\n")
    wrote = says("```python\ndef test_show():\n    pass\n```")
    person = Person(repository, empty_home, wrote)
    done = person.types("/tests app.py:1-2", "y")
    assert done.returncode == 0, done.stderr
    assert (repository / "tests" / "test_app.py").read_text() == "mine\n"
    assert "import what you test from app." in person.messages[0][-1]["content"]
    new = repository / "tests" / "test_app_2.py"
    assert new.read_text() == "def test_show():\n    pass\n"


def test_staged_changes_are_reviewed_and_named(repository: Path, empty_home: Path) -> None:
    subprocess.run(["git", "add", "."], cwd=repository, check=True)
    person = Person(repository, empty_home, says("Fine."), says("app: show and hide"))
    done = person.types("/review be strict", "/commit")
    assert done.stdout == "Fine.\napp: show and hide\n", done.stderr
    assert "be strict." in person.messages[0][-1]["content"]
    assert all("+def show(cents):" in messages[-1]["content"] for messages in person.messages)


def test_a_task_stands_for_itself(repository: Path, empty_home: Path) -> None:
    person = Person(repository, empty_home, says("Earlier talk."), says("It prints."))
    person.types("hello?", "/explain app.py:1-2")
    assert [message["role"] for message in person.messages[1]] == ["system", "user"]


def test_mistakes_are_told_and_the_chat_goes_on(repository: Path, empty_home: Path) -> None:
    person = Person(repository, empty_home, fails(418, "teapot"), says("Still here."))
    done = person.types(
        "/fly", "/explain", "/explain gone/x.py", "/edit app.py:1", "/review", "what?", "and now?"
    )
    for told in (
        "There is no /fly",
        "Which code?",
        "Cannot read gone/x.py",
        "What shall change?",
        "Nothing is staged",
        "418: teapot",
    ):
        assert told in done.stderr
    assert done.stdout == "Still here.\n"
    assert done.returncode == 1


def test_help_names_every_command(repository: Path, empty_home: Path) -> None:
    done = Person(repository, empty_home).types("/help")
    for name in ("explain", "edit", "doc", "tests", "review", "commit", "context", "new", "quit"):
        assert f"\n/{name}" in f"\n{done.stdout}"


def test_what_came_before_ctrl_c_is_kept_and_the_chat_goes_on(
    repository: Path, empty_home: Path
) -> None:
    """On a terminal of its own, as a person has one."""
    with scripted(says("the beginning", hang_s=300), says("And the end.")) as server:
        main, side = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "tandem", "chat"],
            stdin=side,
            stdout=side,
            stderr=side,
            cwd=repository,
            env={
                **environment(empty_home),
                "TANDEM_CHAT__ENDPOINT": server.url,
                "TERM": "xterm",
                "COLUMNS": "100",
            },
        )
        os.close(side)
        seen = b""

        def until(text: bytes) -> None:
            nonlocal seen
            while text not in seen:
                seen += os.read(main, 4096)
            seen = seen.partition(text)[2]

        until("› ".encode())
        os.write(main, b"go\n")
        until(b"beginning")
        process.send_signal(signal.SIGINT)
        until(b"Stopped. What came is kept.")
        until("› ".encode())
        os.write(main, b"on\n")
        until(b"And the end.")
        until("› ".encode())
        os.write(main, b"/quit\n")
        assert process.wait(timeout=120) == 0
        os.close(main)
    said = [message["content"] for message in server.bodies[1]["messages"][1:]]
    assert said == ["go", "the beginning", "on"]
    [file] = (empty_home / "state" / "chat").rglob("*.jsonl")
    notes = [json.loads(line).get("note") for line in file.read_text().splitlines()]
    assert notes == [None, None, "interrupted", None, None]


def test_a_change_is_made_only_to_what_was_shown(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\nthree")
    file.chmod(0o755)
    selection = selection_of(f"{file}:2")
    changing.apply(selection, "2\nzwei\n")
    assert file.read_bytes() == b"\xef\xbb\xbfone\r\n2\r\nzwei\r\nthree"
    assert file.stat().st_mode & 0o777 == 0o755
    with pytest.raises(TandemError, match="has changed meanwhile"):
        changing.apply(selection, "never\n")
    changing.apply(selection_of(f"{file}:4"), "3")
    assert file.read_bytes().endswith(b"zwei\r\n3")


ANSWER = "# Title\n\nSome *words*.\n\n```python\nx = 1\n\ny = 2\n```\n\n- one\n- two\n\nThe end."


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("size", [1, 3, 10, 1000])
def test_a_terminal_shows_all_blocks_rendered_whatever_the_pieces(size: int) -> None:
    console = terminal()
    with Spoken(console) as spoken:
        for start in range(0, len(ANSWER), size):
            spoken(ANSWER[start : start + size])
    shown = written(console)
    for text in ("Title", "Some words.", "x = 1", "y = 2", " • one", "The end."):
        assert text in shown
    assert "```" not in shown.rsplit("The end.", 1)[0].rsplit("x = 1", 1)[1]
    assert spoken.text == ANSWER


def test_what_came_before_an_interruption_stays_on_the_terminal() -> None:
    console = terminal()

    def interrupted() -> None:
        with Spoken(console) as spoken:
            spoken("half of **it**")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert written(console).rstrip().endswith("half of it")


@given(st.lists(st.sampled_from(["text\n", "\n", "```py\n", "```\n", "~~~\n", "````\n", "- a\n"])))
def test_blocks_settle_only_outside_of_fences_and_never_open_again(lines: list[str]) -> None:
    text, end = "", 0
    for line in lines:
        text += line
        new = settled(text, end)
        assert end <= new <= len(text)
        assert new == end or text[:new].endswith("\n")
        end = new
    assert settled(text) == end
