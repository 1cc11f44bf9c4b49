"""Wheels for the base image's Python, gathered outside of any container.

Only wheels: an sdist's metadata is made by running its code, which happens in no place but a
sandbox. pip is asked for another machine's wheels, so that it also works where Tandem itself
runs on another Python or system.
"""

import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox.needs import PYTHON
from tandem.errors import SandboxError

GLIBC = 36  # 2.36, of Debian 12
TIMEOUT_S = 900


def gather(
    requirements: Sequence[str], constraints: Sequence[str], folder: Path, python: str = PYTHON
) -> tuple[list[str], list[str]]:
    """Fetch wheels of all requirements and what they need, for that Python, into `folder`.

    Returns the requirements that are there now and, for each other one, a line that says why
    not. Constraints that cannot be met are dropped, with a line.
    """
    if not requirements:
        return [], []
    said: list[str] = []
    file = folder / "constraints.txt"
    file.write_text("\n".join(constraints) + "\n", "utf-8")
    for limits in ([f"--constraint={file}"], []) if constraints else ([],):
        if not (failure := _download(requirements, limits, folder, python)):
            return list(requirements), said
        if limits:
            said.append(f"the lock file's versions: {failure}")
    found = []
    for requirement in requirements:
        failure = _download([requirement], [], folder, python)
        said += [f"{requirement}: {failure}"] if failure else []
        found += [] if failure else [requirement]
    return found, said


def _download(
    requirements: Sequence[str], options: Sequence[str], folder: Path, python: str
) -> str:
    """Empty, or why pip could not."""
    machine = platform.machine()
    machine = {"arm64": "aarch64", "AMD64": "x86_64"}.get(machine, machine)
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC, 4, -1)]
    tags += [f"manylinux2014_{machine}", f"linux_{machine}"]
    # Isolated, and not in the folder of the user, whose files Python would take for modules.
    command = [sys.executable, "-I", "-m", "pip", "download", "--quiet"]
    command += ["--disable-pip-version-check"]
    command += ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp"]
    command += [f"--abi={abi}" for abi in ("cp" + python.replace(".", ""), "abi3", "none")]
    command += [f"--platform={tag}" for tag in tags]
    command += [f"--dest={folder}", *options, *requirements]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, cwd=folder
        )
    except subprocess.TimeoutExpired as error:
        raise SandboxError(f"pip took more than {TIMEOUT_S // 60} minutes.") from error
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    if done.returncode == 0:
        return ""
    return (errors or ["ERROR: pip failed"])[-1].removeprefix("ERROR: ")[:200]
