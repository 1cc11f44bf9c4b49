"""Attacks on the sandbox, run inside of it by `probes`.

Each module is sent into a container as text, so it needs nothing but the standard library. Each
public function is one attack: it returns whether it worked, and what it saw. None does harm where
it works: files of the host are opened for writing but not written, bombs end at a bound.
"""

from pathlib import Path


def source(module: str) -> str:
    """The text of a module of attacks, which runs the function that its first argument names."""
    return (Path(__file__).parent / f"{module}.py").read_text("utf-8")
