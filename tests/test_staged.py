"""Staged changes of real repositories, also of ones that would run something if git diffed them."""

import subprocess
from pathlib import Path

import pytest

from sandbox.staged import MOST_BYTES, staged
from tandem.errors import UsageError


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("one\ntwo\nthree\n")
    (tmp_path / "gone.py").write_text("bye\n")
    (tmp_path / "old.py").write_text("the same\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_changed_added_removed_and_moved_files(repository: Path) -> None:
    (repository / "a.py").write_text("one\n2\nthree\n")
    (repository / "new.py").write_text("hello\n")
    git(repository, "mv", "old.py", "moved.py")
    git(repository, "rm", "-q", "gone.py")
    git(repository, "add", ".")
    (repository / "a.py").write_text("not staged\n")
    diffs = {change.path: change.diff for change in staged(repository)}
    assert list(diffs) == ["a.py", "gone.py", "moved.py", "new.py"]
    assert diffs["a.py"].split("\n")[:2] == ["--- a/a.py", "+++ b/a.py"]
    assert "-two\n+2" in diffs["a.py"]
    assert "+++ /dev/null" in diffs["gone.py"]
    assert diffs["moved.py"] == "rename from old.py\nrename to moved.py"
    assert diffs["new.py"].startswith("--- /dev/null\n+++ b/new.py")


def test_before_the_first_commit_everything_is_new(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("x\n")
    git(tmp_path, "add", ".")
    [change] = staged(tmp_path)
    assert (change.before, change.after) == (None, "x\n")


def test_nothing_staged_is_nothing(repository: Path) -> None:
    (repository / "a.py").write_text("not staged\n")
    assert staged(repository) == []


def test_what_cannot_be_shown_is_told(repository: Path) -> None:
    (repository / "picture.bin").write_bytes(b"\0\1\2")
    (repository / "long.txt").write_text("x" * (MOST_BYTES + 1))
    (repository / ".env").write_text("KEY=hunter2\n")
    (repository / "a.py").chmod(0o755)
    git(repository, "add", "--force", ".")
    diffs = {change.path: change.diff for change in staged(repository)}
    assert diffs["picture.bin"] == "picture.bin: binary file added, 3 bytes"
    assert diffs["long.txt"] == f"long.txt: large file added, {MOST_BYTES + 1:,} bytes"
    assert diffs[".env"] == ".env: file of secrets added, not shown"
    assert diffs["a.py"] == "a.py: mode 100644 is now 100755"


def test_nothing_that_the_repository_names_is_run(repository: Path) -> None:
    ran = repository.parent / "ran"
    git(repository, "config", "diff.evil.textconv", f"touch {ran}; cat")
    git(repository, "config", "diff.external", f"touch {ran}")
    git(repository, "config", "filter.evil.smudge", f"touch {ran}; cat")
    (repository / ".gitattributes").write_text("* diff=evil filter=evil\n")
    (repository / "a.py").write_text("changed\n")
    git(repository, "add", ".")
    ran.unlink(missing_ok=True)
    assert {change.path for change in staged(repository)} == {".gitattributes", "a.py"}
    assert not ran.exists()


def test_conflicts_are_told(repository: Path) -> None:
    git(repository, "checkout", "-qb", "other")
    (repository / "a.py").write_text("theirs\n")
    git(repository, "commit", "-qam", "theirs")
    git(repository, "checkout", "-q", "-")
    (repository / "a.py").write_text("ours\n")
    git(repository, "commit", "-qam", "ours")
    with pytest.raises(subprocess.CalledProcessError):
        git(repository, "merge", "other")
    with pytest.raises(UsageError, match=r"a\.py has conflicts"):
        staged(repository)


def test_a_folder_without_git_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no git repository"):
        staged(tmp_path)


def test_names_with_spaces_and_letters_of_all_kinds(repository: Path) -> None:
    (repository / "ein Wort ä\tb.py").write_text("x\n")
    git(repository, "add", ".")
    assert [change.path for change in staged(repository)] == ["ein Wort ä\tb.py"]
