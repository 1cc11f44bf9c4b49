"""What a memory of the repository adds to the model: mixed in while decoding, on held-out holes.

    python -m benchmarks.memory [REPOSITORY...] [--holes N] [--context] [--json FILE]
    python -m benchmarks.memory REPOSITORY... --holes N --fit

A hole's memory has all files of its repository: its own without the hole, none that is a copy of
it. With --context the prompt has pieces of other files, too, so that what the memory adds to those
is measured. --fit fits the weight of the memory on such holes and prints it, as it stands in
`completion/engine/memory_hook.py`: fit and measure on different repositories. Without a repository
holes and memory are of the standard library of this Python.
"""

import argparse
import signal
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from benchmarks import common
from completion import models
from completion.engine import shipped
from completion.engine.memory import Memory, Recall, View, token_ids
from completion.engine.memory_hook import FEATURES, Guess, MemoryHook, features, guess
from completion.engine.sample import LogitsHook
from completion.engine.tokenizer import Tokenizer
from finetune import files, variant
from finetune.cases import Case, cases_in
from finetune.context import ALL, Sight
from finetune.evaluate import Scored, answer_each, report, score_all, tell
from finetune.report import Report
from finetune.sight import sight_of
from finetune.variant import Variant
from tandem import config
from tandem.config import CompletionConfig

SEED = 3
HOLES, QUICK_HOLES = 60, 8
METRICS = ("exact", "similarity", "first_line", "clean", "exact_of_shown", "loss", "end_loss")
BESIDE, PIECES = "with memory", "with pieces"


class Remembered:
    """A repository's files and a memory of them, which can leave a hole out."""

    def __init__(self, root: Path, tokenizer: Tokenizer, vocabulary: int) -> None:
        self.name, self.root = root.name, root
        found = files.sources(files.in_folder(root, Counter()), Counter())
        self.texts = {one.path: (one.language, one.text) for one in found}
        self._tokenizer = tokenizer
        began = time.perf_counter()
        self._tokens = {path: token_ids(tokenizer, text) for path, (_, text) in self.texts.items()}
        read = time.perf_counter()
        self.memory = Memory(vocabulary)
        self.memory.update(self._tokens)
        self.read_s, self.built_s = read - began, time.perf_counter() - read
        self.lines = sum(text.count("\n") for _, text in self.texts.values())
        self.update_ms: list[float] = []

    def cases(self, count: int) -> list[Case]:
        """Holes in files of the language that most files have."""
        language = Counter(language for language, _ in self.texts.values()).most_common(1)[0][0]
        texts = [
            (self.name, path, text) for path, (of, text) in self.texts.items() if of == language
        ]
        found = (
            c for c in cases_in(texts, language, 2 * count, SEED) if files.answerable(c.middle)
        )
        return [case for case, _ in zip(found, range(count), strict=False)]

    @contextmanager
    def without(self, case: Case) -> Iterator[View]:
        """The memory as an editor would have it with the hole's file open."""
        whole = case.prefix + case.middle + case.suffix
        copies = {path for path, (_, text) in self.texts.items() if text == whole} | {case.path}
        parts = {"<": case.prefix, ">": case.suffix}
        began = time.perf_counter()
        own = {name: token_ids(self._tokenizer, text) for name, text in parts.items()}
        self.memory.update(own, copies)
        self.update_ms.append(1000 * (time.perf_counter() - began))
        try:
            yield self.memory.view
        finally:
            self.memory.update({path: self._tokens[path] for path in copies}, parts.keys())


class Comparison:
    """Holes answered with and without a memory, in all ways to ask."""

    def __init__(
        self, model: Variant, remembered: Mapping[str, Remembered], weights: Sequence[float]
    ) -> None:
        self._model = model
        self._weights = weights
        self._remembered = remembered
        self._ends = model.decoder.ends
        self._view = View()
        self.adjust_us: list[float] = []

    def run(self, holes: Sequence[Case], pieces: Mapping[str, Sight]) -> Report:
        asked = [self._model, *self._with_memory(self._model)]
        if pieces:
            more = replace(
                self._model, name=PIECES, context_tokens=CompletionConfig().context_tokens
            )
            asked += [more, *self._with_memory(more)]

        def answer(case: Case) -> Scored | None:
            with self._remembered[case.source].without(case) as self._view:
                shown = case
                if pieces:
                    context = pieces[case.source].look(case)[ALL].context
                    shown = replace(case, snippets=tuple(context.snippets))
                return answer_each([(shown if one.context_tokens else case, one) for one in asked])

        done = score_all(holes, answer, tell)
        return report(done.scored, [one.name for one in asked], done.skipped, done.complete)

    def _with_memory(self, model: Variant) -> list[Variant]:
        return [
            replace(model, name=named(model.name, weight), hooks=partial(self._hooks, weight))
            for weight in self._weights
        ]

    def _hooks(self, weight: float, case: Case, prompt: tuple[int, ...]) -> list[LogitsHook]:
        hook = MemoryHook(Recall(self._view, weight), prompt, self._ends)
        return [Timed(hook, self.adjust_us)]


def named(model: str, weight: float) -> str:
    return f"{model}, {BESIDE} x{weight:g}"


class Timed:
    """A hook, and how long it takes for each token."""

    def __init__(self, hook: LogitsHook, us: list[float]) -> None:
        self._hook, self._us = hook, us

    def adjust(self, logits: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        began = time.perf_counter()
        changed = self._hook.adjust(logits, hidden)
        self._us.append(1e6 * (time.perf_counter() - began))
        return changed

    def accept(self, token: int) -> None:
        self._hook.accept(token)


@dataclass(frozen=True)
class Rows:
    """Of each token of true middles that a memory says something of: `features` [n, features],
    the model's chance of it, and the memory's [n]: what it says, and what it leaves to others."""

    features: np.ndarray
    model: np.ndarray
    memory: np.ndarray
    rest: np.ndarray


class Watching:
    """A hook that changes nothing and notes what there was to mix."""

    def __init__(self, view: View, prompt: Sequence[int], ends: frozenset[int]) -> None:
        self._view, self._known, self._ends = view, list(prompt), sorted(ends)
        self._now: tuple[np.ndarray, np.ndarray, Guess] | None = None
        self.rows: list[list[float]] = []

    def adjust(self, logits: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        levels = self._view.levels(self._known)
        logprobs = logits.log_softmax(-1).numpy()
        self._now = (features(levels, logprobs), logprobs, guess(levels)) if levels else None
        return logits

    def accept(self, token: int) -> None:
        self._known.append(token)
        if self._now is None or token in self._ends:
            return
        of, logprobs, said = self._now
        going_on = 1 - np.exp(logprobs[self._ends]).sum()
        at = int(said.tokens.searchsorted(token))
        known = at < len(said.tokens) and said.tokens[at] == token
        chance = going_on * said.chances[at] if known else 0.0
        self.rows.append([*of, np.exp(logprobs[token]), chance, said.rest])


def observed(model: Variant, remembered: Mapping[str, Remembered], holes: Sequence[Case]) -> Rows:
    from completion.engine import scoring

    rows: list[list[float]] = []
    for done, case in enumerate(holes):
        tell(done, len(holes))
        built = model.prompt(case)
        if built is None:
            continue
        with remembered[case.source].without(case) as view:
            prompt = model._tokens(built)
            watching = Watching(view, prompt, model.decoder.ends)
            scoring.losses(model.decoder, prompt, model._truth(case, built), [watching])
        rows += watching.rows
    found = np.array(rows)
    return Rows(found[:, :-3], *found[:, -3:].T)


def fitted(rows: Rows, decay: float = 1e-3) -> tuple[np.ndarray, float, float]:
    """Weights of the features by maximum likelihood; nats a token before and after."""
    x = torch.from_numpy(rows.features)
    scale = x.std(0).clamp(min=1e-6)
    shift = x.mean(0)
    shift[0], scale[0] = 0.0, 1.0
    x = (x - shift) / scale
    own, said, rest = map(torch.from_numpy, (rows.model, rows.memory, rows.rest))
    weights = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        share = torch.sigmoid(x @ weights)
        return -torch.log((1 - share * (1 - rest)) * own + share * said).mean()

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        total = loss() + decay * (weights**2).sum()
        total.backward()
        return total

    optimizer.step(closure)
    after = loss().item()
    plain = (weights.detach() / scale).numpy()
    plain[0] -= float((weights.detach() * shift / scale)[1:].sum())
    return plain, float(-np.log(rows.model).mean()), after


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("repositories", nargs="*", type=Path, metavar="REPOSITORY")
    parser.add_argument("--holes", type=int, default=0, metavar="N", help="in each repository")
    parser.add_argument("--context", action="store_true", help="also with pieces of other files")
    parser.add_argument(
        "--weight", type=float, nargs="+", default=[1.0], help="of the memory, 1 as fitted"
    )
    parser.add_argument("--fit", action="store_true", help="fit the weight, and measure nothing")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends it with what is known
    run(parser.parse_args())


def run(options: argparse.Namespace) -> None:
    roots = options.repositories or [Path(sysconfig.get_path("stdlib")) / "asyncio"]
    found = models.resolve(config.load().model)
    decoder = variant.load(found.folder, shipped=shipped.of(found))
    model = Variant("model", decoder, shipped.template_of(found))
    size = decoder.model.config.vocabulary
    remembered = {root.name: Remembered(root, decoder.tokenizer, size) for root in roots}
    count = options.holes or (QUICK_HOLES if options.quick else HOLES)
    holes = [case for one in remembered.values() for case in one.cases(count)]
    if options.fit:
        rows = observed(model, remembered, holes)
        weights, before, after = fitted(rows)
        for name, weight in zip(FEATURES, weights, strict=True):
            print(f"{name:12} {weight:+.3f}")
        print(f"headline: nats a token, {len(rows.model)} tokens: {before:.3f} to {after:.3f}")
        return
    compared = Comparison(model, remembered, options.weight)
    with ExitStack() as stack:
        pieces = {
            one.name: stack.enter_context(
                sight_of(
                    one.root,
                    decoder.tokenizer.count,
                    CompletionConfig().context_tokens,
                    lambda done, total: None,
                )
            )
            for one in (remembered.values() if options.context else ())
        }
        result = compared.run(holes, pieces)
    for table in result.tables(METRICS, ("all", "single-line", "multi-line")):
        Console(width=200 if not sys.stdout.isatty() else None).print(table)
    if options.json:
        result.save(options.json)
    _speed(list(remembered.values()), compared.adjust_us)
    change = result.difference(named("model", options.weight[0]), "model", "all", "loss")
    print(f"headline: loss {change.mean:+.3f} [{change.low or 0:+.3f}, {change.high or 0:+.3f}]")


def _speed(remembered: Sequence[Remembered], adjust_us: Sequence[float]) -> None:
    lines = sum(one.lines for one in remembered)
    tokens = sum(one.memory.tokens for one in remembered)
    updates = [ms for one in remembered for ms in one.update_ms]
    rows = [
        ["tokens", tokens],
        ["bytes a token", sum(one.memory.nbytes for one in remembered) / tokens],
        ["tokenizing, s a million lines", sum(one.read_s for one in remembered) / lines * 1e6],
        ["sorting, s a million lines", sum(one.built_s for one in remembered) / lines * 1e6],
        ["a file anew p50, ms", common.percentile(updates, 0.5)],
        ["a file anew p95, ms", common.percentile(updates, 0.95)],
        ["mixing p50, us a token", common.percentile(adjust_us, 0.5)],
        ["mixing p95, us a token", common.percentile(adjust_us, 0.95)],
    ]
    common.show("what it costs", ("", ""), rows, common.machine())


if __name__ == "__main__":
    main()
