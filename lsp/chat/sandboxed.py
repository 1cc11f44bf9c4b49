"""Chat commands that run code: always on a copy, in the sandbox."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import converters

from lsp.chat import edits
from lsp.chat.asked import Asked
from lsp.chat.place import Place
from lsp.progress import Progress
from sandbox import accept, once
from sandbox.driven import Driven
from tandem import secrets
from tandem.errors import TandemError

if TYPE_CHECKING:
    from lsp.server import TandemServer

FIX_S = 300.0  # for a search that nobody has set a time for
_SAID = re.compile(r"^(PASSED|FAILED|ERROR) (\S+)", re.MULTILINE)
_WORD = re.compile(r"\W+")
LONGEST_OUTPUT = 8000  # characters
_converter = converters.get_converter()


@dataclass(frozen=True)
class TestFile:
    """A test file that is to be: `path` in the repository, and `how` to write it, for a model."""

    __test__ = False  # pytest takes it for a test otherwise

    root: Path
    path: str
    how: str


def test_file(root: Path, place: Place) -> TestFile:
    """One that is not there yet, where the repository has its tests."""
    assert place.symbol is not None
    inside = place.document.path.relative_to(root)
    name = _WORD.sub("_", f"{inside.stem}_{place.symbol.name}".lower())
    folder = "tests/" if (root / "tests").is_dir() else ""
    path, number = f"{folder}test_{name}.py", 1
    while (root / path).exists():
        number += 1
        path = f"{folder}test_{name}_{number}.py"
    parts = list(inside.with_suffix("").parts)
    if parts[0] == "src":
        del parts[0]
    if parts and parts[-1] == "__init__":
        del parts[-1]
    module = ".".join(parts)
    how = f"Use pytest. Import what you test from `{module}`."
    return TestFile(root, path, how)


def run_tests(file: TestFile, place: Place, code: str) -> dict[str, Any]:
    """Run new tests against the repository with the document as the editor has it."""
    inside = place.document.path.relative_to(file.root).as_posix()
    ran = once.run(
        file.root,
        ["python3", "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", file.path],
        files={file.path: code.encode(), inside: place.document.text.encode()},
    )
    output = secrets.redact(ran.stdout.decode("utf-8", "replace"))
    found = _SAID.findall(output)
    return {
        "path": file.path,
        "passed": [name for word, name in found if word == "PASSED"],
        "failed": [name for word, name in found if word != "PASSED"],
        "exitCode": ran.exit_code,
        "killed": ran.killed,
        "output": output[-LONGEST_OUTPUT:],
    }


async def fix(
    server: "TandemServer", asked: Asked, root: Path, progress: Progress
) -> dict[str, Any]:
    """A patch for the repository's failing tests, as an edit. Cancelling stops the search."""
    driven = Driven.begin(
        root,
        test=asked.test,
        issue=asked.instruction,
        seconds=FIX_S,
        tell=lambda stage, done, total: progress.report(stage),
        note=progress.report,
    )
    report = await driven.finished()
    answer: dict[str, Any] = {
        "run": report.id,
        "ended": report.ended,
        "failing": list(report.failing),
        "notes": list(report.notes),
        "diff": "",
        "edit": None,
        "applied": False,
        "why": f"no patch: {report.ended}",
    }
    if not report.found:
        return {**answer, "text": f"No patch: {report.ended}."}
    best = report.found[0]
    answer |= {"diff": secrets.redact(best.diff), "text": f"{best.label}: {best.verdict}"}
    try:
        texts = await asyncio.to_thread(accept.offer, report.id, by="the language server")
    except TandemError as error:
        return {**answer, "why": secrets.redact(error.message)}
    if stale := _stale(server, root, texts.new, texts.old):
        return {**answer, "why": f"{stale} is not in the editor as it is on disk: save it first"}
    changes, made = {}, {}
    for path, new in texts.new.items():
        old = texts.old.get(path)
        uri, document = edits.uri_of(server, root / path)
        if new is None:
            return {**answer, "why": f"it removes {path}: see tandem fix --resume {report.id}"}
        if old is None:
            made[uri] = new
            continue
        newline = "\r\n" if "\r\n" in old else "\n"
        plain = [text.replace("\r\n", "\n") for text in (old, new)]
        some = edits.between(plain[0], plain[1], newline, server.documents.encoding)
        changes[uri] = (document.version if document else None, some)
    label = f"apply the {best.label} fix"
    edit = edits.workspace_edit(server, label, changes, made)
    applied, why = False, "it was not to be applied"
    if asked.apply:
        applied, why = await edits.offer(server, label, edit)
    return {**answer, "edit": _converter.unstructure(edit), "applied": applied, "why": why}


def _stale(server: "TandemServer", root: Path, paths: Iterable[str], old: Mapping[str, str]) -> str:
    """The first file whose text is another one than the patch is for; "" if all are the same."""
    for path in paths:
        _, document = edits.uri_of(server, root / path)
        if document is not None and document.text != old.get(path, ""):
            return path
        file = root / path
        now = file.read_bytes().decode("utf-8", "replace") if file.is_file() else None
        if document is None and now != old.get(path):
            return path
    return ""
