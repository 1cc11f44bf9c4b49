"""Candidates for suspicious lines, the likeliest first, made only as far as they are asked for."""

import heapq
import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from sandbox.repair.catalogue import TEMPLATES, Template
from sandbox.repair.change import Candidate, Change, Replace, Splice
from sandbox.repair.names import Names
from sandbox.repair.normal import Key, Normal
from sandbox.repair.pieces import Pieces
from sandbox.repair.priors import prior
from sandbox.repair.source import Source, Statement, indented
from sandbox.repair.spot import Spot


class Suspicion(Protocol):
    """A line (from 1) and how suspicious it is, from 0 to 1; `localize.Suspect` is one."""

    @property
    def path(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def score(self) -> float: ...


def candidates(
    source: str,
    path: str,
    suspects: Iterable[Suspicion],
    others: Iterable[Pieces] = (),
    priors: Mapping[str, float] | None = None,
    model: Template | None = None,
    more: Mapping[str, Template] | None = None,
) -> Iterator[Candidate]:
    """Different candidates for one file, by falling prior; none for a file that does not parse.

    Pure: the same arguments give the same candidates. Suspects of other paths are passed over.
    `others` are other files of the repository to take pieces from: `Elsewhere`. `priors` override those of `priors.prior` by template. `model` is one more template, `infill.Infiller`,
    whose candidates are called "model"; `more` are others by name.
    """
    parsed = parse((path, source))
    if parsed is None:
        return
    search = Search(parsed, others, priors, model, more)
    scores: dict[int, tuple[float, Statement]] = {}
    for suspect in suspects:
        for statement in parsed.at_line(suspect.line) if suspect.path == path else ():
            if suspect.score > scores.get(id(statement), (0.0, statement))[0]:
                scores[id(statement)] = (suspect.score, statement)
    for found, _ in search.run(list(scores.values())):
        yield found


class Elsewhere:
    """Pieces of files, which are parsed when they are first asked for, and once for all."""

    def __init__(self, texts: Mapping[str, str], but: str = "") -> None:
        self._texts, self._but = texts, but
        self._read: dict[str, Pieces] = {}

    def but(self, path: str) -> "Elsewhere":
        """The same without one file."""
        rest = Elsewhere(self._texts, path)
        rest._read = self._read
        return rest

    def __iter__(self) -> Iterator[Pieces]:
        if not self._read:
            parsed = map(parse, self._texts.items())
            self._read.update((one.path, Pieces(one)) for one in parsed if one)
        return (pieces for path, pieces in self._read.items() if path != self._but)


class Search:
    """The candidates of one parsed file."""

    def __init__(
        self,
        source: Source,
        others: Iterable[Pieces] = (),
        priors: Mapping[str, float] | None = None,
        model: Template | None = None,
        more: Mapping[str, Template] | None = None,
    ) -> None:
        self._source = source
        self._names = Names(source)
        self._pieces = Pieces(source)
        self._others = others
        self._priors = priors or {}
        own = {"model": model} if model else {}
        self._templates = {**TEMPLATES, **own, **(more or {})}
        self.normal = Normal(source)

    def run(self, scored: Sequence[tuple[float, Statement]]) -> Iterator[tuple[Candidate, Key]]:
        """Candidates with their keys, by falling prior.

        A template's share is split among its proposals for a statement, so a statement's template
        is asked only when nothing better is left: none of its proposals can outdo the whole.
        """
        counter = itertools.count()
        waiting: list[tuple[float, int, tuple[Spot, str] | tuple[list[_Made], int]]] = []
        for score, statement in scored:
            spot = Spot(self._source, self._names, statement, self._pieces, self._others)
            for name in self._templates:
                share = score * self._priors.get(name, prior(name))
                heapq.heappush(waiting, (-share, next(counter), (spot, name)))
        seen: set[Key] = set()
        while waiting:
            rank, _, (first, second) = heapq.heappop(waiting)
            if isinstance(first, Spot):
                assert isinstance(second, str)
                made, at = self._made(first, second, -rank), -1
            else:
                assert isinstance(second, int)
                made, at = first, second
            if at + 1 < len(made):
                entry = (-made[at + 1].candidate.prior, next(counter), (made, at + 1))
                heapq.heappush(waiting, entry)
            if at >= 0:
                key = self._key(made[at])
                if key is not None and key not in seen:
                    seen.add(key)
                    yield made[at].candidate, key

    def by_template(
        self, statement: Statement, names: Iterable[str] | None = None
    ) -> Iterator[tuple[str, list[tuple[Candidate, Key]]]]:
        """Each of these templates that has proposals for a statement, and its proposals, as if it
        were always right: their priors sum up to 1."""
        spot = Spot(self._source, self._names, statement, self._pieces, self._others)
        for name in self._templates if names is None else names:
            keyed = [(one.candidate, self._key(one)) for one in self._made(spot, name, 1.0)]
            found = [(candidate, key) for candidate, key in keyed if key is not None]
            whole = sum(candidate.prior for candidate, _ in found)
            if found:
                yield name, [(replace(c, prior=c.prior / whole), key) for c, key in found]

    def _made(self, spot: Spot, name: str, share: float) -> list["_Made"]:
        """A template's proposals for one statement by falling prior; some may not compile, which
        is seen when their turn comes, as most never get one."""
        best: dict[tuple[int, int, str], Change] = {}
        for change in self._templates[name](spot):
            edit = (
                (change.start, change.end, change.text)
                if isinstance(change, Replace)
                else rendered(self._source, change)
            )
            if edit is not None and (edit not in best or change.weight > best[edit].weight):
                best[edit] = change
        whole = sum(change.weight for change in best.values())
        path = self._source.path
        made = [
            _Made(spot, change, Candidate(path, *edit, name, share * change.weight / whole))
            for edit, change in best.items()
        ]
        return sorted(made, key=lambda one: -one.candidate.prior)

    def _key(self, made: "_Made") -> Key | None:
        """None for what does not compile, or changes nothing."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `x is 1` is worth a warning, and a try
            if isinstance(made.change, Replace):
                return self.normal.replaced(made.spot.statement, made.change)
            return self.normal.spliced(made.change)


class _Made(NamedTuple):
    spot: Spot
    change: Change
    candidate: Candidate


def rendered(source: Source, change: Splice) -> tuple[int, int, str] | None:
    """The characters that a splice replaces, in whole lines, and what it puts there."""
    block = change.block
    statements = block.statements
    texts = [indented(text, block.indent) for text in change.texts]
    if None in texts:
        return None
    text = "".join(f"{block.indent}{one}{source.newline}" for one in texts)
    below = change.below and change.first == change.last and change.first > 0
    if change.first < len(statements) and not below:
        start = source.line_start(statements[change.first].start)
    else:
        above = statements[change.first - 1]
        start = source.line_end(max(above.start, above.end - 1))
    end = start
    if change.last > change.first:
        last = statements[change.last - 1]
        end = source.line_end(max(last.start, last.end - 1))
    if end == len(source.text) and not source.text.endswith(("\n", "\r")):
        # The file's last line has no end: neither may what takes its place.
        text = (source.newline if start == end else "") + text.removesuffix(source.newline)
    return start, end, text


def parse(item: tuple[str, str]) -> Source | None:
    """A path and its text; None where this Python cannot parse it."""
    path, text = item
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Source(text, path)
    except (SyntaxError, ValueError, RecursionError):
        return None
