"""Imports between our packages point one way; see docs/architecture.md."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
SHARED = {"tandem", "tandem.config", "tandem.errors", "tandem.paths", "tandem.secrets"}
SHARED |= {"tandem.daily", "tandem.sections", "tandem.trace", "tandem.visible", "tandem.workspace"}
BELOW = {
    "completion": set(),
    "finetune": {"completion"},
    "sandbox": {"completion"},
    "gateway": {"completion", "finetune"},
    "lsp": {"completion", "finetune", "sandbox"},
    "tandem": {"completion", "finetune", "sandbox", "gateway", "lsp", "tandem"},
}


def imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file}: say where it comes from"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= whole & SHARED if node.module == "tandem" else {node.module}
            if node.module == "tandem":
                names |= {n for n in whole - SHARED if n != "tandem.__version__"}
    return {name for name in names if name.split(".")[0] in BELOW}


FILES = [
    pytest.param(package, file, id=str(file.relative_to(REPOSITORY)))
    for package in BELOW
    for file in sorted((REPOSITORY / package).rglob("*.py"))
]


@pytest.mark.parametrize(("package", "file"), FILES)
def test_imports_point_down(package: str, file: Path) -> None:
    module = ".".join(file.relative_to(REPOSITORY).with_suffix("").parts)
    for name in imports(file):
        top = name.split(".")[0]
        if module in SHARED - {"tandem"}:
            assert name in SHARED, f"{module} imports {name}"
        elif top != package:
            assert top in BELOW[package] or name in SHARED, f"{module} imports {name}"
