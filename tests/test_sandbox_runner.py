"""The parts of the runner that need no container: frames, capped output, putting files back."""

import io
import os
import stat
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.frames import Closed, pack, read_exactly, unpack, write_all
from sandbox.pristine import Entry, Pristine, Watch, entries
from sandbox.runner import Capped
from tests.docker_support import tar_of

JSON = st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=20))
BLOBS = st.lists(st.binary(max_size=300), max_size=4)


def reader(data: bytes) -> Callable[[int], bytes]:
    stream = io.BytesIO(data)

    def read(size: int) -> bytes:
        found = stream.read(size)
        if len(found) < size:
            raise Closed
        return found

    return read


@given(JSON, BLOBS, JSON, BLOBS)
def test_frames_come_out_as_they_went_in(
    first: dict[str, object], blobs: list[bytes], second: dict[str, object], more: list[bytes]
) -> None:
    read = reader(pack(first, *blobs) + pack(second, *more))
    for header, parts in ((first, blobs), (second, more)):
        found, out = unpack(read)
        assert {**found, "sizes": 0} == {**header, "sizes": 0}
        assert out == parts


@given(st.binary(max_size=200))
def test_what_is_no_frame_raises_what_it_says(data: bytes) -> None:
    try:
        header, _ = unpack(reader(data))
    except (Closed, ValueError, KeyError, TypeError, struct.error):
        return
    assert isinstance(header, dict)


def test_bytes_go_through_a_pipe_whole() -> None:
    ours, theirs = os.pipe()
    write_all(theirs, b"abc")
    write_all(theirs, b"def")
    os.close(theirs)
    assert read_exactly(ours, 5) == b"abcde"
    with pytest.raises(Closed):
        read_exactly(ours, 5)
    os.close(ours)


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(1, 20).map(lambda n: n * 2))
def test_capped_output_is_head_and_tail(parts: list[bytes], limit: int) -> None:
    capped, whole = Capped(limit), b"".join(parts)
    for part in parts:
        capped.add(part)
    assert capped.total == len(whole)
    if len(whole) <= limit:
        assert capped.text() == whole
        return
    half = limit // 2
    line = f"\n[... {len(whole) - limit} bytes cut ...]\n".encode()
    assert capped.text() == whole[:half] + line + whole[-half:]


def test_a_tar_is_read_with_parents_first() -> None:
    found = entries(tar_of({"a/b/c.txt": b"c", "d.txt": b"d"}))
    assert list(found) == ["a", "a/b", "a/b/c.txt", "d.txt"]
    assert found["a"].kind == stat.S_IFDIR
    assert (found["d.txt"].data, found["d.txt"].mode) == (b"d", 0o644)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.mode = kind, link, mode
        tar.addfile(info)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a/.."])
def test_a_tar_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be in a repository"):
        entries(member(name))


@pytest.mark.parametrize(
    "kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.LNKTYPE]
)
def test_devices_pipes_and_hard_links_are_refused(kind: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be in a repository"):
        entries(member("x", kind, "y"))


def test_modes_lose_setuid_and_keep_what_we_need_ourselves() -> None:
    assert entries(member("x", mode=0o4755))["x"].mode == 0o755
    assert entries(member("x", mode=0))["x"].mode == 0o400
    assert entries(member("x", tarfile.DIRTYPE, mode=0))["x"].mode == 0o700


FOLDER = Entry(stat.S_IFDIR, 0o755, 0, b"")


def file(data: bytes, mode: int = 0o644) -> Entry:
    return Entry(stat.S_IFREG, mode, 1_700_000_000 * 10**9, data)


TREE = {
    "a.txt": file(b"a"),
    "run.sh": file(b"#!/bin/sh\n", 0o755),
    "empty": file(b""),
    "d": FOLDER,
    "d/b.txt": file(b"b" * 9000),
    "d/e": FOLDER,
    "d/e/c.txt": file(b"c"),
    "link": Entry(stat.S_IFLNK, 0o777, 0, b"d/b.txt"),
}


def found(root: Path) -> dict[str, Entry]:
    """What is in a folder, as entries."""
    result = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        kind, mode, data = stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), b""
        if kind == stat.S_IFREG:
            data = path.read_bytes()
        elif kind == stat.S_IFLNK:
            data = os.fsencode(path.readlink())
        mtime = status.st_mtime_ns if kind == stat.S_IFREG else 0
        result[str(path.relative_to(root))] = Entry(kind, mode, mtime, data)
    return result


def test_a_tree_is_made_as_it_is_described(tmp_path: Path) -> None:
    Pristine(str(tmp_path), TREE).restore()
    assert found(tmp_path) == TREE


PATHS = st.sampled_from([*TREE, "new", "d/new", "d/e/new", "new/deep"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "append", "remove", "rename", "mkdir", "link", "chmod", "touch"]),
        PATHS,
        PATHS,
    ),
    max_size=8,
)


def do(root: Path, step: str, first: str, second: str) -> None:
    one, two = root / first, root / second
    if step == "write":
        one.write_bytes(b"x")
    elif step == "append":
        with one.open("ab") as stream:
            stream.write(b"x")
    elif step == "remove":
        one.unlink()
    elif step == "rename":
        one.rename(two)
    elif step == "mkdir":
        one.mkdir()
    elif step == "link":
        two.hardlink_to(one)
    elif step == "chmod":
        one.chmod(0o700)
    elif step == "touch":
        os.utime(one, (1, 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=3))
def test_whatever_was_done_the_tree_is_as_before(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[tuple[str, str, str]]]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    pristine = Pristine(str(root), TREE)
    pristine.restore()
    for steps in rounds:
        for step in steps:
            try:
                do(root, *step)
            except OSError:
                continue
        pristine.restore()
        assert found(root) == TREE
    os.close(pristine.watch.descriptor)


def test_without_a_watch_all_files_are_compared(tmp_path: Path) -> None:
    pristine = Pristine(str(tmp_path), TREE)
    pristine.watch.blind = True
    pristine.restore()
    pristine.restore()
    (tmp_path / "d/e/c.txt").write_bytes(b"x")
    pristine.seen["d/e/c.txt"] = ()
    pristine.restore()
    assert found(tmp_path) == TREE


def test_a_watch_tells_what_was_opened(tmp_path: Path) -> None:
    (tmp_path / "seen").write_bytes(b"x")
    (tmp_path / "other").write_bytes(b"x")
    watch = Watch()
    watch.add(str(tmp_path), "top")
    assert watch.opened() == set()
    (tmp_path / "seen").read_bytes()
    assert watch.opened() == {"top/seen"}
    assert watch.opened() == set()
    watch.add(str(tmp_path / "nowhere"), "x")
    assert watch.opened() is None
