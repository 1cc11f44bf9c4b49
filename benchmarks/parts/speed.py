"""How fast tokens are read and written: cold prompts of several lengths, then plain decoding."""

import statistics
from collections.abc import Iterator, Sequence

from benchmarks.parts import Part, ratio
from benchmarks.peers import Answer, Peer

PREFILL = (128, 256, 512)
DEPTH = 256  # tokens of the prompt before those that decoding is measured on


class Prompts:
    """Token ids of real code; no two prompts begin alike, so no cache can help."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = tokens
        self._at = 0

    def fresh(self, length: int) -> list[int]:
        doubled = [*self._tokens[self._at :], *self._tokens[: self._at]]
        while len(doubled) < length:
            doubled += doubled
        self._at = (self._at + 61) % len(self._tokens)
        return doubled[:length]


def measure(
    peers: Sequence[Peer], prompts: Prompts, rounds: int, tokens: int, lengths: Sequence[int]
) -> Part:
    """All peers get the same prompts, in turn, and one round before the count begins."""
    reads: dict[str, dict[int, list[float]]] = {p.name: {n: [] for n in lengths} for p in peers}
    writes: dict[str, list[float]] = {p.name: [] for p in peers}
    texts: dict[str, list[str]] = {p.name: [] for p in peers}
    depth = min(DEPTH, max(lengths))
    for number in range(rounds + 1):
        asked = [(prompts.fresh(length), length) for length in lengths]
        context = prompts.fresh(depth)
        for peer in peers if number % 2 else reversed(peers):
            times = [(n, peer.answer(prompt, 1).total_ms) for prompt, n in asked]
            answer = peer.answer(context, tokens)
            if number:
                for length, ms in times:
                    reads[peer.name][length].append(ms)
                writes[peer.name] += _token_ms(answer)
                texts[peer.name].append(answer.text)
    return _part(peers, reads, writes, texts, lengths, depth)


def _token_ms(answer: Answer) -> Iterator[float]:
    """A model may end a text at its first token; that says nothing."""
    if answer.tokens > 1:
        yield answer.token_ms


def _part(
    peers: Sequence[Peer],
    reads: dict[str, dict[int, list[float]]],
    writes: dict[str, list[float]],
    texts: dict[str, list[str]],
    lengths: Sequence[int],
    depth: int,
) -> Part:
    figures = {
        peer.name: {
            "decode_ms": statistics.median(writes[peer.name]) if writes[peer.name] else None,
            "prefill_ms": {n: statistics.median(reads[peer.name][n]) for n in lengths},
            "as_reference": statistics.mean(
                a == b for a, b in zip(texts[peer.name], texts[peers[0].name], strict=True)
            ),
        }
        for peer in peers
    }
    first = figures[peers[0].name]
    rows = []
    for name, found in figures.items():
        longest = found["prefill_ms"][lengths[-1]]
        rows.append(
            [
                name,
                found["decode_ms"] or "-",
                ratio(found["decode_ms"] or 0.0, first["decode_ms"]),
                *found["prefill_ms"].values(),
                ratio(longest, first["prefill_ms"][lengths[-1]]),
                f"{found['as_reference']:.0%}",
            ]
        )
    columns = [
        "",
        "decode, ms a token",
        "beside first",
        *(f"prefill {n}, ms" for n in lengths),
        "beside first",
        "same text",
    ]
    title = f"Plain speed, one request at a time, no cache; decoding after {depth} tokens"
    return Part(title, columns, rows, figures)
