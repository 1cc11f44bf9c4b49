"""`tandem stats --html`: the counts with plots, as one page."""

from collections.abc import Iterable, Sequence

from tandem import page as pages
from tandem.page import esc
from tandem.plots import across, stacked
from tandem.stats import OUTCOMES, Part, Report
from tandem.stats_cli import percent, summary


def page(told: Report) -> str:
    """The whole page."""
    if not told.all.requests:
        return pages.page("Tandem: suggestions", "<p>No requests from an editor in these days.</p>")
    body = [
        _table((), summary(told)),
        "<h2>What became of suggestions, day by day</h2>",
        stacked(
            [(part.name, [part.outcomes[outcome] for outcome in OUTCOMES]) for part in told.days],
            OUTCOMES,
        ),
        "<h2>Requests, day by day</h2>",
        stacked(
            [(part.name, [part.shown, part.requests - part.shown]) for part in told.days],
            ("answered", "silent"),
        ),
        "<h2>Accepted characters</h2>",
        across(_characters(told.all)),
        "<h2>Milliseconds by stage: p50, p90, p99</h2>",
        across(
            [
                (
                    times.stage,
                    (times.p50, times.p90, times.p99),
                    f"{times.p50:g} / {times.p90:g} / {times.p99:g} ({times.count})",
                )
                for times in told.times
            ]
        ),
    ]
    named = {"Silent because": told.reasons, "Answered without the model": told.cache}
    named |= {f"{outcome} because".capitalize(): why for outcome, why in told.why.items()}
    for title, numbers in named.items():
        if numbers:
            whole = sum(numbers.values())
            rows = [(name, (n,), f"{n} ({percent(n / whole)})") for name, n in numbers.items()]
            body += [f"<h2>{esc(title)}</h2>", across(rows)]
    body += ["<h2>By language</h2>", _parts(told.languages), "<h2>By day</h2>", _parts(told.days)]
    body.append('<p class="dim">Counted on this machine; nothing of it leaves it.</p>')
    return pages.page("Tandem: suggestions", "\n".join(body))


def _characters(part: Part) -> list[tuple[str, Sequence[float], str]]:
    rows: list[tuple[str, Sequence[float], str]] = [
        ("accepted", (part.accepted_characters,), str(part.accepted_characters))
    ]
    for name, kept in (("after 30 s", part.kept_30s), ("after 5 min", part.kept_5min)):
        told = f"{kept.kept} of {kept.judged} judged ({percent(kept.share)})"
        rows.append((f"kept {name}", (kept.kept,), told))
    return rows


def _parts(parts: Iterable[Part]) -> str:
    headings = ("", "requests", "shown", "suggestions", "late", "accepted", "acceptance")
    headings += ("typed", "rejected", "ignored", "characters", "kept 30 s", "kept 5 min")
    return _table(
        headings,
        [
            (
                part.name,
                part.requests,
                percent(part.shown_share),
                part.suggestions,
                part.late,
                part.outcomes["accepted"],
                percent(part.acceptance),
                part.outcomes["typed"],
                part.outcomes["rejected"],
                part.outcomes["ignored"],
                part.accepted_characters,
                percent(part.kept_30s.share),
                percent(part.kept_5min.share),
            )
            for part in parts
        ],
    )


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The first column is names; where there are headings, the others are numbers."""
    kind = ' class="n"' if headings else ""
    head = "".join(f"<th{kind if n else ''}>{esc(one)}</th>" for n, one in enumerate(headings))
    lines = [f"<tr>{head}</tr>"] if head else []
    for name, *cells in rows:
        told = "".join(f"<td{kind}>{esc(cell)}</td>" for cell in cells)
        lines.append(f"<tr><th>{esc(name)}</th>{told}</tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>"
