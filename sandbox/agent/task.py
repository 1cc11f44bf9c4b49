"""What an attempt is asked: to make tests pass, or to write a test that shows an issue."""

from collections.abc import Mapping, Sequence

from sandbox.agent.observe import failure
from sandbox.ends import ends
from sandbox.fence import Fence
from sandbox.localize import Suspect
from sandbox.suite import TestResult

FAILURES = 6
LINES = 12
FILES = 60
ISSUE = 12_000  # characters


def mending(
    fence: Fence,
    failing: Sequence[TestResult],
    suspects: Sequence[Suspect],
    sources: Mapping[str, str],
    files: Sequence[str],
    issue: str = "",
    earlier: str = "",
) -> str:
    """Make these tests pass. `earlier`: what mended the like of it in this repository."""
    told = "\n".join(failure(one) for one in failing[:FAILURES])
    more = f" The first {FAILURES} of them:" if len(failing) > FAILURES else ""
    parts = [
        f"{len(failing)} tests of this repository fail. Make them pass, and break no other."
        f" Then call run_tests without ids.{more}",
        fence.around("test output", told),
    ]
    if lines := [f"{one.path}:{one.line}: {_line(sources, one)}" for one in suspects[:LINES]]:
        parts += [
            "Suspicious lines, the most suspicious first:",
            fence.around("lines", "\n".join(lines)),
        ]
    if earlier:
        parts += ["What mended the like of it here before:", fence.around("earlier fixes", earlier)]
    return "\n".join([*parts, *_about(fence, files, issue)])


def reproducing(fence: Fence, path: str, files: Sequence[str], issue: str) -> str:
    """Write a test that fails."""
    parts = [
        f"No test fails, but there is an issue. Write the new test file {path} (pytest) whose tests "
        "fail as long as the issue is there, and will pass once it is mended: call the code as the "
        "issue tells, and assert what should be. Then call run_tests. Mend nothing."
    ]
    return "\n".join([*parts, *_about(fence, files, issue)])


def _about(fence: Fence, files: Sequence[str], issue: str) -> list[str]:
    more = f"\nand {len(files) - FILES} more" if len(files) > FILES else ""
    shown = sorted(files, key=lambda path: (path.count("/"), path))[:FILES]
    parts = ["Files of the repository:", fence.around("file names", "\n".join(shown) + more)]
    if issue:
        parts += ["The issue:", fence.around("issue", ends(issue, ISSUE))]
    return parts


def _line(sources: Mapping[str, str], one: Suspect) -> str:
    lines = sources.get(one.path, "").splitlines()
    return lines[one.line - 1].strip()[:160] if one.line <= len(lines) else ""
