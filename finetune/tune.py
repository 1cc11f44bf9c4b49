"""`tandem tune`: a repository teaches the model, and the result is used only if it wins.

Samples of older commits, training, evaluation on newer ones against the base with the same
prompts, the registry, the gate. What has been done lies in a work folder of its own for each
repository, commit and recipe, so that a run that was stopped goes on where it was.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from completion import adapters
from completion.adapters import Adapter, Base, Manifest
from completion.manifest import InstalledModel
from finetune import compare, dataset, gate, registry
from finetune.folder import Dataset
from finetune.recipe import Recipe
from finetune.repository import Repository
from tandem import paths
from tandem.config import Config
from tandem.errors import ModelError, TandemError, UsageError

if TYPE_CHECKING:  # `tandem --help` must not wait for torch
    from finetune.report import Report
    from finetune.samples import Encoder

# Of the minutes: training gets what the data left over but for this share, which goes to
# answering held-out holes; with fewer of them nothing could be shown to be better.
EVALUATION = 0.3
MOST_HOLES = 400
VALIDATION_SAMPLES = 150
LEAST_MINUTES = 0.2
# Tokens around the cursor in a training sample: short ones teach more in the same time.
SMALLEST_BUDGET, LARGEST_BUDGET = 128, 320
LOG, CURVE, REPORT, DATA = "log.jsonl", "loss.svg", "report.json", "data.json"

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Tuned:
    """What a run made. `refusals` are the gate's, none if the adapter is in use now."""

    adapter: Adapter
    figures: gate.Figures
    refusals: tuple[str, ...]
    tokens: int
    minutes: float


def recipe(method: str, rank: int, minutes: float, seed: int) -> Recipe:
    """The recipe for a repository: small, as some hundred commits are a few 100,000 tokens."""
    if minutes < LEAST_MINUTES:
        raise UsageError(
            f"{minutes:g} minutes are too few.", f"Give at least {LEAST_MINUTES:g} (--minutes)."
        )
    return Recipe(
        method=method,  # pyright: ignore[reportArgumentType] - Recipe checks it
        minutes=minutes,
        rank=rank,
        alpha=2.0 * rank,
        learning_rate=5e-4,
        decay_share=0.5,
        validations=6,
        patience=3,
        seed=seed,
    )


def tune(
    repository: Path, config: Config, wanted: Recipe, name: str = "", tell: Tell = lambda *_: None
) -> Tuned:
    """Run all of it within about `wanted.minutes`. `tell` gets (stage, done, total).

    Raises TandemError: UsageError for a repository that cannot be learned from, ModelError for a
    model that cannot be tuned here. A KeyboardInterrupt leaves what the next run goes on from.
    """
    began = time.monotonic()
    root = Repository(repository).folder
    model, base = _base(config)
    work = _work_folder(root, base, wanted)
    work.mkdir(parents=True, exist_ok=True)
    name = name or registry.new_name(root)
    if adapters.folder_of(name).exists():
        raise UsageError(f"There is an adapter {name}.", "Choose another name.")
    encoder = _encoder(model)
    data = _data(root, encoder, work, wanted, model.manifest.context, tell)
    merged = _merged(model, work, tell)
    spent = (time.monotonic() - began) / 60
    training = max(LEAST_MINUTES / 2, (wanted.minutes - spent) * (1 - EVALUATION))
    result = _train(wanted.but(minutes=round(training, 2)), merged, data, work, tell)
    deadline = began + wanted.minutes * 60
    report, general = compare.evaluate(model, config.engine, result.folder, data, deadline, tell)
    figures = compare.figures(report, general)
    known = Manifest(
        name=name,
        base=base.name,
        base_hash=base.hash,
        data_hash=data.hash,
        repository=str(root),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe={**wanted.as_json(), "tokens": result.tokens, "steps": result.step},
        figures=figures.to_json(),
        licence=str(data.manifest["licences"].get(root.name) or "as the repository"),
    )
    adapter = registry.register(result.folder, known, base)
    _keep_evidence(adapter, work, report, general, data)
    refusals = gate.judge(figures).refusals
    if not refusals:
        registry.activate(name, root, base)
    shutil.rmtree(work, ignore_errors=True)
    return Tuned(adapter, figures, refusals, result.tokens, (time.monotonic() - began) / 60)


def _base(config: Config) -> tuple[InstalledModel, Base]:
    from completion import models

    if config.endpoint:
        raise UsageError(
            f"Suggestions come from {config.endpoint}; only a model here can be tuned.",
            "Run: tandem models use tandem-135m",
        )
    model = models.resolve(config.model)
    return model, Base.of(model.name, model.folder)


def _work_folder(root: Path, base: Base, wanted: Recipe) -> Path:
    """One for each repository as it stands, base and recipe: nothing else may be gone on with."""
    head = Repository(root).head()
    told = json.dumps([str(root), head, base.hash, wanted.as_json()])
    return paths.cache_dir() / "tune" / hashlib.sha256(told.encode()).hexdigest()[:16]


def _encoder(model: InstalledModel) -> "Encoder":
    from completion.engine.shipped import template_of
    from completion.engine.tokenizer import Tokenizer
    from completion.templates import templates
    from finetune.samples import END, Encoder

    tokenizer = Tokenizer.load(model.folder)
    if tokenizer.count(END) != 1:
        raise ModelError(f"{model.name} has no token {END}.", "Tune tandem-135m, or as in docs.")
    return Encoder(tokenizer, templates()[template_of(model)], END)


def _data(
    root: Path, encoder: "Encoder", work: Path, wanted: Recipe, context: int, tell: Tell
) -> Dataset:
    folder = work / "data"
    longest = min(wanted.row_tokens, context)
    with contextlib.suppress(TandemError):
        return Dataset.load(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return dataset.build_from_repository(
        root,
        encoder,
        folder,
        tokens=_tokens(wanted),
        validation=VALIDATION_SAMPLES,
        cases=MOST_HOLES,
        seed=wanted.seed,
        processes=os.cpu_count() or 1,
        mixture=dataset.Mixture(
            smallest_budget=min(SMALLEST_BUDGET, longest // 2),
            largest_budget=min(LARGEST_BUDGET, longest // 2),
            longest=longest,
        ),
        progress=tell,
    )


def _tokens(wanted: Recipe) -> int:
    """More than can be trained on in the time would be made for nothing."""
    return max(50_000, min(1_500_000, int(wanted.minutes * 60 * 400)))


def _merged(model: InstalledModel, work: Path, tell: Tell) -> Path:
    """What the engine runs, as a folder the trainer reads: the shipped difference is in it."""
    from completion.engine import shipped
    from completion.engine.export import export

    difference = shipped.of(model)
    if difference is None:
        return model.folder
    folder = work / "base"
    if not folder.exists():
        export(model, folder, difference, "float32", tell)
    return folder


def _train(wanted: Recipe, base: Path, data: Dataset, work: Path, tell: Tell) -> Any:
    from finetune import launch

    out = work / "run"
    kept = work / "recipe.json"
    if kept.exists():  # the minutes that are left are others now, the run must be the same one
        wanted = Recipe.of(json.loads(kept.read_text("utf-8")))
    else:
        kept.write_text(json.dumps(wanted.as_json()), "utf-8")

    def show(progress: Any) -> None:
        stage = f"Training, loss {progress.loss:.3f}"
        if progress.validation is not None:
            stage += f", held out {progress.validation:.3f}"
        tell(stage, round(1000 * progress.done), 1000)

    result = launch.in_child(wanted, base, data.train, out, data.validation, on_progress=show)
    return result


def _keep_evidence(
    adapter: Adapter, work: Path, report: "Report", general: "Report", data: Dataset
) -> None:
    """The log, the pictures and the figures, beside the adapter."""
    from finetune import curve

    log = work / "run" / LOG
    if log.exists():
        shutil.copy(log, adapter.folder / LOG)
        curve.draw(log, adapter.folder / CURVE, title=adapter.name)
    told = {"held_out": report.to_json(), "general": general.to_json()}
    with paths.atomic_write(adapter.folder / REPORT) as stream:
        json.dump(told, stream, indent=1)
    with paths.atomic_write(adapter.folder / DATA) as stream:
        json.dump(data.manifest, stream, indent=1)


def summary(found: Tuned) -> dict[str, Any]:
    """For --json."""
    return {
        "adapter": found.adapter.name,
        "folder": str(found.adapter.folder),
        "figures": dataclasses.asdict(found.figures),
        "refusals": list(found.refusals),
        "in_use": not found.refusals,
        "tokens": found.tokens,
        "minutes": round(found.minutes, 2),
    }
