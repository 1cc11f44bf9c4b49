"""The private copy of a repository: what is in it, what never is, and what hostile ones try."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import beneath, git, worktree
from sandbox.worktree import Limits, snapshot, tar_of
from tandem.errors import TandemError, UsageError
from tests.repositories import MadeRepository


@pytest.fixture
def made(tmp_path: Path) -> MadeRepository:
    return MadeRepository(tmp_path / "made")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "private" / "copy"


def all_bytes(folder: Path) -> bytes:
    """Everything in a folder, objects of git unpacked, so that a word in it is found."""
    found = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    listed = plain_git(folder, "cat-file", "--batch-all-objects", "--batch")
    return b"\n".join([*found, listed])


def plain_git(folder: Path, *arguments: str) -> bytes:
    clean = {"GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ["PATH"]}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=clean, check=True, capture_output=True
    ).stdout


def test_files_come_as_they_stand_in_the_work_tree(made: MadeRepository, into: Path) -> None:
    base = made.commit(
        {"a.py": "one\n", "b/c.py": "two\r\n", "gone.py": "x\n", ".gitignore": "*.log\n"}
    )
    made.write({"a.py": "changed\n", "new.py": "untracked\n", "noise.log": "ignored\n"})
    (made.folder / "gone.py").unlink()
    copy = snapshot(made.folder, into)
    assert copy.base == base
    assert copy.files == (".gitignore", "a.py", "b/c.py", "new.py")
    assert copy.text("a.py") == "changed\n"
    assert (into / "b/c.py").read_bytes() == b"two\r\n"
    assert dict(copy.left_out) == {"gone.py": "not in the work tree"}


def test_a_commit_is_copied_without_what_came_later(made: MadeRepository, into: Path) -> None:
    base = made.commit({"a.py": "bug\n", "tool.sh": "#!/bin/sh\n"})
    made.commit({"a.py": "the later fix\n", "more.py": "later\n"})
    copy = snapshot(made.folder, into, base)
    assert copy.base == base
    assert copy.files == ("a.py", "tool.sh")
    assert copy.text("a.py") == "bug\n"
    assert b"the later fix" not in all_bytes(into)


def test_no_history_comes_along(made: MadeRepository, into: Path) -> None:
    made.commit({"a.py": "the answer is in the past\n"})
    made.git("tag", "solved-in-the-past")
    later = made.commit({"a.py": "now\n"})
    made.git("remote", "add", "origin", "https://user:hunter2@example.org/x.git")
    made.git("config", "user.signingkey", "mine")
    made.write({"a.py": "stashed away\n"})
    made.git("stash")
    made.git("notes", "add", "-m", "a note")
    (made.folder / ".git/hooks").mkdir(exist_ok=True)
    (made.folder / ".git/hooks/post-checkout").write_text("#!/bin/sh\n")
    (made.folder / ".git/description").write_text("described\n")
    copy = snapshot(made.folder, into)
    everything = all_bytes(into)
    for word in (b"in the past", b"stashed", b"hunter2", b"signingkey", b"a note", b"described"):
        assert word not in everything
    assert later.encode() not in everything
    assert plain_git(into, "for-each-ref") == b""
    assert plain_git(into, "rev-list", "--all", "HEAD").split() == [copy.commit.encode()]
    assert plain_git(into, "reflog") == b""
    assert plain_git(into, "remote") == b""
    assert not list((into / ".git").rglob("hooks/*"))
    assert not (into / ".git/objects/info/alternates").exists()
    assert plain_git(into, "status", "--porcelain") == b""
    assert plain_git(into, "fsck", "--full", "--strict") == b""


def test_equal_files_make_equal_copies(made: MadeRepository, into: Path, tmp_path: Path) -> None:
    made.commit({"a.py": "one\n", "b.py": "two\n"})
    first = snapshot(made.folder, into)
    made.commit({})
    os.utime(made.folder / "a.py", (1, 1))
    (made.folder / "a.py").chmod(0o600)
    second = snapshot(made.folder, tmp_path / "again")
    assert first.commit == second.commit
    plain = [name for name in _members(tar_of(first)) if ".git" not in name]
    assert plain == [name for name in _members(tar_of(second)) if ".git" not in name]


def test_secret_files_stay_out_and_are_told(made: MadeRepository, into: Path) -> None:
    made.commit({"a.py": "", "deploy.key": "k\n", "env/.env": "PASSWORD=hunter2\n"})
    made.write({".netrc": "machine x login y password hunter2\n", ".env.example": "PASSWORD=\n"})
    copy = snapshot(made.folder, into)
    assert copy.files == (".env.example", "a.py")
    told = {path for path, reason in copy.left_out if reason == "secret file"}
    assert told == {"deploy.key", "env/.env", ".netrc"}
    assert b"hunter2" not in all_bytes(into)
    at_head = snapshot(made.folder, into.parent / "head", "HEAD")
    assert at_head.files == ("a.py",)
    assert {path for path, _ in at_head.left_out} == {"deploy.key", "env/.env"}


def test_programs_stay_programs(made: MadeRepository, into: Path) -> None:
    made.commit({"run.sh": "#!/bin/sh\n", "a.py": ""})
    (made.folder / "run.sh").chmod(0o4777)
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "program")
    for number, commit in enumerate(("", "HEAD")):
        snapshot(made.folder, into.parent / str(number), commit)
        modes = [(into.parent / str(number) / name).stat().st_mode for name in ("run.sh", "a.py")]
        assert [mode & 0o7777 for mode in modes] == [0o755, 0o644]


@pytest.mark.parametrize("commit", ["", "HEAD"])
def test_links_inside_come_and_links_that_lead_out_do_not(
    made: MadeRepository, tmp_path: Path, commit: str
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/private").write_text("hunter2\n")
    made.write({"src/a.py": "x\n"})
    for name, target in {
        "good": "src/a.py",
        "folder": "src",
        "src/up": "../src/a.py",
        "dangling": "nowhere",
        "absolute": "/etc/passwd",
        "out": "../outside/private",
        "git": ".git/config",
        "here": ".",
        "sly": "here/here/../../outside/private",
        "short": "here/../outside/private",
        "around": "../made/src/a.py",
        "one": "two",
        "two": "one",
    }.items():
        (made.folder / name).symlink_to(target)
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "links")
    copy = snapshot(made.folder, tmp_path / "copy", commit)
    out = {path for path, reason in copy.left_out if reason == "link that leads out"}
    assert out == {"absolute", "out", "git", "sly", "short", "around"}
    assert {"good", "folder", "src/up", "dangling", "here", "one", "two"} <= set(copy.files)
    assert (copy.root / "good").readlink() == Path("src/a.py")
    assert b"hunter2" not in all_bytes(copy.root)


def test_a_folder_that_became_a_link_is_not_followed(made: MadeRepository, into: Path) -> None:
    made.commit({"lib/secret.txt": "ours\n", "a.py": ""})
    outside = made.folder.parent / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("hunter2\n")
    (made.folder / "lib/secret.txt").unlink()
    (made.folder / "lib").rmdir()
    (made.folder / "lib").symlink_to("../outside")
    copy = snapshot(made.folder, into)
    assert dict(copy.left_out) == {
        "lib": "link that leads out",
        "lib/secret.txt": "behind a link",
    }
    assert b"hunter2" not in all_bytes(into)


def test_pipes_and_sockets_are_passed_over(made: MadeRepository, into: Path) -> None:
    made.commit({"pipe": "once a file\n", "a.py": ""})
    (made.folder / "pipe").unlink()
    os.mkfifo(made.folder / "pipe")
    copy = snapshot(made.folder, into)
    assert copy.files == ("a.py",)
    assert dict(copy.left_out) == {"pipe": "no plain file"}


ODD = [
    "sp ace.py",
    "new\nline.py",
    "t\tab.py",
    'quo"te.py',
    "back\\slash.py",
    "-rf",
    "é.py",
    "a" * 250,
]


@pytest.mark.parametrize("commit", ["", "HEAD"])
def test_odd_names_come_along(made: MadeRepository, into: Path, commit: str) -> None:
    names = [*ODD, os.fsdecode(b"latin-\xe9.py")]
    made.commit({name: f"{number}\n" for number, name in enumerate(names)})
    copy = snapshot(made.folder, into, commit)
    assert copy.files == tuple(sorted(names))
    members = _members(tar_of(copy))
    for number, name in enumerate(names):
        assert copy.text(name) == f"{number}\n"
        assert members[name][1] == f"{number}\n".encode()


def test_git_lfs_pointers_are_told(made: MadeRepository, into: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    made.commit({"model.bin": pointer, "a.py": ""})
    copy = snapshot(made.folder, into)
    assert copy.pointers == ("model.bin",)
    assert copy.text("model.bin") == pointer


def test_submodules_come_as_they_stand(made: MadeRepository, tmp_path: Path) -> None:
    inner = MadeRepository(tmp_path / "inner")
    inner.commit({"lib.py": "inner\n", "lib.key": "k\n", ".gitignore": "*.log\n"})
    made.commit({"a.py": ""})
    for name in ("vendor/lib", "empty"):
        made.git(
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            str(inner.folder),
            name,
        )
    made.git("commit", "--quiet", "--message", "submodules")
    made.git("submodule", "--quiet", "deinit", "--force", "empty")
    made.write({"vendor/lib/new.py": "untracked\n", "vendor/lib/x.log": "ignored\n"})
    copy = snapshot(made.folder, tmp_path / "copy")
    assert copy.files == (
        *(".gitmodules", "a.py", "vendor/lib/.gitignore", "vendor/lib/lib.py"),
        "vendor/lib/new.py",
    )
    assert dict(copy.left_out) == {
        "empty": "submodule that is not checked out",
        "vendor/lib/lib.key": "secret file",
    }
    at_head = snapshot(made.folder, tmp_path / "head", "HEAD")
    assert dict(at_head.left_out) == dict.fromkeys(["empty", "vendor/lib"], "submodule of a commit")


def test_a_repository_within_one_comes_without_its_history(
    made: MadeRepository, tmp_path: Path
) -> None:
    made.commit({"a.py": ""})
    inner = MadeRepository(made.folder / "nested")
    inner.commit({"b.py": "old words\n"})
    inner.commit({"b.py": "new\n"})
    copy = snapshot(made.folder, tmp_path / "copy")
    assert copy.files == ("a.py", "nested/b.py")
    assert b"old words" not in all_bytes(copy.root)


def test_a_linked_worktree_is_copied(made: MadeRepository, tmp_path: Path) -> None:
    base = made.commit({"a.py": "main\n"})
    made.git("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    (tmp_path / "side/a.py").write_text("side\n")
    copy = snapshot(tmp_path / "side", tmp_path / "copy")
    assert (copy.base, copy.files, copy.text("a.py")) == (base, ("a.py",), "side\n")
    assert (copy.root / ".git").is_dir()


def test_a_sparse_checkout_has_what_is_checked_out(made: MadeRepository, into: Path) -> None:
    made.commit({"in/a.py": "x\n", "out/b.py": "y\n", "top.py": ""})
    made.git("sparse-checkout", "init", "--cone", "--sparse-index")
    made.git("sparse-checkout", "set", "in")
    copy = snapshot(made.folder, into)
    assert copy.files == ("in/a.py", "top.py")
    assert dict(copy.left_out) == {"out/b.py": "not in the work tree"}
    assert snapshot(made.folder, into.parent / "head", "HEAD").files == (
        *("in/a.py", "out/b.py"),
        "top.py",
    )


def test_a_folder_without_git_is_copied_by_its_gitignore(tmp_path: Path) -> None:
    for name in ("a.py", "deep/er/b.py", "x.log", "build/c.py", "node_modules/d.js", ".env"):
        file = tmp_path / "plain" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x\n")
    (tmp_path / "plain/.gitignore").write_text("*.log\nbuild/\n")
    copy = snapshot(tmp_path / "plain", tmp_path / "copy")
    assert copy.base == ""
    assert copy.commit
    assert copy.files == (".gitignore", "a.py", "deep/er/b.py")
    assert dict(copy.left_out) == {"node_modules": "filled by a tool", ".env": "secret file"}
    with pytest.raises(UsageError, match="no commit"):
        snapshot(tmp_path / "plain", tmp_path / "other", "HEAD")


def test_a_machine_without_git_has_a_copy_too(
    made: MadeRepository, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.commit({"a.py": "x\n", ".gitignore": "*.log\n"})
    made.write({"b.log": ""})
    monkeypatch.setenv("PATH", str(into.parent))
    copy = snapshot(made.folder, into)
    assert (copy.base, copy.commit, copy.files) == ("", "", (".gitignore", "a.py"))
    assert not (into / ".git").exists()


def test_an_empty_repository_is_copied(made: MadeRepository, into: Path) -> None:
    copy = snapshot(made.folder, into)
    assert (copy.base, copy.files) == ("", ())
    assert copy.commit


def test_tools_leavings_are_left_out_though_nothing_ignores_them(
    made: MadeRepository, into: Path
) -> None:
    made.commit({"a.py": ""})
    made.write({"__pycache__/a.cpython-311.pyc": b"\0", "js/node_modules/x/y.js": ""})
    copy = snapshot(made.folder, into)
    assert copy.files == ("a.py",)
    assert dict(copy.left_out) == {
        "__pycache__": "filled by a tool",
        "js/node_modules": "filled by a tool",
    }


@pytest.mark.parametrize("commit", ["", "HEAD"])
@pytest.mark.parametrize("limits", [Limits(files=2), Limits(bytes=2_000)])
def test_what_is_too_large_is_said_in_one_line(
    made: MadeRepository, into: Path, limits: Limits, commit: str
) -> None:
    made.commit({"a.py": "x" * 900, "b.py": "y" * 900, "c.py": "z" * 900})
    with pytest.raises(TandemError, match="is larger than") as caught:
        snapshot(made.folder, into, commit, limits)
    assert "\n" not in str(caught.value)
    assert not into.exists()


def test_one_file_over_the_limit_is_not_read_whole(made: MadeRepository, into: Path) -> None:
    made.commit({"a.py": ""})
    with (made.folder / "sparse").open("wb") as stream:
        stream.truncate(10**12)
    with pytest.raises(TandemError, match="is larger than"):
        snapshot(made.folder, into, limits=Limits(bytes=1_000_000))


def test_a_copy_never_goes_over_what_is_there(made: MadeRepository, tmp_path: Path) -> None:
    made.commit({"a.py": ""})
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("precious")
    for name in ("mine", "full"):
        with pytest.raises(TandemError, match="cannot be copied"):
            snapshot(made.folder, tmp_path / name)
    assert (tmp_path / "full/file").read_text() == "precious"


@pytest.mark.parametrize("name", ["no-such-branch", "--exec=touch", "HEAD~99", ""])
def test_a_commit_that_is_not_there_is_told(made: MadeRepository, into: Path, name: str) -> None:
    made.commit({"a.py": ""})
    if name:
        with pytest.raises(UsageError, match="no commit"):
            snapshot(made.folder, into, name)
    with pytest.raises(UsageError, match="no folder"):
        snapshot(made.folder / "nowhere", into, name)


def hostile(made: MadeRepository) -> Path:
    """Let every setting of a repository that can name a program name one; the file it leaves."""
    sign = made.folder.parent / "it-ran"
    program = made.folder.parent / "program"
    program.write_text(f"#!/bin/sh\ntouch {sign}\ncat\n")
    program.chmod(0o755)
    made.write({".gitattributes": "* filter=evil diff=evil merge=evil\n"})
    for hook in (
        "post-checkout",
        "pre-commit",
        "reference-transaction",
        "post-index-change",
        "update",
    ):
        (made.folder / ".git/hooks").mkdir(exist_ok=True)
        (made.folder / f".git/hooks/{hook}").write_text(program.read_text())
        (made.folder / f".git/hooks/{hook}").chmod(0o755)
    for name in (
        *("core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "core.askPass"),
        *("core.gitProxy", "core.alternateRefsCommand", "diff.external", "diff.evil.textconv"),
        *("diff.evil.command", "filter.evil.clean", "filter.evil.smudge", "filter.evil.process"),
        *("gpg.program", "pager.ls-files", "alias.ls-files", "credential.helper"),
        *("uploadpack.packObjectsHook", "interactive.diffFilter", "remote.origin.uploadpack"),
    ):
        made.git(
            "-c",
            f"core.hooksPath={os.devnull}",
            "-c",
            "core.fsmonitor=",
            "config",
            name,
            str(program),
        )
    made.git("-c", "core.fsmonitor=", "config", "remote.origin.url", f"ext::{program}")
    made.git("-c", "core.fsmonitor=", "config", "remote.origin.promisor", "true")
    return sign


@pytest.mark.parametrize("commit", ["", "HEAD"])
def test_nothing_of_a_hostile_repository_runs(
    made: MadeRepository, into: Path, commit: str
) -> None:
    made.commit({"a.py": "x\n"})
    sign = hostile(made)
    copy = snapshot(made.folder, into, commit)
    assert copy.text("a.py") == "x\n"
    assert not sign.exists()
    assert not (made.folder / ".git/config.lock").exists()


def test_the_same_repository_does_run_things_for_plain_git(made: MadeRepository) -> None:
    made.commit({"a.py": "x\n"})
    sign = hostile(made)
    made.git("status")
    assert sign.exists()


def test_a_missing_object_is_not_fetched(made: MadeRepository, into: Path) -> None:
    made.commit({"a.py": "x\n"})
    sign = hostile(made)
    made.git("-c", "core.fsmonitor=", "config", "core.repositoryFormatVersion", "1")
    made.git("-c", "core.fsmonitor=", "config", "extensions.partialClone", "origin")
    blob = made.git("-c", "core.fsmonitor=", "rev-parse", "HEAD:a.py")
    (made.folder / ".git/objects" / blob[:2] / blob[2:]).unlink()
    copy = snapshot(made.folder, into, "HEAD")
    assert copy.files == ()
    assert dict(copy.left_out) == {"a.py": "not in this clone"}
    assert not sign.exists()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_another_repository_cannot_be_read_through_dot_git(
    made: MadeRepository, tmp_path: Path, kind: str
) -> None:
    made.commit({"private.py": "the user's own\n"})
    evil = tmp_path / "evil"
    evil.mkdir()
    if kind == "file":
        (evil / ".git").write_text(f"gitdir: {made.folder}/.git\n")
    else:
        (evil / ".git").symlink_to(made.folder / ".git")
    with pytest.raises(UsageError):
        snapshot(evil, tmp_path / "copy", "HEAD")
    nested = MadeRepository(tmp_path / "nested")
    nested.commit({"a.py": ""})
    evil.rename(nested.folder / "evil")
    copy = snapshot(nested.folder, tmp_path / "copy")
    assert copy.files == ("a.py",)
    assert dict(copy.left_out)["evil"] == "repository whose git folder is another's"


def test_a_work_tree_elsewhere_is_not_read(made: MadeRepository, tmp_path: Path) -> None:
    made.commit({"a.py": ""})
    (tmp_path / "home").mkdir()
    (tmp_path / "home/diary.txt").write_text("private\n")
    made.git("config", "core.worktree", str(tmp_path / "home"))
    copy = snapshot(made.folder, tmp_path / "copy")
    assert copy.files == ("a.py",)


@pytest.mark.parametrize("name", ["..", ".git", ".GIT", "."])
def test_a_tree_with_forbidden_names_writes_nothing_outside(
    made: MadeRepository, tmp_path: Path, name: str
) -> None:
    made.commit({"a.py": ""})
    blob = subprocess.run(
        *(["git", "hash-object", "-w", "--stdin"],),
        **{"cwd": made.folder, "input": b"evil\n", "capture_output": True, "check": True},
    ).stdout.strip()
    inner = _tree(made, b"100644 config\0" + bytes.fromhex(blob.decode()))
    outer = _tree(made, f"40000 {name}\0".encode() + bytes.fromhex(inner))
    commit = made.git("commit-tree", "-m", "evil", outer)
    copy = snapshot(made.folder, tmp_path / "deep" / "copy", commit)
    assert copy.files == ()
    assert [path for path, _ in copy.left_out] == [f"{name}/config"]
    assert not (tmp_path / "deep/config").exists()
    assert b"evil" not in (copy.root / ".git/config").read_bytes()


def _tree(made: MadeRepository, content: bytes) -> str:
    done = subprocess.run(
        ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"],
        cwd=made.folder,
        input=content,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


def test_a_link_and_a_folder_of_one_name_write_nothing_outside(
    made: MadeRepository, tmp_path: Path
) -> None:
    made.commit({"a.py": ""})

    def blob(text: str) -> bytes:
        done = subprocess.run(
            ["git", "hash-object", "-w", "--stdin"],
            cwd=made.folder,
            input=text.encode(),
            capture_output=True,
            check=True,
        )
        return bytes.fromhex(done.stdout.decode().strip())

    inner = _tree(made, b"120000 b\0" + blob("x"))
    tree = b"120000 a\0" + blob(".") + b"40000 a\0" + bytes.fromhex(inner)
    commit = made.git("commit-tree", "-m", "evil", _tree(made, tree))
    with pytest.raises(TandemError, match="cannot be copied"):
        snapshot(made.folder, tmp_path / "copy", commit)
    assert not (tmp_path / "b").is_symlink()
    assert not (tmp_path / "copy").exists()


def _members(archive: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(archive), errors="surrogateescape") as stream:
        found = {}
        for member in stream:
            data = stream.extractfile(member) if member.isfile() else None
            found[member.name] = (member, data.read() if data else b"")
        return found


def test_an_archive_says_nothing_of_whose_files_they_were(made: MadeRepository, into: Path) -> None:
    made.commit({"src/a.py": "x\n", "run.sh": ""})
    (made.folder / "run.sh").chmod(0o700)
    (made.folder / "link").symlink_to("src/a.py")
    members = _members(tar_of(snapshot(made.folder, into), user=1234))
    for info, _ in members.values():
        assert (info.uid, info.gid, info.uname, info.gname) == (1234, 1234, "", "")
        assert info.mtime == worktree.TIME
        assert info.isdir() or info.isreg() or info.issym()
    assert [members[name][0].mode for name in ("src", "src/a.py", "run.sh")] == [
        *(0o755, 0o644, 0o755),
    ]
    assert members["link"][0].linkname == "src/a.py"
    assert list(members).index("src") < list(members).index("src/a.py")
    assert ".git/HEAD" in members


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["a", "..", ".", "", "b", "\0", ".git"]), min_size=1, max_size=5))
def test_plain_paths_are_those_that_stay_inside(names: list[str]) -> None:
    path = "/".join(names)
    if any(name in ("", ".", "..", "\0") for name in names):
        with pytest.raises(ValueError, match="no plain relative path"):
            beneath.parts(path)
    else:
        assert beneath.parts(path) == names


def test_files_beneath_are_not_reached_through_links(tmp_path: Path) -> None:
    (tmp_path / "top/in").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/f").write_text("secret")
    (tmp_path / "top/l").symlink_to(tmp_path / "out")
    (tmp_path / "top/in/f").symlink_to(tmp_path / "out/f")
    for path in ("l/f", "in/f"):
        with pytest.raises(OSError, match=r"Errno|plain"):
            beneath.read(tmp_path / "top", path, 100)
    with pytest.raises(OSError, match=r"Errno|plain"):
        beneath.put_beside(tmp_path / "top", "l/new", b"x", 0o644)
    beside = beneath.put_beside(tmp_path / "top", "in/f", b"mine", 0o640)
    beneath.move_over(tmp_path / "top", "in/f", beside)
    assert (tmp_path / "top/in/f").read_text() == "mine"
    assert (tmp_path / "out/f").read_text() == "secret"
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["f"]


def test_only_plumbing_is_run(made: MadeRepository) -> None:
    made.commit({"a.py": ""})
    for command in ("add", "checkout", "status", "diff", "fetch", "stash", "commit"):
        with pytest.raises(AssertionError, match="may run"):
            git.run(made.folder, command)


def test_git_sees_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_DIR", "GIT_SSH_COMMAND", "SSH_AUTH_SOCK", "GIT_EXTERNAL_DIFF", "AWS_SECRET"):
        monkeypatch.setenv(name, "x")
    assert not {"GIT_DIR", "GIT_SSH_COMMAND", "SSH_AUTH_SOCK", "GIT_EXTERNAL_DIFF"} & set(
        git.environment()
    )
