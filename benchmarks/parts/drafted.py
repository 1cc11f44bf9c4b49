"""What drafts give in this process, for a device that only it may have: edits with and without.

The rewrites of `speculation`, each asked of one decoder with what it learns about drafts and
without any. Caches are emptied in between, so that no answer is known from before.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.parts.speculation import Edit
from completion.engine.generate import Decoder
from completion.engine.request import Request
from completion.engine.speculate import Speculation

SEED = 5


@dataclass(frozen=True)
class Written:
    """An answer's text, and the seconds from its first token to its last."""

    text: str
    seconds: float


@dataclass(frozen=True)
class Gain:
    """Sums over all edits, and over those in which the model did rewrite the function: how many
    times as fast the answers were written with drafts."""

    edits: int
    same_text: int
    all: float
    rewritten: int
    of_rewritten: float


def gain(folder: Path, dtype: str, device: str, edits: Sequence[Edit], context: int) -> Gain:
    decoder = Decoder.load(folder, dtype, context=context, device=device)
    learned = Speculation()
    pairs: list[tuple[Written, Written]] = []
    for _ in range(2):  # in the first what is captured is captured, and what is learned learned
        pairs = []
        for edit in edits:
            decoder.speculation = None
            without = _written(decoder, edit)
            decoder.speculation = learned
            pairs.append((without, _written(decoder, edit)))
    made = [pair for pair, edit in zip(pairs, edits, strict=True) if edit.was_made(pair[0].text)]
    same = sum(without.text == drafted.text for without, drafted in pairs)
    return Gain(len(pairs), same, _ratio(pairs), len(made), _ratio(made))


def _written(decoder: Decoder, edit: Edit) -> Written:
    decoder.forget()
    chat = decoder.tokenizer.chat([{"role": "user", "content": edit.question}])
    prompt = tuple(decoder.tokenizer.encode(chat))
    text, began = "", 0.0
    for chunk in decoder.generate(Request(prompt, edit.tokens, prediction=edit.prediction)):
        began = began or time.perf_counter()
        text += chunk.text
    return Written(text, time.perf_counter() - began)


def _ratio(pairs: Sequence[tuple[Written, Written]]) -> float:
    without, drafted = (sum(pair[number].seconds for pair in pairs) for number in (0, 1))
    return without / max(drafted, 1e-9)
