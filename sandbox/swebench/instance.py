"""A task in SWE-bench's format, and where its repository is on this machine.

One JSON object a line: instance_id, repo ("owner/name"), base_commit, problem_statement,
test_patch, FAIL_TO_PASS and PASS_TO_PASS (lists, or lists as JSON text), and maybe patch, the fix
that people made. Tests are named as pytest names them.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import patch, worktree
from sandbox.messages import is_clean_path
from sandbox.patch import FileDiff, Patch, PatchError
from sandbox.worktree import Snapshot
from tandem.errors import UsageError

GOLD = "gold"  # the predictions that are the instances' own fixes
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True)
class Instance:
    id: str
    repo: str
    base_commit: str
    problem_statement: str
    test_patch: str
    fail_to_pass: tuple[str, ...]
    pass_to_pass: tuple[str, ...]
    patch: str = ""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Instance":
        """Raises ValueError, KeyError or TypeError for what is none."""
        names = ("instance_id", "repo", "base_commit", "problem_statement", "test_patch")
        texts = [told[name] for name in names]
        if not all(isinstance(text, str) for text in texts) or not texts[0]:
            raise ValueError(f"{', '.join(names)} are texts")
        if not _COMMIT.fullmatch(texts[2]):
            raise ValueError("base_commit is no commit's hash")
        tests = [_list(told[name]) for name in ("FAIL_TO_PASS", "PASS_TO_PASS")]
        return cls(*texts, *tests, patch=str(told.get("patch") or ""))

    def as_json(self) -> dict[str, Any]:
        return {
            "instance_id": self.id,
            "repo": self.repo,
            "base_commit": self.base_commit,
            "problem_statement": self.problem_statement,
            "test_patch": self.test_patch,
            "FAIL_TO_PASS": list(self.fail_to_pass),
            "PASS_TO_PASS": list(self.pass_to_pass),
            "patch": self.patch,
        }

    @property
    def test_files(self) -> list[str]:
        """The files that the named tests are in. Raises UsageError where a test's name has none."""
        files: dict[str, None] = {}
        for test in (*self.fail_to_pass, *self.pass_to_pass):
            path = test.split("::")[0]
            if "::" not in test or not is_clean_path(path) or path.startswith("-"):
                raise UsageError(f"{test!r} is no test as pytest names it.")
            files[path] = None
        return list(files)

    def laid_out(self, repos: Path, into: Path) -> Snapshot:
        """The base commit, without history, from a clone among `repos`. Raises TandemError."""
        return worktree.snapshot(clone_of(self.repo, repos), into, self.base_commit)


def read(file: Path) -> list[Instance]:
    """The instances of a file. Raises UsageError, with the line, for what is none."""
    found: list[Instance] = []
    for number, line in _lines(file):
        try:
            found.append(Instance.of(json.loads(line)))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise UsageError(f"Line {number} of {file} is no instance: {why}.") from error
    ids = [one.id for one in found]
    twice = (
        next((id for id in ids if ids.count(id) > 1), None) if len(set(ids)) < len(ids) else None
    )
    if twice is not None or not found:
        what = f"has {twice} twice" if twice is not None else "has no instance"
        raise UsageError(f"{file} {what}.", "Give each instance one line.")
    return found


def read_predictions(file: Path) -> dict[str, str]:
    """The patches of a file of predictions, one JSON object a line, by instance; of two the later.

    A last line that is cut off is left out. Raises UsageError for other lines that are none.
    """
    found: dict[str, str] = {}
    rows = list(_lines(file))
    for number, line in rows:
        try:
            told = json.loads(line)
            id, text = told["instance_id"], told.get("model_patch") or ""
            if not isinstance(id, str) or not isinstance(text, str):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if number == rows[-1][0] and not file.read_bytes().endswith(b"\n"):
                break
            raise UsageError(f"Line {number} of {file} is no prediction.") from error
        found[id] = text
    return found


def clone_of(repo: str, repos: Path) -> Path:
    """The clone of "owner/name": `owner__name`, `owner/name` or `name` in the folder."""
    names = (repo.replace("/", "__"), repo, repo.rsplit("/", 1)[-1])
    for name in names:
        if is_clean_path(name) and (repos / name).is_dir():
            return repos / name
    raise UsageError(f"There is no clone of {repo} in {repos}.", f"Make {repos / names[0]}.")


def changed(diff: str, copy: Snapshot) -> Patch:
    """The new texts that a diff gives a laid-out commit. Raises PatchError where it does not fit."""
    found = patch.parse(diff)
    return patch.apply(found, _texts(found, copy))


def _texts(diffs: Iterable[FileDiff], copy: Snapshot) -> dict[str, str]:
    known = set(copy.files)
    texts: dict[str, str] = {}
    for one in diffs:
        if one.path in known:
            try:
                texts[one.path] = copy.text(one.path)
            except (ValueError, OSError) as error:
                raise PatchError(f"{one.path!r} is no text that can be changed.") from error
    return texts


def _list(told: object) -> tuple[str, ...]:
    """Test names: a list, or one as JSON text."""
    found = json.loads(told) if isinstance(told, str) else told
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError("FAIL_TO_PASS and PASS_TO_PASS are lists of tests")
    return tuple(found)


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        lines = file.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{file} cannot be read: {why}.", "Name a file of JSON lines.") from error
    return ((n, line) for n, line in enumerate(lines, 1) if line.strip())
