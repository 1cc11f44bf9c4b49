"""Tests that a chat model writes: where they go, and how they fare in the sandbox before they do."""

import re
from dataclasses import dataclass
from pathlib import Path

from sandbox import once
from tandem import secrets
from tandem.errors import TandemError, UsageError

_SAID = re.compile(r"^(PASSED|FAILED|ERROR) (\S.*)$", re.MULTILINE)
MOST_LINES = 30  # of an output


@dataclass(frozen=True)
class Outcome:
    """Names of tests. `told` is the end of the output where not all passed."""

    passed: list[str]
    failed: list[str]
    told: str

    def __str__(self) -> str:
        if not (self.passed or self.failed):
            return "no test ran"
        return f"{len(self.passed)} passed, {len(self.failed)} failed"


def file_for(path: Path, root: Path | None) -> Path:
    """A name for tests of that file that nothing has yet."""
    folder = root / "tests" if root and (root / "tests").is_dir() else path.parent
    for number in ("", *(f"_{n}" for n in range(2, 100))):
        file = folder / f"test_{path.stem}{number}{path.suffix}"
        if not file.exists():
            return file
    raise UsageError(f"{folder} has too many tests of {path.name}.", "Remove some.")


def wish(path: Path, root: Path | None) -> str:
    """What a model must know to write them: how a Python file is imported."""
    if path.suffix != ".py":
        return ""
    parts = list((path.relative_to(root) if root else Path(path.name)).with_suffix("").parts)
    parts = parts[1:] if parts[0] == "src" else parts
    parts = parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts
    return f"Use pytest, and import what you test from {'.'.join(parts)}."


def run(root: Path, file: Path, code: str) -> Outcome:
    """The tests, with pytest on a copy of the repository; nothing of it stays.

    Raises TandemError where there is no sandbox.
    """
    path = file.relative_to(root).as_posix()
    words = ("python3", "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", path)
    ran = once.run(root, words, files={path: code.encode()})
    output = secrets.redact((ran.stdout + ran.stderr).decode("utf-8", "replace"))
    found = _SAID.findall(output)
    passed = [name for word, name in found if word == "PASSED"]
    failed = [name for word, name in found if word != "PASSED"]
    whole = passed and not failed and not ran.exit_code
    told = "" if whole else "\n".join(output.strip().split("\n")[-MOST_LINES:])
    return Outcome(passed, failed, told)


def create(file: Path, code: str) -> None:
    """Raises TandemError if the file is there already."""
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(code if code.endswith("\n") else code + "\n")
    except OSError as error:
        raise TandemError(f"Cannot write {file}: {error.strerror}.") from error
