"""Plots as SVG, written by hand: bars across, and stacked bars day by day."""

from collections.abc import Sequence

from tandem.page import esc

COLOURS = "abcde"
WIDTH = 900
_ROW = 22
_LABEL = 190
_NUMBER = 220
_HEIGHT = 180
_TICKS = 11


def across(rows: Sequence[tuple[str, Sequence[float], str]]) -> str:
    """Bars from left to right: a label, one or more lengths drawn over each other (the longest at
    the back), and what is written behind."""
    longest = max((max(lengths) for _, lengths, _ in rows), default=0) or 1
    room = WIDTH - _LABEL - _NUMBER
    parts = []
    for number, (label, lengths, told) in enumerate(rows):
        y = number * _ROW
        parts.append(
            f'<text x="{_LABEL - 8}" y="{y + 15}" text-anchor="end">{esc(_short(label))}'
            f"<title>{esc(label)}</title></text>"
        )
        for place, length in sorted(enumerate(lengths), key=lambda one: -one[1]):
            colour = COLOURS[place % len(COLOURS)]
            width = room * length / longest
            parts.append(
                f'<rect class="{colour}" x="{_LABEL}" y="{y + 3}" width="{width:.1f}" '
                f'height="{_ROW - 6}"><title>{esc(label)}: {esc(told)}</title></rect>'
            )
        end = _LABEL + room * max(lengths) / longest + 6
        parts.append(f'<text class="dim" x="{end:.1f}" y="{y + 15}">{esc(told)}</text>')
    return _svg(len(rows) * _ROW + 4, parts)


def stacked(columns: Sequence[tuple[str, Sequence[int]]], names: Sequence[str]) -> str:
    """A bar for each column, upwards, its parts named by `names`."""
    highest = max((sum(values) for _, values in columns), default=0) or 1
    left, top = 40, 30
    step = (WIDTH - left) / max(len(columns), 1)
    parts = [
        f'<line x1="{left}" x2="{WIDTH}" y1="{top + _HEIGHT}" y2="{top + _HEIGHT}"/>',
        f'<text class="dim" x="{left - 6}" y="{top + 8}" text-anchor="end">{highest}</text>',
        f'<text class="dim" x="{left - 6}" y="{top + _HEIGHT}" text-anchor="end">0</text>',
    ]
    for place, name in enumerate(names):
        x = left + place * 130
        parts.append(f'<rect class="{COLOURS[place]}" x="{x}" y="4" width="12" height="12"/>')
        parts.append(f'<text x="{x + 18}" y="15">{esc(name)}</text>')
    every = max(len(columns) - 1, 0) // _TICKS + 1
    for number, (label, values) in enumerate(columns):
        x, y = left + number * step, float(top + _HEIGHT)
        for place, value in enumerate(values):
            height = _HEIGHT * value / highest
            y -= height
            parts.append(
                f'<rect class="{COLOURS[place]}" x="{x + step * 0.1:.1f}" y="{y:.1f}" '
                f'width="{min(step * 0.8, 60):.1f}" height="{height:.1f}">'
                f"<title>{esc(label)}: {esc(names[place])} {value}</title></rect>"
            )
        if number % every == 0:
            below = top + _HEIGHT + 16
            parts.append(f'<text class="dim" x="{x:.1f}" y="{below}">{esc(label)}</text>')
    return _svg(top + _HEIGHT + 24, parts)


def _short(label: str) -> str:
    return label if len(label) <= 28 else f"{label[:26]} …"


def _svg(height: int, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">\n' + "\n".join(parts) + "\n</svg>"
