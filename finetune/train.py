"""One training run: from a base model and samples to an adapter or a model, resumable at any step.

As a program, `python -m finetune.train ARGUMENTS.json` runs it in this process and tells its
progress as JSON lines on standard output; see `launch`. Needs torch, transformers, peft, numpy
and safetensors, and nothing else of ours but `finetune`'s trainer modules and `tandem.errors`.
"""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from finetune import device, schedule
from finetune.processes import Group
from finetune.recipe import Recipe
from finetune.runfolder import LOG, RESULT, alone_in
from finetune.state import Progress, Result
from finetune.trainer import TRUNK, Trainer
from tandem.errors import TandemError

__all__ = ["LOG", "RESULT", "TRUNK", "Progress", "Result", "main", "run"]


def run(
    recipe: Recipe,
    base: Path,
    samples: Path,
    out: Path,
    validation: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    start: Path | None = None,
) -> Result:
    """Train, or go on with the run that `out` holds.

    `samples` and `validation` are folders of a `SampleSet`. `start` is a checkpoint of another run
    (its `checkpoints/trunk`) to begin from, with its optimizer's state. A second run of the same
    arguments after the end returns the same result at once. With as many threads and processes, a
    run by steps or tokens that was stopped ends with the very weights of one that was not.

    Raises UsageError for arguments that do not fit each other, ModelError for a base that cannot
    be trained, TandemError for a disk that is full and a loss that is not finite any more.
    """
    clock = schedule.Clock()
    where = device.choose()
    group = Group.join(where)
    try:
        trainer = Trainer(recipe, base, samples, out, validation, where, group, clock)
        with alone_in(out) if group.first else contextlib.nullcontext():
            return trainer.finished() or trainer.train(start, on_progress, should_stop)
    finally:
        group.leave()


def main() -> None:
    """The arguments of `run` from a JSON file; see `launch`, which writes it."""
    told = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    first = os.environ.get("RANK", "0") == "0"
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda which, _: stopping.append(which))

    def say(kind: str, content: dict[str, Any]) -> None:
        if first:
            with contextlib.suppress(BrokenPipeError):  # nobody listens any more: see `stop`
                print(json.dumps({kind: content}, default=str), flush=True)

    def stop() -> bool:
        return bool(stopping) or os.getppid() != told.get("parent", os.getppid())

    try:
        result = run(
            Recipe.of(told["recipe"]),
            Path(told["base"]),
            Path(told["samples"]),
            Path(told["out"]),
            Path(told["validation"]) if told.get("validation") else None,
            lambda progress: say("progress", asdict(progress)),
            stop,
            Path(told["start"]) if told.get("start") else None,
        )
    except TandemError as error:
        say("error", {"message": error.message, "hint": error.hint, "code": error.exit_code})
        sys.exit(error.exit_code)
    say("result", asdict(result))


if __name__ == "__main__":
    main()
