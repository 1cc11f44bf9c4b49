"""Where a workspace's installed Python packages are, told by looking at files: nothing is run."""

import os
import re
from pathlib import Path

_FOLDERS = (".venv", "venv", "env", ".env")
_VARIABLES = ("VIRTUAL_ENV", "CONDA_PREFIX")
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z")


def search_path(root: Path) -> tuple[Path, ...]:
    """The folders that modules are in: an environment's packages, then its standard library.

    The environment is one in the workspace, else the one that this process was started in.
    """
    inside = [root / name for name in _FOLDERS if (root / name / "pyvenv.cfg").is_file()]
    started = [Path(value) for name in _VARIABLES if (value := os.environ.get(name))]
    for environment in (*inside, *started):
        packages = _packages(environment)
        if packages:
            return (*packages, *_standard(environment))
    return ()


def module_file(module: str, folders: tuple[Path, ...]) -> tuple[Path, str] | None:
    """A module's source and its path within the packages; its stub, where there is one."""
    if not _NAME.match(module):
        return None
    first, *rest = module.split(".")
    for folder in folders:
        for package in (f"{first}-stubs", first):
            inside = "/".join([package, *rest])
            for name in (f"{inside}/__init__.pyi", f"{inside}.pyi"):
                if (folder / name).is_file():
                    return folder / name, name
        inside = "/".join([first, *rest])
        for name in (f"{inside}/__init__.py", f"{inside}.py"):
            if (folder / name).is_file():
                return folder / name, name
    return None


def _packages(environment: Path) -> list[Path]:
    found = sorted(environment.glob("lib/python3*/site-packages"))
    return [*found, *environment.glob("Lib/site-packages")]


def _standard(environment: Path) -> list[Path]:
    """That of the Python which the environment was made from; conda's has its own."""
    base = environment
    try:
        settings = (environment / "pyvenv.cfg").read_text("utf-8", errors="replace")
    except OSError:
        settings = ""
    home = re.search(r"(?m)^home\s*=\s*(.+?)\s*$", settings)
    if home:
        folder = Path(home[1])
        base = folder.parent if folder.name == "bin" else folder
    names = [packages.parent.name for packages in _packages(environment)]
    places = [base / "lib" / name for name in names] + [base / "Lib"]
    return [place for place in places if (place / "os.py").is_file()]
