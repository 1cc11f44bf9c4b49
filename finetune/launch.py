"""The trainer as a child process: with memory settings that must be there before it starts.

A step frees and takes the same large blocks again; by default the C library gives them back to
the system each time, and page faults then cost a fifth of the speed on a CPU. Threads that wait
spin for long by default; beside other busy programs that costs three quarters of the speed.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from finetune.recipe import Recipe
from tandem.errors import TandemError

if TYPE_CHECKING:  # the child needs torch, its parent does not
    from finetune.train import Progress, Result

ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "500000000",
}


def environment() -> dict[str, str]:
    """This process's environment with what makes training fast; what the user set wins."""
    here = str(Path(__file__).parent.parent)
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    threads = {"OMP_NUM_THREADS": str(cores), "GOMP_SPINCOUNT": "3000"}
    extra = {**threads, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    return {**ALLOCATOR, **extra, **os.environ, "PYTHONPATH": path}


def in_child(
    recipe: Recipe,
    base: Path,
    samples: Path,
    out: Path,
    validation: Path | None = None,
    on_progress: "Callable[[Progress], None] | None" = None,
    start: Path | None = None,
) -> "Result":
    """`train.run` in a process of its own, with the same arguments, results and errors.

    Ctrl-C lets the child save where it is; then KeyboardInterrupt goes on. Should this process
    die, the child saves and ends too.
    """
    arguments = {
        "recipe": recipe.as_json(),
        "base": str(base),
        "samples": str(samples),
        "out": str(out),
        "validation": str(validation) if validation else None,
        "start": str(start) if start else None,
        "parent": os.getpid(),
    }
    with tempfile.TemporaryDirectory(prefix="tandem-train-") as folder:
        file = Path(folder) / "arguments.json"
        file.write_text(json.dumps(arguments), "utf-8")
        with (Path(folder) / "stderr").open("w+", encoding="utf-8") as stderr:
            child = subprocess.Popen(
                [sys.executable, "-m", "finetune.train", str(file)],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=environment(),
            )
            try:
                return _listen(child, stderr, on_progress)
            except BaseException:
                if child.poll() is None:
                    child.send_signal(signal.SIGINT)
                    with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C changes nothing
                        child.communicate()
                raise


def _listen(
    child: "subprocess.Popen[str]",
    stderr: IO[str],
    on_progress: "Callable[[Progress], None] | None",
) -> "Result":
    from finetune.train import Progress, Result

    result: Result | None = None
    error: TandemError | None = None
    assert child.stdout is not None
    for line in child.stdout:
        told = json.loads(line)
        if "progress" in told and on_progress:
            on_progress(Progress(**told["progress"]))
        elif "result" in told:
            result = Result(**{**told["result"], "folder": Path(told["result"]["folder"])})
        elif "error" in told:
            error = TandemError(told["error"]["message"], told["error"]["hint"])
            error.exit_code = told["error"]["code"]
    code = child.wait()
    if error:
        raise error
    if result and code == 0:
        if result.ended == "cancelled":
            raise KeyboardInterrupt
        return result
    again = "The same command goes on from the last save."
    if code == -signal.SIGKILL:
        raise TandemError(
            "The trainer was killed; the memory may have been too small.", f"Free some. {again}"
        )
    stderr.seek(0)
    last = (stderr.read().strip().splitlines() or ["no message"])[-1]
    raise TandemError(f"The trainer ended with code {code}: {last}", again)
