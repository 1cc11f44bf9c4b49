"""The `tandem` command as a person runs it: a process, its output, its exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from completion.engine import background
from completion.engine.background import Address
from tandem import config

CODE = "import json\n\n\ndef load(path):\n    with open(path) as stream:\n        return json.lo\n"
MODEL = {"context", "prompt", "first_token", "generate", "filter"}
STAGES = MODEL | {"gate", "cache", "display", "total"}


def tandem(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tandem", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "load.py"
    path.write_text(CODE)
    return path


@pytest.fixture
def served(empty_home: Path, engine: Address, monkeypatch: pytest.MonkeyPatch) -> Path:
    """User folders of this test's own, with the shared engine as the endpoint."""
    monkeypatch.setenv("TANDEM_ENDPOINT", engine.url)
    monkeypatch.setenv("TANDEM_TOKEN", engine.token)
    return empty_home


def error_line(result: subprocess.CompletedProcess[str]) -> str:
    """The one line of an error, without a traceback."""
    assert "Traceback" not in result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("tandem: ")
    return lines[0]


def test_complete_prints_a_suggestion_and_its_stages(served: Path, file: Path) -> None:
    result = tandem("complete", file, "--line", 6, "--col", 22, "--json")
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["items"][0].startswith("ad(")
    assert set(answer["timing_ms"]) == STAGES
    assert answer["model"] == "tandem-135m"
    assert answer["reason"] == ""


def test_the_same_place_gives_the_same_text(served: Path, file: Path) -> None:
    runs = [tandem("complete", file, "--line", 6, "--col", 22).stdout for _ in range(2)]
    assert runs[0] == runs[1] != ""


def test_a_file_with_crlf_gets_crlf_back(served: Path, file: Path) -> None:
    file.write_bytes(b"def area(width, height):\r\n    ")
    result = tandem("complete", file, "--line", 2, "--col", 4, "--json")
    [text] = json.loads(result.stdout)["items"]
    assert "\n" not in text.replace("\r\n", "")


def test_a_syntax_error_at_the_cursor_is_no_obstacle(served: Path, file: Path) -> None:
    file.write_text("def broken(:\n    x = = [1,\n    return x[\n")
    result = tandem("complete", file, "--line", 3, "--col", 13, "--json")
    answer = json.loads(result.stdout)
    assert answer["items"] or answer["reason"]


def test_five_megabytes_are_no_obstacle(served: Path, file: Path) -> None:
    file.write_text("value = compute(1, 2, 3)\n" * 200_000 + "result = compute(")
    result = tandem("complete", file, "--line", 200_001, "--col", 17, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["items"]


def test_a_silence_says_why_here_and_in_the_trace(served: Path, file: Path) -> None:
    result = tandem("complete", file, "--line", 1, "--col", 3, TANDEM_COMPLETION__ENABLED="0")
    assert result.returncode == 0
    assert "No suggestion: disabled." in result.stderr
    [event] = [json.loads(line) for line in tandem("trace", "--json").stdout.splitlines()]
    assert (event["reason"], event["shown"], event["line"]) == ("disabled", None, 1)
    assert "disabled" in tandem("trace").stdout


def test_a_secret_file_never_reaches_the_model(served: Path, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("KEY=")
    result = tandem("complete", path, "--line", 1, "--col", 4, "--json")
    assert json.loads(result.stdout)["reason"] == "secret file"


def test_the_trace_counts_back_from_the_newest(served: Path, file: Path) -> None:
    assert "No requests yet" in tandem("trace").stdout
    for column in (1, 2, 3):
        tandem("complete", file, "--line", 1, "--col", column, TANDEM_COMPLETION__ENABLED="0")
    events = [
        json.loads(line) for line in tandem("trace", "--last", 2, "--json").stdout.split("\n")[:-1]
    ]
    assert [event["column"] for event in events] == [2, 3]


@pytest.mark.parametrize(
    ("content", "line", "column", "message"),
    [
        (None, 1, 0, "No such file"),
        (b"\x00\x01\x02binary", 1, 0, "binary file"),
        ("é".encode("latin-1"), 1, 0, "not UTF-8"),
        (b"x = 1\n", 9, 0, "Line 9 does not exist. The file has lines 1 to 2"),
        (b"x = 1\n", 1, 6, "Column 6 does not exist. Line 1 has columns 0 to 5"),
        (b"x = 1\n", 0, 0, "Line 0 does not exist"),
    ],
)
def test_a_bad_file_or_place_is_wrong_usage(
    empty_home: Path, tmp_path: Path, content: bytes | None, line: int, column: int, message: str
) -> None:
    path = tmp_path / "odd.py"
    if content is not None:
        path.write_bytes(content)
    result = tandem("complete", path, "--line", line, "--col", column)
    assert result.returncode == 2
    assert message in error_line(result)


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["complete"], ["complete", "x", "--line", "a", "--col", "1"], ["trace", "--x"]],
)
def test_wrong_usage_is_one_line_and_code_2(empty_home: Path, arguments: list[str]) -> None:
    result = tandem(*arguments)
    assert result.returncode == 2
    assert "tandem --help" in error_line(result)


def test_a_bad_setting_is_named(empty_home: Path, file: Path) -> None:
    result = tandem("complete", file, "--line", 1, "--col", 0, TANDEM_ENGINE__THREADS="many")
    assert result.returncode == 2
    assert "engine.threads" in error_line(result)


def test_a_dead_endpoint_is_one_line(empty_home: Path, file: Path) -> None:
    address = "http://127.0.0.1:9/v1"
    result = tandem("complete", file, "--line", 1, "--col", 0, TANDEM_ENDPOINT=address)
    assert result.returncode == 1
    assert f"{address} cannot be reached" in error_line(result)


def test_a_wrong_token_is_told(served: Path, file: Path) -> None:
    result = tandem("complete", file, "--line", 1, "--col", 0, TANDEM_TOKEN="wrong")
    assert result.returncode == 1
    assert "refused the token" in error_line(result)


def test_debug_adds_the_traceback(empty_home: Path, tmp_path: Path) -> None:
    result = tandem("--debug", "complete", tmp_path / "none.py", "--line", 1, "--col", 0)
    assert result.returncode == 2
    assert "Traceback" in result.stderr


def test_a_repository_file_cannot_redirect_until_it_is_trusted(served: Path, file: Path) -> None:
    settings = file.parent / ".tandem.toml"
    settings.write_text('model = "elsewhere"\n[completion]\nenabled = false\n')
    command = ["complete", file, "--line", 6, "--col", 22, "--json"]
    before = tandem(*command)
    assert "left out: model" in " ".join(before.stderr.split())  # it is wrapped
    assert json.loads(before.stdout)["reason"] == "disabled"
    assert tandem("trust", settings).returncode == 0
    after = tandem(*command)
    assert after.returncode == 1
    assert "does not serve elsewhere" in error_line(after)


def test_help_names_every_command(empty_home: Path) -> None:
    text = tandem("--help").stdout
    commands = ("complete", "demo", "doctor", "lsp", "models", "serve", "stats", "trace")
    for command in (*commands, "uninstall"):
        assert command in text


def test_a_no_to_a_question_changes_nothing(empty_home: Path) -> None:
    kept = empty_home / "state" / "trace.jsonl"
    kept.parent.mkdir(parents=True)
    kept.write_text("")
    result = subprocess.run(
        [sys.executable, "-m", "tandem", "uninstall"], input="n\n", capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "Nothing was changed" in result.stderr
    assert kept.exists()


def test_an_interrupt_ends_the_command_with_one_line(tandem_home: Path, file: Path) -> None:
    command = [sys.executable, "-m", "tandem", "complete", str(file), "--line", "6", "--col", "22"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        engines = tandem_home / "state" / "engine"
        while not list(engines.glob("*.json")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    background.stop(config.load())
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert b"Interrupted" in errors


def test_two_ways_to_be_talked_to_are_one_too_many(empty_home: Path) -> None:
    result = tandem("lsp", "--stdio", "--tcp", "0")
    assert result.returncode == 2
    assert "--stdio and --tcp exclude each other" in error_line(result)
