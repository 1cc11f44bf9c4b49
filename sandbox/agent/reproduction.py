"""A test file that an agent wrote because none failed: kept beside the run, and put into its copy.

It is never counted as the repository's own: a patch that only it speaks for is "plausible" at best.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sandbox.choose import Check
from sandbox.report import Found
from sandbox.suite import Suite
from sandbox.worktree import Snapshot
from tandem import paths

FORMAT = 1
_FILE = "reproduction.json"


@dataclass(frozen=True)
class Reproduction:
    path: str
    text: str

    def save(self, folder: Path) -> None:
        with paths.atomic_write(folder / _FILE) as stream:
            json.dump({"v": FORMAT, **asdict(self)}, stream)

    def added(self, copy: Snapshot, tests: Suite) -> tuple[Snapshot, Suite]:
        """The copy with the file in it, and the suite that runs it, too."""
        file = copy.root / self.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.text, "utf-8", newline="")
        files = tuple(sorted({*copy.files, self.path}))
        if tests.paths(copy.root):
            tests = replace(tests, args=(*tests.args, self.path))
        return replace(copy, files=files), tests


def known(folder: Path) -> Reproduction | None:
    """The one of before, if there is one."""
    try:
        told = json.loads((folder / _FILE).read_text("utf-8"))
    except FileNotFoundError:
        return None
    return Reproduction(told["path"], told["text"])


def weighed(found: Sequence[Found]) -> list[Found]:
    """Patches for which only such a test speaks."""
    check = Check("a test of the repository's own", None, "the agent wrote the one that failed")
    return [replace(one, label="plausible", checks=(*one.checks, check)) for one in found]
