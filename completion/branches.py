"""Other answers than the greedy one: where it was a close call, the second choice, then on.

Found from what any server tells of its tokens (`logprobs`). A branch is a request of its own, and
the engine has read all of its prompt but a token. What it brings and costs:
`benchmarks.candidates`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from completion.client import TokenTold
from completion.spelled import healed

# Of each token's place, so many likeliest ones are asked for: the greedy one is among them.
TOLD = 3
# Nats. What is less likely than the greedy choice by more hardly ever leads to a better answer.
MOST_MARGIN = 0.5
_BROKEN = "\ufffd"  # a token that is part of a character


@dataclass(frozen=True)
class Branch:
    """An answer that begins with `text`; its log-probabilities so far. `complete`: that is all."""

    text: str
    logprobs: tuple[float, ...]
    margin: float
    complete: bool

    def body(self, greedy: dict[str, Any]) -> dict[str, Any]:
        """The request for what follows `text`, from the one whose answer was the greedy one."""
        before = greedy["prompt"] + greedy.get("heal", "") + self.text
        body = {key: value for key, value in greedy.items() if key not in ("heal", "tandem")}
        return {**body, "prompt": before, "logprobs": 0}


def branches(
    answer: str,
    tokens: Sequence[TokenTold],
    heal: str,
    most: int,
    margin: float = MOST_MARGIN,
) -> list[Branch]:
    """The `most` closest calls in the greedy `answer`, the closest first.

    `answer` is its text as it came, `heal` what its request had to spell before; tokens past the
    answer's end are left alone. No branch where the server told nothing.
    """
    found: list[Branch] = []
    spelled, sums = "", ()
    size = healed(answer, tokens, heal)
    for token in tokens:
        if len(spelled) - size >= len(answer) and token.text:
            break
        for text, logprob in token.top.items():
            costs = token.logprob - logprob
            if text == token.text or _BROKEN in text or not 0 <= costs < margin:
                continue
            begins = spelled + text
            # The first token may spell healed text, too; the branch's must do so as well.
            if len(spelled) < size and not begins.startswith(tokens[0].text[:size]):
                continue
            if text or spelled[size:].strip():
                told = (*sums, logprob)
                found.append(Branch(begins[size:], told, costs, complete=not text))
        spelled, sums = spelled + token.text, (*sums, token.logprob)
    return sorted(found, key=lambda branch: branch.margin)[:most]
