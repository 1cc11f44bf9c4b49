"""What every benchmark shares: options, the machine's name, percentiles, the table, the headline."""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).parent.parent


def parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="at most 60 s; rougher figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    return parser


def options(description: str) -> argparse.Namespace:
    return parser(description).parse_args()


def machine() -> str:
    """CPU, cores and torch, as a table's caption."""
    features = torch.cpu.get_capabilities()
    wide = [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if features.get(name)]
    return (
        f"{features.get('cpu_name') or platform.processor()}, {os.cpu_count()} cores, "
        f"{' '.join(wide)}, torch {torch.__version__}, Python {platform.python_version()}"
    )


def calibration_ms() -> float:
    """Median of 5 of a fixed loop: a slower figure means a slower or busier machine."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        total = 0
        for n in range(1_000_000):
            total += n & 7
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; `share` is 0.5 for the median."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = ""
) -> None:
    """Print a table."""
    table = Table(*columns, title=title, caption=caption or None)
    for row in rows:
        table.add_row(*(f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row))
    Console(width=110).print(table)


def report(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    headline: tuple[str, str],
    figures: dict[str, Any],
    json_file: Path | None,
) -> None:
    """Print the table and the headline, and write the figures if a file is given."""
    caption = f"{machine()}; calibration loop {calibration_ms():.0f} ms"
    show(title, columns, rows, caption)
    if json_file:
        json_file.write_text(json.dumps({"machine": caption, **figures}, indent=1) + "\n")
    print(f"headline: {headline[0]} {headline[1]}")
