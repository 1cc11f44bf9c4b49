"""An index that follows its tree equals one that is built anew, and reads only what changed."""

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from completion.index import Index, Indexer, schema
from tests.index_trees import SHAPES, TREE, build, content, make
from tests.repositories import MadeRepository


@pytest.fixture
def root(tmp_path: Path, empty_home: Path) -> Path:
    return make(tmp_path / "work")


def settled(root: Path) -> None:
    """A file changed this moment is read again; these were not."""
    for file in root.rglob("*.*"):
        if file.is_file() and ".git" not in file.parts:
            before = file.stat().st_mtime_ns - 10**9
            os.utime(file, ns=(before, before))


def anew(root: Path) -> dict[str, tuple]:
    """What a fresh index of the tree has."""
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", home)
        Indexer(root, 0).update()
        return content(root)


def test_worker_processes_give_the_same_index_as_one(root: Path) -> None:
    # Enough that processes are worth it, of files of many sizes.
    body = "".join(
        f"def f{n}(a, b):\n    '''Adds {n}.'''\n    return a + b\n\n\n" for n in range(900)
    )
    make(root, {f"big/m{n}.py": body[: 3000 * (n + 1)] for n in range(30)})
    several = build(root, processes=2)
    file = several.file("big/m29.py")
    several.close()
    assert content(root) == anew(root)
    alone = build(root)
    assert alone.file("big/m29.py") == file, "ids do not hang on which worker was faster"
    alone.close()


def test_an_update_without_changes_reads_nothing(root: Path) -> None:
    settled(root)
    first = Indexer(root, 0).update()
    assert (first.changed, first.files, first.removed) == (len(TREE), len(TREE), 0)
    second = Indexer(root, 0).update()
    assert (second.changed, second.files, second.removed) == (0, len(TREE), 0)
    assert (second.symbols, second.chunks) == (first.symbols, first.chunks)


def test_a_touched_file_is_read_but_not_written_again(root: Path) -> None:
    settled(root)
    Indexer(root, 0).update()
    os.utime(root / "use.py", ns=(1, 1))
    assert Indexer(root, 0).update().changed == 0
    db = sqlite3.connect(schema.file_of(root))
    assert db.execute("SELECT mtime FROM files WHERE name = 'use.py'").fetchone() == (1,)
    db.close()


def test_a_file_changed_right_before_it_was_read_is_read_again(root: Path) -> None:
    """Its time may not tell a change that follows at once."""
    Indexer(root, 0).update()
    file = root / "use.py"
    file.write_text("def aaaa(): pass\n")
    Indexer(root, 0).update()
    before = file.stat()
    file.write_text("def bbbb(): pass\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    Indexer(root, 0).update()
    index = Index(root)
    assert [d.file.path for d in index.definitions("bbbb")] == ["use.py"]
    index.close()


def test_new_changed_and_removed_files_are_followed(root: Path) -> None:
    settled(root)
    Indexer(root, 0).update()
    (root / "pkg/shapes.py").unlink()
    make(root, {"use.py": "def other():\n    pass\n", "new/deep/er.py": SHAPES})
    stats = Indexer(root, 0).update()
    assert (stats.changed, stats.removed) == (2, 1)
    assert content(root) == anew(root)


def test_a_saved_file_is_followed_alone(root: Path) -> None:
    settled(root)
    Indexer(root, 0).update()
    make(root, {"use.py": "def saved():\n    pass\n", "pkg/new.py": "NEW = 1\n"})
    (root / "web/app.ts").unlink()
    changed = [root / "use.py", root / "pkg/new.py", root / "web/app.ts"]
    stats = Indexer(root, 0).update_files(changed)
    assert (stats.changed, stats.removed) == (2, 1)
    assert content(root) == anew(root)
    settled(root)
    assert Indexer(root, 0).update().changed <= 2  # those two, if anything


def test_a_reader_sees_an_update_at_once(root: Path) -> None:
    index = build(root)
    assert index.definitions("later") == []
    make(root, {"use.py": "def later():\n    pass\n"})
    Indexer(root, 0).update_files([root / "use.py"])
    assert len(index.definitions("later")) == 1
    index.close()


def test_another_branch_costs_only_what_differs(tmp_path: Path, empty_home: Path) -> None:
    repository = MadeRepository(tmp_path / "repository")
    repository.commit({f"m{n:02}.py": f"def f{n}(): pass\n" for n in range(40)})
    repository.git("checkout", "--quiet", "-b", "other")
    repository.commit({"m03.py": "def changed(): pass\n", "extra.py": "def extra(): pass\n"})
    root = repository.folder
    settled(root)
    Indexer(root, 0).update()
    repository.git("checkout", "--quiet", "main")
    stats = Indexer(root, 0).update()
    assert (stats.changed, stats.removed) == (1, 1)
    assert content(root) == anew(root)
    repository.git("checkout", "--quiet", "other")
    assert Indexer(root, 0).update().changed == 2
    assert content(root) == anew(root)


def chunk_ids(root: Path) -> dict[int, int]:
    """By the hash of a chunk's text."""
    db = sqlite3.connect(schema.file_of(root))
    found = dict(db.execute("SELECT hash, id FROM chunks").fetchall())
    db.close()
    return found


def test_a_chunk_whose_text_stays_keeps_its_id_and_new_ones_get_new_ids(root: Path) -> None:
    functions = [
        f"def f{n}(a):\n" + f"    a += {n}\n" * 20 + "    return a\n\n\n" for n in range(9)
    ]
    make(root, {"use.py": "".join(functions)})
    Indexer(root, 0).update()
    before = chunk_ids(root)
    functions[4] = "def other():\n" + "    print('other')\n" * 21 + "\n\n"
    make(root, {"use.py": "import sys\n" + "".join(functions)})
    Indexer(root, 0).update()
    after = chunk_ids(root)
    same = before.keys() & after.keys()
    assert len(same) >= len(before) - 3
    assert all(before[text] == after[text] for text in same)
    new = {after[text] for text in after.keys() - before.keys()}
    assert not new & set(before.values())
    assert content(root) == anew(root)


def postings(root: Path) -> int:
    db = sqlite3.connect(schema.file_of(root))
    db.execute("CREATE VIRTUAL TABLE temp.said USING fts5vocab('main', 'postings', 'row')")
    count = db.execute("SELECT sum(doc) FROM temp.said").fetchone()[0]
    db.close()
    return count


def test_words_of_chunks_that_are_gone_go_when_they_are_many(root: Path) -> None:
    make(root, {f"m{n}.py": f"alpha{n} = beta{n}\n" for n in range(12)})
    Indexer(root, 0).update()
    before = postings(root)
    make(root, {"m0.py": "gamma0 = 1\n"})
    Indexer(root, 0).update()
    assert postings(root) > before, "one is not many"
    make(root, {f"m{n}.py": f"delta{n} = 1\n" for n in range(12)})
    Indexer(root, 0).update()
    fresh = postings(root)
    assert content(root) == anew(root)
    build(root).close()
    schema.remove(schema.file_of(root))
    Indexer(root, 0).update()
    assert fresh == postings(root), "only live ones are left"


def test_a_file_saved_ten_thousands_of_times_gets_new_ids(root: Path) -> None:
    Indexer(root, 0).update()
    db = sqlite3.connect(schema.file_of(root))
    db.execute("UPDATE files SET next_chunk = ? WHERE name = 'use.py'", (schema.MOST_ROWS,))
    db.commit()
    db.close()
    make(root, {"use.py": "def again():\n    return fresh_words\n"})
    Indexer(root, 0).update_files([root / "use.py"])
    index = Index(root)
    assert [c.file.path for c in index.neighbours(["fresh_words"], 3)] == ["use.py"]
    assert [d.file.path for d in index.definitions("again")] == ["use.py"]
    index.close()
    assert content(root) == anew(root)


NAMES = st.sampled_from(
    ["a.py", "b.py", "pkg/__init__.py", "pkg/c.py", "d.ts", "e.go", ".gitignore"]
)
LINES = st.sampled_from(
    [
        *(
            "import os",
            "from pkg import c as d",
            "def f(x):",
            "    return x",
            "class A:",
            "  y = 1",
        ),
        *("", "x = 'é'", "#", "}", "export const z = 1;", "func main() {", "a.py", "\tb", "'''"),
    ]
)
TEXTS = st.lists(LINES, max_size=80).map("\n".join)
STEPS = st.lists(
    st.tuples(NAMES, st.one_of(st.none(), TEXTS), st.sampled_from(["tree", "file"])),
    min_size=1,
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_any_sequence_of_changes_gives_what_a_fresh_build_gives(
    steps: list[tuple[str, str | None, str]],
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        root = Path(folder) / "work"
        patch.setenv("TANDEM_HOME", str(Path(folder) / "home"))
        make(root, {"a.py": SHAPES})
        Indexer(root, 0).update()
        for name, text, how in steps:
            if text is None:
                (root / name).unlink(missing_ok=True)
            else:
                make(root, {name: text})
            # What is ignored is told by the whole tree.
            if how == "tree" or name == ".gitignore":
                Indexer(root, 0).update()
            else:
                Indexer(root, 0).update_files([root / name])
        assert content(root) == anew(root)
        shutil.rmtree(root)
