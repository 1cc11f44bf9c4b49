"""Trains the model that we ship, and makes the file that travels with the program.

    python -m finetune.release train OUT --samples FOLDER [--samples FOLDER] --minutes M
    python -m finetune.release compress OUT [--strength S] [--start FILE]
    python -m finetune.release take OUT --start FILE [--strength S]
    python -m finetune.release check OUT --cases FILE [--n N]
    python -m finetune.release install OUT

`train` can be stopped and goes on when called again; `--start` goes on from the trunk of an earlier
run (before its learning rate fell), or from a file that travels. It ends with `compress`, which
can be called again to keep less of what was learned (`strength`). `take` takes instead what was
trained and compressed elsewhere (docs/train-bundle.md). `check` compares what was made
with the base on held-out packages, and chat with the base's; `install` puts it where the engine
looks, if the gate lets it pass. The samples come from `corpus` and `chat`.
"""

import argparse
import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from completion import manifest
from finetune import cases, chat_check, evaluate, gate, launch, runfolder, variant
from finetune import start as begin
from finetune.bootstrap import Interval
from finetune.compress import Compressed
from finetune.corpus import shipped_encoder
from finetune.recipe import Recipe
from finetune.report import GROUPS, Report
from finetune.samples import END
from finetune.store import SampleSet
from finetune.strength import scaled, scaled_difference
from tandem import paths
from tandem.config import CompletionConfig
from tandem.errors import TandemError, UsageError

LARGEST = 24_000_000  # bytes that we put into the repository
LICENCE = "Apache-2.0"  # as the base; what it learned from is listed in sources.toml
RESULT, FIGURES = "tandem-135m.safetensors", "figures.json"
BASE, TUNED = "base, left to right", "tuned"
# The learning rate that 2 cores and a million tokens want; a GPU's larger steps want more.
RECIPE = Recipe(
    method="full",
    minutes=60,
    learning_rate=3e-4,
    warmup_steps=20,
    decay_share=0.6,
    tokens_per_step=2048,
    row_tokens=2048,
    weight_decay=0.01,
)


def train(
    out: Path, samples: list[Path], validation: Path, recipe: Recipe, start: Path | None
) -> Path:
    """Train, compress, and write OUT/tandem-135m.safetensors. Raises TandemError."""
    base, rows = _base(), shipped_encoder().rows()
    joined = _joined(out / "samples", samples)
    recipe = recipe.but(rows=rows)
    if start is not None and start.is_file():
        digest = manifest.sha256(base / "model.safetensors")
        start, _ = begin.from_shipped(start, base, digest, recipe, out)
    result = launch.in_child(
        recipe, base, joined, out / "run", validation, on_progress=_show, start=start
    )
    print(f"\n{result.tokens} tokens, loss {result.before} -> {result.validation}", file=sys.stderr)
    return compress(out)


def compress(out: Path, strength: float = 1.0, start: Path | None = None) -> Path:
    """Write OUT/tandem-135m.safetensors from the end of the run in OUT; drops older figures.

    `strength` is a point on the line to that end from the base or, where the run went on from a
    file that travels, from `start`. Raises UsageError if there is no such end, or it cannot be
    compressed.
    """
    import torch
    from safetensors.torch import load_file

    from finetune.squeeze import squeeze

    base, run = _base(), out / "run"
    try:
        facts = json.loads((run / runfolder.RESULT).read_text("utf-8"))
        tuned = load_file(run / facts["result"]["folder"] / "model.safetensors")
    except FileNotFoundError:
        raise UsageError(
            f"No run ended in {out}.", "Run: python -m finetune.release train"
        ) from None
    digest = manifest.sha256(base / "model.safetensors")
    if start is None:
        origin = load_file(base / "model.safetensors")
    else:
        origin = begin.merged(start, base, digest)[0]
    try:
        tuned = scaled(origin, tuned, strength)
    except ValueError as problem:
        raise UsageError(f"{problem}.".capitalize()) from None
    rows = shipped_encoder().rows()
    made = squeeze(base, tuned, rows, LARGEST, out / "samples", torch.device("cpu"))
    metadata = {
        "base_sha256": digest,
        "template": "tandem",
        "end": END,
        "licence": LICENCE,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "recipe": facts | {"strength": strength, "from": _named(start)},
        "stream": {
            "samples": facts["inputs"]["samples"],
            "position": facts["position"],
            "tokens": facts["result"]["tokens"],
        },
    }
    (out / FIGURES).unlink(missing_ok=True)
    made.save(out / RESULT, metadata)
    return out / RESULT


def take(out: Path, file: Path, strength: float = 1.0) -> Path:
    """Write OUT/tandem-135m.safetensors from a compressed file that another machine made.

    Raises UsageError if it is none of ours, or for another base.
    """
    begin.merged(file, _base(), manifest.sha256(_base() / "model.safetensors"))
    made, facts = Compressed.load(file)
    try:
        made = scaled_difference(made, strength)
    except ValueError as problem:
        raise UsageError(f"{problem}.".capitalize()) from None
    out.mkdir(parents=True, exist_ok=True)
    (out / FIGURES).unlink(missing_ok=True)
    made.save(out / RESULT, facts | {"strength": strength, "from": _named(file)})
    return out / RESULT


def check(out: Path, found: list[cases.Case]) -> dict[str, Any]:
    """Figures of what `train` made against the base; written to OUT/figures.json."""
    from completion.engine import shipped

    base = variant.load(_base())
    tuned = variant.load(_base(), shipped=shipped.read(out / RESULT))
    variants = evaluate.standard_variants(base, tuned, False, CompletionConfig().prompt_tokens)
    compared = [one for one in variants if one.name in (BASE, TUNED)]
    report = evaluate.run(found, compared, evaluate.tell)
    report.save(out / "report.json")
    for table in report.tables():
        from rich.console import Console

        Console(width=200).print(table)
    chat = chat_check.check(base, tuned)
    verdict = gate.judge(_figures(report, chat), chat=True)
    figures = {
        "holes": report.holes,
        "refusals": list(verdict.refusals),
        "chat": chat.to_json(),
        "exact": {
            group: {name: vars(report.rate(name, group, "exact")) for name in (BASE, TUNED)}
            for group in GROUPS
        },
    }
    with paths.atomic_write(out / FIGURES) as stream:
        json.dump(figures, stream, indent=1, default=vars)
    print("passes the gate" if verdict.passed else "refused: " + "; ".join(verdict.refusals))
    return figures


def install(out: Path) -> Path:
    """Put the file where the engine looks. Raises UsageError if the gate refused it."""
    from completion.engine import shipped

    try:
        figures = json.loads((out / FIGURES).read_text("utf-8"))
    except OSError:
        raise UsageError(
            f"{out} was not checked.", "Run: python -m finetune.release check"
        ) from None
    if figures["refusals"]:
        raise UsageError(f"The gate refused it: {'; '.join(figures['refusals'])}.", "Train on.")
    shipped.FILE.parent.mkdir(exist_ok=True)
    shutil.copy(out / RESULT, shipped.FILE)
    return shipped.FILE


def _figures(report: Report, chat: chat_check.Result) -> gate.Figures:
    """The gain is over the base left to right. The general set is made of holes of several
    lines, of which the gain in exact single lines says nothing."""
    gain = report.difference(TUNED, BASE, "all", "exact")
    general = report.difference(TUNED, BASE, GROUPS[2], "similarity")
    return gate.Figures(*_bounds(gain), gain.n, *_bounds(general), general.n, chat.kept)


def _bounds(found: Interval) -> tuple[float, float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.mean, found.high


def _named(start: Path | None) -> dict[str, str]:
    """What a run went on from: a file of ours, by its hash, or the base."""
    return {"file": start.name, "sha256": manifest.sha256(start)} if start else {}


def _base() -> Path:
    from completion import models

    return models.pull(models.DEFAULT).folder


def _joined(target: Path, folders: list[Path]) -> Path:
    """All samples in one folder, which the trainer's order then mixes."""
    joined = SampleSet.joined([SampleSet.load(folder) for folder in folders])
    target.mkdir(parents=True, exist_ok=True)
    joined.save(target)
    return target


def _show(progress: Any) -> None:
    if progress.step % 10 == 0:
        print(
            f"step {progress.step} {progress.tokens} tokens {progress.done:.0%} "
            f"loss {progress.loss:.3f} validation {progress.validation} "
            f"{progress.tokens / progress.seconds:.0f} tokens/s {progress.left / 60:.0f} min left",
            file=sys.stderr,
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="The model that we ship.")
    parser.add_argument("task", choices=("train", "compress", "take", "check", "install"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--samples", type=Path, action="append", default=[])
    parser.add_argument("--validation", type=Path)
    parser.add_argument("--minutes", type=float, default=RECIPE.minutes)
    parser.add_argument("--rate", type=float, default=RECIPE.learning_rate)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--cases", type=Path)
    parser.add_argument("--n", type=int, default=600)
    given = parser.parse_args()
    if given.task == "train":
        recipe = RECIPE.but(minutes=given.minutes, learning_rate=given.rate)
        print(train(given.out, given.samples, given.validation, recipe, given.start))
    elif given.task == "compress":
        print(compress(given.out, given.strength, given.start))
    elif given.task == "take":
        if given.start is None:
            raise UsageError("Which file is taken?", "Name it with --start.")
        print(take(given.out, given.start, given.strength))
    elif given.task == "check":
        check(given.out, cases.load(given.cases)[: given.n])
    else:
        print(install(given.out))


if __name__ == "__main__":
    try:
        main()
    except TandemError as problem:
        sys.exit(f"\n{problem}")
