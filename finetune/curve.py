"""The picture of a training run: loss of the samples, smoothed, and of held-out samples."""

import json
from pathlib import Path

SMOOTHING = 0.95  # of an exponential mean over steps


def draw(log: Path, target: Path, title: str = "") -> None:
    """Read `train`'s log and write an SVG or PNG, by the target's ending."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "tandem"  # the same picture has the same bytes
    from matplotlib import pyplot

    rows = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.strip()]
    steps = [row for row in rows if "loss" in row]
    checks = [row for row in rows if row.get("validation") is not None]
    figure, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
    if steps:
        x = [row["step"] for row in steps]
        axes.plot(x, [row["loss"] for row in steps], color="0.85", linewidth=0.6)
        axes.plot(x, smoothed([row["loss"] for row in steps]), label="training, smoothed")
        rate = axes.twinx()
        rate.plot(x, [row["rate"] for row in steps], color="tab:green", alpha=0.35, linewidth=0.8)
        rate.set_ylabel("learning rate")
        rate.ticklabel_format(style="sci", scilimits=(0, 0))
    if checks:
        axes.plot(
            [row["step"] for row in checks],
            [row["validation"] for row in checks],
            marker="o",
            markersize=3,
            label="held out, answers only",
        )
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats a token")
    axes.set_title(title)
    if steps or checks:
        axes.legend(frameon=False)
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)
    pyplot.close(figure)


def smoothed(values: list[float]) -> list[float]:
    """Exponential mean, corrected for its start (as Adam's moments are)."""
    found, mean = [], 0.0
    for count, value in enumerate(values, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        found.append(mean / (1 - SMOOTHING**count))
    return found
