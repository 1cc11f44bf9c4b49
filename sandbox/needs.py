"""What a Python repository's tests need, read from its files. Nothing of it is run.

Direct requirements come from pyproject.toml (project, dependency groups, Poetry), setup.cfg, the
literals of setup.py and requirements files; versions come from a lock file, if there is one.
"""

import ast
import configparser
import contextlib
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

PYTHON = "3.11"  # of the base image
ENVIRONMENT = {
    "python_version": PYTHON,
    "python_full_version": f"{PYTHON}.2",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "os_name": "posix",
    "sys_platform": "linux",
    "platform_system": "Linux",
}
TEST = re.compile(r"tests?|testing|pytest", re.I)
DEV = re.compile(r"dev|develop|development", re.I)
FILES = (
    "requirements.txt",
    "requirements/base.txt",
    "requirements/tests.txt",
    "requirements/test.txt",
    "requirements-tests.txt",
    "requirements-test.txt",
    "requirements_test.txt",
    "test-requirements.txt",
    "tests/requirements.txt",
    "requirements-dev.txt",
    "requirements_dev.txt",
    "dev-requirements.txt",
    "requirements/dev.txt",
)
LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock")
# What a repository builds itself from; a change makes another image.
DESCRIPTIONS = ("pyproject.toml", "setup.cfg", "setup.py")
# Named beside what tests need, but no test imports it.
TOOLS = re.compile(
    r"ruff|mypy|pyright|basedpyright|black|isort|flake8.*|pre-commit|tox.*|nox|twine|build|pylint"
    r"|pip|uv|sphinx.*|mkdocs.*|furo|myst-parser|types-.*|pip-tools|bump.*|commitizen",
    re.I,
)


@dataclass
class Needs:
    """`requirements` and `constraints` are lines for pip, `build` those of the build backend.

    `project` is the project's name, if the repository can be installed; `left_out` says what was
    found and not taken, and why.
    """

    requirements: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    build: list[str] = field(default_factory=list)
    project: str = ""
    left_out: list[str] = field(default_factory=list)


def needs(repository: Path) -> Needs:
    """Read a repository's files; what cannot be read is left out with a reason."""
    found = Needs()
    pyproject = _toml(repository / "pyproject.toml", found)
    project = _table(pyproject, "project")
    found.project = str(project.get("name", ""))
    extras = _table(project, "optional-dependencies")
    direct = [*_strings(project.get("dependencies")), *_poetry_main(pyproject)]
    if not found.project:
        name, more, extras = _setup(repository, found)
        found.project = name or _table(_table(pyproject, "tool"), "poetry").get("name", "")
        direct += more
    groups = _groups(_table(pyproject, "dependency-groups"))
    lines = direct + _for_tests({**_poetry(pyproject), **extras, **groups})
    for file in FILES:
        lines += _without_tools(_file(repository, repository / file, found, set()))
    for requirement in _parsed(lines, found):
        if canonicalize_name(requirement.name) != canonicalize_name(found.project or "-"):
            found.requirements.append(str(requirement))
            continue
        own = [line for extra in requirement.extras for line in _strings(extras.get(extra))]
        found.requirements += [str(each) for each in _parsed(own, found)]
    found.requirements = sorted(set(found.requirements))
    found.constraints = _locked(repository, found)
    if found.project:
        system = _table(pyproject, "build-system")
        lines = _strings(system.get("requires")) or ["setuptools>=64", "wheel"]
        found.build = sorted({str(each) for each in _parsed(lines, found)})
    return found


def _for_tests(groups: dict[str, Any]) -> list[str]:
    """The groups for tests or, if there are none, those for development."""
    names = [n for n in groups if TEST.fullmatch(n)] or [n for n in groups if DEV.fullmatch(n)]
    return _without_tools(line for name in names for line in _strings(groups[name]))


def _without_tools(lines: Iterable[str]) -> list[str]:
    return [x for x in lines if not TOOLS.fullmatch(re.split(r"[^\w.-]", x, maxsplit=1)[0])]


def _parsed(lines: Iterable[str], found: Needs) -> Iterator[Requirement]:
    """Each line as a requirement of the base image's Python, its marker judged and gone."""
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            found.left_out.append(f"{line[:80]}: not understood")
            continue
        if requirement.url:
            found.left_out.append(f"{requirement.name}: from {requirement.url[:80]}, not an index")
        elif requirement.marker is None or requirement.marker.evaluate(
            {**ENVIRONMENT, "extra": ""}
        ):
            requirement.marker = None
            yield requirement


def _file(repository: Path, file: Path, found: Needs, seen: set[Path]) -> list[str]:
    """A requirements file's lines, with those of files in the repository that it names."""
    file = file.resolve()
    if file in seen or not file.is_file() or not file.is_relative_to(repository.resolve()):
        return []
    seen.add(file)
    lines = []
    for line in file.read_text("utf-8", "replace").replace("\\\n", " ").splitlines():
        line = re.split(r"(?:^|\s)#", line, maxsplit=1)[0]
        line = re.sub(r"\s--hash=\S+", "", line).strip()
        if match := re.fullmatch(r"(?:-r|--requirement)[\s=]*(\S+)", line):
            lines += _file(repository, file.parent / match[1], found, seen)
        elif re.fullmatch(r"(-e|--editable)[\s=]*\.(\[.*\])?|\.(\[.*\])?", line):
            extras = re.search(r"\[.*\]", line)
            lines += [f"{found.project}{extras[0]}"] if extras and found.project else []
        elif line.startswith("-") or re.match(r"[./]|\w+\+?\w*://", line):
            found.left_out.append(f"{line[:80]}: not a package of an index")
        elif line:
            lines.append(line)
    return lines


def _groups(groups: dict[str, Any]) -> dict[str, list[str]]:
    """Dependency groups (PEP 735) with those that they include."""

    def lines(name: str, above: tuple[str, ...]) -> list[str]:
        entries = groups.get(name)
        if name in above or not isinstance(entries, list):
            return []
        result = _strings(entries)
        for entry in entries:
            if isinstance(entry, dict) and "include-group" in entry:
                result += lines(str(entry["include-group"]), (*above, name))
        return result

    return {name: lines(name, ()) for name in groups}


def _poetry_main(pyproject: dict[str, Any]) -> list[str]:
    table = _table(_table(_table(pyproject, "tool"), "poetry"), "dependencies")
    return [name for name, version in table.items() if name != "python" and _plain(version)]


def _poetry(pyproject: dict[str, Any]) -> dict[str, list[str]]:
    """Poetry's groups, names only: its lock file knows the versions."""
    poetry = _table(_table(pyproject, "tool"), "poetry")
    groups = {n: _table(g, "dependencies") for n, g in _table(poetry, "group").items()}
    groups |= {"dev": _table(poetry, "dev-dependencies")} if "dev-dependencies" in poetry else {}
    return {name: [n for n, v in table.items() if _plain(v)] for name, table in groups.items()}


def _plain(version: Any) -> bool:
    """Whether Poetry would get it from an index, and always."""
    return not isinstance(version, dict) or not ({"git", "path", "url", "optional"} & set(version))


def _setup(repository: Path, found: Needs) -> tuple[str, list[str], dict[str, list[str]]]:
    """Name, requirements and extras of setup.cfg, or what setup.py says in so many words."""
    config = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(OSError, configparser.Error, UnicodeDecodeError):
        config.read(repository / "setup.cfg", "utf-8")
    get = config.get
    name = get("metadata", "name", fallback="")
    direct = get("options", "install_requires", fallback="").splitlines()
    extras: dict[str, Any] = {}
    if config.has_section("options.extras_require"):
        extras = {k: v.splitlines() for k, v in config.items("options.extras_require")}
    if (repository / "setup.py").is_file():
        said = _literals(repository / "setup.py", found)
        name = name or str(said.get("name", "")) or repository.resolve().name
        direct += _strings(said.get("install_requires"))
        more = said.get("extras_require")
        extras |= more if isinstance(more, dict) else {}
        extras.setdefault("tests", _strings(said.get("tests_require")))
    lines = [line.strip() for line in direct if line.strip()]
    return (
        name,
        lines,
        {k: [x.strip() for x in _strings(v) if x.strip()] for k, v in extras.items()},
    )


def _literals(file: Path, found: Needs) -> dict[str, Any]:
    """Keyword arguments of `setup(...)` that are literals, or names of literals above."""
    try:
        tree = ast.parse(file.read_text("utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        found.left_out.append(f"setup.py: {error}")
        return {}
    known: dict[str, ast.expr] = {}
    said: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            known[node.targets[0].id] = node.value
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in ("setup",):
            for keyword in node.keywords:
                value = keyword.value
                value = known.get(value.id, value) if isinstance(value, ast.Name) else value
                with contextlib.suppress(ValueError):
                    said[str(keyword.arg)] = ast.literal_eval(value)
    return said


def _locked(repository: Path, found: Needs) -> list[str]:
    """`name==version` of the first lock file; names with several versions are left open."""
    file = next((repository / name for name in LOCKS if (repository / name).is_file()), None)
    if file is None:
        return []
    if file.suffix == ".lock" and file.stem == "Pipfile":
        pairs = _pipenv(file)
    else:
        data = _toml(file, found)
        packages = data.get("package") or data.get("packages")
        packages = packages if isinstance(packages, list) else []
        pairs = [(p.get("name"), p.get("version")) for p in packages if isinstance(p, dict)]
    often = Counter(name for name, _ in pairs if isinstance(name, str))
    lines = [f"{n}=={v}" for n, v in pairs if isinstance(n, str) and v and often[n] == 1]
    # Parsed, as a line may say anything to pip.
    return sorted(str(each) for each in _parsed(lines, found))


def _pipenv(file: Path) -> list[tuple[str, str]]:
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
        data = json.loads(file.read_text("utf-8"))
        both = {**data.get("develop", {}), **data.get("default", {})}
        return [(n, v["version"].lstrip("=")) for n, v in both.items() if v.get("version")]
    return []


def _toml(file: Path, found: Needs) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        found.left_out.append(f"{file.name}: {error}")
        return {}


def _table(values: Any, key: str) -> dict[str, Any]:
    value = values.get(key) if isinstance(values, dict) else None
    return value if isinstance(value, dict) else {}


def _strings(values: Any) -> list[str]:
    values = values if isinstance(values, list | tuple) else []
    return [value for value in values if isinstance(value, str)]
