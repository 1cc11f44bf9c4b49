"""How fast fine-tuning is, in tokens a second, beside plain transformers and peft with padding.

Three trainers take the same steps, of the same samples, in turn and in alternating order, each in
a process of its own: ours with LoRA, ours with all weights, and what one writes with transformers
and peft alone: batches padded to their longest sample, whole logits, the library's loss. The plain
one gets bfloat16 where the CPU is fast at it and the fastest of its kinds of attention and of
adapter, found first. Only real tokens count, not padding. A step is forward, backward, clipping
and AdamW.

    python -m benchmarks.training [--samples FOLDER] [--model NAME]
"""

import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import common
from finetune.recipe import Recipe
from finetune.store import SampleSet

RANK = 16
TOKENS = 2048  # in a step
BATCH = 8  # samples in a padded batch
PLAIN, LORA, FULL = "plain transformers + peft", "ours, LoRA", "ours, full"

Step = Callable[[Sequence[int]], None]


def samples_of_library(count: int) -> SampleSet:
    """Holes in the standard library, with prompts of the lengths that training uses."""
    from completion import models
    from completion.engine.tokenizer import Tokenizer
    from completion.templates import templates
    from finetune.holes import holes
    from finetune.samples import END, Encoder, end_weight

    tokenizer = Tokenizer.load(models.resolve(models.DEFAULT).folder)
    encoder = Encoder(tokenizer, templates()["tandem"], END)
    rng = random.Random(5)
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    made = []
    for file in rng.sample(files, len(files)):
        text = file.read_text("utf-8", "replace")
        for hole in holes(text, "python", rng, 4):
            prefix, middle, suffix = (
                text[: hole.start],
                text[hole.start : hole.end],
                text[hole.end :],
            )
            budget = int(2 ** rng.uniform(6.8, 8.5))
            prompt = encoder.prompt(prefix, suffix, "python", hole.kind, budget, file.name)
            if prompt:
                weight = end_weight(hole.kind, middle, suffix)
                sample = encoder.sample(prompt, middle, hole.kind, hole.cut, weight)
                made.append((sample.ids, sample.weights, sample.middle))
        if len(made) >= count:
            break
    rng.shuffle(made)
    return SampleSet.of(made)


def ours(method: str, base: Path, samples: SampleSet) -> Step:
    from finetune import device, learner, packing

    recipe = Recipe(method=method, steps=1, rank=RANK, alpha=2 * RANK)  # pyright: ignore[reportArgumentType]
    where = device.choose()
    found = learner.load(recipe, base, where, device.width("auto", where))
    masters = list(found.masters.values())
    optimizer = torch.optim.AdamW(masters, lr=1e-6, betas=(0.9, 0.99), fused=True)
    packer = packing.Packer(samples, 0, recipe.tokens_per_step)

    def step(picked: Sequence[int]) -> None:
        for row in packer.rows(picked, recipe.row_tokens):
            found.losses(row.to(where), packer.weight(picked))[0].backward()
        torch.nn.utils.clip_grad_norm_(masters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        found.publish()

    return step


def plain(base: Path, samples: SampleSet, first: Sequence[int]) -> Step:
    """The fastest of the plain ways on the samples of one step; each runs it twice."""
    best, found = float("inf"), None
    for attention, autocast in (("sdpa", True), ("sdpa", False), ("eager", False)):
        step = _plain(base, samples, attention, autocast)
        step(first)
        began = time.perf_counter()
        step(first)
        seconds = time.perf_counter() - began
        print(f"# {attention}, autocast {autocast}: {seconds:.2f} s", file=sys.stderr)
        if seconds < best:
            best, found = seconds, step
    assert found is not None
    return found


def _plain(base: Path, samples: SampleSet, attention: str, autocast: bool) -> Step:
    """`autocast`: adapters in float32 as peft makes them; else all in the base's width."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from finetune import device, learner

    where = device.choose()
    width = device.width("auto", where)
    model: Any = AutoModelForCausalLM.from_pretrained(
        base, dtype=width, attn_implementation=attention
    )
    model = model.to(where)
    config = LoraConfig(
        r=RANK, lora_alpha=2 * RANK, target_modules=list(learner.TARGETS), task_type="CAUSAL_LM"
    )
    model = get_peft_model(model, config, autocast_adapter_dtype=autocast).train()
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-6, fused=True)
    starts = samples.starts()

    def step(picked: Sequence[int]) -> None:
        batches = [picked[at : at + BATCH] for at in range(0, len(picked), BATCH)]
        for batch in batches:
            longest = max(int(samples.lengths[i]) for i in batch)
            ids = np.zeros((len(batch), longest), np.int64)
            mask, labels = np.zeros_like(ids), np.full_like(ids, -100)
            for row, i in enumerate(batch):
                span, length = slice(starts[i], starts[i + 1]), int(samples.lengths[i])
                ids[row, :length] = samples.ids[span]
                mask[row, :length] = 1
                labels[row, :length] = np.where(samples.weights[span] > 0, ids[row, :length], -100)
            on = autocast and width == torch.bfloat16
            with torch.autocast(where.type, torch.bfloat16, enabled=on):
                loss = model(
                    input_ids=torch.from_numpy(ids).to(where),
                    attention_mask=torch.from_numpy(mask).to(where),
                    labels=torch.from_numpy(labels).to(where),
                ).loss
            (loss / len(batches)).backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def work(name: str, base: Path, folder: Path) -> None:
    """A trainer's process: a step for each line of sample numbers, answered with its seconds."""
    samples = SampleSet.load(folder)
    lines = iter(sys.stdin.readline, "")
    first = json.loads(next(lines))
    if name == PLAIN:
        step = plain(base, samples, first)
    else:
        step = ours("lora" if name == LORA else "full", base, samples)
        step(first)
    print("{}", flush=True)
    for line in lines:
        began = time.perf_counter()
        step(json.loads(line))
        print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)


@contextlib.contextmanager
def trainer(name: str, base: Path, folder: Path) -> Iterator[Callable[[list[int]], float]]:
    """A function that lets the trainer do one step and gives its seconds."""
    from finetune import launch

    settings = launch.environment()
    if name == PLAIN:  # without our memory settings: they are part of what is compared
        settings = {key: value for key, value in settings.items() if key not in launch.ALLOCATOR}
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.training", "--work", name, str(base), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=common.REPOSITORY,
        env={**settings, "TRANSFORMERS_VERBOSITY": "error", "PYTHONWARNINGS": "ignore"},
    )

    def step(picked: list[int]) -> float:
        assert child.stdin is not None
        assert child.stdout is not None
        print(json.dumps(picked), file=child.stdin, flush=True)
        line = child.stdout.readline()
        assert line, f"{name} ended with code {child.wait()}"
        return json.loads(line).get("seconds", 0.0)

    try:
        yield step
    finally:
        child.kill()
        child.wait()


def measure(base: Path, samples: SampleSet, rounds: int, warm_up: int) -> dict[str, list[float]]:
    """Tokens a second by trainer, one figure a round; `warm_up` is the first step's tokens."""
    from finetune.packing import Packer

    packer = Packer(samples, 0, TOKENS)
    first, position = Packer(samples, 0, warm_up).step(0)
    speeds: dict[str, list[float]] = {PLAIN: [], LORA: [], FULL: []}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tandem-bench-")))
        samples.save(folder)
        steps = {name: stack.enter_context(trainer(name, base, folder)) for name in speeds}
        for name, step in steps.items():
            print(f"# loading: {name}", file=sys.stderr, flush=True)
            step(first)
        for number in range(rounds):
            picked, position = packer.step(position)
            for name in list(steps) if number % 2 else reversed(steps):
                speeds[name].append(packer.tokens(picked) / steps[name](picked))
    return speeds


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
        return
    from completion import models
    from finetune import packing
    from tandem import config

    parser = common.parser(__doc__ or "")
    parser.add_argument("--samples", type=Path, metavar="FOLDER", help="of a SampleSet")
    parser.add_argument("--model", help="name or folder; the one in use otherwise")
    arguments = parser.parse_args()
    base = models.resolve(arguments.model or config.load().model).folder
    if arguments.samples:
        vocabulary = json.loads((base / "config.json").read_text("utf-8"))["vocab_size"]
        samples = packing.load(arguments.samples, 2048, vocabulary)
    else:
        samples = samples_of_library(100 if arguments.quick else 600)
    rounds, warm_up = (1, 512) if arguments.quick else (8, TOKENS)
    speeds = measure(base, samples, rounds, warm_up)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    gain = medians[LORA] / medians[PLAIN]
    rows = [
        [name, median, min(speeds[name]), max(speeds[name]), f"{median / medians[PLAIN]:.2f} x"]
        for name, median in medians.items()
    ]
    common.report(
        f"Training, tokens a second, {base.name}, rank {RANK}, {len(samples)} samples of "
        f"{samples.lengths.mean():.0f} tokens on average, {rounds} steps of {TOKENS}",
        ["trainer", "median", "slowest", "fastest", "beside plain"],
        rows,
        ("lora_over_plain_peft", f"{gain:.2f}"),
        {"tokens_per_second": medians, "steps": speeds, "threads": os.cpu_count()},
        arguments.json,
    )


if __name__ == "__main__":
    main()
