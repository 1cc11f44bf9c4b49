"""What the repository index answers: from the disk, from unsaved buffers, from packages."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from completion.index import Index, Indexer, terms_of
from tests.index_trees import SHAPES, TREE, build, make


@pytest.fixture
def root(tmp_path: Path, empty_home: Path) -> Path:
    return make(tmp_path / "work")


@pytest.fixture
def index(root: Path) -> Iterator[Index]:
    index = build(root)
    yield index
    index.close()


def names(found) -> list[str]:
    return [one.path for one in found]


def test_a_file_is_found_by_its_path(index: Index) -> None:
    file = index.file("pkg/shapes.py")
    assert file
    assert (file.path, file.language, file.lines) == ("pkg/shapes.py", "python", 24)
    assert index.file("pkg/none.py") is None
    assert index.file("shapes.py") is None


def test_files_are_found_by_their_stem_and_packages_by_their_folder(index: Index) -> None:
    assert names(index.files_by_stem("shapes")) == ["pkg/shapes.py"]
    assert names(index.files_by_stem("pkg")) == ["pkg/__init__.py"]
    assert names(index.files_by_stem("__init__")) == ["pkg/__init__.py"]
    assert names(index.files_by_stem("web")) == ["web/lib/index.js"]  # lib names nothing
    assert index.files_by_stem("app.ts") == []


def test_files_of_a_folder_are_those_directly_in_it(index: Index) -> None:
    assert names(index.files_in("pkg")) == ["pkg/__init__.py", "pkg/shapes.py"]
    assert names(index.files_in("")) == ["use.py"]
    assert names(index.files_in("web")) == ["web/app.ts"]
    assert names(index.files_in("pkg", limit=1)) == ["pkg/__init__.py"]


def test_a_definition_has_all_that_its_outline_has(index: Index) -> None:
    (found,) = index.definitions("area")
    assert found.file.path == "pkg/shapes.py"
    symbol = found.symbol
    assert (symbol.kind, symbol.qualified) == ("method", "Circle.area")
    assert symbol.signature == "def area(self) -> float:"
    assert symbol.doc == "Its area in square metres."
    assert (symbol.first, symbol.last, symbol.local) == (14, 16, False)


def test_what_stands_in_a_function_is_nobody_elses(index: Index) -> None:
    assert index.definitions("by_area") == []
    file = index.file("pkg/shapes.py")
    assert file
    (inner,) = index.symbols_of(file, "by_area")
    assert inner.symbol.local


def test_symbols_of_a_file_are_in_its_order_and_can_be_chosen(index: Index) -> None:
    file = index.file("pkg/shapes.py")
    assert file
    every = [d.symbol.name for d in index.symbols_of(file)]
    assert every == ["LARGEST", "Circle", "radius", "area", "largest_circle", "by_area"]
    members = [d.symbol.name for d in index.symbols_of(file, container="Circle")]
    assert members == ["radius", "area"]
    assert [d.symbol.name for d in index.symbols_of(file, "area", "Circle")] == ["area"]
    assert index.symbols_of(file, "area", "") == []


def test_imports_have_their_names_and_aliases(index: Index) -> None:
    file = index.file("use.py")
    assert file
    found = [(i.module, i.name, i.alias, i.row) for i in index.imports_of(file)]
    assert found == [
        ("pkg", "shapes", "shapes", 0),
        ("pkg.shapes", "Circle", "Round", 1),
        ("pkg.shapes", "largest_circle", "largest_circle", 1),
        ("os", "", "os", 2),
    ]


def test_importers_name_the_module_or_take_it_from_its_package(index: Index) -> None:
    assert names(index.importers_of("shapes")) == ["pkg/__init__.py", "use.py"]
    assert names(index.importers_of("shapes", exclude="use.py")) == ["pkg/__init__.py"]
    assert names(index.importers_of("draw")) == ["web/app.ts"]
    assert names(index.importers_of("math")) == ["pkg/shapes.py"]
    assert index.importers_of("nothing") == []


def test_definitions_of_one_name_stand_by_path_and_row(root: Path) -> None:
    tree = {f"m{n}.py": "def run():\n    pass\n\n\ndef run():\n    pass\n" for n in (3, 1, 2)}
    index = build(make(root, tree))
    found = [(d.file.path, d.symbol.first) for d in index.definitions("run")]
    assert found == [(f"m{n}.py", row) for n in (1, 2, 3) for row in (0, 4)]
    assert len(index.definitions("run", limit=4)) == 4
    assert [d.file.path for d in index.definitions("run", exclude="m1.py")][:1] == ["m2.py"]
    index.close()


def test_a_file_added_later_stands_where_its_path_says(root: Path, index: Index) -> None:
    make(root, {"a.py": "def report():\n    pass\n"})
    Indexer(root).update_files([root / "a.py"])
    assert [d.file.path for d in index.definitions("report")] == ["a.py", "use.py"]


def test_terms_are_words_of_identifiers_and_whole_identifiers() -> None:
    assert terms_of("largestCircle = parse_HTTPHeader(x, 12, 0x1F, utf8, __dunder__)") == [
        *("circle", "dunder", "header", "http", "largest", "largestcircle", "parse"),
        *("parse_httpheader", "utf", "utf8"),
    ]


def test_neighbours_say_the_same_words(root: Path) -> None:
    other = "def total_area(circles):\n    return sum(circle.area() for circle in circles)\n"
    index = build(make(root, {"other.py": other, "far.py": "print('hello world')\n"}))
    terms = terms_of("circles = [circle for circle in circles if circle.area()]")
    found = index.neighbours(terms, 10, exclude="pkg/shapes.py")
    assert found[0].file.path == "other.py"
    assert "far.py" not in [chunk.file.path for chunk in found]
    assert "pkg/shapes.py" not in [chunk.file.path for chunk in found]
    assert found == sorted(found, key=lambda c: (-c.score, c.file.path, c.first))
    assert index.text_of(found[0]) == other.removesuffix("\n")
    index.close()


def test_rare_words_weigh_more(root: Path) -> None:
    tree = {f"m{n:02}.py": f"common = alpha{n}\n" for n in range(12)}
    tree["rare.py"] = "peculiar = 1\n"
    index = build(make(root, tree))
    found = index.neighbours(["common", "peculiar"], 3)
    assert found[0].file.path == "rare.py"
    assert found[0].score > found[1].score
    index.close()


def test_words_of_very_many_chunks_do_not_count(root: Path) -> None:
    index = build(make(root, {f"m{n:03}.py": "everywhere = here\n" for n in range(30)}))
    assert index.neighbours(["everywhere"], 5) == []
    index.close()


def test_neighbours_take_any_word(index: Index) -> None:
    assert index.neighbours(['"', "a b", "*", "", "NEAR(", "\x00", "x'y", "é"], 5) == []


def test_lines_are_those_on_disk_without_the_end_of_the_last(root: Path, index: Index) -> None:
    file = index.file("pkg/shapes.py")
    assert file
    assert index.lines(file, 14, 15) == "\n".join(SHAPES.split("\n")[14:16])
    assert index.lines(file, 1000, 1001) == ""
    (root / "pkg/shapes.py").unlink()
    assert index.lines(file, 0, 1) is None


def test_a_changed_chunk_has_no_text(root: Path, index: Index) -> None:
    (chunk,) = index.neighbours(["radius"], 5)
    assert "radius" in (index.text_of(chunk) or "")
    (root / "pkg/shapes.py").write_text(SHAPES.replace("radius", "size"))
    assert index.text_of(chunk) is None


def test_line_ends_and_a_byte_order_mark_make_no_difference(root: Path, index: Index) -> None:
    (root / "pkg/shapes.py").write_bytes(b"\xef\xbb\xbf" + SHAPES.replace("\n", "\r\n").encode())
    before = [d.symbol for d in index.symbols_of(index.file("pkg/shapes.py"))]  # type: ignore
    Indexer(root).update()
    file = index.file("pkg/shapes.py")
    assert file
    assert [d.symbol for d in index.symbols_of(file)] == before
    assert index.lines(file, 0, 0) == '"""Shapes."""'


def test_a_buffer_stands_before_the_file_on_disk(index: Index) -> None:
    index.set_buffer("pkg/shapes.py", "def square(side):\n    return side**2\n")
    assert index.definitions("area") == []
    (found,) = index.definitions("square")
    assert found.file.path == "pkg/shapes.py"
    assert found.file == index.file("pkg/shapes.py")
    assert [d.symbol.name for d in index.symbols_of(found.file)] == ["square"]
    assert index.imports_of(found.file) == []
    assert names(index.importers_of("math")) == []
    assert index.lines(found.file, 0, 0) == "def square(side):"
    assert index.neighbours(["radius"], 5) == []
    (chunk,) = index.neighbours(["square"], 5)
    assert index.text_of(chunk) == "def square(side):\n    return side**2"


def test_without_the_buffer_the_file_counts_again(index: Index) -> None:
    on_disk = index.file("pkg/shapes.py")
    index.set_buffer("pkg/shapes.py", "x = 1\n")
    assert index.definitions("area") == []
    index.set_buffer("pkg/shapes.py", None)
    assert len(index.definitions("area")) == 1
    assert index.file("pkg/shapes.py") == on_disk
    assert index.definitions("x") == []


def test_a_file_known_before_its_buffer_answers_from_the_buffer(index: Index) -> None:
    file = index.file("pkg/shapes.py")
    assert file
    index.set_buffer("pkg/shapes.py", "def square(side):\n    return side**2\n")
    assert [d.symbol.name for d in index.symbols_of(file)] == ["square"]
    assert index.lines(file, 1, 1) == "    return side**2"


def test_a_buffer_may_be_of_a_file_that_is_not_saved_yet(index: Index) -> None:
    index.set_buffer("pkg/new.py", "class Fresh:\n    pass\n")
    assert [d.file.path for d in index.definitions("Fresh")] == ["pkg/new.py"]
    assert names(index.files_by_stem("new")) == ["pkg/new.py"]
    assert names(index.files_in("pkg")) == ["pkg/__init__.py", "pkg/new.py", "pkg/shapes.py"]


def test_an_excluded_buffer_is_not_read_for_a_lookup(index: Index) -> None:
    index.set_buffer("use.py", "class Typed:\n    pass\n")
    assert index.definitions("Typed", exclude="use.py") == []
    assert index.definitions("report", exclude="use.py") == []
    assert len(index.definitions("Typed")) == 1


def test_buffers_of_secret_files_do_not_enter(index: Index) -> None:
    index.set_buffer("secrets.rb", "class Hidden\nend\n")
    index.set_buffer("notes.txt", "def hidden(): pass\n")
    assert index.file("secrets.rb") is None
    assert index.file("notes.txt") is None


def test_an_index_may_be_used_before_there_is_one(tmp_path: Path, empty_home: Path) -> None:
    root = make(tmp_path / "work")
    index = Index(root)
    assert not index.ready
    assert index.definitions("Circle") == []
    assert index.neighbours(["circle"], 5) == []
    index.set_buffer("use.py", "def report(): pass\n")
    assert len(index.definitions("report")) == 1
    Indexer(root, 0).update()
    assert index.ready
    assert [d.file.path for d in index.definitions("Circle")] == ["pkg/shapes.py"]
    index.close()


def test_a_closed_index_answers_with_nothing(index: Index) -> None:
    index.close()
    assert not index.ready
    assert index.file("use.py") is None


def test_lookups_run_while_another_thread_closes(root: Path) -> None:
    index = build(root)
    found: list[int] = []

    def look() -> None:
        for _ in range(200):
            found.append(len(index.definitions("Circle")))

    thread = threading.Thread(target=look)
    thread.start()
    while len(found) < 20 and thread.is_alive():
        time.sleep(0.001)
    index.close()
    thread.join()
    assert len(found) == 200
    assert set(found) <= {0, 1}


def environment(root: Path, name: str = ".venv") -> Path:
    folder = root / name
    packages = folder / "lib/python3.11/site-packages"
    (folder / "pyvenv.cfg").parent.mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("home = /nowhere/bin\n")
    make(
        packages,
        {
            "dep/__init__.py": "from dep.core import Engine\n",
            "dep/core.py": 'class Engine:\n    """Runs."""\n\n    def run(self, times): ...\n',
            "dep/fast.pyi": "def fast(x: int) -> int: ...\n",
            "dep/fast.py": "def fast(x): return x\n",
            "typed-stubs/__init__.pyi": "def only_typed() -> None: ...\n",
            "single.py": "ONE = 1\n",
        },
    )
    return packages


def test_an_installed_package_is_read_when_asked_for(root: Path) -> None:
    environment(root)
    index = build(root)
    assert index.definitions("Engine") == []
    file = index.package("dep.core")
    assert file
    assert (file.path, file.language) == ("dep/core.py", "python")
    (run,) = index.symbols_of(file, "run")
    assert run.symbol.signature == "def run(self, times):"
    assert index.lines(file, 0, 0) == "class Engine:"
    package = index.package("dep")
    assert package
    assert [i.module for i in index.imports_of(package)] == ["dep.core"]
    assert index.definitions("Engine") == []  # it is not the workspace's
    assert index.package("dep.core") is file
    index.close()


def test_stubs_of_a_package_come_first(root: Path) -> None:
    environment(root)
    index = build(root)
    assert [getattr(index.package(m), "path", None) for m in ("dep.fast", "typed", "single")] == [
        *("dep/fast.pyi", "typed-stubs/__init__.pyi", "single.py"),
    ]
    index.close()


@pytest.mark.parametrize("module", ["none", "", ".", "..", "../dep", "dep/core", "dep.", "a\nb"])
def test_what_names_no_installed_module_is_no_package(root: Path, module: str) -> None:
    environment(root)
    index = Index(root)
    assert index.package(module) is None
    index.close()


def test_a_package_that_changed_is_read_again(root: Path) -> None:
    packages = environment(root)
    index = Index(root)
    assert index.package("single")
    (packages / "single.py").write_text("TWO = 2\n")
    os.utime(packages / "single.py", ns=(1, 1))
    file = index.package("single")
    assert file
    assert [d.symbol.name for d in index.symbols_of(file)] == ["TWO"]
    index.close()


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_the_environment_may_be_elsewhere(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    index = Index(root)
    assert index.package("single") is None
    environment(tmp_path, "elsewhere")
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    other = Index(root)
    assert other.package("single")
    index.close()
    other.close()


def test_the_standard_library_is_the_environments(root: Path, tmp_path: Path) -> None:
    environment(root)
    make(tmp_path / "base/lib/python3.11", {"os.py": "def getcwd(): ...\n", "json/__init__.py": ""})
    (root / ".venv/pyvenv.cfg").write_text(f"home = {tmp_path}/base/bin\n")
    index = Index(root)
    file = index.package("os")
    assert file
    assert [d.symbol.name for d in index.symbols_of(file)] == ["getcwd"]
    assert index.package("json")
    index.close()


def test_the_tree_of_these_tests_is_read_whole(index: Index) -> None:
    assert all(index.file(path) for path in TREE)
