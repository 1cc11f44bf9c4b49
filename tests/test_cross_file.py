"""Holes at uses of other files' names: where they are cut, and what they know of the definition."""

import os
from collections import Counter
from pathlib import Path

import pytest

from finetune import files
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


# Other languages: by name and what can be seen of the imports.

GO = "package store\n\nfunc OpenTable(path string) error {\n\treturn nil\n}\n"
TS = "export function openTable(path: string, mode = 'r'): Table {\n  return path\n}\n"
RUST = "pub fn open_table(path: &str) -> Table {\n    todo!()\n}\n"
C = "int open_table(const char *path) {\n    return 0;\n}\n"


def source(path: str, text: str) -> SourceFile:
    return SourceFile(path, files.LANGUAGE_OF[Path(path).suffix], text, "")


def spelled(found: list[SourceFile], of: int = 1) -> list[tuple[str, str]]:
    uses = UniqueNames(found).uses_in(found[of]).uses
    for use in uses:
        assert found[of].text[use.start :].startswith(use.target.name)
        assert use.opening is None or found[of].text[use.opening - 1] == "("
    return [(use.target.name, use.target.path) for use in uses]


@pytest.mark.parametrize(
    ("path", "text", "user", "code"),
    [
        ("store/a.go", GO, "store/b.go", 'package store\n\nvar x = OpenTable("ä")\n'),
        (
            *("store/a.go", GO, "main.go"),
            'package main\n\nimport "x/store"\n\nvar x = store.OpenTable("")\n',
        ),
        ("a.ts", TS, "b.ts", "import { openTable } from './a'\nconst x = openTable('')\n"),
        ("src/a.rs", RUST, "src/b.rs", "use crate::a::open_table;\nfn f() { open_table(1); }\n"),
        ("src/a.rs", RUST, "src/b.rs", "fn f() { crate::a::open_table(1); }\n"),
        ("a.c", C, "b.c", "int main() { return open_table(0); }\n"),
        ("a.py", LIBRARY, "b.py", "from a import open_table\nx = 'ä', open_table('ö')\n"),
    ],
)
def test_a_name_that_one_other_file_defines_is_a_use(
    path: str, text: str, user: str, code: str
) -> None:
    (found,) = spelled([source(path, text), source(user, code)])
    assert found[1] == path
    assert found[0].lower().replace("_", "") == "opentable"


@pytest.mark.parametrize(
    ("path", "text", "user", "code"),
    [
        ("store/a.go", GO, "main.go", "package main\n\nvar x = OpenTable(1)\n"),
        ("store/a.go", GO, "store/b.go", "package store\n\nvar x = y.OpenTable(1)\n"),
        ("a.ts", TS, "b.ts", "const x = openTable('')\n"),
        ("a.ts", TS, "b.ts", "import { openTable } from 'elsewhere'\nopenTable('')\n"),
        ("a.ts", TS, "b.ts", "export { openTable } from './a'\n"),
        ("src/a.rs", RUST, "src/b.rs", "use crate::{\n    a::open_table,\n};\n"),
        ("src/a.rs", RUST, "src/b.rs", "fn f() { thing.open_table(1); }\n"),
        ("a.py", LIBRARY, "b.py", "from a import open_table\nopen_table = 1\nopen_table\n"),
        ("a.py", LIBRARY, "b.py", "from a import open_table\n'open_table'  # open_table\n"),
        ("a.py", LIBRARY, "b.py", "from a import rows_below\nrows_below(bound)\n"),
    ],
)
def test_what_may_be_another_name_is_no_use(path: str, text: str, user: str, code: str) -> None:
    assert spelled([source(path, text), source(user, code)]) == []


def test_a_name_of_two_files_is_no_use() -> None:
    user = source("b.py", "from a import open_table\nopen_table()\n")
    assert spelled([source("a.py", LIBRARY), user]) == [("open_table", "a.py")]
    assert spelled([source("a.py", LIBRARY), user, source("c.py", LIBRARY)]) == []


def test_row_and_signature_come_from_the_outline() -> None:
    found = [source("a.py", LIBRARY), source("b.py", "from a import open_table\nopen_table()\n")]
    (use,) = UniqueNames(found).uses_in(found[1]).uses
    assert use.target.signatures == ('defopen_table(path:str,mode:str="r")->Table',)
    assert LIBRARY.split("\n")[use.target.row].startswith("def open_table")


def test_a_language_without_a_grammar_has_no_uses() -> None:
    found = [SourceFile(name, "nothing", LIBRARY, "") for name in ("a.x", "b.x")]
    assert spelled(found) == []


def test_holes_of_a_repository_in_several_languages(tmp_path: Path) -> None:
    root = made(tmp_path / "repo", users=3)
    body = "// Nothing else stands here.\n" * 12
    (root / "a.ts").write_text(TS + body)
    user = "import { openTable } from './a'\n\nexport const table = openTable('some/path')\n"
    (root / "b.ts").write_text(user + body)
    holes = cross_file_holes(root, 50)
    (one,) = [hole for hole in holes if hole.case.language == "typescript"]
    assert one.groups[:3] == ("typescript", "typescript, names", "first use")
    assert (one.case.path, one.target.path) == ("b.ts", "a.ts")
    assert {hole.case.language for hole in holes} == {"python", "typescript"}
