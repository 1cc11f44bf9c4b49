"""Bad input and bad luck: an index that cannot be right is made anew, and never stops its user."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from completion.index import Index, Indexer, digest, schema, workers
from completion.index.digest import Job
from tandem.errors import TandemError, UsageError
from tests.index_trees import SHAPES, TREE, build, content, make, paths

REPOSITORY = Path(__file__).parent.parent
BUILD = "import sys; from pathlib import Path; from completion.index import Indexer\n"
BUILD += "stats = Indexer(Path(sys.argv[1])).update(); print(stats.changed)"


@pytest.fixture
def root(tmp_path: Path, empty_home: Path) -> Path:
    return make(tmp_path / "work")


def big(root: Path, files: int = 400) -> Path:
    """Enough for workers, and for a build to be met halfway."""
    body = "".join(f"def f{n}(a):\n    return a + {n}\n\n\n" for n in range(200))
    return make(
        root, {f"big/m{n:03}.py": f"class C{n}:\n    pass\n\n\n{body}" for n in range(files)}
    )


def start_build(root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILD, str(root)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def wait_for_rows(index: Index) -> None:
    """Until a build that runs has written its first files."""
    while not index.definitions("C0"):
        time.sleep(0.005)


# Damage.


@pytest.mark.parametrize("garbage", [b"", b"no database at all" * 1000, b"\0" * 8192])
def test_a_file_that_is_no_index_is_made_anew(root: Path, garbage: bytes) -> None:
    build(root).close()
    good = content(root)
    file = schema.file_of(root)
    file.write_bytes(garbage)
    index = Index(root)
    assert index.definitions("Circle") == []
    assert not index.ready
    Indexer(root, 0).update()
    assert len(index.definitions("Circle")) == 1, "the same reader finds the new one"
    index.close()
    assert content(root) == good


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_hole_anywhere_ends_in_a_good_index(root: Path, share: float) -> None:
    big(root, 30)
    build(root).close()
    good = content(root)
    file = schema.file_of(root)
    data = bytearray(file.read_bytes())
    at = int(share * len(data)) // 4096 * 4096
    data[at : at + 8192] = b"\xa5" * 8192
    file.write_bytes(data)
    index = Index(root)
    for n in range(30):  # none of these raises
        index.definitions(f"C{n}")
        index.neighbours(["return", f"f{n}"], 5)
        if found := index.file(f"big/m{n:03}.py"):
            index.symbols_of(found)
    (root / "use.py").write_text("x = 1\n")
    Indexer(root, 0).update()
    if not index.ready:  # the reader met the hole, and took the file away
        Indexer(root, 0).update()
    index.close()
    if content(root) != good | content_of_changed(root):
        pytest.fail("what the index says is not what the tree has")


def content_of_changed(root: Path) -> dict[str, tuple]:
    return {"use.py": content(root)["use.py"]}


def test_an_index_of_another_version_is_made_anew(root: Path) -> None:
    build(root).close()
    db = sqlite3.connect(schema.file_of(root))
    db.execute("PRAGMA user_version = 1")
    db.execute("DROP TABLE symbols")
    db.commit()
    db.close()
    index = Index(root)
    assert index.definitions("Circle") == []
    assert Indexer(root, 0).update().changed == len(TREE)
    assert len(index.definitions("Circle")) == 1
    index.close()


def test_saving_a_file_over_a_damaged_index_does_no_harm(root: Path) -> None:
    build(root).close()
    schema.file_of(root).write_bytes(b"x" * 5000)
    Indexer(root, 0).update_files([root / "use.py"])
    Indexer(root, 0).update()
    assert paths(root) == set(TREE)


# Other processes.


def test_two_processes_that_build_at_once_build_once(root: Path) -> None:
    big(root)
    both = [start_build(root), start_build(root)]
    changed = sorted(int(one.communicate()[0]) for one in both)
    assert [one.returncode for one in both] == [0, 0]
    assert changed == [0, 400 + len(TREE)]
    assert set(content(root)) == set(paths(root))
    assert len(paths(root)) == 400 + len(TREE)


def test_an_index_answers_while_it_is_built(root: Path) -> None:
    big(root)
    index = Index(root)
    running = start_build(root)
    wait_for_rows(index)
    assert [d.file.path for d in index.definitions("C0")] == ["big/m000.py"]
    assert index.neighbours(["f1", "f2", "c0"], 5) is not None
    running.communicate()
    assert index.ready
    assert len(index.definitions("C399")) == 1
    index.close()


def test_a_file_saved_during_a_build_is_not_lost(root: Path) -> None:
    big(root)
    index = Index(root)
    running = start_build(root)
    wait_for_rows(index)
    make(root, {"big/m399.py": "def saved_meanwhile():\n    pass\n"})
    Indexer(root, 0).update_files([root / "big/m399.py"])
    assert len(index.definitions("saved_meanwhile")) == 1
    running.communicate()
    assert len(index.definitions("saved_meanwhile")) == 1
    index.close()


def test_a_build_that_is_killed_goes_on_where_it_was(root: Path) -> None:
    big(root)
    index = Index(root)
    running = start_build(root)
    wait_for_rows(index)
    children = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    psutil.wait_procs(children, timeout=60)
    assert not any(child.is_running() for child in children), "workers end with their builder"
    assert not index.ready
    stats = Indexer(root).update()
    assert 0 < stats.changed < 400 + len(TREE)
    assert index.ready
    index.close()
    db = sqlite3.connect(schema.file_of(root))
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    assert len(paths(root)) == 400 + len(TREE)


def test_threads_that_save_and_look_at_once_agree_in_the_end(root: Path) -> None:
    indexer = Indexer(root, 0)
    indexer.update()
    index = Index(root)

    def save(n: int) -> None:
        for round_ in range(5):
            make(root, {f"t{n}.py": f"def made_{n}_{round_}(): pass\n"})
            indexer.update_files([root / f"t{n}.py"])
            index.definitions(f"made_{n}_{round_}")

    threads = [threading.Thread(target=save, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(index.definitions(f"made_{n}_4")) == 1 for n in range(4))
    assert not any(index.definitions(f"made_{n}_3") for n in range(4))
    index.close()


# Folders and disks.


def test_without_a_cache_folder_the_index_lives_in_memory(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "file" / "home"))
    check_memory(root)


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of 1 MB that holds the user's folders."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    monkeypatch.setenv("TANDEM_HOME", str(disk))
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_in_a_read_only_cache_folder_it_does_too(root: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    check_memory(root)


def test_an_index_that_became_read_only_is_not_written(root: Path, small_disk: Path) -> None:
    build(root).close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    make(root, {"use.py": "def newer(): pass\n"})
    stats = Indexer(root, 0).update()
    assert "cannot be written" in stats.note


def check_memory(root: Path) -> None:
    indexer = Indexer(root, 0)
    stats = indexer.update()
    assert stats.note.startswith("The cache folder ")
    assert "\n" not in stats.note
    assert stats.files == len(TREE)
    index = Index(root)
    assert index.ready
    assert len(index.definitions("Circle")) == 1
    assert index.neighbours(["radius"], 3)
    make(root, {"use.py": "def newer(): pass\n"})
    assert indexer.update_files([root / "use.py"]).changed == 1
    assert len(index.definitions("newer")) == 1
    index.close()


def test_a_full_disk_is_told_in_one_line_and_leaves_what_fits(root: Path, small_disk: Path) -> None:
    big(root)
    with pytest.raises(TandemError, match="is full") as caught:
        Indexer(root).update()
    assert "\n" not in str(caught.value)
    index = Index(root)
    assert not index.ready
    index.definitions("C0")  # there or not, but no error
    index.close()
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    Indexer(root).update()
    assert len(paths(root)) == 400 + len(TREE)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path, empty_home: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        Indexer(tmp_path / "none")
    (tmp_path / "file.py").write_text("")
    with pytest.raises(UsageError, match="is no folder"):
        Indexer(tmp_path / "file.py")


def test_a_workspace_that_goes_away_is_told(root: Path) -> None:
    indexer = Indexer(root, 0)
    shutil.rmtree(root)
    with pytest.raises(UsageError, match="Cannot read"):
        indexer.update()


# Files.


def test_a_file_that_changes_while_it_is_read_is_taken_whole(root: Path) -> None:
    """Each text is of one moment: all its lines say the same number."""
    file = root / "busy.py"
    file.write_text("def f0(): pass\n" * 3000)
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            file.write_text(f"def f{n}(): pass\n" * 3000)

    writer = threading.Thread(target=write)
    writer.start()
    found = [digest.digest(root, Job("busy.py", "python")) for _ in range(20)]
    stop.set()
    writer.join()
    assert all(one.mtime == 0 for one in found), "none of these is taken for settled"
    Indexer(root, 0).update()
    index = Index(root)
    busy = index.file("busy.py")
    assert busy
    names = {d.symbol.name for d in index.symbols_of(busy)}
    assert names == {file.read_text().split("(")[0].removeprefix("def ")}
    index.close()


def test_a_file_that_goes_before_it_is_read_is_left_out(root: Path) -> None:
    found = digest.digest(root, Job("gone.py", "python"))
    assert found.skipped == "unreadable"


def test_a_hundred_thousand_files_are_indexed(tmp_path: Path, empty_home: Path) -> None:
    root = tmp_path / "many"
    for folder in range(1000):
        (root / f"d{folder}").mkdir(parents=True)
        for n in range(100):
            (root / f"d{folder}/m{n}.py").write_text(f"def f{folder}_{n}(): pass\n")
    stats = Indexer(root).update()
    assert (stats.files, stats.symbols, stats.chunks) == (100_000, 100_000, 100_000)
    index = Index(root)
    assert [d.file.path for d in index.definitions("f999_99")] == ["d999/m99.py"]
    assert len(index.files_by_stem("m7")) == 50
    index.close()
    make(root, {"d5/m5.py": "def changed(): pass\n"})
    assert Indexer(root).update().changed <= 1 + 100  # it, and what was just made


@pytest.mark.parametrize(
    "text",
    [
        "(\n" * 10_000 + ")\n" * 10_000,
        "x = " + "[\n" * 10_000,
        "".join(f"{' ' * n}if x:\n" for n in range(350)) + " " * 350 + "pass\n",
        "".join(f"{' ' * n}def f{n}():\n" for n in range(350)) + " " * 350 + "pass\n",
        "x = (" + "-\n" * 10_000 + "1)\n",
        "x = " + "f(\n" * 10_000 + ")\n" * 10_000,
        "{\n" * 10_000 + "}\n" * 10_000,
    ],
)
@pytest.mark.parametrize("name", ["deep.py", "deep.ts", "deep.cpp", "deep.rb"])
def test_ten_thousand_levels_are_indexed(root: Path, name: str, text: str) -> None:
    make(root, {name: f"top = 1\n{text}\n"})
    index = build(root)
    assert index.file(name)
    index.close()


def test_a_grammar_that_takes_too_long_leaves_words(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest, "PARSE_S", 1e-9)
    make(root, {"slow.py": SHAPES * 300 + "peculiar_word = 1\n"})
    index = build(root)
    file = index.file("slow.py")
    assert file
    assert index.symbols_of(file) == []
    assert any(c.file.path == "slow.py" for c in index.neighbours(["peculiar_word"], 5))
    index.close()


def test_a_file_over_which_a_worker_dies_is_left_out_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers of this test end themselves when they meet a certain file."""
    monkeypatch.setattr(
        workers,
        "_START",
        "import os, signal\n"
        "from completion.index import worker\n"
        "real = worker.digest\n"
        "def digest(root, job):\n"
        "    if 'deadly' in job.path:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(root, job)\n"
        "worker.digest = digest\n"
        "worker.main()",
    )
    big(root)
    make(root, {"big/deadly.py": SHAPES})
    stats = Indexer(root).update()
    assert stats.skipped == {"breaks its parser": 1}
    assert stats.files == 400 + len(TREE)


def test_workers_that_cannot_start_end_the_build(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_START", "raise SystemExit(3)")
    big(root)
    with pytest.raises(RuntimeError, match="die one after the other"):
        Indexer(root).update()


def test_a_package_of_ours_in_the_workspace_is_not_run(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    trap = f"open({str(ran)!r}, 'w')\n"
    big(root)
    make(
        root,
        {"completion/__init__.py": trap, "completion/index/worker.py": trap, "pickle.py": trap},
    )
    monkeypatch.chdir(root)
    monkeypatch.setenv("PYTHONPATH", "")
    assert Indexer(root).update().files == 400 + 3 + len(TREE)
    assert not ran.exists()
