"""How good an answer for a hole is, measured against the text that stood there.

White space at the end of either does not count: what is shown has none.
"""

from itertools import takewhile

from rapidfuzz.distance import Levenshtein

from completion.engine.tokenizer import Tokenizer


def exact_match(answer: str, truth: str) -> bool:
    return answer.rstrip() == truth.rstrip()


def edit_similarity(answer: str, truth: str) -> float:
    """1 less the Levenshtein distance in characters, over the longer one's length; 0 to 1."""
    return Levenshtein.normalized_similarity(answer.rstrip(), truth.rstrip())


def first_line_match(answer: str, truth: str) -> bool:
    """Whether the first line with text on it is right, its indentation included."""
    return _first_line(answer) == _first_line(truth)


def tokens_saved(answer: str, truth: str, tokenizer: Tokenizer) -> int:
    """Tokens of the truth, from its start on, that the answer gives: none after a first error.

    A token counts when all of it is right. Tokens of white space at the truth's end do not count.
    """
    truth = truth.rstrip()
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(answer, truth, strict=False))
    common = sum(len(character.encode()) for character, _ in pairs)
    end, saved = 0, 0
    for token in tokenizer.encode(truth):
        end += len(tokenizer.bytes_at(token))
        if end > common:
            break
        saved += 1
    return saved


def ends_cleanly(raw: str, ended: bool, truth: str) -> bool:
    """Whether the model itself ended its answer, in the line in which the truth ends.

    `ended`: it did so by its end-of-middle token, not because it was stopped. An empty answer
    does not end cleanly: silence must not count as knowing the end.
    """
    return ended and bool(raw.strip()) and raw.count("\n") == truth.count("\n")


def _first_line(text: str) -> str:
    return next((line.rstrip() for line in text.split("\n") if line.strip()), "")
