"""Where Ray is: the environment that the settings name, or our own."""

import sys
from dataclasses import dataclass
from pathlib import Path

from completion.vllm.environment import ask
from tandem.errors import EngineError

INSTALL = 'Run: python3 -m pip install "ray[serve]" in the environment that has Tandem.'
OF_VLLM = 'vllm replicas need "ray[llm]" in that environment.'
_QUESTION = """
import importlib.metadata as m, json
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return ""
print(json.dumps({name: version(name) for name in ("ray", "vllm", "torch")}))
"""


@dataclass(frozen=True)
class Environment:
    python: Path
    ray: str


def find(named: Path | None, replica: str) -> Environment:
    """Raises EngineError saying what is missing and how to install it."""
    python = named.expanduser().absolute() / "bin" / "python" if named else Path(sys.executable)
    if not python.is_file():
        raise EngineError(f"There is no Python in {named}: no {python}.", INSTALL)
    told = ask(python, _QUESTION, INSTALL)
    if not told["ray"]:
        raise EngineError(f"{python} has no Ray.", INSTALL)
    if replica == "vllm" and not told["vllm"]:
        raise EngineError(f"{python} has no vLLM.", OF_VLLM)
    if replica == "embedded" and not told["torch"]:
        raise EngineError(f"{python} has no torch: Tandem is not installed there.", INSTALL)
    return Environment(python, told["ray"])
