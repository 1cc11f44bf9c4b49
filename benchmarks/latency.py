"""How long a completion takes, cold and warm, and how fast tokens come.

Completions go the whole way an editor's do (context, prompt, HTTP, engine, filters) on files of
this repository. Cold: a place whose prompt the engine has not seen. Warm: one more typed key at
that place. Decoding speed is measured in this process, our loop and transformers' `generate` in
turn on the same weights, float32 and one sequence for both.
"""

import asyncio
import random
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from benchmarks import common
from completion import models
from completion.document import Document, language_of
from completion.engine import background
from completion.engine.generate import Decoder
from completion.engine.request import Request
from completion.session import Completion, Session
from tandem import config

TOKENS = 48
PROMPT_TOKENS = 400
LEAST_TEXT = 12  # of a line to type in, without its indentation


async def completions(session: Session, places: int) -> tuple[list[Completion], list[Completion]]:
    """(cold, warm) completions at seeded places: the middle of lines inside functions."""
    rng = random.Random(11)
    files = sorted(
        file
        for folder in ("completion", "lsp", "tandem")
        for file in (common.REPOSITORY / folder).rglob("*.py")
        if file.stat().st_size > 2000
    )
    cold, warm = [], []
    for file in rng.sample(files, min(places, len(files))):
        text, offset = _place(file, rng)
        for results, end in ((cold, offset), (warm, offset + 1)):
            # The text right of the cursor on its line is what the user is about to type.
            typed = text[:end] + text[text.index("\n", end) :]
            document = Document(file, language_of(file), typed)
            results.append(await session.complete(document, end))
    return cold, warm


def _place(file: Path, rng: random.Random) -> tuple[str, int]:
    text = file.read_text("utf-8")
    lines = text.split("\n")
    inside = [
        n
        for n, line in enumerate(lines)
        if line.startswith("    ") and len(line.strip()) > LEAST_TEXT
    ]
    number = rng.choice(inside[len(inside) // 4 :])
    line = lines[number]
    indent = len(line) - len(line.lstrip())
    return text, sum(len(s) + 1 for s in lines[:number]) + rng.randrange(indent + 4, len(line) - 4)


def decoding(folder: Path, rounds: int) -> dict[str, float]:
    """Median tokens a second by engine, the rounds interleaved."""
    reference: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ours = Decoder.load(folder, "float32")
    narrow = Decoder.load(folder, "bfloat16")
    source = (common.REPOSITORY / "completion/engine/model.py").read_text("utf-8")
    prompt = ours.tokenizer.encode(source)[:PROMPT_TOKENS]

    def transformers() -> int:
        output = reference.generate(
            torch.tensor([prompt]),
            max_new_tokens=TOKENS,
            min_new_tokens=TOKENS,
            do_sample=False,
            pad_token_id=0,
        )
        return output.shape[1] - len(prompt)

    def engine(decoder: Decoder) -> int:
        decoder.forget()
        return list(decoder.generate(Request(tuple(prompt), TOKENS)))[-1].usage.completion_tokens

    runs = {
        "transformers float32": transformers,
        "engine float32": lambda: engine(ours),
        "engine bfloat16": lambda: engine(narrow),
    }
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            tokens = run()
            speeds[name].append(tokens / (time.perf_counter() - began))
    return {name: statistics.median(values[1:]) for name, values in speeds.items()}


async def measure(places: int) -> tuple[list[Completion], list[Completion]]:
    # Each place is asked about twice: the second answer has to come from the model too.
    settings = config.load(options={"completion": {"cache": False}})
    session = Session(settings, source="benchmark")
    await session.start()
    try:
        return await completions(session, places)
    finally:
        await session.close()


def main() -> None:
    arguments = common.options(__doc__ or "")
    settings = config.load()
    cold, warm = asyncio.run(measure(8 if arguments.quick else 30))
    if not settings.endpoint:
        background.stop(settings)  # its threads would disturb what follows
    speeds = decoding(models.resolve(settings.model).folder, 1 if arguments.quick else 5)
    rows: list[list[object]] = []
    figures: dict[str, object] = {"tokens_per_second": speeds}
    for name, results in (("cold", cold), ("warm", warm)):
        for stage in ("context", "prompt", "first_token", "generate", "filter", "total"):
            times = [r.timing_ms[stage] for r in results if stage in r.timing_ms]
            if times:
                p50, p95 = common.percentile(times, 0.5), common.percentile(times, 0.95)
                rows.append([f"{name}: {stage}", p50, p95])
                figures[f"{name}_{stage}_ms"] = {"p50": p50, "p95": p95}
        shown = sum(bool(r.items) for r in results) / len(results)
        rows.append([f"{name}: share with a suggestion", f"{shown:.0%}", ""])
        figures[f"{name}_shown"] = shown
    for name, speed in speeds.items():
        ratio = speed / speeds["transformers float32"]
        rows.append(
            [f"{name}, tokens/s with a {PROMPT_TOKENS}-token prompt", speed, f"{ratio:.2f} x"]
        )
    gain = speeds["engine float32"] / speeds["transformers float32"]
    common.report(
        f"Completion latency in ms, {len(cold)} places",
        ["what", "p50", "p95 / ratio"],
        rows,
        ("engine_over_transformers_float32", f"{gain:.2f}"),
        figures,
        arguments.json,
    )


if __name__ == "__main__":
    main()
