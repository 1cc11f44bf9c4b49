"""Guesses at the next tokens that cost no model: text that was there before, or was foretold.

Prompt lookup (Saxena 2023) with a suffix automaton instead of n-grams, as in SAM-Decoding (Hu et
al. 2024, arXiv 2411.10666): what followed the longest suffix that occurred before, in the prompt
(which has the text after the cursor and the snippets) or in the answer so far. And OpenAI's
`prediction`: text that the caller expects, followed as long as it holds and found again after it
did not.
"""

from collections.abc import Sequence

from completion.engine.automaton import SuffixAutomaton
from completion.engine.draft import Draft
from completion.engine.speculate import Acceptance

# Only this much of a prompt's end is searched: building the automaton takes some 2 us a token.
SEARCHED_TOKENS = 4096


class Lookup:
    """Drafts from the prompt and the answer so far, or from the prediction if it does better.

    `matched` counts tokens before the answer that stood before the prediction, too.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        prediction: Sequence[int],
        acceptance: Acceptance,
        matched: int = 0,
    ) -> None:
        self._prompt = prompt
        self._answer: list[int] = []
        self._acceptance = acceptance
        self._context: SuffixAutomaton | None = None
        self._prediction = Prediction(prediction, matched) if prediction else None

    def feed(self, token: int) -> None:
        self._answer.append(token)
        if self._context is not None:
            self._context.append(token)
        if self._prediction is not None:
            self._prediction.feed(token)

    def draft(self, most: int) -> Draft:
        foretold = self._prediction.draft(most) if self._prediction else Draft()
        if not self._answer:
            return foretold  # the first token must not wait for the automaton
        if self._context is None:
            recent = self._prompt[-SEARCHED_TOKENS:]
            self._context = SuffixAutomaton([*recent, *self._answer])
        seen = _repeated(self._context, most)
        if not foretold or not seen:
            return foretold or seen
        chance = self._acceptance.chance
        return seen if chance(seen.keys[0]) > chance(foretold.keys[0]) else foretold


def _repeated(context: SuffixAutomaton, most: int) -> Draft:
    length, end = context.repeat()
    if not length:
        return Draft()
    tokens, known = [], context.tokens
    for at in range(end, end + most):
        # In periodic text the guess runs into itself.
        tokens.append(known[at] if at < len(known) else tokens[at - len(known)])
    return Draft(tokens, [("context", length + n) for n in range(len(tokens))])


class Prediction:
    """Text that the caller expects, and the place in it that the answer has reached.

    Where the answer goes another way, the place is the nearest one that the longest possible
    end of the answer leads to; with no match it goes on as if one token had been replaced.
    `before` counts what matched before the prediction; it is worth nothing once the answer strays.
    """

    def __init__(self, tokens: Sequence[int], before: int = 0) -> None:
        self._tokens = list(tokens)
        self._before = before
        self._automaton = SuffixAutomaton(tokens)
        self._state = 0
        self._matched = 0
        self._recent: list[int] = []
        self._at = 0  # the token that is expected next
        self._anchor = 0  # where the answer last followed the prediction

    def feed(self, token: int) -> None:
        self._state, self._matched = self._automaton.step(self._state, self._matched, token)
        self._recent.append(token)
        if self._at < len(self._tokens) and self._tokens[self._at] == token:
            self._at += 1
            self._anchor = self._at
        else:
            self._before = 0
            self._at = self._nearest() if self._matched else self._at + 1

    def draft(self, most: int) -> Draft:
        tokens = self._tokens[self._at : self._at + most]
        matched = self._before + self._matched
        return Draft(tokens, [("prediction", matched + n) for n in range(len(tokens))])

    def _nearest(self) -> int:
        """The end of the occurrence of the match that is nearest to the anchor."""
        match = self._recent[-self._matched :]
        found = [
            end
            for end in range(self._matched, len(self._tokens) + 1)
            if self._tokens[end - 1] == match[-1] and self._tokens[end - len(match) : end] == match
        ]
        return min(found, key=lambda end: abs(end - self._anchor - 1))
