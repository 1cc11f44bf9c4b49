"""What the stages of a run work on: the private copy, how its tests run, and warm sandboxes."""

from dataclasses import dataclass

from sandbox.pool import Pool
from sandbox.suite import Suite
from sandbox.worktree import Snapshot


@dataclass(frozen=True)
class Workplace:
    copy: Snapshot
    tests: Suite
    boxes: Pool
