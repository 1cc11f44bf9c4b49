"""Which adapter a repository uses follows from the history of what was done."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from completion import activations
from completion.activations import Entry, History, active, in_use, stack
from tandem.errors import ModelError


def entry(action: str, name: str, repository: str = "/r", model: str = "m") -> Entry:
    if action == "remove":
        repository = model = ""
    return Entry.model_validate(
        {"action": action, "name": name, "repository": repository, "model": model, "time": "t"}
    )


def told(*words: str) -> list[Entry]:
    """ "use a" and so on, for one repository."""
    return [entry(*word.split(" ")) for word in words]


def write(entries: list[Entry]) -> None:
    activations.file().parent.mkdir(parents=True, exist_ok=True)
    activations.file().write_text(History(entries=entries).model_dump_json())


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], []),
        (["use a"], ["a"]),
        (["use a", "use b"], ["a", "b"]),
        (["use a", "use a"], ["a"]),
        (["use a", "use b", "rollback a"], ["a"]),
        (["use a", "use b", "use c", "rollback a"], ["a"]),
        (["use a", "rollback "], []),
        (["use a", "use b", "rollback a", "use c"], ["a", "c"]),
        (["use a", "use b", "use a", "rollback b"], ["a", "b"]),
        (["use a", "use b", "remove a"], ["b"]),
        (["use a", "use b", "remove b"], []),
        (["use a", "remove a", "use a"], ["a"]),
        (["use a", "remove other"], ["a"]),
    ],
)
def test_the_stack_of_a_repository(words: list[str], names: list[str]) -> None:
    assert stack(told(*words), "/r", "m") == names


def test_repositories_and_models_do_not_mix() -> None:
    entries = [
        entry("use", "a", "/one"),
        entry("use", "b", "/two"),
        entry("use", "c", "/one", "other"),
        entry("rollback", "", "/two"),
    ]
    assert active(entries, "/one", "m") == "a"
    assert active(entries, "/one", "other") == "c"
    assert active(entries, "/two", "m") is None
    assert in_use(entries) == {("/one", "m"): "a", ("/one", "other"): "c"}


NAMES = st.sampled_from("abc")
ENTRIES = st.lists(st.builds(entry, st.sampled_from(["use", "rollback", "remove"]), NAMES))


@settings(deadline=None)
@given(ENTRIES)
def test_what_is_in_use_was_used_and_not_removed_since(entries: list[Entry]) -> None:
    name = active(entries, "/r", "m")
    if name is not None:
        last = max(n for n, e in enumerate(entries) if (e.action, e.name) == ("use", name))
        assert not any(e.action == "remove" and e.name == name for e in entries[last:])


@settings(deadline=None)
@given(ENTRIES, NAMES)
def test_a_use_counts_and_a_rollback_of_it_restores(entries: list[Entry], name: str) -> None:
    before = stack(entries, "/r", "m")
    used = [*entries, entry("use", name)]
    assert active(used, "/r", "m") == name
    if before[-1:] != [name]:
        back = entry("rollback", before[-1]) if before else entry("rollback", "")
        if not before:
            back = Entry(action="rollback", name="", repository="/r", model="m", time="t")
        assert stack([*used, back], "/r", "m") == before


def test_the_file_is_read_again_when_it_changes(empty_home: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    repository.mkdir()
    assert activations.active_for(repository, "m") is None
    key = os.path.realpath(repository)
    write([entry("use", "a", key)])
    assert activations.active_for(repository, "m") == "a"
    write([entry("use", "a", key), entry("use", "other", key)])
    assert activations.active_for(repository, "m") == "other"
    activations.file().unlink()
    assert activations.active_for(repository, "m") is None


def test_a_link_to_a_repository_is_that_repository(empty_home: Path, tmp_path: Path) -> None:
    repository, link = tmp_path / "repo", tmp_path / "link"
    repository.mkdir()
    link.symlink_to(repository)
    write([entry("use", "a", os.path.realpath(repository))])
    assert activations.active_for(link, "m") == "a"


@pytest.mark.parametrize("content", ["", "[]", '{"v": 2}', '{"v": 1, "entries": [{}]}', "\0"])
def test_a_damaged_history_means_no_adapter_and_says_so_when_asked(
    empty_home: Path, tmp_path: Path, content: str
) -> None:
    activations.file().parent.mkdir(parents=True)
    activations.file().write_text(content)
    assert activations.active_for(tmp_path, "m") is None
    with pytest.raises(ModelError, match=r"is damaged.*tandem adapters use"):
        activations.history()


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_make_a_completion_fail(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(tmp_path_factory.mktemp("home")))
        activations.file().parent.mkdir(parents=True)
        activations.file().write_bytes(data)
        assert activations.active_for(Path("/r"), "m") is None
