"""Teacher-forced exact match: how often a model's first choice is right at every token of an answer.

Greedy decoding writes the right answer if and only if each token of it is the model's first
choice after the right ones before, so one forward pass over a packed row tells what decoding
would take hundreds of passes for. Differences to the engine are of rounding only, and of filters.

A prefix cut inside a token is healed as the engine heals: tokens that the cut-off text alone
spells out are given, and the one that straddles the cursor is chosen among those that fit.

Needs torch, numpy and safetensors only: it runs where the model was trained.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file
from torch import Tensor

from finetune.packing import Packer, Row
from finetune.store import SampleSet

if TYPE_CHECKING:  # not where the model is trained
    from finetune.cases import Case
    from finetune.samples import Encoder, Sample

_CHUNK = 1024  # targets whose logits exist at once


@dataclass(frozen=True)
class Answers:
    """Held-out samples, and what is needed to judge their answers. n is the number of samples.

    lines [n] of the answer; given [n]: how many of its first tokens the healed text spells out;
    choices [n]: which set of tokens the first one after those is chosen from, -1 for all. Set k
    is allowed[bounds[k]:bounds[k + 1]].
    """

    samples: SampleSet
    lines: np.ndarray
    given: np.ndarray
    choices: np.ndarray
    allowed: np.ndarray
    bounds: np.ndarray

    def save(self, file: Path) -> None:
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "samples"}
        names = [field.name for field in fields(SampleSet)]
        save_file({**{name: getattr(self.samples, name) for name in names}, **own}, file)

    @classmethod
    def load(cls, file: Path) -> "Answers":
        """Raises OSError or SafetensorError for a file that is none of ours."""
        arrays = load_file(file)
        names = [field.name for field in fields(SampleSet)]
        return cls(SampleSet(**{name: arrays.pop(name) for name in names}), **arrays)

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True)
class Score:
    """For each answer: whether all its tokens but the end came first, whether the end did, the
    sum of its losses in nats and the number of tokens these are of, end included; [n] each."""

    exact: np.ndarray
    end: np.ndarray
    losses: np.ndarray
    tokens: np.ndarray

    def figures(self, lines: np.ndarray) -> dict[str, dict[str, float]]:
        """Shares for answers of one line and of several; `loss` in nats a token."""
        told = {}
        for name, those in (("single", lines == 1), ("multi", lines > 1)):
            if those.any():
                exact, end = self.exact[those], self.end[those]
                told[name] = {
                    "n": int(those.sum()),
                    "exact": float(exact.mean()),
                    "exact_and_end": float((exact & end).mean()),
                    "end": float(end.mean()),
                    "loss": float(self.losses[those].sum() / self.tokens[those].sum()),
                }
        return told


def encode(
    cases: "Iterable[Case]", encoders: "Sequence[Encoder]", budget: int
) -> "tuple[Answers, ...]":
    """The same cases as each encoder lays them out; a case that one cannot take is left out."""
    rows: list[list[tuple[Sample, bytes, int]]] = [[] for _ in encoders]
    for case in cases:
        made = []
        for encoder in encoders:
            given = (case.prefix, case.suffix, case.language, case.kind, budget, case.path)
            prompt = encoder.prompt(*given, case.snippets if encoder.template.uses_snippets else ())
            if prompt is not None:
                sample = encoder.sample(prompt, case.middle, case.kind, case.cut)
                made.append((sample, prompt.heal.encode(), case.lines))
        if len(made) == len(encoders):
            for row, one in zip(rows, made, strict=True):
                row.append(one)
    return tuple(_answers(row, e) for row, e in zip(rows, encoders, strict=True))


def _answers(rows: "list[tuple[Sample, bytes, int]]", encoder: "Encoder") -> Answers:
    tokenizer = encoder.tokenizer
    sets: dict[bytes, int] = {}
    allowed: list[np.ndarray] = []
    given, choices = [], []
    for sample, heal, _ in rows:
        count, done = 0, 0
        answer = sample.ids[sample.middle : -1]
        while count < len(answer):
            size = len(tokenizer.bytes_at(answer[count]))
            if done + size > len(heal):
                break
            count, done = count + 1, done + size
        rest = heal[done:]
        if rest and rest not in sets:
            sets[rest] = len(sets)
            allowed.append(tokenizer.ids_consistent_with(rest))
        given.append(count)
        choices.append(sets[rest] if rest and count < len(answer) else -1)
    return Answers(
        SampleSet.of((s.ids, s.weights, s.middle) for s, _, _ in rows),
        np.array([lines for _, _, lines in rows], np.int32),
        np.array(given, np.int32),
        np.array(choices, np.int32),
        np.concatenate([np.empty(0, np.uint32), *allowed]).astype(np.uint32),
        np.cumsum([0, *map(len, allowed)], dtype=np.int64),
    )


@torch.no_grad()
def score(model: Any, answers: Answers, row_tokens: int) -> Score:
    """Judge a causal model of transformers', loaded with `attention.NAME`."""
    packer = Packer(answers.samples, 0, row_tokens)
    head = model.get_output_embeddings().weight
    right: list[np.ndarray] = []
    losses: list[np.ndarray] = []
    begin = 0
    for row in packer.rows(range(len(answers)), row_tokens):
        end = begin + len(row.lengths)
        moved = row.to(head.device)
        hidden = model.base_model(
            input_ids=moved.ids[None],
            position_ids=moved.positions[None],
            lengths=row.lengths,
            use_cache=False,
        ).last_hidden_state[0]
        places, firsts = _places(row, answers, begin)
        at = torch.from_numpy(places).to(head.device)
        found = [
            _judge(hidden[piece - 1], head, moved.ids[piece], firsts, number * _CHUNK, answers)
            for number, piece in enumerate(at.split(_CHUNK))
        ]
        right.append(torch.cat([r for r, _ in found]).cpu().numpy())
        losses.append(torch.cat([loss for _, loss in found]).cpu().numpy())
        begin = end
    return _by_answer(np.concatenate(right), np.concatenate(losses), answers)


def _places(row: Row, answers: Answers, begin: int) -> tuple[np.ndarray, dict[int, int]]:
    """Where in the row the judged tokens are; which of them are chosen from which set."""
    places, firsts, offset, count = [], {}, 0, 0
    for number, length in enumerate(row.lengths, begin):
        start = int(answers.samples.middles[number] + answers.given[number])
        if answers.choices[number] >= 0:
            firsts[count] = int(answers.choices[number])
        places.append(np.arange(offset + start, offset + length))
        offset, count = offset + length, count + length - start
    return np.concatenate(places), firsts


def _judge(
    hidden: Tensor,
    head: Tensor,
    targets: Tensor,
    firsts: dict[int, int],
    offset: int,
    answers: Answers,
) -> tuple[Tensor, Tensor]:
    """Whether each target [m] is the model's first choice, and its loss [m]."""
    logits = F.linear(hidden, head).float()
    best = logits.argmax(-1)
    for place, choice in firsts.items():
        if offset <= place < offset + len(targets):
            some = answers.allowed[answers.bounds[choice] : answers.bounds[choice + 1]]
            ids = torch.from_numpy(some.astype(np.int64)).to(logits.device)
            best[place - offset] = ids[logits[place - offset, ids].argmax()]
    return best == targets, F.cross_entropy(logits, targets, reduction="none")


def _by_answer(right: np.ndarray, losses: np.ndarray, answers: Answers) -> Score:
    tokens = answers.samples.lengths - answers.samples.middles - answers.given
    starts = np.cumsum(tokens) - tokens
    end = right[starts + tokens - 1]
    wrong = np.add.reduceat((~right).astype(np.int64), starts) - ~end
    return Score(wrong == 0, end, np.add.reduceat(losses, starts), tokens)
