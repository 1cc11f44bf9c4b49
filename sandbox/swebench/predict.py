"""Many instances one after the other: each laid out, mended, and told in a line of predictions."""

import json
import os
import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.swebench.instance import Instance, changed, read_predictions
from sandbox.worktree import Snapshot
from tandem.errors import TandemError, UsageError

# Given the laid-out repository, its tests' command and the instance: a prediction's line.
Solve = Callable[[Path, str, Instance], str]


@dataclass(frozen=True)
class Done:
    """What became of one instance. `why` is "" where there is a patch."""

    id: str
    patched: bool
    why: str = ""


def predict(
    instances: Sequence[Instance], repos: Path, out: Path, solve: Solve, oracle_tests: bool
) -> Iterator[Done]:
    """Append a line for each instance that has none in `out`, and tell of each.

    What goes wrong with one is told, with an empty patch as its prediction, and the next begins.
    """
    known = read_predictions(out) if out.exists() else {}
    _end_line(out)
    for one in instances:
        if one.id in known:
            continue
        try:
            line, why = _solved(one, repos, solve, oracle_tests), ""
        except TandemError as error:
            line = json.dumps(
                {"instance_id": one.id, "model_name_or_path": "tandem", "model_patch": ""}
            )
            why = str(error)
        with out.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        patched = bool(json.loads(line)["model_patch"])
        yield Done(one.id, patched, why or ("" if patched else "no fix was found"))


def _solved(one: Instance, repos: Path, solve: Solve, oracle_tests: bool) -> str:
    with tempfile.TemporaryDirectory(prefix="tandem-swebench-") as folder:
        copy = one.laid_out(repos, Path(folder) / "repository")
        test = ""
        if oracle_tests:
            tests = (*one.fail_to_pass, *one.pass_to_pass)
            if not tests:
                raise UsageError(f"{one.id} names no test.")
            one.test_files  # noqa: B018  raises for what pytest could not run
            test = shlex.join(["pytest", *tests])
            _write(copy, one.test_patch)
        return solve(copy.root, test, one)


def _write(copy: Snapshot, diff: str) -> None:
    """Put a patch's files into a copy of ours, where no link may lead out of it."""
    for path, text in changed(diff, copy).files.items():
        file = copy.root / path
        if not file.parent.resolve().is_relative_to(copy.root.resolve()) or file.is_symlink():
            raise TandemError(f"{path!r} leads out of the repository.")
        if text is None:
            file.unlink()
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8", newline="")


def _end_line(out: Path) -> None:
    """Take away a last line that a crash cut off."""
    if out.exists():
        data = out.read_bytes()
        if not data.endswith(b"\n"):
            os.truncate(out, data.rfind(b"\n") + 1)
