"""Which patches leave a run: those that may, and that a judge found to hold."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from sandbox import allowed, twice
from sandbox.audit import Log
from sandbox.choose import Judged
from sandbox.localize import Suspect
from sandbox.patch import Patch
from sandbox.report import Found
from sandbox.suite import is_test_path
from sandbox.verdict import Verdict

SHOWN = 5  # of one run
JUDGED = 2  # of them, each in a fresh container
_BELOW = 3  # lines of a suspicious statement that a change may begin on


@dataclass(frozen=True)
class Leaving:
    """`sources` are the texts before by path, `ranked` the suspicious lines; `judge` is given the
    new texts of a patch and says whether they hold; `granted` are the paths of a patch that a person
    said yes to though a rule asks."""

    sources: Mapping[str, str]
    ranked: Sequence[Suspect]
    judge: Callable[[Mapping[str, str | None]], Verdict]
    log: Log
    note: Callable[[str], None]
    granted: Callable[[Mapping[str, str | None]], Collection[str]] = lambda files: ()

    def of(self, judged: Sequence[Judged]) -> list[Found]:
        """In their order. What is refused or does not hold is told and left out."""
        kept: list[Found] = []
        for one in judged:
            made = self._found(one) if len(kept) < SHOWN else None
            if made is not None and len(kept) < JUDGED:
                made = self._held(one, made)
            if made is not None:
                kept.append(made)
        return kept

    def _held(self, one: Judged, made: Found) -> Found | None:
        candidate = one.candidate
        said = self.judge(candidate.changed(self.sources))
        reasons = list(said.reasons)
        self.log.append("verdict", number=made.number, holds=said.holds, reasons=reasons)
        if not said.holds:
            self.note(
                f"candidate {made.number} did not hold: {reasons[0] if reasons else 'no check'}"
            )
            return None
        return replace(made, verdict=f"holds in a fresh container: {len(said.checks)} checks")

    def _found(self, one: Judged) -> Found | None:
        """None for a patch that may not leave the sandbox."""
        candidate = one.candidate
        old, patch = self.sources, Patch(candidate.changed(self.sources))
        refused = allowed.refusals(patch, old, granted=self.granted(patch.files))
        if refused:
            self.log.append("refused", number=one.tried.number, why=str(refused[0]))
            self.note(f"candidate {one.tried.number} is refused: {refused[0]}")
            return None
        first = candidate.places(old)[0]
        return Found(
            patch.diff(old),
            first.path,
            first.first,
            candidate.template,
            one.label,
            one.tried.number,
            self._rank(first.path, first.first),
            one.checks,
            "",
            tuple(map(str, twice.flags(patch.files, old))),
        )

    def _rank(self, path: str, line: int) -> int:
        """The place among the suspicious lines, from 1; 0 if it is none."""
        for number, one in enumerate(self.ranked, 1):
            if one.path == path and one.line <= line <= one.line + _BELOW:
                return number
        return 0


def may_change(path: str) -> bool:
    """Files that a fix may touch: sources, but no tests and nothing that Python runs by itself."""
    if is_test_path(path) or not path.endswith(".py"):
        return False
    probe = Patch({path: "x = 1\n"})
    return not allowed.refusals(probe, {path: "x = 2\n"})
