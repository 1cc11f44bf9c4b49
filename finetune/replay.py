"""Answers of a model to questions, as samples that hold training to its distribution.

Needs torch, transformers and numpy only: it runs where the model is trained.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from finetune.store import SampleSet

ANSWER_TOKENS = 192
# What training on code unlearns first is when to end: one token of an answer, so it weighs more.
# The loss is a divergence, which has its minimum at the base's own odds whatever it weighs.
END_WEIGHT = 16.0
TEMPERATURE = 0.7  # variety: greedy answers of a small model are much alike
BATCH, CUDA_BATCH = 16, 2048


def replay(
    model: Any,
    prompts: Sequence[Sequence[int]],
    seed: int = 0,
    temperature: float = TEMPERATURE,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> SampleSet:
    """Drawn answers of a transformers model; the loss is on the answers and their ends.

    An answer that did not end within ANSWER_TOKENS is kept without an end.
    """
    end, where = int(model.config.eos_token_id), model.device
    batch_size = CUDA_BATCH if where.type == "cuda" else BATCH
    torch.manual_seed(seed)
    rows = []
    for at in range(0, len(prompts), batch_size):
        on_progress(at, len(prompts))
        batch = [list(ids) for ids in prompts[at : at + batch_size]]
        longest = max(map(len, batch))
        padded = torch.tensor([[end] * (longest - len(ids)) + ids for ids in batch])
        mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in batch])
        made = model.generate(
            padded.to(where),
            attention_mask=mask.to(where),
            max_new_tokens=ANSWER_TOKENS,
            do_sample=True,
            temperature=temperature,
            top_p=0.95,
            top_k=0,
            pad_token_id=end,
        )
        for ids, answer in zip(batch, made[:, longest:].tolist(), strict=True):
            kept = answer[: answer.index(end) + 1] if end in answer else answer
            weights = [0.0] * len(ids) + [END_WEIGHT if token == end else 1.0 for token in kept]
            rows.append((ids + kept, weights, len(ids)))
    on_progress(len(prompts), len(prompts))
    return SampleSet.of(rows, replayed=True)
