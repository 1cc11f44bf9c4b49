"""An end that repeats what stands right of the cursor or below it goes."""

from completion.hole import Hole
from completion.overlap import next_lines, trim_remainder
from completion.rules.brackets import unclosed


def trim_suffix_overlap(text: str, prefix: str, suffix: str, hole: Hole) -> str:
    """Without an end that repeats the rest of the cursor's line, or the lines below it."""
    return trim_remainder(_trim_next_lines(text, prefix, suffix, hole), prefix, suffix, hole)


def _trim_next_lines(text: str, prefix: str, suffix: str, hole: Hole) -> str:
    left = prefix[prefix.rfind("\n") + 1 :]
    starts = [0, *(i + 1 for i, ch in enumerate(text) if ch == "\n")]
    # The first line is a whole line of the document only if nothing stands left of it.
    lines = [
        (start, ("" if start else left) + text[start:].split("\n", 1)[0].rstrip())
        for start in starts
        if start or not left.strip()
    ]
    lines = [(start, line) for start, line in lines if line.strip()]
    below = next_lines(suffix, len(lines))
    for size in range(min(len(lines), len(below)), 0, -1):
        if [line for _, line in lines[-size:]] == below[:size]:
            trimmed = text[: lines[-size][0]].rstrip()
            # A closer that stands below as well may still be one that the answer owes.
            if unclosed(trimmed, suffix, hole) <= unclosed(text, suffix, hole):
                return trimmed
    return text
