"""`tandem ask`: real processes against a scripted server, and once against the embedded engine."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lsp_client import engine_stopped_after, environment
from tests.scripted_chat import breaks_off, fails, refuses, says, scripted

KEY = "sk-" + "a1b2c3d4e5f6a7b8c9d0e1f2"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    root.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / "util.py").write_text("def format_price(cents):\n    return cents / 100\n")
    (root / "app.py").write_text(
        "from util import format_price\n\n\ndef show(cents):\n    print(format_price(cents))\n"
    )
    return root


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tandem", "ask", *arguments]


def settings(home: Path, url: str = "", **more: str) -> dict[str, str]:
    chat = {"TANDEM_CHAT__ENDPOINT": url} if url else {}
    return {**environment(home), **chat, "COLUMNS": "200", **more}


def ask(
    repository: Path, home: Path, url: str, *arguments: str, given: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        cwd=repository,
        env=settings(home, url, **more),
        input=given,
        timeout=200,
    )


def test_the_answer_goes_out_and_the_context_in(repository: Path, empty_home: Path) -> None:
    with scripted(says("It **shows** a price.")) as server:
        done = ask(
            repository, empty_home, server.url, "What is it?", "app.py:4-5", "--show-context"
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "It **shows** a price.\n"
    asked = server.bodies[0]["messages"][-1]["content"]
    assert "def show(cents):" in asked
    assert "def format_price(cents):" in asked
    assert asked.endswith("What is it?")
    assert "app.py, lines 4–5: named by you" in done.stderr
    assert "util.py, line 1: imported from util" in done.stderr
    assert "100 tokens asked, 10 answered" in done.stderr


def test_flags_name_the_server_and_the_model(repository: Path, empty_home: Path) -> None:
    with scripted(says("yes")) as server:
        done = ask(
            repository, empty_home, "", "Is it?", "--endpoint", server.url, "--model", "other"
        )
    assert done.stdout == "yes\n", done.stderr
    assert server.bodies[0]["model"] == "other"


def test_a_repositorys_file_cannot_send_questions_elsewhere(
    repository: Path, empty_home: Path
) -> None:
    with scripted(says("mine")) as mine, scripted(says("theirs")) as theirs:
        (repository / ".tandem.toml").write_text(f'[chat]\nendpoint = "{theirs.url}"\n')
        user = empty_home / "config" / "config.toml"
        user.parent.mkdir(parents=True)
        user.write_text(f'[chat]\nendpoint = "{mine.url}"\n')
        done = ask(repository, empty_home, "", "Who are you?")
        assert (done.stdout, theirs.bodies) == ("mine\n", [])
        assert "left out: chat" in done.stderr


def test_standard_input_is_shown_to_the_model(repository: Path, empty_home: Path) -> None:
    with scripted(says("a"), says("b")) as server:
        done = ask(repository, empty_home, server.url, "Why?", "-", given="boom: line 3\n")
        assert done.returncode == 0, done.stderr
        ask(repository, empty_home, server.url, "-", given="the question itself\n")
    assert "Standard input:\n```\nboom: line 3\n```" in server.bodies[0]["messages"][-1]["content"]
    assert server.bodies[1]["messages"][-1]["content"].endswith("the question itself")


def test_the_staged_change_is_reviewed_or_told_in_a_message(
    repository: Path, empty_home: Path
) -> None:
    subprocess.run(["git", "add", "app.py"], cwd=repository, check=True)
    answers = says("Looks fine."), says("app: show prices\n\nPeople want them.")
    with scripted(*answers) as server:
        review = ask(repository, empty_home, server.url, "--review")
        commit = ask(repository, empty_home, server.url, "--commit")
    assert review.stdout == "Looks fine.\n", review.stderr
    assert commit.stdout == "app: show prices\n\nPeople want them.\n", commit.stderr
    for body in server.bodies:
        assert "+def show(cents):" in body["messages"][-1]["content"]
        assert "util.py" not in body["messages"][-1]["content"]


def test_secrets_are_not_sent(repository: Path, empty_home: Path) -> None:
    (repository / "keys.py").write_text(f'KEY = "{KEY}"\n')
    with scripted(says("ok")) as server:
        ask(repository, empty_home, server.url, "What is this?", "keys.py")
    assert KEY not in json.dumps(server.bodies)
    assert "KEY = " in server.texts[0]


def test_what_a_terminal_would_obey_is_spelled_out(repository: Path, empty_home: Path) -> None:
    with scripted(says("a\x1b]0;owned\x07b")) as server:
        done = ask(repository, empty_home, server.url, "Who?")
    assert done.stdout == "a\\u001b]0;owned\\u0007b\n"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((), 2, "There is no question"),
        (("why?", "gone.py"), 2, "Cannot read gone.py"),
        (("why?", "app.py:99"), 2, "has no line 99"),
        (("--review",), 2, "Nothing is staged"),
        (("--review", "--commit"), 2, "two things"),
        (("why?",), 1, "cannot be reached"),
    ],
)
def test_bad_input_is_told_in_one_line(
    repository: Path, empty_home: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    # Port 9 is where nobody listens.
    done = ask(repository, empty_home, "http://127.0.0.1:9/v1", *arguments)
    assert done.returncode == code
    assert told in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("turn", "out", "code", "told"),
    [
        (breaks_off("half an ans"), "half an ans\n", 1, "broke off"),
        (refuses("Never."), "", 1, "would not answer"),
        (says("long", finish="length"), "long\n", 0, "limit of tokens"),
        (says("the same old sentence, once more, said again. " * 5), None, 0, "repeat itself"),
        (says(""), "", 1, "answered nothing"),
        (fails(418, "teapot"), "", 1, "418: teapot"),
    ],
)
def test_an_answer_that_is_not_whole_is_told(
    repository: Path, empty_home: Path, turn, out: str | None, code: int, told: str
) -> None:
    with scripted(turn) as server:
        done = ask(repository, empty_home, server.url, "Why?")
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert out is None or done.stdout == out


def test_code_that_has_no_room_is_told(repository: Path, empty_home: Path) -> None:
    (repository / "big.py").write_text("".join(f"value_{n} = {n}\n" for n in range(2000)))
    with scripted(says("ok"), context=2048) as server:
        done = ask(repository, empty_home, server.url, "What?", "big.py")
    assert "no room for: the middle of big.py" in done.stderr
    assert len(server.texts[0]) < 2048 * 4


def test_ctrl_c_ends_it_and_keeps_what_came(repository: Path, empty_home: Path) -> None:
    with scripted(says("the beginning", hang_s=300)) as server:
        process = subprocess.Popen(
            command("Why?"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=repository,
            env=settings(empty_home, server.url),
        )
        assert process.stdout
        came = b""
        while b"beginning" not in came:
            piece = os.read(process.stdout.fileno(), 100)
            assert piece, process.communicate()
            came += piece
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert came + rest == b"the beginning\n"
    assert b"Interrupted" in errors


def test_the_embedded_model_answers(repository: Path, tandem_home: Path) -> None:
    with engine_stopped_after(tandem_home):
        done = ask(
            repository,
            tandem_home,
            "",
            "What does show do?",
            "app.py",
            TANDEM_CHAT__MAX_TOKENS="24",
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
