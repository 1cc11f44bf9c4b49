"""The embedded engine on an NVIDIA GPU: right first, then beside transformers on the same GPU.

    python -m benchmarks.gpu MODEL_FOLDER [--device cpu] [--quick] [--json FILE]

Right: in float32, greedily, the text of transformers token for token, with captured passes and
without. Speed: bfloat16, one sequence, prompts of 512 tokens; all times end with a wait for the GPU.
Drafts: functions rewritten with one argument renamed, the old text as the prediction, with drafts
and without. `--device cpu` runs the same code without a GPU: a rehearsal, not a figure.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from benchmarks import common
from benchmarks.parts import drafted, speculation
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


def ours(folder: Path, dtype: torch.dtype, capture: bool, device: str) -> Answer:
    model = Model.load(folder, dtype, CONTEXT, None, device)
    if capture:
        model.graphs = Graphs(model, captured if device == "cuda" else lambda compute: compute)
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


def theirs(folder: Path, dtype: torch.dtype, device: str) -> Answer:
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    model = loaded.to(device).eval()
    model.generation_config.eos_token_id = None  # answers are of one length, as ours

    @torch.inference_mode()
    def answer(prompt: Sequence[int], count: int) -> list[int]:
        given = torch.tensor([list(prompt)], device=device)
        made = model.generate(
            given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=count,
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
    wait()
    began = time.perf_counter()
    answer(prompt, count)
    wait()
    return time.perf_counter() - began


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory(begin: bool = False) -> int:
    """Bytes of the GPU at most since the last `begin`; 0 without one."""
    if not torch.cuda.is_available():
        return 0
    if begin:
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    return torch.cuda.max_memory_allocated()


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("folder", type=Path, help="a model's folder, as of Hugging Face")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    told = parser.parse_args()
    device = told.device
    torch.backends.cuda.matmul.allow_tf32 = False
    tokenizer = Tokenizer.load(told.folder)
    files = sorted((common.REPOSITORY / "completion").rglob("*.py"))
    ids = tokenizer.encode("\n".join(file.read_text("utf-8") for file in files[:40]))
    number, count = (4, 32) if told.quick else (12, 96)
    prompts = [ids[at * PROMPT : (at + 1) * PROMPT] for at in range(number)]
    exact = {}
    right = theirs(told.folder, torch.float32, device)
    reference = [right(prompt, count) for prompt in prompts]
    for name, capture in (("eager", False), ("captured", True)):
        answer = ours(told.folder, torch.float32, capture, device)
        # Twice: the first pass of a kind is not captured yet.
        found = [answer(prompt, count) for _ in range(2) for prompt in prompts]
        exact[name] = sum(a == b for a, b in zip(found, 2 * reference, strict=True))
    rows: list[list[object]] = []
    figures: dict[str, Any] = {
        "gpu": torch.cuda.get_device_name() if device == "cuda" else "no GPU: a rehearsal",
        "exact": exact,
        "of": 2 * number,
    }
    makers: dict[str, Callable[[], Answer]] = {
        "transformers": lambda: theirs(told.folder, torch.bfloat16, device),
        "ours, eager": lambda: ours(told.folder, torch.bfloat16, False, device),
        "ours, captured": lambda: ours(told.folder, torch.bfloat16, True, device),
    }
    for name, make in makers.items():
        before = peak_memory(begin=True)
        found = speed(make(), prompts, count)
        peak = (peak_memory() - before) / 2**20
        equal = exact.get(name.removeprefix("ours, "))
        told_of = "" if equal is None else f"{equal} of {2 * number}"
        rows.append([name, told_of, found.first * 1000, found.rate, peak])
        figures[name] = {"first_ms": found.first * 1000, "rate": found.rate, "peak_mib": peak}
    rewrites = speculation.edits(files, drafted.SEED, 4 if told.quick else 24, tokenizer.count)
    for name, dtype in (("float32", "float32"), ("bfloat16", "bfloat16")):
        drafts = drafted.gain(told.folder, dtype, device, rewrites, CONTEXT)
        same = f"{drafts.same_text} of {drafts.edits} as without"
        rows.append([f"drafts, {name}: edits", same, "", f"{drafts.all:.2f} x", ""])
        row = f"- the {drafts.rewritten} that rewrite the function"
        rows.append([row, "", "", f"{drafts.of_rewritten:.2f} x", ""])
        figures[f"drafts, {name}"] = asdict(drafts)
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
