"""What a model thinks of given texts: several continuations of one prompt, read together."""

from collections.abc import Sequence

import torch

from completion.engine.generate import PREFILL_TOKENS, Decoder
from completion.engine.sample import LogitsHook
from completion.engine.weights import AnyModel

# Continuations scored in one pass: each has a KV cache of its own, with the prompt's copied.
TOGETHER = 8
# Logits are wide: 128 rows of 49,152 words are 25 MB.
_ROWS = 128


def score(
    decoder: Decoder,
    prompt: Sequence[int],
    continuations: Sequence[Sequence[int]],
    hooks: Sequence[LogitsHook] = (),
) -> list[list[float]]:
    """Log-probability of each token of each continuation, in nats; with hooks, of one only.

    The prompt is read once, then the continuations in passes of TOGETHER. Asserts that
    prompt and continuations have tokens and fit the context.
    """
    assert prompt, "something must come before what is scored"
    assert not hooks or len(continuations) == 1, "hooks keep the state of one sequence"
    assert all(0 < len(c) <= decoder.context - len(prompt) for c in continuations)
    longest = max(map(len, continuations), default=0)
    taken = decoder.pool.take(prompt, len(prompt) + longest, decoder.owner, urgent=True)
    assert taken is not None, "what is urgent is had at once"
    cache = taken.cache
    try:
        while len(cache) < len(prompt) - 1:
            decoder.model.forward(prompt[len(cache) : -1][:PREFILL_TOKENS], cache)
        copies = [decoder.model.new_cache() for _ in continuations[1:TOGETHER]]
        for copy in copies:
            copy.copy_prefix(cache, len(cache))
        scores: list[list[float]] = []
        for start in range(0, len(continuations), TOGETHER):
            group = continuations[start : start + TOGETHER]
            parts = [
                ((prompt[-1], *tokens[:-1]), own)
                for tokens, own in zip(group, [cache, *copies], strict=False)
            ]
            hidden = decoder.model.forward_all(parts)
            scores += (
                _logprobs(decoder.model, *one, hooks) for one in zip(hidden, group, strict=True)
            )
            for _, own in parts:
                own.rewind(len(prompt) - 1)
    finally:
        decoder.pool.give_back(cache)
    return scores


def _logprobs(
    model: AnyModel, hidden: torch.Tensor, tokens: Sequence[int], hooks: Sequence[LogitsHook]
) -> list[float]:
    """Of each token, from the hidden state [n, hidden] before it."""
    found: list[float] = []
    for rows, ids in zip(hidden.split(_ROWS), torch.tensor(tokens).split(_ROWS), strict=True):
        logits = model.logits(rows)
        if hooks:
            logits = torch.stack(
                [_hooked(*one, hooks) for one in zip(logits, rows, ids.tolist(), strict=True)]
            )
        logprobs = logits.log_softmax(-1)
        found += logprobs.gather(-1, ids[:, None])[:, 0].tolist()
    return found


def _hooked(
    logits: torch.Tensor, hidden: torch.Tensor, token: int, hooks: Sequence[LogitsHook]
) -> torch.Tensor:
    """Logits [vocabulary] as hooks change them before a token, which they are told then."""
    for hook in hooks:
        logits = hook.adjust(logits, hidden)
    for hook in hooks:
        hook.accept(token)
    return logits


def losses(
    decoder: Decoder,
    prompt: Sequence[int],
    answer: Sequence[int],
    hooks: Sequence[LogitsHook] = (),
) -> list[float]:
    """Nats of each token of `answer` after the prompt and the tokens before it: see `score`."""
    return [-logprob for logprob in score(decoder, prompt, [answer], hooks)[0]]
