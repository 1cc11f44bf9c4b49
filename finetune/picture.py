"""Pictures for the docs: a run's loss, and before/after with intervals.

python -m finetune.picture loss LOG.jsonl --to FILE.svg [--title TEXT]
python -m finetune.picture figures REPORT.json --to FILE.svg [--title TEXT]
"""

import argparse
import json
import sys
from pathlib import Path

from finetune import curve
from finetune.report import METRICS, Report
from tandem.errors import UsageError

# Shares that read upwards: of what is asked, what is right, near, ended and shown at all.
SHARES = ("exact", "first_line", "similarity", "clean", "shown")


def compare(report: Report, target: Path, title: str = "") -> None:
    """Bars of each variant's shares, single and several lines apart, with 95% intervals."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "tandem"  # the same picture has the same bytes
    from matplotlib import pyplot

    groups = [name for name in ("single-line", "multi-line") if name in report.groups]
    figure, rows = pyplot.subplots(
        1, len(groups), figsize=(4.2 * len(groups), 3.4), layout="constrained", squeeze=False
    )
    width = 0.8 / len(report.variants)
    for axes, group in zip(rows[0], groups, strict=True):
        for number, variant in enumerate(report.variants):
            found = [report.rate(variant, group, metric) for metric in SHARES]
            means = [100 * one.mean for one in found]
            errors = [
                [100 * (one.mean - (one.mean if one.low is None else one.low)) for one in found],
                [100 * ((one.mean if one.high is None else one.high) - one.mean) for one in found],
            ]
            places = [
                at + (number - (len(report.variants) - 1) / 2) * width for at in range(len(SHARES))
            ]
            axes.bar(places, means, width, yerr=errors, capsize=2, label=variant, alpha=0.85)
        axes.set_xticks(range(len(SHARES)), [METRICS[one][0].rstrip(" %") for one in SHARES])
        axes.tick_params(axis="x", labelrotation=25, labelsize=8)
        axes.set_ylim(0, 100)
        axes.set_title(f"{group} holes ({report.rate(report.variants[0], group, 'exact').n})")
        axes.set_ylabel("% of holes")
    rows[0][0].legend(frameon=False, fontsize=8)
    figure.suptitle(title)
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)
    pyplot.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m finetune.picture", description="Pictures.")
    parser.add_argument("what", choices=("loss", "figures"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--to", type=Path, required=True, metavar="FILE")
    parser.add_argument("--title", default="")
    told = parser.parse_args()
    try:
        if told.what == "loss":
            curve.draw(told.file, told.to, told.title)
        else:
            compare(Report.from_json(json.loads(told.file.read_text("utf-8"))), told.to, told.title)
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "Name a run's log.jsonl, or a report.json."
        wrong = UsageError(f"No picture can be made of {told.file} ({error}).", hint)
        print(f"error: {wrong}", file=sys.stderr)
        return wrong.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
