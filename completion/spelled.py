"""Where the tokens of an answer end in what is shown of it.

A server sends several tokens in one event, and their texts are all that tells them apart.
"""

from collections.abc import Sequence

from completion.client import TokenTold


def ends(
    answer: str, tokens: Sequence[TokenTold], heal: str, shown: str
) -> tuple[tuple[int, float], ...]:
    """The end of each token with a text in `shown`, in characters, and its nats.

    `answer` is the text as it came, `heal` what its request had to spell before, and `shown` what
    was made of it: its start, perhaps with other white space.
    """
    places = _places(answer, shown)
    at, found = -healed(answer, tokens, heal), []
    for token in tokens:
        at += len(token.text)
        if token.text:
            found.append((places[max(0, min(at, len(answer)))], token.logprob))
    return tuple(found)


def healed(answer: str, tokens: Sequence[TokenTold], heal: str) -> int:
    """Characters of the first token that spell what was healed, not the answer."""
    if not tokens:
        return 0
    text, first = "".join(token.text for token in tokens), tokens[0].text
    for size in range(len(first) + 1):
        rest = text[size:]
        if heal.endswith(first[:size]) and (rest.startswith(answer) or answer.startswith(rest)):
            return size
    return 0


def _places(answer: str, shown: str) -> list[int]:
    """How many characters of `shown` stand before each place of the answer."""
    at, found = 0, [0]
    for ch in answer:
        if at < len(shown) and shown[at] == ch:
            at += 1
        elif not ch.isspace():  # here it was cut
            at = len(shown)
        found.append(at)
    return found
