"""What a test command means, and finding the tests when none is given."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox import suite
from tandem.errors import UsageError


@pytest.mark.parametrize(
    "command",
    [
        "pytest",
        "py.test",
        "/opt/venv/bin/pytest",
        "uv run pytest",
        "poetry run pytest",
        "python -m pytest",
        "python3.11 -m pytest",
        "/usr/bin/python3 -m pytest",
        "coverage run -m pytest",
        "uv run python -m pytest",
    ],
)
def test_pytest_is_understood_however_it_is_started(command: str) -> None:
    assert suite.parse(command).kind == "pytest"


def test_python_m_puts_the_folder_on_the_path_and_plain_pytest_does_not() -> None:
    assert suite.parse("python -m pytest").here_on_path
    assert not suite.parse("pytest").here_on_path


@pytest.mark.parametrize(
    ("command", "args"),
    [
        ("pytest -x tests/test_a.py", ("tests/test_a.py",)),
        ("pytest -k 'one and not two' -m slow", ("-k", "one and not two", "-m", "slow")),
        ("pytest -n 4 --dist loadfile tests", ("tests",)),
        ("pytest -n4 -rA tests", ("tests",)),
        ("pytest --maxfail=1 --tb=short --cov=src --cov-report term", ()),
        ("pytest --runslow tests/a.py::test_b", ("--runslow", "tests/a.py::test_b")),
        ("pytest -p no:randomly -p myplugin", ("-p", "myplugin")),
        ("pytest -o xfail_strict=true", ("-o", "xfail_strict=true")),
        ("pytest 'tests/a.py::test_b[1-*]'", ("tests/a.py::test_b[1-*]",)),
        ("pytest -vv -q -s --lf", ()),
        ("pytest --rootdir=x --import-mode=importlib", ("--rootdir=x", "--import-mode=importlib")),
    ],
)
def test_options_that_hide_results_are_dropped_and_others_kept(
    command: str, args: tuple[str, ...]
) -> None:
    assert suite.parse(command) == suite.Suite("pytest", args, here_on_path=False)


def test_unittest_is_understood_per_test() -> None:
    parsed = suite.parse("python -m unittest discover -v -s tests")
    assert (parsed.kind, parsed.args) == ("unittest", ("discover", "-s", "tests"))


def test_variables_before_the_command_are_its_environment() -> None:
    parsed = suite.parse("DEBUG=1 NAME='a b' pytest tests")
    assert parsed.env == {"DEBUG": "1", "NAME": "a b"}
    assert parsed.kind == "pytest"


@pytest.mark.parametrize("command", ["make test", "tox -e py311", "python check.py", "./run.sh"])
def test_any_other_command_is_one_test_by_its_exit_code(command: str) -> None:
    assert suite.parse(command).kind == "command"
    assert str(suite.parse(command)) == command


@pytest.mark.parametrize(
    "command", ["cd sub && pytest", "pytest | tee log", "pytest $ARGS", "pytest tests/*.py"]
)
def test_what_needs_a_shell_gets_one(command: str) -> None:
    assert suite.parse(command).args == ("sh", "-c", command)


def test_quoted_signs_of_a_shell_need_none() -> None:
    assert suite.parse("pytest -k 'a & b'").kind == "pytest"
    assert suite.parse('pytest "tests/a.py::t[a;b]"').kind == "pytest"


@pytest.mark.parametrize("command", ["", "   ", "A=1", "pytest 'tests"])
def test_a_command_that_cannot_be_read_is_a_usage_error(command: str) -> None:
    with pytest.raises(UsageError):
        suite.parse(command)


@example("\x0c")  # white space to str.split, a word to shlex
@given(st.text(max_size=60))
def test_any_text_gives_a_suite_or_a_usage_error(command: str) -> None:
    with contextlib.suppress(UsageError):
        assert suite.parse(command).kind in ("pytest", "unittest", "command")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\n"),
        ("pyproject.toml", "[tool.pytest.ini_options]\n"),
        ("tox.ini", "[pytest]\naddopts = -q\n"),
        ("setup.cfg", "[tool:pytest]\n"),
    ],
)
def test_a_configuration_of_pytest_is_found(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    found = suite.find(tmp_path)
    assert found.kind == "pytest"
    assert name in found.found


@pytest.mark.parametrize("name", ["pyproject.toml", "tox.ini", "setup.cfg"])
def test_a_broken_configuration_does_not_stop_the_search(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"[[[\xff")
    (tmp_path / "test_a.py").write_text("def test_a():\n    pass\n")
    assert suite.find(tmp_path).kind == "pytest"


def test_plain_unittest_files_are_run_by_unittest(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    text = "import unittest\nclass A(unittest.TestCase):\n    def test_a(self): ...\n"
    (tmp_path / "tests" / "test_a.py").write_text(text)
    found = suite.find(tmp_path)
    assert (found.kind, found.args) == ("unittest", ("discover", "-s", "tests"))
    (tmp_path / "tests" / "__init__.py").write_text("")
    assert suite.find(tmp_path).args == ("discover",)


def test_one_pytest_file_among_unittest_ones_means_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("import unittest\n")
    (tmp_path / "b_test.py").write_text("import pytest\n")
    assert suite.find(tmp_path).kind == "pytest"


def test_a_repository_without_tests_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("print(1)\n")
    with pytest.raises(UsageError, match="No tests") as caught:
        suite.find(tmp_path)
    assert "--test" in caught.value.hint


def test_installed_packages_and_hidden_folders_hold_no_tests_of_ours(tmp_path: Path) -> None:
    for folder in ("node_modules", "venv", ".tox"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test_a.py").write_text("def test_a(): ...\n")
    with pytest.raises(UsageError):
        suite.find(tmp_path)


@pytest.mark.parametrize(
    ("path", "is_test"),
    [
        ("tests/helpers.py", True),
        ("python_testcases/node.py", True),
        ("src/contests/a.py", False),
        ("pkg/test_a.py", True),
        ("pkg/a_test.py", True),
        ("conftest.py", True),
        ("test.py", True),
        ("src/contest.py", False),
        ("src/latest_a.py", False),
        ("src/testify.py", False),
    ],
)
def test_paths_of_tests_are_told_from_those_of_code(path: str, is_test: bool) -> None:
    assert suite.is_test_path(path) is is_test


def test_paths_named_on_the_command_line_are_found(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "a.py").touch()
    parsed = suite.parse("pytest -k x tests tests/a.py::test_b missing")
    assert parsed.paths(tmp_path) == ["tests", "tests/a.py"]
