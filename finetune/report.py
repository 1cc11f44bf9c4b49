"""Figures of several variants on the same holes, by kind of hole, with their intervals."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from finetune.bootstrap import Interval
from tandem import paths

FORMAT = 1
# Metric: its heading, and by how much a figure is multiplied to be read.
METRICS = {
    "exact": ("exact match %", 100),
    "similarity": ("edit similarity %", 100),
    "first_line": ("first line right %", 100),
    "saved": ("tokens saved", 1),
    "clean": ("ends cleanly %", 100),
    "shown": ("shown %", 100),
    "exact_of_shown": ("right of shown %", 100),
    "loss": ("loss on middle", 1),
    "end_loss": ("loss on end", 1),
    # With pieces of other files in the prompt:
    "found": ("definition there %", 100),
    "asked": ("has context %", 100),
    "pieces": ("pieces", 1),
    "context": ("their tokens", 1),
}
GROUPS = ("all", "single-line", "multi-line")


@dataclass(frozen=True)
class Figure:
    """One metric of one variant (or of `variant` less `against`) on one group of holes."""

    variant: str
    group: str
    metric: str
    interval: Interval
    against: str = ""


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    `variants` in the order of measuring; `holes` were answered by all of them, `skipped` could
    not be asked of one of them at least. `complete` is false if it was interrupted.
    """

    variants: tuple[str, ...]
    holes: int
    skipped: int
    rates: tuple[Figure, ...]
    differences: tuple[Figure, ...]
    complete: bool = True
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def groups(self) -> list[str]:
        return list(dict.fromkeys(figure.group for figure in self.rates))

    def rate(self, variant: str, group: str, metric: str) -> Interval:
        """Raises KeyError if it was not measured."""
        return _found(self.rates, (variant, group, metric, ""))

    def difference(self, variant: str, against: str, group: str, metric: str) -> Interval:
        """Of `variant` less `against`, over the same holes. Raises KeyError."""
        return _found(self.differences, (variant, group, metric, against))

    def to_json(self) -> dict[str, Any]:
        return {"v": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Report":
        """Raises KeyError or TypeError for what is no report."""
        data = dict(data)
        if data.pop("v") != FORMAT:
            raise KeyError("v")
        for key in ("rates", "differences"):
            rows = ({**row, "interval": Interval(**row["interval"])} for row in data[key])
            data[key] = tuple(Figure(**row) for row in rows)
        return cls(**{**data, "variants": tuple(data["variants"])})

    def save(self, file: Path) -> None:
        with paths.atomic_write(file) as stream:
            stream.write(json.dumps(self.to_json(), indent=1) + "\n")

    def tables(
        self, metrics: Sequence[str] = tuple(METRICS), groups: Sequence[str] = ()
    ) -> list[Table]:
        """One table of rates, one of differences from the first variant; of all groups if none
        are named."""
        of_groups = lambda figures: [one for one in figures if one.group in (groups or self.groups)]  # noqa: E731
        of = f"{self.holes} holes" + ("" if self.complete else ", interrupted")
        notes = f"{self.skipped} holes not asked" if self.skipped else None
        caption = "Mean and 95% bootstrap interval over files." + (f" {notes}." if notes else "")
        tables = [_table(f"{of}", caption, of_groups(self.rates), metrics)]
        first = self.variants[0] if self.variants else ""
        against = [one for one in of_groups(self.differences) if one.against == first]
        if any(one.metric in metrics for one in against):
            title = f"difference from: {first}"
            tables.append(_table(title, "Paired over the same holes.", against, metrics))
        return tables


def _found(figures: Sequence[Figure], key: tuple[str, str, str, str]) -> Interval:
    for figure in figures:
        if (figure.variant, figure.group, figure.metric, figure.against) == key:
            return figure.interval
    raise KeyError(key)


def _table(title: str, caption: str, figures: Sequence[Figure], metrics: Sequence[str]) -> Table:
    cells: dict[tuple[str, str], dict[str, Interval]] = {}
    for figure in figures:
        cells.setdefault((figure.group, figure.variant), {})[figure.metric] = figure.interval
    shown = [name for name in metrics if any(name in row for row in cells.values())]
    table = Table(title=title, caption=caption)
    for heading in ("holes", "n", "variant"):
        table.add_column(heading, justify="right" if heading == "n" else "left")
    for name in shown:
        table.add_column(METRICS[name][0], justify="right")
    last = ""
    for (group, variant), row in cells.items():
        if last and group != last:
            table.add_section()
        n = str(next(iter(row.values())).n) if group != last else ""
        values = (_cell(row.get(name), METRICS[name][1]) for name in shown)
        table.add_row(group if group != last else "", n, variant, *values)
        last = group
    return table


def _cell(interval: Interval | None, scale: int) -> str:
    if interval is None:
        return "-"
    digits = 1 if scale == 100 else 2
    mean = f"{interval.mean * scale:.{digits}f}"
    if interval.low is None or interval.high is None:
        return mean
    return f"{mean}\n[{interval.low * scale:.{digits}f}, {interval.high * scale:.{digits}f}]"
