"""An adapter beside the model it stands on: the figures that the gate judges.

Holes in newer commits of the repository, then holes in code of others, which must not get worse;
both models get the same prompts.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from completion.manifest import InstalledModel
from finetune import gate
from finetune.folder import Dataset
from finetune.progress import Progress
from tandem.config import EngineConfig
from tandem.errors import TandemError

if TYPE_CHECKING:  # `tandem --help` must not wait for torch
    from completion.engine.generate import Decoder
    from finetune.cases import Case
    from finetune.report import Report

GENERAL = 0.35  # of the evaluation's time, for holes in code of others
GENERAL_HOLES = 200
BASE, TUNED = "base", "tuned"


def evaluate(
    model: InstalledModel,
    engine: EngineConfig,
    adapter: Path,
    data: Dataset,
    deadline: float,
    tell: Progress,
) -> "tuple[Report, Report]":
    """Newer commits, then code of others, as many holes as the time allows."""
    from completion.engine import shipped
    from completion.engine.adapters import with_adapter
    from finetune import variant
    from finetune.held_out import general_cases

    difference = shipped.of(model)
    base = variant.load(
        model.folder,
        dtype=engine.dtype,
        threads=engine.threads,
        context=engine.context,
        shipped=difference,
    )
    tuned = with_adapter(base, adapter, model.folder)
    template = difference.template if difference else model.manifest.template
    left = max(10.0, deadline - time.monotonic())
    limits = (left * (1 - GENERAL), left)
    began = time.monotonic()
    reports = []
    for stage, cases, limit in (
        ("Holes in newer commits", data.cases(), limits[0]),
        ("Holes in code of others", general_cases(GENERAL_HOLES), limits[1]),
    ):
        reports.append(_compare(base, tuned, template, cases, stage, began + limit, tell))
    return reports[0], reports[1]


def _compare(
    base: "Decoder",
    tuned: "Decoder",
    template: str,
    cases: "list[Case]",
    stage: str,
    deadline: float,
    tell: Progress,
) -> "Report":
    from finetune import evaluate
    from finetune.evaluate import Variant

    variants = [Variant(BASE, base, template), Variant(TUNED, tuned, template)]
    scored = []
    for done, case in enumerate(cases):
        tell(stage, done, len(cases))
        if done >= gate.LEAST_HOLES and time.monotonic() > deadline:
            break
        one = evaluate.answer_all(case, variants)
        if one is not None:
            scored.append(one)
    tell(stage, len(cases), len(cases))
    if not scored:
        raise TandemError("No held-out hole could be asked for.", "Raise engine.context.")
    return evaluate.report(scored, [BASE, TUNED], len(cases) - len(scored))


def figures(report: "Report", general: "Report") -> gate.Figures:
    def bounds(found: "Report") -> tuple[float, float, float, int]:
        gain = found.difference(TUNED, BASE, "all", "exact")
        low = gain.mean - 1 if gain.low is None else gain.low  # of one file nothing is known
        high = gain.mean + 1 if gain.high is None else gain.high
        return max(-1.0, low), gain.mean, min(1.0, high), gain.n

    return gate.Figures(*bounds(report), *bounds(general))
