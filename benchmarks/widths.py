"""What narrow weights cost: each form of the weights beside float32, token by token on real code.

    python -m benchmarks.widths [--files FOLDER ...]

All read the same text. At each place the distribution of the next token is compared with that of
float32: mean Kullback-Leibler divergence, how often the best token is the same, and what the loss
on the real next token becomes. How many holes come out right is for `finetune.evaluate --beside`.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks import common
from benchmarks.parts.keystrokes import files_in
from benchmarks.peers.ours import weight_forms
from completion import models
from completion.engine import shipped, weights
from completion.engine.tokenizer import Tokenizer
from completion.engine.weights import AnyModel, usable_cores
from tandem.errors import TandemError

LENGTH = 512  # tokens of a text
FIRST = 64  # what the model says before it has read so many says little of its use
REFERENCE = "float32"
SEED = 5


@dataclass(frozen=True)
class Read:
    """Log-probabilities [tokens, vocabulary] of each text, and milliseconds for reading it."""

    logprobs: list[torch.Tensor]
    ms: float


def texts_of(files: Sequence[Path], tokenizer: Tokenizer, count: int) -> list[list[int]]:
    """The beginnings of files that are long enough."""
    encoded = (tokenizer.encode(file.read_text("utf-8", "replace")) for file in files)
    return [tokens[:LENGTH] for tokens in encoded if len(tokens) >= LENGTH][:count]


def read(model: AnyModel, texts: Sequence[Sequence[int]]) -> Read:
    found, times = [], []
    for tokens in texts:
        began = time.perf_counter()
        hidden = model.forward(tokens, model.new_cache())
        times.append((time.perf_counter() - began) * 1000)
        found.append(model.logits(hidden[FIRST:-1].contiguous()).log_softmax(-1))
    return Read(found, statistics.median(times))


def compare(exact: Read, other: Read, texts: Sequence[Sequence[int]]) -> dict[str, float]:
    """`kl` and `loss` (what it is above float32's) in nats a token."""
    divergence, same, loss = [], [], []
    for a, b, tokens in zip(exact.logprobs, other.logprobs, texts, strict=True):
        real = torch.tensor(tokens[FIRST + 1 :])[:, None]
        divergence.append(F.kl_div(b, a, reduction="none", log_target=True).sum(-1))
        same.append((a.argmax(-1) == b.argmax(-1)).float())
        loss.append((a.gather(-1, real) - b.gather(-1, real))[:, 0])
    means = (float(torch.cat(values).mean()) for values in (divergence, same, loss))
    return {**dict(zip(("kl", "same_best", "loss"), means, strict=True)), "read_ms": other.ms}


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    found = models.resolve(arguments.model)
    tokenizer, difference = Tokenizer.load(found.folder), shipped.of(found)
    count = 4 if arguments.quick else 30
    files = files_in(arguments.files, SEED, 4 * count)
    texts = texts_of(files, tokenizer, count)
    if not texts:
        sys.exit(f"widths: no file has {LENGTH} tokens; name more with --files")
    exact, figures, rows = None, {}, []
    for form in sorted(weight_forms(), key=lambda form: form != REFERENCE):
        try:
            model = weights.load(found.folder, form, usable_cores(), LENGTH + 1, difference)
        except TandemError as error:
            rows.append([form, error.message, "", "", ""])
            continue
        torch.set_num_threads(usable_cores())
        seen = read(model, texts)
        exact = exact or seen
        figures[form] = row = compare(exact, seen, texts)
        same = f"{row['same_best']:.2%}"
        rows.append([form, f"{row['kl']:.5f}", same, f"{row['loss']:+.4f}", row["read_ms"]])
    tokens = sum(len(text) - FIRST - 1 for text in texts)
    columns = ["", "KL, nats", "same best token", "loss, nats", f"{LENGTH} tokens, ms"]
    headline = "int8_kl_nats", f"{figures['int8']['kl']:.5f}" if "int8" in figures else "none"
    title = f"{found.name} beside its own float32: {tokens} tokens of {len(texts)} files"
    common.report(title, columns, rows, headline, figures, arguments.json)


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("--model", default=models.DEFAULT, help="of the store, or a folder")
    parser.add_argument("--files", type=Path, nargs="+", metavar="FOLDER", help="source code")
    arguments = parser.parse_args()
    arguments.files = arguments.files or [common.REPOSITORY]
    try:
        run(arguments)
    except TandemError as error:
        sys.exit(f"widths: {error}")


if __name__ == "__main__":
    main()
