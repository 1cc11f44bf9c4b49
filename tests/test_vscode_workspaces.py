"""Folders of a real VS Code: one that is not trusted, several with settings of their own, the first
start."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem import trace
from tests.code_server import CodeServer, code_server
from tests.recorder import recording
from tests.vscode import Alone, alone, browser, package, vscode  # noqa: F401
from tests.workbench import QUICK_INPUT, Workbench

pytestmark = pytest.mark.editors

CODE = "def add(a, b):\n    return\n"
GHOST = "first_number + second_number"
# Stands in for a program that a repository brings along, and tells that it ran.
PLANTED = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('started')"


@pytest.fixture(scope="module")
def careful(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CodeServer]:  # noqa: F811
    """A code-server that asks whether a folder is trusted."""
    folder = tmp_path_factory.mktemp("careful")
    with code_server(folder, package, trusts=False) as server:
        yield server


def repository(folder: Path, **settings: object) -> Path:
    """A folder with settings of its own; its file."""
    (folder / ".vscode").mkdir(parents=True)
    (folder / ".vscode" / "settings.json").write_text(json.dumps(settings))
    (folder / "work.py").write_text(CODE)
    return folder / "work.py"


def test_a_folder_that_is_not_trusted_starts_nothing_until_it_is(
    bare_home: Path,
    tmp_path: Path,
    careful: CodeServer,
    alone: Alone,  # noqa: F811
) -> None:
    marker = tmp_path / "marker"
    planted = [sys.executable, "-c", PLANTED, str(marker)]
    file = repository(tmp_path / "work", **{"tandem.command": planted})
    one = alone(file.parent, careful)
    one.start(bare_home, completion={"enabled": False})
    one.page.get_by_role("button", name="No, I don't").click()
    one.status().wait_for()
    one.until(one.language_servers, "the user's own server")
    one.tells("Tandem off")
    one.show(file)
    one.run("Fix a Failing Test")
    one.notification("Tests are not run").wait_for()
    for title in ("Write Tests", "Tune"):
        assert not offered(one, title)
    assert offered(one, "Explain")
    assert not marker.exists()
    one.command("Workspaces: Manage Workspace Trust")
    one.page.get_by_role("button", name="Trust", exact=True).click()
    one.until(marker.exists, "what the folder names, once it is trusted")


def offered(one: Workbench, title: str) -> bool:
    """Whether the palette has one of our commands."""
    one.press("F1")
    one.page.locator(QUICK_INPUT).fill(">Tandem: ")
    rows = one.page.locator(".quick-input-list .monaco-list-row")
    rows.filter(has_text="Tandem: ").first.wait_for()
    one.page.locator(QUICK_INPUT).fill(f">Tandem: {title}")
    one.page.locator(".quick-input-list .monaco-list-row.focused").first.wait_for()
    is_there = rows.filter(has_text=f"Tandem: {title}").count() > 0
    one.press("Escape")
    return is_there


def test_two_folders_have_settings_of_their_own(
    bare_home: Path,
    tmp_path: Path,
    alone: Alone,  # noqa: F811
) -> None:
    quiet = repository(tmp_path / "quiet", **{"tandem.completion.enabled": False})
    loud = repository(tmp_path / "loud", **{"tandem.completion.enabled": True})
    both = tmp_path / "both.code-workspace"
    both.write_text(json.dumps({"folders": [{"path": "quiet"}, {"path": "loud"}]}))
    with recording({"id": "given"}, answer=f"{GHOST}\n") as model:
        one = alone(both)
        one.open(quiet, bare_home, endpoint=model.url)
        one.served()
        one.tells("Tandem off")
        behind_return(one)
        one.until(lambda: silent(quiet), "a silence")
        assert one.ghost() == ""
        one.show(loud)
        one.tells("Suggestions are on")
        behind_return(one)
        one.sees_ghost(GHOST)
        assert not silent(loud)


def behind_return(one: Workbench) -> None:
    one.go_to(2, 11)
    one.type(" ")


def silent(file: Path) -> list[str]:
    """Of a file: reasons that have to do with settings."""
    told = [event for event in trace.read() if event["file"] == str(file)]
    return [event["reason"] for event in told if event.get("reason") == "disabled"]


def test_the_first_start_shows_the_walkthrough(tmp_path: Path, alone: Alone) -> None:  # noqa: F811
    one = alone(tmp_path)
    one.server.configure({})
    one.load()
    page = one.page.locator(".part.editor .gettingStartedContainer")
    page.get_by_text("Begin with Tandem").first.wait_for()
    page.get_by_text("See what is there").first.wait_for()
    one.picture("walkthrough")
