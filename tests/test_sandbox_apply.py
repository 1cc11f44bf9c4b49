"""Patches written into a user's work tree: all or nothing, with a way back."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox import apply as applying
from sandbox import beneath
from sandbox.apply import REFS, apply, backups, undo
from sandbox.patch import Patch
from tandem.errors import TandemError, UsageError
from tests.repositories import MadeRepository

REPOSITORY = Path(__file__).parent.parent
OLD = {"a.py": "one\n", "src/b.py": "two\r\nmore"}
NEW: dict[str, str | None] = {"a.py": "ONE\n", "src/b.py": "TWO\r\nmore", "src/new.py": "made\n"}


@pytest.fixture
def made(tmp_path: Path) -> MadeRepository:
    repository = MadeRepository(tmp_path / "made")
    repository.commit({**OLD, ".gitignore": "*.log\n", "c.py": "three\n"})
    return repository


def state(repository: MadeRepository) -> dict[str, object]:
    """All that a patch, refused or taken back, must leave as it was."""
    folder = repository.folder
    files = {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mode)
        for file in folder.rglob("*")
        if file.is_file() and ".git" not in file.relative_to(folder).parts
    }
    index = hashlib.sha256((folder / ".git/index").read_bytes()).hexdigest()
    head = (folder / ".git/HEAD").read_text()
    return {
        "files": files,
        "index": index,
        "head": head,
        "refs": repository.git("for-each-ref", "refs/heads"),
    }


def texts(repository: MadeRepository) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for path in NEW:
        file = repository.folder / path
        found[path] = file.read_bytes().decode() if file.exists() else None
    return found


def test_a_patch_is_written_and_taken_back(made: MadeRepository) -> None:
    before = state(made)
    done = apply(made.folder, Patch(NEW), OLD, "run-1")
    assert (done.id, done.ref, done.files) == ("run-1", f"{REFS}run-1", tuple(sorted(NEW)))
    assert texts(made) == NEW
    assert (made.folder / "c.py").read_text() == "three\n"
    assert backups(made.folder) == ["run-1"]
    assert undo(made.folder, "run-1") == tuple(sorted(NEW))
    assert state(made) == before
    assert undo(made.folder, "run-1") == ()


def test_the_backup_has_the_index_and_untracked_files_and_touches_neither(
    made: MadeRepository,
) -> None:
    made.write({"a.py": "staged\n", "c.py": "three staged\n"})
    made.git("add", "a.py", "c.py")
    made.write(
        {
            "a.py": "one\n",
            "untracked.txt": "mine\n",
            "noise.log": "ignored\n",
            ".env": "K=hunter2\n",
        }
    )
    (made.folder / "run.sh").write_text("#!/bin/sh\n")
    (made.folder / "run.sh").chmod(0o755)
    (made.folder / "link").symlink_to("a.py")
    head = made.git("rev-parse", "HEAD")
    before = state(made)
    ref = apply(made.folder, Patch({"a.py": "ONE\n"}), OLD, "x").ref
    assert {**state(made), "files": 0} == {**before, "files": 0}
    assert made.git("show", f"{ref}:a.py") == "one"
    assert made.git("show", f"{ref}:untracked.txt") == "mine"
    assert made.git("show", f"{ref}~1:a.py") == "staged"
    assert made.git("show", f"{ref}~1:c.py") == "three staged"
    assert made.git("rev-parse", f"{ref}~2") == head
    listed = made.git("ls-tree", "-r", ref).splitlines()
    modes = {row.split("\t")[1]: row.split(" ")[0] for row in listed}
    assert modes["run.sh"] == "100755"
    assert modes["link"] == "120000"
    assert not {"noise.log", ".env"} & set(modes)
    assert made.git("rev-parse", f"{ref}~1^{{tree}}") == made.git("write-tree")
    assert "untracked.txt" in made.git("ls-files", "--others")
    assert made.git("stash", "list") == ""
    made.git("fsck", "--strict")


def test_a_repository_without_a_commit_has_a_way_back_too(tmp_path: Path) -> None:
    made = MadeRepository(tmp_path / "young")
    made.write({"a.py": "one\n"})
    apply(made.folder, Patch({"a.py": "two\n"}), {"a.py": "one\n"}, "x")
    assert undo(made.folder, "x") == ("a.py",)
    assert (made.folder / "a.py").read_text() == "one\n"


def test_a_linked_worktree_and_odd_names_have_a_way_back(
    made: MadeRepository, tmp_path: Path
) -> None:
    made.commit({'quo"te\n.txt': "x", "back\\slash": "y", "tab\t": "z", os.fsdecode(b"\xe9"): "w"})
    made.git("worktree", "add", "--quiet", str(tmp_path / "side"))
    ref = apply(tmp_path / "side", Patch(NEW), OLD, "x").ref
    assert made.git("diff", "--name-only", "HEAD", ref) == ""
    undo(tmp_path / "side", "x")
    assert (tmp_path / "side/a.py").read_text() == "one\n"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda folder: (folder / "a.py").write_text("mine\n"), "a.py has changed since"),
        (lambda folder: (folder / "src/b.py").write_bytes(b"two\nmore"), "src/b.py has changed"),
        (lambda folder: (folder / "a.py").unlink(), "a.py is gone"),
        (lambda folder: (folder / "src/new.py").write_text(""), "src/new.py is there by now"),
        (lambda folder: (folder / "src/new.py").mkdir(), "src/new.py cannot be read"),
    ],
)
def test_files_that_changed_since_are_not_written_over(
    made: MadeRepository, change, why: str
) -> None:
    change(made.folder)
    before = state(made)
    with pytest.raises(TandemError, match=why) as caught:
        apply(made.folder, Patch(NEW), OLD, "x")
    assert "\n" not in str(caught.value)
    assert state(made) == before
    assert backups(made.folder) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nothing_is_written_through_a_link(made: MadeRepository, tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.py").write_bytes(OLD["src/b.py"].encode())
    (made.folder / "src/b.py").unlink()
    if kind == "file":
        (made.folder / "src/b.py").symlink_to(outside / "b.py")
    else:
        (made.folder / "src").rmdir()
        (made.folder / "src").symlink_to(outside)
    with pytest.raises(TandemError, match="cannot be read as a plain file"):
        apply(made.folder, Patch(NEW), OLD, "x")
    assert (outside / "b.py").read_bytes() == OLD["src/b.py"].encode()
    assert not (outside / "new.py").exists()
    assert (made.folder / "a.py").read_text() == "one\n"


def test_another_name_of_the_same_file_keeps_its_text(made: MadeRepository, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").hardlink_to(made.folder / "a.py")
    apply(made.folder, Patch(NEW), OLD, "x")
    assert (tmp_path / "elsewhere").read_text() == "one\n"


@pytest.mark.parametrize(
    "path", ["../x.py", "/tmp/x.py", ".git/hooks/pre-commit", "conftest.py", ".env", "setup.py"]
)
def test_what_may_not_leave_a_sandbox_is_not_written(made: MadeRepository, path: str) -> None:
    before = state(made)
    with pytest.raises(TandemError, match="is refused"):
        apply(made.folder, Patch({path: "x\n"}), OLD, "x")
    assert state(made) == before


def test_permissions_stay(made: MadeRepository) -> None:
    (made.folder / "a.py").chmod(0o750)
    apply(made.folder, Patch({"a.py": "x\n", "n.py": "y\n"}), OLD, "x")
    assert (made.folder / "a.py").stat().st_mode & 0o777 == 0o750
    assert (made.folder / "n.py").stat().st_mode & 0o777 == 0o644
    undo(made.folder, "x")
    assert (made.folder / "a.py").stat().st_mode & 0o777 == 0o750


def test_a_removed_file_comes_back(made: MadeRepository) -> None:
    before = state(made)
    apply(made.folder, Patch({"a.py": None}), OLD, "x")
    assert not (made.folder / "a.py").exists()
    undo(made.folder, "x")
    assert state(made) == before


@pytest.mark.parametrize("failing", [1, 2, 3])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_no_file_changed(
    made: MadeRepository, monkeypatch: pytest.MonkeyPatch, failing: int, error: BaseException
) -> None:
    before = state(made)
    real, calls = beneath.move_over, iter(range(1, 100))

    def breaks(root: Path, path: str, beside: str) -> None:
        if next(calls) == failing:
            raise error
        real(root, path, beside)

    monkeypatch.setattr(beneath, "move_over", breaks)
    with pytest.raises((TandemError, KeyboardInterrupt)):
        apply(made.folder, Patch(NEW), OLD, "x")
    assert state(made) == before


def test_a_change_while_the_backup_is_made_is_seen(
    made: MadeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = beneath.put_beside

    def races(root: Path, path: str, data: bytes, permissions: int) -> str:
        (made.folder / "a.py").write_text("the user typed this\n")
        return real(root, path, data, permissions)

    monkeypatch.setattr(beneath, "put_beside", races)
    with pytest.raises(TandemError, match=r"a\.py has changed"):
        apply(made.folder, Patch(NEW), OLD, "x")
    assert texts(made) == {**OLD, "a.py": "the user typed this\n", "src/new.py": None}
    assert not list(made.folder.rglob(".tandem-*"))


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_killed_process_can_be_undone(made: MadeRepository, after: int) -> None:
    before = state(made)
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from sandbox import beneath\n"
        "from sandbox.apply import apply\n"
        "from sandbox.patch import Patch\n"
        "from tests.test_sandbox_apply import NEW, OLD\n"
        "real, left = beneath.move_over, int(sys.argv[2])\n"
        "def move_over(*arguments):\n"
        "    global left\n"
        "    if left == 0:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    left -= 1\n"
        "    real(*arguments)\n"
        "beneath.move_over = move_over\n"
        "apply(Path(sys.argv[1]), Patch(NEW), OLD, 'killed')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(made.folder), str(after)], cwd=REPOSITORY, check=False
    )
    assert done.returncode == (-signal.SIGKILL if after < 3 else 0)
    undo(made.folder, "killed")
    assert state(made) == before


def test_undo_does_not_take_away_later_work(made: MadeRepository) -> None:
    apply(made.folder, Patch(NEW), OLD, "x")
    (made.folder / "a.py").write_text("later work\n")
    before = state(made)
    with pytest.raises(TandemError, match=r"a\.py was changed since"):
        undo(made.folder, "x")
    assert state(made) == before


def test_undo_needs_a_backup_of_ours(made: MadeRepository) -> None:
    with pytest.raises(UsageError, match="no backup"):
        undo(made.folder, "nothing")
    made.git("update-ref", f"{REFS}forged", "HEAD")
    with pytest.raises(TandemError, match="no backup of this version"):
        undo(made.folder, "forged")


def test_a_forged_backup_writes_nothing_outside(made: MadeRepository, tmp_path: Path) -> None:
    for number, path in enumerate(("../out.txt", ".git/config", "/tmp/x")):
        message = json.dumps({"v": 1, "files": {path: ["", ""]}})
        commit = made.git("commit-tree", "-m", message, "HEAD^{tree}")
        made.git("update-ref", f"{REFS}f{number}", commit)
        with pytest.raises(TandemError, match="no backup of this version"):
            undo(made.folder, f"f{number}")


@pytest.mark.parametrize("id", ["../x", "a b", "x.lock", "-x", "a/b", "x" * 65])
def test_an_id_is_a_plain_word(made: MadeRepository, id: str) -> None:
    with pytest.raises(UsageError, match="no id"):
        apply(made.folder, Patch(NEW), OLD, id)


def test_ids_are_not_used_twice(made: MadeRepository) -> None:
    apply(made.folder, Patch({"a.py": "x\n"}), OLD, "x")
    with pytest.raises(TandemError, match="already"):
        apply(made.folder, Patch({"a.py": "y\n"}), {"a.py": "x\n"}, "x")
    second = apply(made.folder, Patch({"a.py": "y\n"}), {"a.py": "x\n"})
    assert set(backups(made.folder)) == {"x", second.id}
    undo(made.folder, second.id)
    undo(made.folder, "x")
    assert (made.folder / "a.py").read_text() == "one\n"


def test_without_git_there_is_no_way_back_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one\n")
    with pytest.raises(UsageError, match="no way back"):
        apply(tmp_path, Patch({"a.py": "x\n"}), OLD)
    assert (tmp_path / "a.py").read_text() == "one\n"


def test_an_ignored_file_has_no_way_back(made: MadeRepository) -> None:
    made.write({"x.log": "noise\n"})
    with pytest.raises(TandemError, match=r"git ignores x\.log"):
        apply(made.folder, Patch({"x.log": "y\n"}), {"x.log": "noise\n"}, "x")
    assert (made.folder / "x.log").read_text() == "noise\n"


def test_conflicts_are_resolved_first(made: MadeRepository) -> None:
    made.git("checkout", "--quiet", "-b", "side")
    made.commit({"c.py": "side\n"})
    made.git("checkout", "--quiet", "main")
    made.commit({"c.py": "main\n"})
    with pytest.raises(subprocess.CalledProcessError):
        made.git("merge", "side")
    with pytest.raises(TandemError, match="conflicts of a merge"):
        apply(made.folder, Patch(NEW), OLD, "x")
    assert (made.folder / "a.py").read_text() == "one\n"


def test_a_submodule_is_left_to_its_own_repository(made: MadeRepository, tmp_path: Path) -> None:
    inner = MadeRepository(tmp_path / "inner")
    inner.commit({"lib.py": "x\n"})
    made.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.folder), "sub"
    )
    made.git("commit", "--quiet", "--message", "submodule")
    with pytest.raises(TandemError, match="in a submodule"):
        apply(made.folder, Patch({"sub/lib.py": "y\n"}), {"sub/lib.py": "x\n"}, "x")
    ref = apply(made.folder, Patch(NEW), OLD, "y").ref
    assert made.git("ls-tree", ref, "sub").startswith("160000 commit")
    assert made.git("diff", "--name-only", "HEAD", ref) == ""


def test_nothing_of_a_hostile_repository_runs(made: MadeRepository) -> None:
    sign = made.folder.parent / "it-ran"
    program = made.folder.parent / "program"
    program.write_text(f"#!/bin/sh\ntouch {sign}\ncat\n")
    program.chmod(0o755)
    for hook in ("reference-transaction", "post-index-change", "pre-auto-gc"):
        (made.folder / ".git/hooks").mkdir(exist_ok=True)
        (made.folder / f".git/hooks/{hook}").write_text(program.read_text())
        (made.folder / f".git/hooks/{hook}").chmod(0o755)
    quiet = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=")
    made.write({".gitattributes": "* filter=evil\n"})
    for name in ("core.fsmonitor", "filter.evil.clean", "filter.evil.process", "gpg.program"):
        made.git(*quiet, "config", name, str(program))
    made.git(*quiet, "config", "commit.gpgSign", "true")
    apply(made.folder, Patch(NEW), OLD, "x")
    undo(made.folder, "x")
    assert not sign.exists()
    made.git("update-ref", "refs/heads/control", "HEAD")
    assert sign.exists()  # what plain git runs here


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.dictionaries(st.sampled_from(["a.py", "d/b.py", "d/e/c.py"]), st.text("xy\r\n", max_size=6)),
    st.dictionaries(
        st.sampled_from(["a.py", "d/b.py", "d/e/c.py"]), st.none() | st.text("xy\r\n", max_size=6)
    ),
)
def test_any_patch_is_written_and_taken_back(
    made: MadeRepository, old: dict[str, str], new: dict[str, str | None]
) -> None:
    new = {path: text for path, text in new.items() if old.get(path) != text}
    for path in ("a.py", "d/b.py", "d/e/c.py"):
        (made.folder / path).unlink(missing_ok=True)
    made.write(dict(old))
    if not new:
        return
    before = state(made)
    done = apply(made.folder, Patch(new), old)
    for path, text in {**old, **new}.items():
        file = made.folder / path
        assert (file.read_bytes().decode() if file.exists() else None) == text
    assert set(undo(made.folder, done.id)) == set(new)
    assert state(made) == before


def test_the_largest_file_is_told(made: MadeRepository) -> None:
    with (made.folder / "a.py").open("wb") as stream:
        stream.truncate(applying.LARGEST + 1)
    with pytest.raises(TandemError, match="cannot be read as a plain file"):
        apply(made.folder, Patch(NEW), OLD, "x")
