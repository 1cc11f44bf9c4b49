"""Which predictions solve their instance: judged on this machine, each in a fresh container.

The base commit is laid out from a clone, the prediction and then the test patch are put over it,
and the named tests run in a sandbox that has run nothing else. Resolved means that every test of
FAIL_TO_PASS and of PASS_TO_PASS passes, as in SWE-bench. Files of the test patch are as that has
them, whatever a prediction does to them. The report has SWE-bench's fields, and each instance's
under "instances" with a reason in words.
"""

import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sandbox import image, tester, worktree
from sandbox.container import Sandbox
from sandbox.messages import Run
from sandbox.suite import Suite
from sandbox.swebench.instance import Instance, changed
from sandbox.worktree import Snapshot
from tandem.errors import TandemError

TEST_S = 120.0  # a test may take
ALL_S = 1_800.0  # all tests of an instance may take
SCHEMA = 2  # of SWE-bench's report

Status = Literal["resolved", "unresolved", "empty patch", "error", "not predicted"]


@dataclass(frozen=True)
class Outcome:
    """What became of one prediction. `passed` and `failed` are by FAIL_TO_PASS and PASS_TO_PASS;
    `applied` says whether the patch fits the base commit."""

    id: str
    status: Status
    why: str = ""
    applied: bool = False
    passed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    failed: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def as_json(self, patch: str) -> dict[str, Any]:
        names = ("FAIL_TO_PASS", "PASS_TO_PASS")
        return {
            "patch_is_None": not patch,
            "patch_exists": bool(patch),
            "patch_successfully_applied": self.applied,
            "resolved": self.status == "resolved",
            "status": self.status,
            "reason": self.why,
            "tests_status": {
                name: {
                    "success": list(self.passed.get(name, ())),
                    "failure": list(self.failed.get(name, ())),
                }
                for name in names
            },
        }


def evaluate(
    instances: Sequence[Instance], predictions: Mapping[str, str] | None, repos: Path
) -> Iterator[Outcome]:
    """Judge each instance's prediction; with None the instances' own fixes. Errors are told."""
    for one in instances:
        diff = one.patch if predictions is None else predictions.get(one.id)
        if diff is None:
            yield Outcome(one.id, "not predicted", "there is no line for it")
        elif not diff.strip():
            yield Outcome(one.id, "empty patch", "the patch is empty")
        else:
            yield _judged(one, diff, repos)


def report(
    outcomes: Sequence[Outcome], predictions: Mapping[str, str], instances: Sequence[Instance]
) -> dict[str, Any]:
    """In SWE-bench's fields."""
    ids: dict[str, list[str]] = {}
    for one in outcomes:
        ids.setdefault(one.status, []).append(one.id)
    resolved, unresolved = ids.get("resolved", []), ids.get("unresolved", [])
    lists = {
        "completed_ids": [*resolved, *unresolved],
        "incomplete_ids": ids.get("not predicted", []),
        "empty_patch_ids": ids.get("empty patch", []),
        "submitted_ids": list(predictions),
        "resolved_ids": resolved,
        "unresolved_ids": unresolved,
        "error_ids": ids.get("error", []),
    }
    return {
        "total_instances": len(instances),
        "submitted_instances": len(predictions),
        "completed_instances": len(lists["completed_ids"]),
        "resolved_instances": len(resolved),
        "unresolved_instances": len(unresolved),
        "empty_patch_instances": len(lists["empty_patch_ids"]),
        "error_instances": len(lists["error_ids"]),
        **{name: sorted(found) for name, found in lists.items()},
        "schema_version": SCHEMA,
        "instances": {one.id: one.as_json(predictions.get(one.id, "")) for one in outcomes},
    }


def of_gold(instances: Sequence[Instance]) -> dict[str, str]:
    """The predictions called `gold`."""
    return {one.id: one.patch for one in instances}


def run_tests(
    copy: Snapshot,
    paths: Sequence[str],
    files: Mapping[str, str | None],
    ids: Sequence[str] | None = None,
) -> Run:
    """The tests of these paths, or some of them, with new texts put over a laid-out commit, in a
    fresh container. Raises TandemError."""
    suite = Suite("pytest", tuple(paths), here_on_path=False)
    tar = worktree.tar_of(copy)
    with Sandbox(image.image_for(copy.root, tar), tar) as sandbox:
        server = tester.in_sandbox(sandbox, suite, copy.root)
        try:
            # What the tests print cannot be taken for their results: it lacks the word.
            word = secrets.token_hex(16)
            return server.run(ids, files, test_s=TEST_S, all_s=ALL_S, cold=True, word=word)
        finally:
            server.close()


def _judged(one: Instance, diff: str, repos: Path) -> Outcome:
    tests = [*one.fail_to_pass, *one.pass_to_pass]
    applied = False
    with tempfile.TemporaryDirectory(prefix="tandem-swebench-") as folder:
        try:
            copy = one.laid_out(repos, Path(folder) / "repository")
            texts = changed(diff, copy).files
            applied = True
            texts = {**texts, **changed(one.test_patch, copy).files}
            return _outcome(one, run_tests(copy, one.test_files, texts, tests))
        except TandemError as error:
            why = str(error) if applied else f"the patch was not applied: {error}"
            return Outcome(one.id, "error", why, applied)


def _outcome(one: Instance, ran: Run) -> Outcome:
    ended = {result.id: result.outcome for result in ran.results}
    lists = {"FAIL_TO_PASS": one.fail_to_pass, "PASS_TO_PASS": one.pass_to_pass}
    passed = {name: [t for t in tests if ended.get(t) == "passed"] for name, tests in lists.items()}
    failed = {name: [t for t in tests if ended.get(t) != "passed"] for name, tests in lists.items()}
    bad = [*failed["FAIL_TO_PASS"], *failed["PASS_TO_PASS"]]
    why = ""
    if ran.foreign:
        why = f"{ran.foreign} results did not come from the runner"
    elif bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        why = f"{bad[0]} {ended.get(bad[0], 'did not run')}{more}"
        if not ran.results and ran.broken:
            why = f"{why}: {ran.broken[0].message[:200]}"
    elif not one.fail_to_pass:
        why = "it names no test that the fix must mend"
    return Outcome(one.id, "unresolved" if why else "resolved", why, True, passed, failed)
