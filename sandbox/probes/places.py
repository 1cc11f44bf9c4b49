"""Places on the host where probes try what could go wrong: folders and repositories of their own."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tandem import paths

SECRET = "hunter2-of-the-host"  # noqa: S105


@contextlib.contextmanager
def a_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tandem-probe-") as name:
        yield Path(name).resolve()


def plain_git(folder: Path, *arguments: str) -> bytes:
    """Git as a person without care runs it, but for the user's own settings."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=x", "-c", "user.email=x@localhost")
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, env=clean, check=True, capture_output=True
    ).stdout


def repository(folder: Path) -> Path:
    made = folder / "repository"
    made.mkdir()
    plain_git(made, "init", "--quiet")
    (made / "module.py").write_text("value = 1\n")
    plain_git(made, "add", ".")
    plain_git(made, "commit", "--quiet", "--message", "first")
    return made


@contextlib.contextmanager
def home(folder: Path) -> Iterator[None]:
    """Tandem's own folders, for a while in another place."""
    before = os.environ.get("TANDEM_HOME")
    os.environ["TANDEM_HOME"] = str(folder / "home")
    try:
        assert paths.state_dir().is_relative_to(folder)
        yield
    finally:
        del os.environ["TANDEM_HOME"]
        if before is not None:
            os.environ["TANDEM_HOME"] = before


def everything(folder: Path) -> bytes:
    """All bytes in a repository, git's objects unpacked, so that a word in it is found."""
    objects = plain_git(folder, "cat-file", "--batch-all-objects", "--batch")
    return b"\n".join([objects, *(f.read_bytes() for f in folder.rglob("*") if f.is_file())])
