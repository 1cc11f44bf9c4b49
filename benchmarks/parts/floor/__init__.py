"""What VS Code itself takes for ghost text: an extension that answers at once, in the same editor.

    ways(folder, work, file, places)

No extension hears of a key sooner than this one, and none is shown sooner: what an editor "adds"
to a server's time holds at least these two.
"""

import zipfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks.parts import way
from benchmarks.parts.way import Way
from tests.code_server import code_server
from tests.vscode import HEIGHT, WIDTH, chromium
from tests.workbench import LONGEST_WAIT_S, Workbench

HERE = Path(__file__).parent
MANIFEST = """<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011">
  <Metadata>
    <Identity Language="en-US" Id="floor" Version="0.0.1" Publisher="tandem-benchmarks" />
    <DisplayName>Floor</DisplayName>
    <Description>Answers at once.</Description>
  </Metadata>
  <Installation><InstallationTarget Id="Microsoft.VisualStudio.Code" /></Installation>
  <Dependencies />
  <Assets>
    <Asset Type="Microsoft.VisualStudio.Code.Manifest" Path="extension/package.json" />
  </Assets>
</PackageManifest>
"""
TYPES = """<?xml version="1.0" encoding="utf-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
  <Default Extension="json" ContentType="application/json" />
  <Default Extension="js" ContentType="application/javascript" />
  <Default Extension="vsixmanifest" ContentType="text/xml" />
</Types>
"""


def ways(folder: Path, work: Path, file: Path, places: Iterable[tuple[int, int, str]]) -> list[Way]:
    """Of one key at each place: (line, column, key), counted from 1. `folder` is for the editor's
    own files, `work` is what it has open."""
    package = folder / "floor.vsix"
    folder.mkdir(parents=True, exist_ok=True)
    pack(package)
    with code_server(folder / "code-server", package) as server, chromium() as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(LONGEST_WAIT_S * 1000)
        one = Workbench(page, server, work)
        server.configure({})
        one.load()
        one.until(lambda: _log(one), "the extension that answers at once")
        one.show(file)
        way.begin(page)
        found = [_way(one, place) for place in places]
    return [one for one in found if one is not None]


def least_ms(went: Way) -> float:
    """What of it no extension can shorten."""
    return (went.asked - went.key) + (went.seen - went.given)


def pack(package: Path) -> None:
    """The extension as a package that VS Code installs."""
    with zipfile.ZipFile(package, "w") as zipped:
        zipped.writestr("extension.vsixmanifest", MANIFEST)
        zipped.writestr("[Content_Types].xml", TYPES)
        for name in ("package.json", "main.js"):
            zipped.write(HERE / name, f"extension/{name}")


def _way(one: Workbench, place: tuple[int, int, str]) -> Way | None:
    line, column, key = place
    one.go_to(line, column)
    one.until(lambda: not one.ghost(), "no ghost text")
    one.type(key)
    log = _log(one)
    assert log is not None
    went = way.of(one.page, log, line, column)
    one.press("Escape")
    return went


def _log(one: Workbench) -> Path | None:
    return next((log for log in one.server.logs() if log.name == "Floor.log"), None)
