"""Which lines are suspicious: spectrum, stack trace and values, joined. Pure.

Spectrum: Ochiai, failed / sqrt(all failed * executed), over the lines that each test ran (Abreu et
al., 2007). Stack frames say more than it for crashes, less for wrong values (Widyasari et al.,
2022; arXiv 2305.19834), so their weight follows how the tests failed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sandbox.statements import Statement, statements
from sandbox.suite import TestResult, is_test_path

Covered = Mapping[str, Mapping[str, frozenset[int]]]  # test id → path → lines
Place = tuple[str, int]

# Parts of a score, in all 1: spectrum, stack trace, values, and what kind of statement it is.
CRASH = (0.45, 0.35, 0.0, 0.20)
STOPPED = (0.45, 0.30, 0.0, 0.25)
WRONG = (0.55, 0.0, 0.20, 0.25)
OUTWARDS = 0.5  # a frame's weight beside the one that it called
FLOWS = 0.7  # the weight of what a value came from, or of what decided, beside what came of it
STEPS = 4  # back along that


@dataclass(frozen=True)
class Suspect:
    """One suspicious statement. `line` is where it starts, 1-based; `score` is within 0..1."""

    path: str
    line: int
    score: float
    why: tuple[str, ...]


def localize(
    results: Sequence[TestResult], covered: Covered, sources: Mapping[str, str]
) -> list[Suspect]:
    """The suspicious statements, most suspicious first; [] if no test failed.

    `results` of failing tests carry frames and values. `covered` may lack tests, then the frames
    count alone. `sources` are the texts of the repository's Python files; tests themselves are
    suspected only if the failing ones run nothing else.
    """
    failing = [result for result in results if result.bad]
    if not failing:
        return []
    known = {path: statements(text) for path, text in sources.items()}
    told = _Evidence(known, failing, results, covered, outside_tests=True)
    if not told.places():
        told = _Evidence(known, failing, results, covered, outside_tests=False)
    ranked = [told.suspect(place) for place in told.places()]
    # Of equals the later line first: what a test ran last is nearer to the failure.
    ranked.sort(key=lambda suspect: (-suspect.score, suspect.path, -suspect.line))
    return ranked


class _Evidence:
    """What speaks against each statement, named by its path and first line."""

    def __init__(
        self,
        known: Mapping[str, Mapping[int, Statement]],
        failing: Sequence[TestResult],
        results: Sequence[TestResult],
        covered: Covered,
        outside_tests: bool,
    ) -> None:
        self.known = known
        self.paths = {p for p in known if not (outside_tests and is_test_path(p))}
        self.failing = failing
        self.failed: dict[Place, int] = {}
        self.passed: dict[Place, int] = {}
        passing = [r for r in results if r.outcome == "passed" and r.id in covered]
        self.passing = len(passing)
        for result in failing:
            self._count(self.failed, covered.get(result.id, {}))
        for result in passing:
            self._count(self.passed, covered[result.id])
        self.spectra = sum(1 for result in failing if covered.get(result.id))
        self.trace: dict[Place, float] = {}
        self.values: dict[Place, float] = {}
        self.notes: dict[Place, list[str]] = {}
        shares = [self._look_at(result) for result in failing]
        self.parts = tuple(sum(share) / len(shares) for share in zip(*shares, strict=True))

    def places(self) -> list[Place]:
        return sorted({*self.failed, *self.trace, *self.values})

    def suspect(self, place: Place) -> Suspect:
        ochiai = self._ochiai(place)
        trace = min(1.0, self.trace.get(place, 0.0) / len(self.failing))
        value = min(1.0, self.values.get(place, 0.0) / len(self.failing))
        statement = self.known[place[0]][place[1]]
        kinds = (ochiai, trace, value, statement.weight * max(ochiai, trace))
        score = sum(part * kind for part, kind in zip(self.parts, kinds, strict=True))
        return Suspect(*place, round(score / sum(self.parts), 4), tuple(self._why(place)))

    def _ochiai(self, place: Place) -> float:
        failed, passed = self.failed.get(place, 0), self.passed.get(place, 0)
        return failed / math.sqrt(self.spectra * (failed + passed)) if failed else 0.0

    def _why(self, place: Place) -> list[str]:
        why = []
        if failed := self.failed.get(place, 0):
            why.append(f"run by {failed} of {self.spectra} failing")
            if self.passing:
                why[0] += f" and {self.passed.get(place, 0)} of {self.passing} passing tests"
            elif self.spectra > 1 or failed > 1:
                why[0] += " tests"
            else:
                why[0] = "run by the failing test"
        return why + list(dict.fromkeys(self.notes.get(place, [])))[:3]

    def _count(self, into: dict[Place, int], lines: Mapping[str, frozenset[int]]) -> None:
        for path, ran in lines.items():
            if path in self.paths:
                starts = {s.line for line in ran if (s := self.known[path].get(line))}
                for start in starts:
                    into[path, start] = into.get((path, start), 0) + 1

    def _look_at(self, result: TestResult) -> tuple[float, float, float, float]:
        """Note what one failure tells; how much each part of the score then counts."""
        frames = [(f.path, s.line, f) for f in result.frames if (s := self._at(f.path, f.line))]
        if not frames:
            self._follow_values(result)
            return WRONG
        weight = 1.0
        for path, line, frame in reversed(frames):
            told = f"{result.kind or 'failure'} in {frame.function or 'module'}"
            self._note(self.trace, (path, line), weight, told if weight == 1.0 else "on the stack")
            weight *= OUTWARDS
        path, line, _ = frames[-1]
        if result.outcome == "timeout":
            # Where it was when it was stopped is chance; the loop around it is not.
            for near in self._around(path, line):
                self._note(self.trace, (path, near), 0.9, "in the loop that did not end")
            return STOPPED
        if result.kind == "RecursionError":
            for one in {(p, s) for p, s, _ in frames}:
                self._note(self.trace, one, 0.5, "recurses without end")
        for source, (weight, told) in self._behind(path, line).items():
            self._note(self.trace, (path, source), weight / 2, told)
        return CRASH

    def _follow_values(self, result: TestResult) -> None:
        """A wrong value came from a `return`, and into that from what its function set."""
        for frame in result.returned[-1:]:
            if statement := self._at(frame.path, frame.line):
                told = f"gave {frame.values.get('return', 'the value')[:40]} to the test"
                # A bare `return x` has little in it to be wrong.
                weight = FLOWS + (1 - FLOWS) * statement.weight
                self._note(self.values, (frame.path, statement.line), weight, told)
                for line, (weight, why) in self._behind(frame.path, statement.line).items():
                    self._note(self.values, (frame.path, line), weight, why)

    def _behind(self, path: str, line: int) -> dict[int, tuple[float, str]]:
        """What a statement depends on in its function: what set the names that it reads, and the
        headers that decided, step by step back; with a weight and the reason.
        """
        found: dict[int, tuple[float, str]] = {}
        waiting, weight = [line], 1.0
        for _ in range(STEPS):
            following: list[int] = []
            for one in waiting:
                here = self.known[path][one]
                steps = [(here.under, f"decides on line {one}")] if here.under else []
                for name in sorted(here.reads):
                    steps += [
                        (s, f"sets {name}, used on line {one}")
                        for s in self._setting(path, one, name)
                    ]
                for step, why in steps:
                    if step != line and step not in found and self._may_have_run(path, step):
                        found[step] = weight, why
                        following.append(step)
            waiting, weight = following, weight * FLOWS
        return found

    def _at(self, path: str, line: int) -> Statement | None:
        return self.known[path].get(line) if path in self.paths else None

    def _around(self, path: str, line: int) -> list[int]:
        """The statements of the innermost loop around a line, or of its function."""
        here = self.known[path][line]
        loop = here.loop or here.function
        inside = {s.line for s in self.known[path].values() if loop in (s.loop, s.line, s.function)}
        return sorted(inside)

    def _setting(self, path: str, line: int, name: str) -> list[int]:
        """The other statements of the same function that set a name."""
        function = self.known[path][line].function
        every = {s.line: s for s in self.known[path].values()}
        return sorted(
            n for n, s in every.items() if name in s.writes and s.function == function and n != line
        )

    def _may_have_run(self, path: str, line: int) -> bool:
        return not self.failed or (path, line) in self.failed

    def _note(self, into: dict[Place, float], place: Place, weight: float, told: str) -> None:
        # Within one failing test a place counts once, as the strongest; tests add up.
        into[place] = into.get(place, 0.0) + weight
        self.notes.setdefault(place, []).append(told)
