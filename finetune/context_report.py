"""Beside the figures of `report`: where context helped, what the gate did there, how long it took."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from finetune.evaluate import Scored
from finetune.report import Report

# Nats a token of the true middle: less of a change in the loss is none.
CLEAR = 0.05


def gate_rows(
    scored: Sequence[Scored], none: str, always: str, gated: str
) -> list[dict[str, str | float]]:
    """Holes by what context does to the loss on their middle when it is always asked for.

    `asked`: the share for which the gate let it be asked; `gained` and `lost`: exact answers
    with context always less those without, as shares of the holes of the row.
    """
    kinds: dict[str, list[Scored]] = {"helped": [], "no change": [], "hurt": []}
    for one in scored:
        change = one.scores[always]["loss"] - one.scores[none]["loss"]
        kind = "helped" if change < -CLEAR else "hurt" if change > CLEAR else "no change"
        kinds[kind].append(one)
    rows: list[dict[str, str | float]] = []
    for kind, members in [*kinds.items(), ("all", list(scored))]:
        if not members:
            continue
        exact = [one.scores[always]["exact"] - one.scores[none]["exact"] for one in members]
        asked = [one.scores[gated]["asked"] for one in members]
        rows.append(
            {
                "kind": kind,
                "holes": len(members),
                "share": len(members) / len(scored),
                "asked": sum(asked) / len(members),
                "gained": sum(change > 0 for change in exact) / len(members),
                "lost": sum(change < 0 for change in exact) / len(members),
            }
        )
    return rows


def tables(report: Report) -> list[Table]:
    """The gate, if a model answered, and the times of retrieval."""
    facts = report.facts
    found = []
    if facts["gate"]:
        gate = Table(
            title="context always, by its effect", caption=f"Loss changed by {CLEAR} nats a token."
        )
        for heading in ("holes", "n", "share %", "gate asks %", "exact gained %", "exact lost %"):
            gate.add_column(heading, justify="left" if heading == "holes" else "right")
        for row in facts["gate"]:
            shares = (f"{100 * row[name]:.1f}" for name in ("share", "asked", "gained", "lost"))
            gate.add_row(row["kind"], str(row["holes"]), *shares)
        found.append(gate)
    found.append(_times(facts["retrieval_ms"], facts["budget"], facts["over_budget"]))
    return found


def _times(spreads: Mapping[str, Mapping[str, Any]], budget: int, over: int) -> Table:
    caption = f"Budget {budget} tokens" + (f"; {over} times above it." if over else ".")
    times = Table(title="milliseconds of retrieval", caption=caption)
    for heading in ("stage", "p50", "p95", "max", "n"):
        times.add_column(heading, justify="left" if heading == "stage" else "right")
    for stage, spread in spreads.items():
        values = (f"{spread[name]:.1f}" for name in ("p50", "p95", "max"))
        times.add_row(stage, *values, str(spread["n"]))
    return times
