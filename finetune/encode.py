"""Files to samples, on several processes, with the same result whatever their number."""

import hashlib
import multiprocessing
import random
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from completion.hole import Kind
from completion.languages import language_row
from completion.templates import Snippet
from finetune import history
from finetune.files import SourceFile, answerable
from finetune.holes import SHARES, Hole, holes, kind_if_honoured
from finetune.library import Library
from finetune.samples import Encoder, end_weight
from finetune.snippets import RIGHT, USELESS, Definitions
from tandem.errors import TandemError

_HOLE_PER = 300  # characters of a file, at the densest
_TESTS = 0.4  # of the holes that other code of the same size gets
_BATCH = 8  # jobs: about 0.5 s of work, far more than sending them takes


@dataclass(frozen=True)
class Mixture:
    """How holes become samples. Budgets are tokens for the text around the cursor, drawn
    log-uniformly up to what inference uses by default; `longest` is a whole sample's."""

    smallest_budget: int = 128
    largest_budget: int = 512
    longest: int = 1024
    without_suffix: float = 0.06
    without_path: float = 0.1
    right: float = RIGHT
    useless: float = USELESS
    # Where there is a library, the share that gets what retrieval finds, within a budget drawn
    # like the other; the rest is as above.
    retrieved: float = 0.5
    smallest_context: int = 64
    largest_context: int = 320
    shares: dict[str, float] = field(default_factory=lambda: dict(SHARES))


@dataclass(frozen=True)
class Job:
    """Up to `count` holes of one file, in `added` ranges of its lines if there are any."""

    source: str
    file: SourceFile
    count: int
    seed: int
    added: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Encoded:
    """One sample: ids [n] uint32, weights [n] float16, the index of the answer's first token."""

    ids: np.ndarray
    weights: np.ndarray
    middle: int
    cut: str
    kind: Kind
    language: str
    source: str
    snippets: int


def seed_of(*parts: object) -> int:
    """A seed from a text: the same on every machine and in every process."""
    text = "\0".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big")


def tree_jobs(trees: dict[str, list[SourceFile]], wanted: int, seed: int) -> list[Job]:
    """About `wanted` holes over the files of some sources by their size, none of which gets more
    than three times an even part; tests get fewer."""
    weight = {
        (source, file.path): len(file.text) * (_TESTS if _is_test(file.path) else 1.0)
        for source, tree in trees.items()
        for file in tree
    }
    sizes = {
        source: sum(weight[source, file.path] for file in tree) for source, tree in trees.items()
    }
    most = 3 * wanted / max(1, len(trees))
    parts = {source: min(size / _HOLE_PER, most) for source, size in sizes.items()}
    scale = min(1.0, wanted / max(1.0, sum(parts.values())))
    jobs = []
    for source, tree in trees.items():
        for file in tree:
            where = seed_of(seed, source, file.path)
            part = scale * parts[source] * weight[source, file.path] / sizes[source]
            # Its own seed: the job's first draw, the cut, must not hang on this one.
            count = int(part + random.Random(seed_of(where, "count")).random())
            if count:
                jobs.append(Job(source, file, count, where))
    return jobs


def _is_test(path: str) -> bool:
    return "/test" in f"/{path}" or path.endswith(("_test.py", "_test.go", ".test.ts", ".spec.ts"))


def samples(
    jobs: Sequence[Job],
    encoder: Encoder,
    definitions: Mapping[str, Definitions],
    mixture: Mixture,
    tokens: int,
    processes: int = 1,
    on_tokens: Callable[[int], None] = lambda done: None,
    library: Library | None = None,
) -> list[Encoded]:
    """The samples of the jobs in their order, until there are so many tokens."""
    made: list[Encoded] = []
    total = 0
    with closing(encoded(jobs, encoder, definitions, mixture, processes, library)) as batches:
        for batch in batches:
            made += batch
            total += sum(len(sample.ids) for sample in batch)
            on_tokens(total)
            if total >= tokens:
                break
    return made


def encoded(
    jobs: Iterable[Job],
    encoder: Encoder,
    definitions: Mapping[str, Definitions],
    mixture: Mixture,
    processes: int = 1,
    library: Library | None = None,
) -> Generator[list[Encoded], None, None]:
    """The samples of each job, in the order of the jobs. `definitions` and `library` are by source.

    Jobs are taken as they are needed: a caller that stops early pays for few more. Closing the
    iterator, an exception or Ctrl-C ends the processes. Raises TandemError if one of them died.
    """
    if processes <= 1:
        _start(encoder, definitions, mixture, library)
        yield from map(_encode, jobs)
        return
    pool = ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("spawn"),  # a fork of a process with threads may hang
        _start_process,
        (encoder, definitions, mixture, library),
    )
    waiting: deque[Future[list[list[Encoded]]]] = deque()
    remaining = iter(jobs)
    try:
        while True:
            while len(waiting) < 3 * processes and (batch := list(islice(remaining, _BATCH))):
                waiting.append(pool.submit(_encode_all, batch))
            if not waiting:
                return
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise TandemError(
            "A process that made samples died.", "Maybe memory ran out: use fewer processes."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_state: tuple[Encoder, Mapping[str, Definitions], Mixture, Library] | None = None


def _start(
    encoder: Encoder,
    definitions: Mapping[str, Definitions],
    mixture: Mixture,
    library: Library | None,
) -> None:
    global _state
    _state = encoder, definitions, mixture, library or Library()


def _start_process(
    encoder: Encoder,
    definitions: Mapping[str, Definitions],
    mixture: Mixture,
    library: Library | None,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us too; the parent ends us
    _start(encoder, definitions, mixture, library)


def _encode_all(jobs: list[Job]) -> list[list[Encoded]]:
    return [_encode(job) for job in jobs]


def _encode(job: Job) -> list[Encoded]:
    rng = random.Random(job.seed)
    found = (_sample(job, text, hole, rng) for text, hole in _holes_of(job, rng))
    return [sample for sample in found if sample is not None]


def _holes_of(job: Job, rng: random.Random) -> Iterator[tuple[str, Hole]]:
    assert _state
    file, shares = job.file, _state[2].shares
    if job.added:
        yield from history.holes(file.text, file.language, job.added, rng, job.count)
        return
    if not language_row(file.language).has_statements:
        shares = {"line": 1.0}
    for hole in holes(file.text, file.language, rng, job.count, shares):
        yield file.text, hole


def _sample(job: Job, text: str, hole: Hole, rng: random.Random) -> Encoded | None:
    """None if the hole may not be taught, or does not fit."""
    assert _state
    encoder, definitions, mixture, library = _state
    file = job.file
    prefix, middle, suffix = text[: hole.start], text[hole.start : hole.end], text[hole.end :]
    if not answerable(middle):
        return None
    kind = hole.kind
    if rng.random() < mixture.without_suffix:
        alone = kind_if_honoured(prefix + middle, hole.start, hole.end, file.language)
        kind, suffix = (alone, "") if alone else (kind, suffix)
    budget = _log_uniform(rng, mixture.smallest_budget, mixture.largest_budget)
    path = "" if rng.random() < mixture.without_path else file.path
    snippets: tuple[Snippet, ...] = ()
    if job.source in library and rng.random() < mixture.retrieved:
        room = _log_uniform(rng, mixture.smallest_context, mixture.largest_context)
        count = encoder.tokenizer.count
        snippets = library.pieces(job.source, file, prefix, suffix, room, count)
    elif job.source in definitions and encoder.template.uses_snippets:
        snippets = definitions[job.source].draw(
            text,
            hole.start,
            hole.end,
            file.path,
            file.language,
            rng,
            mixture.right,
            mixture.useless,
        )
    # Snippets come on top: what is around the cursor matters more than any of them.
    render = encoder.template.render_snippet
    budget += sum(encoder.tokenizer.count(render(snippet)) for snippet in snippets)
    prompt = encoder.prompt(prefix, suffix, file.language, kind, budget, path, snippets)
    if prompt is None:
        return None
    sample = encoder.sample(prompt, middle, kind, hole.cut, end_weight(kind, middle, suffix))
    if len(sample.ids) > mixture.longest:
        return None
    return Encoded(
        np.asarray(sample.ids, np.uint32),
        np.asarray(sample.weights, np.float16),
        sample.middle,
        sample.cut,
        sample.kind,
        file.language,
        job.source,
        len(snippets),
    )


def _log_uniform(rng: random.Random, low: int, high: int) -> int:
    return round(low * (high / low) ** rng.random())
