"""How much two sequences share at their start."""

from collections.abc import Sequence


def shared_length(a: Sequence[object], b: Sequence[object]) -> int:
    """How many elements at the start are the same; by halves, because slices compare fast."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
