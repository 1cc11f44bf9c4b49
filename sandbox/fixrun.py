"""The folder of one fix run, from which it goes on after a Ctrl-C or a crash.

order.json    what was asked for
copy.json     what the private copy was made from
copy/         the repository as it stood when the run began
symptoms.json how the failing tests failed
tried.jsonl   a line for each candidate that was tried
trajectory.jsonl, reproduction.json   an agent's steps, and the test that it wrote; see sandbox.agent
report.json   what came out
"""

import json
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sandbox import worktree
from sandbox.repair.change import Candidate
from sandbox.symptom import Symptom
from sandbox.validate import Tried
from sandbox.worktree import Snapshot
from tandem import paths
from tandem.errors import UsageError

FORMAT = 1
KEPT = 20  # runs; older ones are removed when a new one begins
_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")


@dataclass(frozen=True)
class Order:
    """What a run was asked for. `test` "": the repository's tests are found out.

    `seconds` are for the search alone, `candidates` the most that are tried; `workers` sandboxes
    work side by side. `agent`: a chat model is asked before templates are tried, and not after.
    `steps`, `tokens`, `money` (0: no limit) and `minutes` are for each of its `attempts`.
    """

    repository: str
    test: str = ""
    seconds: float = 600.0
    candidates: int = 20_000
    workers: int = 2
    model: bool = True
    issue: str = ""
    agent: bool = False
    attempts: int = 1
    steps: int = 40
    tokens: int = 400_000
    money: float = 0.0
    minutes: float = 20.0


class RunFolder:
    """One run's files. Not for two processes at a time: the audit log, which is opened first,
    sees to that."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.root = _runs() / id

    @classmethod
    def new(cls, order: Order) -> "RunFolder":
        """Begin a run; the oldest ones go."""
        root = paths.private_dir(_runs())
        for old in sorted(path for path in root.iterdir() if _ID.fullmatch(path.name))[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        made = cls(f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}")
        paths.private_dir(made.root)
        made._write("order.json", asdict(order))
        return made

    @classmethod
    def known(cls, id: str) -> "RunFolder":
        """A run of before. Raises UsageError if there is none of this id."""
        if not _ID.fullmatch(id) or not (_runs() / id / "order.json").is_file():
            there = ", ".join(ids()[:5]) or "none"
            raise UsageError(f"There is no run {id}.", f"Newest runs: {there}")
        return cls(id)

    def order(self) -> Order:
        return Order(**self._read("order.json"))

    def copy(self) -> Snapshot:
        """The private copy, made when it is first asked for. Raises as `worktree.snapshot`."""
        folder = self.root / "copy"
        if (self.root / "copy.json").is_file():
            told = self._read("copy.json")
            lists = {name: tuple(told[name]) for name in ("files", "pointers")}
            left_out = tuple((path, why) for path, why in told["left_out"])
            return Snapshot(folder, told["base"], told["commit"], left_out=left_out, **lists)
        shutil.rmtree(folder, ignore_errors=True)
        made = worktree.snapshot(Path(self.order().repository), folder)
        self._write("copy.json", {k: v for k, v in vars(made).items() if k != "root"})
        return made

    def keep_symptoms(self, symptoms: Sequence[Symptom]) -> None:
        self._write("symptoms.json", {"symptoms": [asdict(one) for one in symptoms]})

    def symptoms(self) -> tuple[Symptom, ...]:
        """How the failing tests failed; () for a run that did not come so far."""
        if not (self.root / "symptoms.json").is_file():
            return ()
        return tuple(map(Symptom.from_json, self._read("symptoms.json")["symptoms"]))

    def reported(self) -> dict[str, Any]:
        """What the report says. Raises UsageError if the run has not ended."""
        try:
            return json.loads((self.root / "report.json").read_text("utf-8"))
        except FileNotFoundError as error:
            raise UsageError(f"The run {self.id} has not ended.", "Wait for it.") from error

    def add(self, tried: Tried) -> None:
        with (self.root / "tried.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(tried)) + "\n")

    def tried(self) -> list[Tried]:
        """What was tried before; a last line that is cut short is left out."""
        return list(self._tried())

    def _tried(self) -> Iterator[Tried]:
        try:
            lines = (self.root / "tried.jsonl").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                told = json.loads(line)
                yield Tried(**{**told, "candidate": Candidate(**told["candidate"])})
            except (ValueError, TypeError, KeyError):
                continue

    def _write(self, name: str, values: dict[str, Any]) -> None:
        with paths.atomic_write(self.root / name) as stream:
            json.dump({"v": FORMAT, **values}, stream)

    def _read(self, name: str) -> dict[str, Any]:
        told = json.loads((self.root / name).read_text("utf-8"))
        if told.pop("v", None) != FORMAT:
            raise UsageError(f"The run {self.id} is of another version.", "Start it anew.")
        return told


def ids() -> list[str]:
    """The runs that are there, the newest first."""
    root = _runs()
    found = root.iterdir() if root.is_dir() else ()
    return sorted((path.name for path in found if _ID.fullmatch(path.name)), reverse=True)


def folder_of(id: str) -> Path | None:
    """A run's folder, if it is still kept."""
    folder = _runs() / id
    return folder if _ID.fullmatch(id) and folder.is_dir() else None


def _runs() -> Path:
    return paths.state_dir() / "fix"
