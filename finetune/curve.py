"""A picture of a training run: losses and learning rate over its tokens, from the log."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from finetune.train import LOG
from tandem.errors import UsageError

SMOOTHED = 0.9  # each step's weight in the running mean falls by this


def draw(log: Path, picture: Path) -> None:
    """Draw `log` (a run's log.jsonl, or its folder) into `picture`, an .svg or .png.

    Raises UsageError if there is nothing to draw, or the picture's kind is unknown.
    """
    log = log / LOG if log.is_dir() else log
    steps, validations = read(log)
    if not steps:
        raise UsageError(f"{log} holds no steps.", "Name the log of a run that has begun.")
    if picture.suffix not in (".svg", ".png"):
        raise UsageError(f"{picture} is no .svg or .png.", "Give the picture such a name.")
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "tandem"  # the same log, the same file
    from matplotlib import pyplot

    tokens_at = {0: 0} | {record["step"]: record["tokens"] for record in steps}
    x = np.array([record["tokens"] for record in steps]) / 1000
    figure, axes = pyplot.subplots(figsize=(7.0, 3.6), layout="constrained")
    for part, colour, label in (
        ("middle", "tab:blue", "training, answer"),
        ("prefix", "tab:gray", "training, prefix"),
    ):
        raw = np.array([record[part] if record[part] is not None else np.nan for record in steps])
        axes.plot(x, raw, color=colour, alpha=0.15, linewidth=0.8)
        axes.plot(x, smooth(raw), color=colour, linewidth=1.6, label=label)
    if validations:
        places = [tokens_at[record["step"]] / 1000 for record in validations]
        values = [record["validation"] for record in validations]
        axes.plot(places, values, "o-", color="tab:red", markersize=4, label="held out, answer")
    axes.set_xlabel("thousand tokens")
    axes.set_ylabel("loss, nats a token")
    axes.grid(alpha=0.2)
    rates = axes.twinx()
    rates.plot(x, [record["rate"] for record in steps], color="black", alpha=0.2, linewidth=1)
    rates.set_ylabel("learning rate (faint)", alpha=0.5)
    rates.set_ylim(bottom=0)
    axes.legend(loc="upper right", frameon=False)
    # Without a date, so that drawing again changes nothing.
    figure.savefig(picture, metadata={"Date": None} if picture.suffix == ".svg" else None, dpi=120)
    pyplot.close(figure)


def read(log: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The log's steps and its validations. Raises UsageError if it cannot be read."""
    try:
        records = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UsageError(f"{log} is not a training log ({error}).", "Name a log.jsonl.") from None
    validations = [record for record in records if "validation" in record]
    return [record for record in records if "rate" in record], validations


def smooth(values: np.ndarray) -> np.ndarray:
    """The exponential running mean [n], even at its start; gaps are passed over."""
    out, total, weight = np.empty(len(values)), 0.0, 0.0
    for i, value in enumerate(values):
        if not np.isnan(value):
            total = SMOOTHED * total + value
            weight = SMOOTHED * weight + 1.0
        out[i] = total / weight if weight else np.nan
    return out
