"""What the VS Code extension's own tools tell of it: unit tests, rules, types, the package.

The extension in a real VS Code is for tests/test_vscode_*.py beside this file.
"""

import json
import runpy
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parent.parent
EXTENSION = REPOSITORY / "editors" / "vscode"
MANIFEST: dict[str, Any] = json.loads((EXTENSION / "package.json").read_text("utf-8"))
CONTRIBUTED: dict[str, Any] = MANIFEST["contributes"]
LARGEST_PACKAGE = 1_000_000  # bytes
SOURCES = list((EXTENSION / "src").rglob("*.ts"))

pytestmark = pytest.mark.editors


@pytest.fixture(scope="module", autouse=True)
def modules() -> None:
    """What the tools need, at the versions of package-lock.json."""
    assert shutil.which("npm"), "npm is needed: install Node 20 or newer"
    if not (EXTENSION / "node_modules" / ".package-lock.json").exists():
        npm("ci", "--no-audit", "--no-fund")


def npm(*words: str) -> str:
    done = subprocess.run(["npm", *words], cwd=EXTENSION, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def test_the_unit_tests_pass() -> None:
    told = npm("test")
    counted = {line.split()[1]: int(line.split()[2]) for line in told.splitlines() if _counts(line)}
    assert counted["fail"] == 0
    assert counted["pass"] >= 45


def _counts(line: str) -> bool:
    return line.startswith(("# pass ", "# fail "))


def test_types_rules_and_format_are_clean() -> None:
    npm("run", "lint")


def test_the_package_is_small_and_holds_what_it_names() -> None:
    npm("run", "package")
    package = REPOSITORY / "build" / "tandem.vsix"
    assert package.stat().st_size < LARGEST_PACKAGE
    with zipfile.ZipFile(package) as packed:
        names = set(packed.namelist())
    assert {name for name in names if name.endswith((".ts", ".map", ".py"))} == set()
    steps = [step for one in CONTRIBUTED["walkthroughs"] for step in one["steps"]]
    wanted = [MANIFEST["main"].removeprefix("./"), MANIFEST["icon"], "dist/languageClient.js"]
    for file in [*wanted, *(step["media"]["markdown"] for step in steps)]:
        assert f"extension/{file}" in names


def test_the_settings_are_those_of_the_server() -> None:
    made = runpy.run_path(str(EXTENSION / "scripts" / "settings.py"))
    assert made["groups"]() == CONTRIBUTED["configuration"], (
        "run: python editors/vscode/scripts/settings.py, then npm run format in editors/vscode"
    )


def test_a_workspace_cannot_say_where_code_is_sent() -> None:
    settings = {n: s for g in CONTRIBUTED["configuration"] for n, s in g["properties"].items()}
    restricted = MANIFEST["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"]
    for name, setting in settings.items():
        if name in restricted:
            assert setting["scope"] == "machine-overridable"
        elif name.startswith("tandem.completion."):
            assert setting["scope"] == "resource"
        else:
            assert setting["scope"] == "machine", name


def test_every_command_of_the_manifest_is_registered_and_has_a_title() -> None:
    code = "\n".join(file.read_text("utf-8") for file in SOURCES)
    for command in CONTRIBUTED["commands"]:
        name = command["command"].removeprefix("tandem.")
        assert f'"tandem.{name}"' in code or f'["{name}", ' in code, name
        assert command["category"] == "Tandem"
    titles = [command["title"] for command in CONTRIBUTED["commands"]]
    assert len(titles) == len(set(titles))


def test_menus_keys_and_walkthroughs_name_commands_that_are_there() -> None:
    known = {command["command"] for command in CONTRIBUTED["commands"]}
    used = [key["command"] for key in CONTRIBUTED["keybindings"]]
    used += [
        item["command"] for menu in CONTRIBUTED["menus"].values() for item in menu if _is(item)
    ]
    assert {name for name in used if name.startswith("tandem.")} <= known


def _is(item: Mapping[str, Any]) -> bool:
    return "command" in item


def test_the_icon_is_the_one_that_its_script_draws() -> None:
    made = runpy.run_path(str(EXTENSION / "scripts" / "icon.py"))
    icon = (EXTENSION / "media" / "icon.png").read_bytes()
    assert icon[12:16] == b"IHDR"
    assert struct.unpack(">II", icon[16:24]) == (128, 128)
    assert made["png"]() == icon


def test_files_are_short_and_say_what_they_are() -> None:
    for file in SOURCES:
        lines = file.read_text("utf-8").splitlines()
        assert lines[0].startswith("/**"), file
        assert len(lines) <= 300, file
