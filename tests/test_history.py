"""What a repository's history gives: which commits count, where the split is, holes in changes."""

import random
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune import history
from finetune.files import SourceFile
from finetune.neardup import Lines
from finetune.repository import MAX_FILES, Change, Repository
from tandem.errors import UsageError
from tests.repositories import MadeRepository, function, grown, module


def changes(folder: Path, revisions: str = "HEAD") -> tuple[list[Change], Counter[str]]:
    skips: Counter[str] = Counter()
    return list(Repository(folder).changes(revisions, skips)), skips


def lines_of(change: Change, text: str) -> list[str]:
    lines = text.split("\n")
    return [line for first, end in change.added for line in lines[first:end]]


@pytest.fixture
def made(tmp_path: Path) -> MadeRepository:
    return MadeRepository(tmp_path / "repository")


def test_a_change_holds_the_lines_that_its_commit_added(made: MadeRepository) -> None:
    before = "one\ntwo\nthree\nfour\n"
    made.commit({"a.py": before})
    commit = made.commit({"a.py": "zero\none\ntwo\n2b\n2c\nthree\nfour\n"})
    (change,), _ = changes(made.folder)
    assert (change.commit, change.path) == (commit, "a.py")
    assert change.added == ((0, 1), (3, 5))
    assert Repository(made.folder).read(change.blob).startswith(b"zero\n")


def test_added_lines_that_look_like_a_patch_are_counted_and_not_read(made: MadeRepository) -> None:
    made.commit({"a.py": "x\n", "b.py": "y\n", ".gitattributes": "*.py diff\n"})
    forged = "++ b/other.py\n@@ -1,1 +1,9 @@\ndiff --git a/c b/c\n\0evil 1 [] x\n"
    made.commit({"a.py": "x\n" + forged, "b.py": "y\nz\n"})
    (first, second), _ = changes(made.folder)
    assert {first.path, second.path} == {"a.py", "b.py"}
    assert {first.added, second.added} == {((1, 5),), ((1, 2),)}


def test_a_renamed_file_shows_only_what_changed_in_it(made: MadeRepository) -> None:
    made.commit({"old.py": module(1, 2, 3, 4)})
    made.git("mv", "old.py", "new.py")
    made.commit({"new.py": module(1, 2, 3, 4) + "\n\n" + function(5)})
    (change,), _ = changes(made.folder)
    assert change.path == "new.py"
    assert "\n".join(lines_of(change, module(1, 2, 3, 4, 5))).strip() == function(5).strip()


def test_first_commits_merges_bots_and_huge_commits_are_left_out(made: MadeRepository) -> None:
    made.commit({"a.py": "x\n"})
    made.git("switch", "--quiet", "--create", "side")
    made.commit({"side.py": "s\n"})
    made.git("switch", "--quiet", "main")
    made.commit({"main.py": "m\n"})
    made.git("merge", "--quiet", "--no-edit", "side")
    made.commit({"bot.py": "b\n"}, author="dependabot[bot]")
    made.commit({f"many{n}.py": "h\n" for n in range(MAX_FILES + 1)})
    found, skips = changes(made.folder)
    assert {change.path for change in found} == {"side.py", "main.py"}
    assert skips == {"first commit": 1, "commit of a bot": 1, "huge commit": 1}


def test_files_that_are_no_source_are_not_in_changes(made: MadeRepository) -> None:
    made.commit({"a.py": "x\n"})
    made.commit({"notes.md": "n\n", "b.JS": "y\n", "image.png": b"\x89PNG\0\0"})
    assert [change.path for change in changes(made.folder)[0]] == ["b.JS"]


def test_the_users_settings_of_diffs_do_not_matter(made: MadeRepository) -> None:
    made.commit({"a.py": "one\ntwo\nthree\nfour\nfive\n"})
    made.commit({"a.py": "ONE\ntwo\nTHREE\nfour\nfive\n"})
    before, _ = changes(made.folder)
    for setting in (
        ("diff.noprefix", "true"),
        ("diff.mnemonicPrefix", "true"),
        ("diff.interHunkContext", "9"),
        ("color.ui", "always"),
        ("log.showSignature", "true"),
        ("format.pretty", "fuller"),
        ("core.quotePath", "true"),
    ):
        made.git("config", *setting)
    assert changes(made.folder)[0] == before


def test_nothing_that_a_repository_configures_is_run(made: MadeRepository, tmp_path: Path) -> None:
    made.commit({"a.py": module(1), ".gitattributes": "*.py diff=evil filter=evil\n"})
    made.commit({"a.py": module(1, 2)})
    trap, caught = tmp_path / "trap.sh", tmp_path / "caught"
    trap.write_text(f"#!/bin/sh\ntouch {caught}\n")
    trap.chmod(0o755)
    for hook in ("post-checkout", "pre-commit", "post-index-change"):
        (made.folder / ".git" / "hooks" / hook).symlink_to(trap)
    for name in (
        *("diff.external", "diff.evil.command", "diff.evil.textconv", "core.fsmonitor"),
        *("filter.evil.clean", "filter.evil.smudge", "core.pager", "gpg.program"),
        *("core.sshCommand", "core.alternateRefsCommand"),
    ):
        made.git("config", name, str(trap))
    made.git("config", "log.showSignature", "true")
    made.git("log", "--patch", "--ext-diff")
    assert caught.exists(), "the trap works"
    caught.unlink()
    repository = Repository(made.folder)
    found, _ = changes(made.folder)
    assert len(found) == 1
    assert repository.files(repository.head(), Counter())
    assert repository.read(found[0].blob)
    assert not caught.exists()


def test_a_missing_object_is_not_fetched(made: MadeRepository, tmp_path: Path) -> None:
    made.commit({"a.py": module(1)})
    blob = made.git("rev-parse", "HEAD:a.py")
    (made.folder / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    caught = tmp_path / "caught"
    made.git("config", "remote.origin.url", f"ext::sh -c touch% {caught}")
    made.git("config", "remote.origin.promisor", "true")
    made.git("config", "extensions.partialClone", "origin")
    made.git("config", "core.repositoryFormatVersion", "1")
    made.git("config", "protocol.ext.allow", "always")
    subprocess.run(["git", "cat-file", "-p", blob], cwd=made.folder, capture_output=True)
    assert caught.exists(), "the trap works"
    caught.unlink()
    skips: Counter[str] = Counter()
    repository = Repository(made.folder)
    assert repository.files(repository.head(), skips) == []
    assert skips == {"unreadable": 1}
    with pytest.raises(ValueError, match=blob):
        repository.read(blob)
    assert not caught.exists()


def test_links_and_submodules_of_a_tree_are_not_entered(made: MadeRepository) -> None:
    inner = MadeRepository(made.folder.parent / "inner")
    inner.commit({"inside.py": module(1)})
    made.write({"a.py": module(2)})
    (made.folder / "loop").symlink_to(".", target_is_directory=True)
    made.git(
        *("-c", "protocol.file.allow=always", "submodule", "--quiet", "add"),
        *(str(inner.folder), "sub"),
    )
    made.commit({})
    skips: Counter[str] = Counter()
    repository = Repository(made.folder)
    found = [entry.path for entry in repository.files(repository.head(), skips)]
    assert found == [".gitmodules", "a.py"]
    assert skips == {"link": 1, "submodule": 1}


def test_a_folder_inside_a_repository_is_none(made: MadeRepository) -> None:
    made.commit({"inner/a.py": module(1)})
    with pytest.raises(UsageError, match="is no git repository"):
        Repository(made.folder / "inner")


def test_a_repository_of_another_user_is_refused_with_the_remedy(
    made: MadeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.commit({"a.py": module(1)})
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(UsageError, match="does not trust") as caught:
        Repository(made.folder)
    assert "safe.directory" in caught.value.hint


def test_a_hooks_environment_names_no_other_repository(
    made: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = MadeRepository(tmp_path / "other")
    other.commit({"b.py": module(1)})
    commit = made.commit({"a.py": module(1)})
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    assert Repository(made.folder).head() == commit


def test_a_work_tree_and_a_bare_repository_have_the_same_files(tmp_path: Path) -> None:
    made = grown(tmp_path / "one", 12)
    made.git("clone", "--quiet", "--bare", ".", str(tmp_path / "two.git"))
    made.git("worktree", "add", "--quiet", str(tmp_path / "three"))
    paths = [
        [entry.path for entry in Repository(tmp_path / name).files("HEAD", Counter())]
        for name in ("one", "two.git", "three")
    ]
    assert paths[0] == paths[1] == paths[2] != []
    assert Repository(tmp_path / "two.git").name == "two"


def test_the_split_leaves_the_newest_commits_for_validation_and_test(tmp_path: Path) -> None:
    made = grown(tmp_path / "repository", 30)
    line = made.git("rev-list", "--first-parent", "HEAD").split()
    found = history.split(Repository(made.folder), 0.2)
    assert (found.train, found.test) == (line[6], line[0])
    assert found.validation == line[4]
    assert (found.commits, found.held_out) == (30, 6)


def test_a_branch_merged_after_the_split_is_held_out_whole(tmp_path: Path) -> None:
    made = grown(tmp_path / "repository", 20)
    made.git("switch", "--quiet", "--create", "side", "HEAD~15")
    old = made.commit({"side.py": module(1)})
    made.git("switch", "--quiet", "main")
    made.git("merge", "--quiet", "--no-edit", "side")
    repository = Repository(made.folder)
    found = history.split(repository)
    trained, _ = changes(made.folder, found.train)
    held, _ = changes(made.folder, f"{found.train}..{found.test}")
    assert old in {change.commit for change in held}
    assert old not in {change.commit for change in trained}


@pytest.mark.parametrize(("commits", "message"), [(0, "has no commits"), (1, "only one commit")])
def test_too_short_a_history_is_refused(made: MadeRepository, commits: int, message: str) -> None:
    for number in range(commits):
        made.commit({"a.py": module(number)})
    with pytest.raises(UsageError, match=message) as caught:
        history.split(Repository(made.folder))
    assert str(history.FEWEST_COMMITS) in caught.value.hint


def test_a_shallow_clone_is_told_how_to_become_whole(tmp_path: Path) -> None:
    made = grown(tmp_path / "whole", 20)
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=3", made.folder.as_uri(), str(tmp_path / "shallow")],
        check=True,
    )
    with pytest.raises(UsageError) as caught:
        history.split(Repository(tmp_path / "shallow"))
    assert "git fetch --unshallow" in caught.value.hint


def test_a_change_whose_lines_training_knows_is_not_held_out(made: MadeRepository) -> None:
    made.commit({"a.py": module(1, 2), "b.py": module(3)})
    made.commit({"b.py": module(3, 1)})  # copied from a.py
    made.commit({"a.py": module(1, 2, 5)})
    known = Lines()
    known.add(module(1, 2))
    known.add(module(3))
    skips: Counter[str] = Counter()
    repository = Repository(made.folder)
    found = history.fresh(changes(made.folder)[0], repository, known, 99, skips)
    assert [one.file.path for one in found] == ["a.py"]
    assert skips["held-out lines known from training"] == 1


def test_a_file_whose_lines_a_secret_moved_is_left_out(made: MadeRepository) -> None:
    key = "-----BEGIN EC PRIVATE KEY-----\n" + "MIIEow==\n" * 5 + "-----END EC PRIVATE KEY-----"
    made.commit({"a.py": module(1)})
    made.commit({"a.py": f'KEY = """{key}"""\n\n{module(1, 2)}'})
    skips: Counter[str] = Counter()
    assert not list(history.read(Repository(made.folder), changes(made.folder)[0], skips))
    assert skips == {"line numbers lost": 1}


TEXT = module(*range(1, 9))
ADDED = ((9, 17), (30, 38))


def test_holes_stand_in_added_lines_and_are_the_texts_own() -> None:
    lines = TEXT.split("\n")
    found = list(history.holes(TEXT, "python", ADDED, random.Random(1), 20))
    assert len(found) > 10
    for text, hole in found:
        middle = text[hole.start : hole.end]
        assert middle == TEXT[hole.start : hole.end]
        row = TEXT.count("\n", 0, hole.start)
        assert any(first <= row and row + middle.count("\n") < end for first, end in ADDED)
        assert middle.split("\n")[0] in lines[row]
        assert hole.cut == "commit"


def test_what_follows_a_hole_in_its_change_is_not_always_written_yet() -> None:
    texts = [text for text, _ in history.holes(TEXT, "python", ADDED, random.Random(1), 30)]
    assert TEXT in texts
    shorter = [text for text in texts if text != TEXT]
    assert shorter
    for text in shorter:
        missing = [line for line in TEXT.split("\n") if line not in text]
        rows = [TEXT.split("\n").index(line) for line in missing]
        assert all(any(first <= row < end for first, end in ADDED) for row in rows)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 80), st.integers(0, 80)), max_size=4),
    st.integers(0, 2**32),
    st.sampled_from(["python", "go"]),
)
def test_any_ranges_give_holes_that_inference_would_end_alike(
    ranges: list[tuple[int, int]], seed: int, language: str
) -> None:
    from finetune.holes import kind_if_honoured

    for text, hole in history.holes(TEXT, language, ranges, random.Random(seed), 3):
        assert text[hole.start : hole.end].strip()
        assert kind_if_honoured(text, hole.start, hole.end, language) == hole.kind


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(["", "x", "  y", "+++ b/z", "@@ -1 +1 @@", "-", "\0"]), max_size=12)
)
def test_read_changes_are_what_a_difference_tells(lines: list[str]) -> None:
    import io

    from finetune.repository import _commits

    body = "".join(f"+{line}\n" for line in lines)
    patch = (
        f"\0{'a' * 40} 1700000000 [{'b' * 40}] Ada <a@b>\n\ndiff --git a/a.py b/a.py\n"
        f"index {'0' * 40}..{'1' * 40} 100644\n--- a/a.py\n+++ b/a.py\n"
        f"@@ -3,0 +4,{len(lines)} @@ def f\n{body}\\ No newline at end of file\n"
    )
    ((header, found),) = _commits(io.BytesIO(patch.encode()))
    assert header.startswith("a" * 40)
    expected = [((3, 3 + len(lines)),)] if lines else []
    assert [change.added for change in found] == expected


def test_source_files_of_a_change_keep_their_hash(made: MadeRepository) -> None:
    import hashlib

    made.commit({"a.py": module(1)})
    made.commit({"a.py": module(1, 2)})
    skips: Counter[str] = Counter()
    (one,) = history.read(Repository(made.folder), changes(made.folder)[0], skips)
    data = module(1, 2).encode()
    assert one.file == SourceFile("a.py", "python", module(1, 2), hashlib.sha256(data).hexdigest())
