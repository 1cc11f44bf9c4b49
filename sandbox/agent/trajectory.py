"""An attempt's steps, a line each: a run goes on from them, and is replayed without any model.

`{"v": 1, "attempt": 1, "step": 3, "kind": "act", ...}`; all attempts of a run share one file. Kinds:
task, plan, act (an answer of the model: `text`, `calls`), observe (`tool`, `arguments`, `result`,
`outcome`, for an edit `files`), reflect, finish. A line is on the disk before the next step begins.
"""

import json
import os
from collections import deque
from pathlib import Path
from typing import Any

from tandem.errors import TandemError

FORMAT = 1
NAME = "trajectory.jsonl"


class Trajectory:
    """The lines of one attempt. What is there from before comes first, step by step, by `next`."""

    def __init__(self, folder: Path, attempt: str, read_only: bool = False) -> None:
        self.attempt = attempt
        self.read_only = read_only
        self._file = folder / NAME
        if not read_only:
            _whole(self._file)
        known = lines(self._file) if self._file.exists() else []
        mine = [line for line in known if line["attempt"] == attempt]
        self.steps = max((line["step"] for line in mine), default=0)
        # An attempt that ended for want of an answer is taken up there.
        self._before = deque(line for line in mine if line["kind"] != "finish")

    @property
    def more(self) -> bool:
        """There is a step of before to be done again."""
        return bool(self._before)

    def next(self, kind: str) -> dict[str, Any] | None:
        """The step of before that comes now; None if there is no more. Raises TandemError if it is
        of another kind, as the run was then made by another version."""
        if not self._before:
            return None
        line = self._before.popleft()
        if line["kind"] != kind:
            raise TandemError(
                f"Step {line['step']} of the trajectory is {line['kind']!r}, not {kind!r}.",
                "It is of another version: start a new run.",
            )
        return line

    def add(self, kind: str, **data: Any) -> dict[str, Any]:
        """Write a step."""
        self.steps += 1
        line = {"v": FORMAT, "attempt": self.attempt, "step": self.steps, "kind": kind, **data}
        if not self.read_only:
            with self._file.open("ab") as stream:
                stream.write(json.dumps(line).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        return line


def _whole(file: Path) -> None:
    """Take away a last line that a crash cut off."""
    if file.exists():
        data = file.read_bytes()
        os.truncate(file, data.rfind(b"\n") + 1)


def lines(file: Path) -> list[dict[str, Any]]:
    """All steps. A last line that a crash cut off is left out. Raises TandemError for another
    version, or for what is no trajectory."""
    found: list[dict[str, Any]] = []
    raw = file.read_bytes().split(b"\n")
    for number, row in enumerate(raw[:-1], 1):
        try:
            line = json.loads(row)
            if line["v"] != FORMAT or not isinstance(line["step"], int):
                raise ValueError
            found.append({"attempt": "", "kind": "", **line})
        except (ValueError, KeyError, TypeError) as error:
            raise TandemError(
                f"Line {number} of {file} is no step of a trajectory.", "Start a new run."
            ) from error
    return found
