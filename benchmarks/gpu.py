"""The embedded engine on an NVIDIA GPU: right first, then beside transformers on the same GPU.

    python -m benchmarks.gpu MODEL_FOLDER [--quick] [--json FILE]

Right: in float32, greedily, the text of transformers token for token, with captured passes and
without. Speed: bfloat16, one sequence, prompts of 512 tokens; all times end with a wait for the GPU.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from benchmarks import common
from completion.engine.graphs import Graphs, captured
from completion.engine.model import Model
from completion.engine.tokenizer import Tokenizer

CONTEXT, PROMPT = 1024, 512
Answer = Callable[[Sequence[int], int], list[int]]


@dataclass(frozen=True)
class Speed:
    """Seconds to read a prompt and give one token, and tokens a second after it; medians."""

    first: float
    rate: float


def ours(folder: Path, dtype: torch.dtype, capture: bool) -> Answer:
    model = Model.load(folder, dtype, CONTEXT, None, "cuda")
    if capture:
        model.graphs = Graphs(model, captured)
    cache = model.new_cache()

    @torch.inference_mode()
    def answer(prompt: Sequence[int], count: int) -> list[int]:
        cache.rewind(0)
        hidden = model.forward(prompt, cache)[-1:]
        made: list[int] = []
        while len(made) < count:
            made.append(int(model.logits(hidden)[0].argmax()))
            hidden = model.forward(made[-1:], cache)
        return made

    return answer


def theirs(folder: Path, dtype: torch.dtype) -> Answer:
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    model = loaded.to("cuda").eval()

    @torch.inference_mode()
    def answer(prompt: Sequence[int], count: int) -> list[int]:
        given = torch.tensor([list(prompt)], device="cuda")
        made = model.generate(
            given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            pad_token_id=0,
        )
        return made[0, len(prompt) :].tolist()

    return answer


def speed(answer: Answer, prompts: Sequence[Sequence[int]], count: int) -> Speed:
    first, rates = [], []
    for prompt in prompts:
        short, long = (timed(answer, prompt, size) for size in (1, count))
        first.append(short)
        rates.append((count - 1) / max(1e-9, long - short))
    return Speed(median(first), median(rates))


def timed(answer: Answer, prompt: Sequence[int], count: int) -> float:
    """After a turn that is not counted: what is captured is captured then."""
    answer(prompt, count)
    torch.cuda.synchronize()
    began = time.perf_counter()
    answer(prompt, count)
    torch.cuda.synchronize()
    return time.perf_counter() - began


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("folder", type=Path, help="a model's folder, as of Hugging Face")
    told = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    tokenizer = Tokenizer.load(told.folder)
    files = sorted((common.REPOSITORY / "completion").rglob("*.py"))
    ids = tokenizer.encode("\n".join(file.read_text("utf-8") for file in files[:40]))
    number, count = (4, 32) if told.quick else (12, 96)
    prompts = [ids[at * PROMPT : (at + 1) * PROMPT] for at in range(number)]
    exact = {}
    right = theirs(told.folder, torch.float32)
    reference = [right(prompt, count) for prompt in prompts]
    for name, capture in (("eager", False), ("captured", True)):
        answer = ours(told.folder, torch.float32, capture)
        # Twice: the first pass of a kind is not captured yet.
        found = [answer(prompt, count) for _ in range(2) for prompt in prompts]
        exact[name] = sum(a == b for a, b in zip(found, 2 * reference, strict=True))
    rows: list[list[object]] = []
    figures: dict[str, Any] = {
        "gpu": torch.cuda.get_device_name(),
        "exact": exact,
        "of": 2 * number,
    }
    makers: dict[str, Callable[[], Answer]] = {
        "transformers": lambda: theirs(told.folder, torch.bfloat16),
        "ours, eager": lambda: ours(told.folder, torch.bfloat16, False),
        "ours, captured": lambda: ours(told.folder, torch.bfloat16, True),
    }
    for name, make in makers.items():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        found = speed(make(), prompts, count)
        peak = (torch.cuda.max_memory_allocated() - before) / 2**20
        equal = exact.get(name.removeprefix("ours, "))
        told_of = "" if equal is None else f"{equal} of {2 * number}"
        rows.append([name, told_of, found.first * 1000, found.rate, peak])
        figures[name] = {"first_ms": found.first * 1000, "rate": found.rate, "peak_mib": peak}
    ratio = figures["ours, captured"]["rate"] / figures["transformers"]["rate"]
    common.report(
        f"{figures['gpu']}: bfloat16, prompts of {PROMPT} tokens, {count} tokens answered",
        ["engine", "float32 text as transformers'", "first token ms", "tokens/s", "peak MiB"],
        rows,
        ("captured_over_transformers", f"{ratio:.2f}"),
        figures,
        told.json,
    )


if __name__ == "__main__":
    main()
