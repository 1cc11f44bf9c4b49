"""docs/server-attacks.md names tests that are there and run, and misses none of the attack files'."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "docs" / "server-attacks.md"
# Whose every test is an attack, or shows that one is tried on what would work without it.
ATTACKS = (
    *("test_server_attacks", "test_server_slow", "test_engine_attacks", "test_engine_fuzz"),
    *("test_gateway_attacks", "test_gateway_hostile"),
)
CONTROLS = {"test_engine_attacks::test_what_is_attacked_is_loaded_as_it_is"}
COLUMNS = ("attack", "engine", "gateway", "vLLM's door", "Ray's door")


def table(*columns: str) -> list[list[str]]:
    """The rows below this head; what stands in bold parts a table and is no row."""
    lines = iter(PAGE.read_text("utf-8").splitlines())
    assert any(line == f"| {' | '.join(columns)} |" for line in lines)
    assert set(next(lines)) == {"|", "-"}
    rows: list[list[str]] = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == len(columns), line
        if not cells[0].startswith("**"):
            rows.append(cells)
    return rows


def named(cell: str) -> list[str]:
    return re.findall(r"`(test_\w+::test_\w+)`", cell)


def parsed(module: str) -> list[ast.stmt]:
    return ast.parse((FOLDER / f"{module}.py").read_text("utf-8")).body


@cache
def found_in(module: str) -> dict[str, list[str]]:
    """Tests of a file by their names, each with its decorators; those that its classes have of the
    client's suite, too."""
    body = parsed(module)
    bases = {
        ast.unparse(base) for node in body if isinstance(node, ast.ClassDef) for base in node.bases
    }
    for node in parsed("client_contract"):
        if isinstance(node, ast.ClassDef) and node.name in bases:
            body = body + node.body
    return {
        node.name: [ast.unparse(decorator) for decorator in node.decorator_list]
        for node in body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


ROWS = table(*COLUMNS)
BACK_ENDS = table("attack", "gateway")
NAMED = sorted({name for row in ROWS + BACK_ENDS for cell in row[1:] for name in named(cell)})


@pytest.mark.parametrize("name", NAMED)
def test_each_test_that_is_named_is_there_and_run(name: str) -> None:
    module, test = name.split("::")
    decorators = found_in(module)[test]
    assert not any(re.search(r"skip|xfail", decorator) for decorator in decorators)


def test_each_attack_is_tried_on_engine_and_gateway_or_says_why_not() -> None:
    assert len(ROWS) > 45
    assert len(BACK_ENDS) > 10
    for row in ROWS:
        for cell in row[1:3]:
            assert named(cell) or re.match(r"none: \w", cell), row[0]
        assert named(row[1]) or named(row[2]), row[0]
        for cell in row[1:]:
            left = re.sub(r"`test_\w+::test_\w+`(<br>)?", "", cell)
            assert not left or left.startswith("none: "), left
    assert all(named(row[1]) for row in BACK_ENDS)
    attacks = [row[0] for row in ROWS + BACK_ENDS]
    assert len({*attacks}) == len(attacks)


def test_columns_are_of_the_door_that_they_are_named_for() -> None:
    for row in ROWS:
        for door, cell in zip(("vllm", "ray"), row[3:], strict=True):
            assert all(name.startswith(f"test_{door}_") for name in named(cell)), row[0]


@pytest.mark.parametrize("module", ATTACKS)
def test_no_attack_is_missing_on_the_page(module: str) -> None:
    here = {f"{module}::{test}" for test in found_in(module)}
    assert here - CONTROLS <= {*NAMED}
