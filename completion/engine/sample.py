"""From logits to a token: greedy, temperature and top-p, hooks, token healing.

Token healing (as in Microsoft's guidance): the prompt stops before text that is already there,
and the first tokens are constrained to spell it. So a token may cross the cursor, as it did in
the text the model learned from, instead of being cut at it.
"""

from typing import Protocol

import numpy as np
import torch

from completion.engine.request import TokenLogprob
from completion.engine.tokenizer import Tokenizer


class Sampler:
    """Picks tokens for one request. `temperature` 0 is greedy; a seed makes it repeatable."""

    def __init__(self, temperature: float, top_p: float, seed: int | None) -> None:
        self._temperature = temperature
        self._top_p = top_p
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def pick(self, logits: torch.Tensor, allowed: np.ndarray | None = None) -> int:
        """One token id from logits [vocabulary], among `allowed` ids [n] only if given."""
        ids = None if allowed is None else torch.from_numpy(allowed)
        scores = logits if ids is None else logits[ids]
        index = int(scores.argmax()) if self._temperature == 0 else self._draw(scores)
        return index if ids is None else int(ids[index])

    def _draw(self, scores: torch.Tensor) -> int:
        """Nucleus sampling (Holtzman et al. 2020): the fewest tokens that hold `top_p` mass."""
        probabilities = torch.softmax(scores.double() / self._temperature, -1)
        if self._top_p < 1:
            ordered, order = probabilities.sort(descending=True, stable=True)
            outside = ordered.cumsum(-1) - ordered >= self._top_p
            outside[0] = False
            probabilities[order[outside]] = 0
        return int(torch.multinomial(probabilities, 1, generator=self._generator))


class LogitsHook(Protocol):
    """Changes one sequence's distribution: mixes another one in, or rules tokens out.

    Called for each token that is picked, in order, never for a guess that did not hold; so it may
    keep state. A token it rules out gets -inf, but never all of them.
    """

    def adjust(self, logits: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """New logits [vocabulary] for the next token; `hidden` [hidden] is the last layer's
        state at the token before it. The arguments stay as they are."""
        ...

    def accept(self, token: int) -> None:
        """The token that was picked."""
        ...


def token_logprob(logits: torch.Tensor, token: int, top: int) -> TokenLogprob:
    """Of logits [vocabulary]: the token's log-probability, and the `top` likeliest ones'."""
    logprobs = logits.log_softmax(-1)
    best = logprobs.topk(min(top, len(logits)))
    likeliest = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return TokenLogprob(token, float(logprobs[token]), tuple(likeliest))


class Healer:
    """The text that the first tokens must spell, and how much of it is spelled."""

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        self._tokenizer = tokenizer
        self._left = text.encode()

    @property
    def active(self) -> bool:
        return bool(self._left)

    def allowed(self) -> np.ndarray | None:
        """Ids [n] of tokens that go on spelling the text (or spell past it); None when it is done."""
        return self._tokenizer.ids_consistent_with(self._left) if self._left else None

    def accept(self, token: int) -> bytes:
        """Move over a token's bytes; returns those that go past the text."""
        data = self._tokenizer.bytes_at(token)
        overlap = min(len(data), len(self._left))
        assert data[:overlap] == self._left[:overlap]
        self._left = self._left[overlap:]
        return data[overlap:]
