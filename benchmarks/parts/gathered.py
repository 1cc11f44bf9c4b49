"""Candidates for holes with all that a choice among them may go by, as rows of JSON.

A row is one hole: what stood there, what each way of making candidates found (`ways`: indices
into `candidates`, the way's first one first), what that cost, and each different text once.
"""

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tree_sitter import Node

from benchmarks.parts import makers
from benchmarks.parts.makers import Made, Place
from completion import syntax
from completion.engine import scoring
from completion.engine.generate import Decoder
from completion.prompt import split_unfinished
from finetune import files, metrics
from finetune.cases import Case
from finetune.variant import Variant

# Characters of the text before the hole that a left-to-right pass reads, and of that after it.
LEFT, RIGHT = 1500, 160
NEAR = 12
_WORD = re.compile(r"[A-Za-z_$][\w$]*")
TEMPERATURES = (0.4,)
SAMPLES = 4
FORKS = 6
TOGETHER = (0, 1, 3)  # where those begin that share passes: the closest call has its own
WIDTHS = (4, 8)


@dataclass
class Scored:
    """`logprob` is the text's sum in nats, `tokens` how many; `own` and `suffix` are sums of a
    left-to-right reading: the candidate after the prefix, and the suffix's begin after both, of
    which `suffix_near` is the first NEAR tokens'."""

    shown: str
    logprob: float
    lowest: float
    tokens: int
    ended: bool
    parses: bool
    unknown: int
    own: float
    suffix: float
    suffix_near: float
    exact: bool
    first_line: bool
    similarity: float


@dataclass
class Row:
    repository: str
    path: str
    language: str
    cut: str
    kind: str
    truth: str
    margins: list[float]
    fork_places: list[int]
    greedy_tokens: int
    ways: dict[str, list[int]]
    ms: dict[str, float]
    candidates: list[Scored]

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def gather(case: Case, variant: Variant, words: Counter[str], reads_on: bool = False) -> Row | None:
    """None where the editor would not ask. `words` are the other files'; `reads_on` also reads
    the suffix after each candidate, which takes as long as all else."""
    built = variant.prompt(case)
    if built is None:
        return None
    place = Place(case, built, variant.decoder)
    steps, greedy_ms = makers.greedy(place)
    forks = makers.forks(place, steps)[:FORKS]
    ms = {"greedy": greedy_ms}
    ways: dict[str, list[Made]] = {"greedy": [place.made(steps)], "branch": []}
    for start, end in zip(TOGETHER, (*TOGETHER[1:], FORKS), strict=True):
        made, took = makers.branches(place, steps, forks[start:end])
        ways["branch"] += made
        ms[f"branch{start}"] = took
    for temperature in TEMPERATURES:
        name = f"sampled {temperature}"
        ways[name], ms[name] = makers.sampled(place, SAMPLES, temperature)
    for width in WIDTHS:
        name = f"beam {width}"
        ways[name], ms[name] = makers.beam(place, width, "\n" not in ways["greedy"][0].shown)
    best: dict[str, Made] = {}
    for one in (made for way in ways.values() for made in way):
        known = best.get(one.shown)
        if one.shown and (known is None or sum(one.logprobs) > sum(known.logprobs)):
            best[one.shown] = one
    texts = list(best)
    scores = [(0.0, 0.0, 0.0)] * len(texts)
    if reads_on:
        scores, ms["suffix"] = left_to_right(variant.decoder, case, texts)
    index = {text: number for number, text in enumerate(texts)}
    return Row(
        case.source,
        case.path,
        case.language,
        case.cut,
        case.kind,
        case.middle,
        [fork.margin for fork in forks],
        [fork.at for fork in forks],
        len(steps),
        {name: [index.get(m.shown, -1) for m in made] for name, made in ways.items()},
        ms,
        [scored(case, best[t], *scores[n], words) for n, t in enumerate(texts)],
    )


def scored(
    case: Case, made: Made, own: float, suffix: float, near: float, words: Counter[str]
) -> Scored:
    around = set(_WORD.findall(case.prefix)) | set(_WORD.findall(case.suffix))
    named = set(_WORD.findall(made.shown))
    return Scored(
        made.shown,
        sum(made.logprobs),
        min(made.logprobs),
        len(made.logprobs),
        made.ended,
        parses(case.prefix, made.shown, case.suffix, case.language),
        sum(name not in around and not words[name] for name in named),
        own,
        suffix,
        near,
        metrics.exact_match(made.shown, case.middle),
        metrics.first_line_match(made.shown, case.middle),
        metrics.edit_similarity(made.shown, case.middle),
    )


def parses(prefix: str, shown: str, suffix: str, language: str) -> bool:
    """Whether no error touches what was inserted, or its ends."""
    root = syntax.parse(prefix + shown + suffix, language)
    if root is None or not root.has_error:
        return True
    start = len(syntax.encoded(prefix))
    end = start + len(syntax.encoded(shown))
    return not any(
        (node.is_error or node.is_missing) and node.start_byte <= end and node.end_byte >= start
        for node in broken(root)
    )


def broken(root: Node) -> list[Node]:
    """Nodes with errors in them, the errors themselves included."""
    found, left = [], [root]
    while left:
        node = left.pop()
        if node.has_error or node.is_missing:
            found.append(node)
            left += node.children
    return found


def left_to_right(
    decoder: Decoder, case: Case, texts: Sequence[str]
) -> tuple[list[tuple[float, float, float]], float]:
    """For each text, the sums of its own tokens, of the suffix's and of its first; and the time."""
    if not texts:
        return [], 0.0
    encode = decoder.tokenizer.encode
    head, tail = split_unfinished(case.prefix[-LEFT:])
    prompt = encode(head, begin=True) or encode("\n")
    after = case.suffix[:RIGHT].rstrip()
    continuations = [encode(tail + text + after) or encode("\n") for text in texts]
    began = time.perf_counter()
    found = scoring.score(decoder, prompt, continuations)
    took = (time.perf_counter() - began) * 1000
    sums = []
    for text, tokens, logprobs in zip(texts, continuations, found, strict=True):
        end, at, first = len((tail + text).encode()), 0, len(tokens)
        for number, token in enumerate(tokens):
            at += len(decoder.tokenizer.bytes_at(token))
            if at > end:
                first = number
                break
        near = sum(logprobs[first : first + NEAR])
        sums.append((sum(logprobs[:first]), sum(logprobs[first:]), near))
    return sums, took


def words_in(root: Path) -> tuple[Counter[str], dict[str, Counter[str]]]:
    """How many files of a repository hold each word; and of each file, its own."""
    skips: Counter[str] = Counter()
    every: Counter[str] = Counter()
    own: dict[str, Counter[str]] = {}
    for file in files.sources(iter(files.in_folder(root, skips)), skips):
        own[file.path] = Counter(set(_WORD.findall(file.text)))
        every += own[file.path]
    return every, own
