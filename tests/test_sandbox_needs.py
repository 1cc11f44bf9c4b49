"""What a repository needs, read from the files that say so, in each of the ways they do."""

import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.needs import Needs, needs


def read(folder: Path, **files: str) -> Needs:
    """The needs of a repository of these files; `__` in a name is a dot, `_in_` a folder."""
    for name, text in files.items():
        path = folder / name.replace("_in_", "/").replace("__", ".").replace("_dash_", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")
    return needs(folder)


def test_an_empty_repository_needs_nothing(tmp_path: Path) -> None:
    assert read(tmp_path) == Needs()


def test_a_project_and_its_test_extra(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        pyproject__toml="""
        [build-system]
        requires = ["hatchling>=1"]
        [project]
        name = "mine"
        dependencies = ["click>=8", "tomli; python_version < '3.11'", "colorama; os_name == 'nt'"]
        [project.optional-dependencies]
        test = ["pytest-mock", "mine[socks]"]
        socks = ["PySocks"]
        docs = ["sphinx"]
        """,
    )
    assert found.requirements == ["PySocks", "click>=8", "pytest-mock"]
    assert (found.project, found.build) == ("mine", ["hatchling>=1"])
    assert found.left_out == []


def test_dependency_groups_with_those_they_include(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        pyproject__toml="""
        [project]
        name = "mine"
        [dependency-groups]
        base = ["attrs"]
        tests = [{include-group = "base"}, "trustme", {include-group = "tests"}]
        dev = ["ipython"]
        """,
    )
    assert found.requirements == ["attrs", "trustme"]
    assert found.build == ["setuptools>=64", "wheel"]


def test_groups_for_development_count_where_there_are_none_for_tests(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        pyproject__toml="""
        [project]
        name = "mine"
        [dependency-groups]
        dev = ["hypothesis", "ruff>=0.1", "mypy==1.0", "sphinx-tabs", "pre-commit"]
        """,
    )
    assert found.requirements == ["hypothesis"]


def test_requirements_files_and_those_they_name(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        requirements__txt="""
        # a comment
        flask==3.0  --hash=sha256:00
        requests \\
            >=2  # why
        -r more.txt
        -r ../outside.txt
        --index-url https://elsewhere.example
        git+https://example.com/x.git
        ./vendored
        x @ https://example.com/x.whl
        <<<<<<< HEAD
        """,
        more__txt="attrs\n-r requirements.txt\n",
    )
    (tmp_path.parent / "outside.txt").write_text("evil\n")
    assert found.requirements == ["attrs", "flask==3.0", "requests>=2"]
    said = " ".join(found.left_out)
    for part in ("elsewhere.example", "git+https", "./vendored", "x: from", "<<<<<<< HEAD"):
        assert part in said
    assert "evil" not in needs(tmp_path).requirements


def test_a_requirements_file_may_name_the_project_with_extras(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        pyproject__toml="""
        [project]
        name = "mine"
        [project.optional-dependencies]
        cli = ["rich"]
        """,
        requirements__txt="-e .[cli]\nattrs\n",
    )
    assert found.requirements == ["attrs", "rich"]


def test_setup_cfg(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        setup__cfg="""
        [metadata]
        name = mine
        [options]
        install_requires =
            attrs
            six>=1
        [options.extras_require]
        testing =
            trustme
        """,
    )
    assert (found.project, found.requirements) == ("mine", ["attrs", "six>=1", "trustme"])


def test_setup_py_is_read_and_not_run(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        setup__py="""
        from setuptools import setup
        open("ran", "w")
        NEEDS = ["attrs", "six"]
        setup(name="mine", install_requires=NEEDS, tests_require=["trustme"],
              extras_require={"tests": ["mock"]}, version=read())
        """,
    )
    assert (found.project, found.requirements) == ("mine", ["attrs", "mock", "six"])
    assert not (tmp_path / "ran").exists()


def test_poetry_with_its_lock(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        pyproject__toml="""
        [tool.poetry]
        name = "mine"
        [tool.poetry.dependencies]
        python = "^3.9"
        httpx = "^0.27"
        mine-too = {path = "../too"}
        [tool.poetry.group.test.dependencies]
        respx = "*"
        """,
        poetry__lock="""
        [[package]]
        name = "httpx"
        version = "0.27.2"
        [[package]]
        name = "idna"
        version = "3.1"
        [[package]]
        name = "two"
        version = "1"
        [[package]]
        name = "two"
        version = "2"
        """,
    )
    assert (found.project, found.requirements) == ("mine", ["httpx", "respx"])
    assert found.constraints == ["httpx==0.27.2", "idna==3.1"]


def test_a_lock_file_says_names_and_versions_and_nothing_else_to_pip(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        uv__lock="""
        package = [
            {name = "good", version = "1"},
            {name = "--index-url https://evil.example", version = "1"},
            {name = "x\\n--pre", version = "1"},
            {name = "-r", version = "/etc/passwd"},
            {name = 7, version = 1},
        ]
        """,
    )
    assert found.constraints == ["good==1"]
    assert len(found.left_out) == 3


def test_pipenv(tmp_path: Path) -> None:
    lock = {"default": {"a": {"version": "==1"}}, "develop": {"b": {"version": "==2"}, "c": {}}}
    assert read(tmp_path, Pipfile__lock=json.dumps(lock)).constraints == ["a==1", "b==2"]


@pytest.mark.parametrize(
    "name", ["pyproject__toml", "setup__py", "setup__cfg", "uv__lock", "Pipfile__lock"]
)
@pytest.mark.parametrize("text", ["\x00", "[[[", "def (", "[1, 2]", "project = 3", "package = 7"])
def test_damaged_files_are_left_out(tmp_path: Path, name: str, text: str) -> None:
    found = read(tmp_path, **{name: text}, requirements__txt="attrs\n")
    assert found.requirements == ["attrs"]


VALUES = st.recursive(
    st.text(max_size=8) | st.integers() | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["dependencies", "optional-dependencies", "name"]), VALUES))
def test_no_project_table_breaks_it(
    tmp_path_factory: pytest.TempPathFactory, project: dict[str, object]
) -> None:
    """TOML's inline values are near enough to JSON's for this."""
    lines = "\n".join(f"{key} = {_inline(value)}" for key, value in project.items())
    folder = tmp_path_factory.mktemp("project")
    (folder / "pyproject.toml").write_text(f"[project]\n{lines}\n", "utf-8")
    found = needs(folder)
    assert all(isinstance(line, str) for line in found.requirements)


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value)
