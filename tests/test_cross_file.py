"""Holes at uses of other files' names: where they are cut, and what they know of the definition."""

import os
from collections import Counter
from pathlib import Path

import pytest

from finetune.cross_file import ELSEWHERE, FIRST, CrossCase, cross_file_holes
from finetune.files import SourceFile
from finetune.unique_names import UniqueNames
from tandem.errors import UsageError

LIBRARY = '''"""What all others use."""

LIMIT_OF_ROWS = 1000


class Table:
    """Rows with names."""

    def rows_below(self, bound: int, strict: bool = False) -> list:
        """Those that are smaller."""
        return [row for row in self.rows if row < bound]


def open_table(path: str, mode: str = "r") -> Table:
    """Read a table from a file."""
    return Table(path, mode)
'''
USER = '''"""Uses the library, number {n}."""

from pack.library import LIMIT_OF_ROWS, Table, open_table


def report_{n}(path: str) -> int:
    """Count the rows of a table that lie below the limit."""
    table = open_table(path, mode="w")
    print("rows", table)
    return len(rows_of(table))


def rows_of(table: Table) -> list:
    return table.rows_below(LIMIT_OF_ROWS, strict=True)


def again_{n}(path: str) -> Table:
    return open_table(path)
'''


def made(root: Path, users: int = 24) -> Path:
    (root / "pack").mkdir(parents=True)
    (root / "pack/__init__.py").write_text("")
    (root / "pack/library.py").write_text(LIBRARY)
    for n in range(users):
        (root / f"pack/user{n}.py").write_text(USER.replace("{n}", str(n)))
    return root


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("made") / "repo")


@pytest.fixture(scope="module")
def holes(repository: Path) -> list[CrossCase]:
    return cross_file_holes(repository, 500)


def test_holes_are_cut_from_the_files_as_they_are(holes: list[CrossCase], repository: Path) -> None:
    assert len(holes) > 48
    for hole in holes:
        case = hole.case
        text = (repository / case.path).read_text()
        assert case.prefix + case.middle + case.suffix == text
        assert (case.source, case.language) == ("repo", "python")
        assert "\n" not in case.middle


def test_a_hole_ends_with_its_line_and_begins_where_its_cut_says(holes: list[CrossCase]) -> None:
    assert {hole.case.cut for hole in holes} == {"name", "line", "call"}
    for hole in holes:
        case, name = hole.case, hole.target.name
        assert case.suffix.startswith("\n")
        line = case.prefix.rpartition("\n")[2]
        if case.cut == "name":
            assert case.middle.startswith(name)
        elif case.cut == "line":
            assert name in case.middle or name in line + case.middle
            assert not case.middle.startswith(name)
        else:
            assert line.endswith(f"{name}(")


def test_the_definition_is_where_the_import_points(holes: list[CrossCase]) -> None:
    rows = LIBRARY.split("\n")
    assert {hole.target.name for hole in holes} == {
        *("Table", "rows_below", "open_table", "LIMIT_OF_ROWS")
    }
    for hole in holes:
        assert hole.target.path == "pack/library.py"
        assert hole.target.name in rows[hole.target.row]
        assert hole.target.container == ("Table" if hole.target.name == "rows_below" else "")


def test_a_first_use_is_told_from_one_of_many(holes: list[CrossCase]) -> None:
    first = {hole.target.name for hole in holes if hole.first}
    later = {hole.target.name for hole in holes if not hole.first}
    assert "LIMIT_OF_ROWS" in first
    assert "open_table" in later
    assert not first & {"open_table", "Table"}
    assert all((FIRST in hole.groups) == hole.first != (ELSEWHERE in hole.groups) for hole in holes)
    kinds = {(hole.target.name, hole.groups[1]) for hole in holes}
    assert ("rows_below", "python, members") in kinds
    assert ("Table", "python, names") in kinds


def test_every_file_has_its_turn_before_any_has_two(repository: Path) -> None:
    once = cross_file_holes(repository, 24)
    assert len({hole.case.path for hole in once}) == 24
    more = Counter(hole.case.path for hole in cross_file_holes(repository, 48))
    assert set(more.values()) == {2}


def test_a_file_gives_one_hole_for_a_definition(holes: list[CrossCase]) -> None:
    assert len({(hole.case.path, hole.target) for hole in holes}) == len(holes)


def test_the_same_seed_gives_the_same_holes(repository: Path) -> None:
    assert cross_file_holes(repository, 9, 1) == cross_file_holes(repository, 9, 1)
    assert cross_file_holes(repository, 9, 1) != cross_file_holes(repository, 9, 2)


def test_progress_reaches_its_end(repository: Path) -> None:
    told: list[tuple[int, int]] = []
    cross_file_holes(repository, 5, on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (5, 5)


@pytest.mark.parametrize("name", ["pack/_pb2.py", "pack/vendor/library.py", ".env.py"])
def test_what_the_index_leaves_out_is_no_definition(tmp_path: Path, name: str) -> None:
    root = made(tmp_path / "repo", users=1)
    (root / "pack/library.py").unlink()
    file = root / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(LIBRARY)
    module = name.removesuffix(".py").replace("/", ".")
    user = root / "pack/user0.py"
    user.write_text(user.read_text().replace("pack.library", module))
    with pytest.raises(UsageError, match="uses a name that another one defines"):
        cross_file_holes(root, 5)


def test_no_secret_is_asked_for(tmp_path: Path) -> None:
    root = made(tmp_path / "repo", users=1)
    user = root / "pack/user0.py"
    key = "AKIA" + "Z7QX" * 4
    user.write_text(user.read_text().replace('mode="w"', f'mode="{key}"'))
    for hole in cross_file_holes(root, 50):
        assert key not in hole.case.prefix + hole.case.middle + hole.case.suffix
        assert "REDACTED" not in hole.case.middle.upper()


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere", "no folder"), ("repo/pack/library.py", "no folder")]
)
def test_what_is_no_folder_is_told(tmp_path: Path, name: str, message: str) -> None:
    made(tmp_path / "repo")
    with pytest.raises(UsageError, match=message):
        cross_file_holes(tmp_path / name, 3)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    root = made(tmp_path / "repo")
    root.chmod(0)
    try:
        with pytest.raises(UsageError, match="cannot be read"):
            cross_file_holes(root, 3)
    finally:
        root.chmod(0o755)


# Other languages: by name alone. Python stands in for them, as it has a grammar for sure.


def source(path: str, text: str, language: str = "python") -> SourceFile:
    return SourceFile(path, language, text, "")


def spelled(files: list[SourceFile], of: int) -> list[tuple[str, str]]:
    found = UniqueNames(files).uses_in(files[of]).uses
    for use in found:
        assert files[of].text[use.start :].startswith(use.target.name)
    return [(use.target.name, use.target.path) for use in found]


def test_a_name_that_one_other_file_defines_is_a_use() -> None:
    files = [source("a.py", LIBRARY), source("b.py", "x = 'ä', open_table('ö')\n")]
    assert spelled(files, 1) == [("open_table", "a.py")]
    use = UniqueNames(files).uses_in(files[1]).uses[0]
    assert use.opening == files[1].text.index("(") + 1
    assert use.target.signatures == ('defopen_table(path:str,mode:str="r")->Table',)
    assert use.target.row == 13


@pytest.mark.parametrize(
    "text",
    [
        "open_table = 1\nopen_table\n",  # its own
        "def open_table(): ...\nopen_table()\n",
        "import open_table\n",
        "'open_table'  # open_table\n",
        "row = bound\n",  # too short, or local
    ],
)
def test_what_is_defined_here_or_imported_or_said_is_no_use(text: str) -> None:
    assert spelled([source("a.py", LIBRARY), source("b.py", text)], 1) == []


def test_a_name_of_two_files_is_no_use() -> None:
    files = [source("a.py", LIBRARY), source("c.py", LIBRARY), source("b.py", "open_table()\n")]
    assert spelled(files, 2) == []


def test_a_language_without_a_grammar_has_no_uses() -> None:
    files = [source("a.x", LIBRARY, "nothing"), source("b.x", "open_table()\n", "nothing")]
    assert spelled(files, 1) == []
