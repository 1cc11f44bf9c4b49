"""code-server: VS Code behind a web page on 127.0.0.1, with our extension packed and installed.

    with code_server(folder, packed()) as server:
        page.goto(server.address(workspace))
        server.show(file)

`editors/vscode/workbench/install.sh` installs it, at a fixed version, into the cache.
"""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import psutil

REPOSITORY = Path(__file__).parent.parent
INSTALL = REPOSITORY / "editors" / "vscode" / "workbench" / "install.sh"
PACKAGE = REPOSITORY / "build" / "tandem.vsix"
LONGEST_START_S = 60.0
# So that the page is quiet, and what is typed is what is written.
PLAIN: Mapping[str, Any] = {
    "editor.minimap.enabled": False,
    "editor.quickSuggestions": {"other": "off", "comments": "off", "strings": "off"},
    "editor.wordBasedSuggestions": "off",
    "editor.suggestOnTriggerCharacters": False,
    "editor.parameterHints.enabled": False,
    "editor.hover.enabled": False,
    "editor.fontSize": 15,
    "extensions.ignoreRecommendations": True,
    "files.autoSave": "off",
    "git.enabled": False,
    "telemetry.telemetryLevel": "off",
    "workbench.enableExperiments": False,
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": False,
    "window.confirmBeforeClose": "never",
}
# One key that leaves a window as it was opened.
TIDY_KEY = "Control+Alt+Shift+F12"
TIDY = (
    "notifications.clearAll",
    "workbench.action.closePanel",
    "workbench.action.closeAuxiliaryBar",
    "workbench.action.closeAllEditors",
)


@dataclass(frozen=True)
class CodeServer:
    """`folder` holds its settings, extensions and logs."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    def address(self, workspace: Path, **payload: str) -> str:
        """The page of a folder, or of a workspace's file. `payload` is what VS Code's page takes."""
        kind = "folder" if workspace.is_dir() else "workspace"
        query = {kind: str(workspace)}
        if payload:
            query["payload"] = json.dumps(list(payload.items()))
        return f"http://127.0.0.1:{self.port}/?{urlencode(query)}"

    def uri(self, file: Path) -> str:
        """A file as the page names it."""
        return f"vscode-remote://127.0.0.1:{self.port}{quote(str(file))}"

    def show(self, file: Path) -> None:
        """Open a file in the page that has its folder, as the command `code` does."""
        with _socket(self.folder / "data" / "code-server-ipc.sock") as sessions:
            found = sessions.get("/session", params={"filePath": str(file)}).raise_for_status()
        with _socket(Path(found.json()["socketPath"])) as window:
            told = {"type": "open", "fileURIs": [self.uri(file)], "forceReuseWindow": True}
            window.post("/", json=told).raise_for_status()

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Settings over PLAIN ones; seen at once, also by a page that is open.

        They are the machine's. From a user's file VS Code takes none that say what is started.
        """
        _write(self.folder / "data" / "Machine" / "settings.json", settings)

    def logs(self) -> list[Path]:
        """Its own, the extension hosts', and what extensions told their output channels."""
        return [self.folder / "server.log", *(self.folder / "data" / "logs").rglob("*.log")]

    def processes(self, argument: str) -> list[psutil.Process]:
        """Those below it that were started with this argument."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if argument in process.cmdline():
                    found.append(process)
            except psutil.Error:  # it has ended
                continue
        return found


def packed() -> Path:
    """Our extension as a user gets it; `make` packs it again where its sources are newer."""
    done = subprocess.run(["make", "vscode"], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, f"`make vscode` failed:\n{done.stdout}\n{done.stderr}"
    return PACKAGE


def installed() -> Path:
    """The folder of code-server. Fails with what is missing."""
    done = subprocess.run([str(INSTALL)], capture_output=True, text=True)
    assert done.returncode == 0, f"no VS Code for the tests here:\n{done.stderr}"
    return Path(done.stdout.strip())


@contextmanager
def code_server(folder: Path, package: Path, *, trusts: bool = True) -> Iterator[CodeServer]:
    """Started with a packed extension, and ended with all that it started.

    One that does not trust asks for each folder whether it should.
    """
    entry = installed() / "node_modules" / "code-server" / "out" / "node" / "entry.js"
    node = shutil.which("node")
    assert node is not None
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yaml"
    config.write_text("auth: none\n")
    command = [
        *(node, str(entry), "--config", str(config)),
        *("--user-data-dir", str(folder / "data")),
        *("--extensions-dir", str(folder / "extensions")),
        *("--disable-telemetry", "--disable-update-check"),
        *(["--disable-workspace-trust"] if trusts else []),
    ]
    adding = subprocess.run(
        [*command, "--install-extension", str(package)],
        capture_output=True,
        text=True,
    )
    assert "successfully installed" in adding.stdout, f"{adding.stdout}\n{adding.stderr}"
    asking = {"security.workspace.trust.enabled": not trusts}
    _write(folder / "data" / "User" / "settings.json", {**PLAIN, **asking})
    tidy = {"key": TIDY_KEY.lower().replace("control", "ctrl"), "command": "runCommands"}
    keys = [{**tidy, "args": {"commands": TIDY}}]
    (folder / "data" / "User" / "keybindings.json").write_text(json.dumps(keys))
    port = _free_port()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--bind-addr", f"127.0.0.1:{port}"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    server = CodeServer(folder, port, process)
    try:
        _wait(server)
        yield server
    finally:
        _end(process)


def _write(file: Path, settings: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_suffix(".new")
    written.write_text(json.dumps(dict(settings), indent=1))
    written.replace(file)


def _socket(file: Path) -> httpx.Client:
    """A client of a server behind a socket's file."""
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(file)), base_url="http://socket")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def _wait(server: CodeServer) -> None:
    give_up = time.monotonic() + LONGEST_START_S
    while True:
        log = (server.folder / "server.log").read_text(errors="replace")
        assert server.process.poll() is None, f"code-server ended:\n{log}"
        assert time.monotonic() < give_up, f"code-server never answered:\n{log}"
        try:
            httpx.get(f"http://127.0.0.1:{server.port}/healthz", trust_env=False)
            return
        except httpx.HTTPError:
            time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and what it started: extension hosts outlive their server by minutes otherwise."""
    started = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    for child in started:
        try:
            child.terminate()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(started, timeout=10)
    for child in alive:
        child.kill()
    process.wait()
