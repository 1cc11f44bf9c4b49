"""Keys of `keystrokes` asked one after another: how long until the whole suggestion is there.

A peer that heals is asked to, others get what our client sends to such a server: the prompt up
to the last white space. Either way 24 tokens come after the cursor. A request counts in the
comparison where every peer wrote all of them.
"""

import statistics
from collections.abc import Mapping, Sequence

from benchmarks import common
from benchmarks.parts import Part, ratio
from benchmarks.parts.keystrokes import Key, Prompter
from benchmarks.peers import Answer, Peer

TOKENS = 24
REUSED = 0.9  # of a prompt: such a request is warm
COLD = 0.1
# Keys in a row for one peer before the next one's turn: the machine's moods hit all alike.
TURN = 10

Answers = dict[str, list[Answer | None]]


def ask(peers: Sequence[Peer], keys: Sequence[Key], prompter: Prompter) -> Answers:
    """Each peer's answer to each key; None where nothing would be asked."""
    prompts = {
        heals: [prompter.prompt(key, heals) for key in keys] for heals in {p.heals for p in peers}
    }
    answers: Answers = {peer.name: [] for peer in peers}
    for turn in range(0, len(keys), TURN):
        for peer in peers:
            for prompt in prompts[peer.heals][turn : turn + TURN]:
                heal = prompt.heal if prompt and peer.heals else ""
                answers[peer.name].append(
                    peer.answer(prompt.text, TOKENS, heal) if prompt else None
                )
    return answers


def complete(answers: Answers) -> dict[str, list[Answer]]:
    """Only the requests that all peers answered in full; all of them if there is none."""
    rows = list(zip(*answers.values(), strict=True))
    asked = [row for row in rows if all(row)]
    full = [row for row in asked if all(a and a.tokens == TOKENS for a in row)]
    columns = zip(*(full or asked), strict=True)
    return {name: list(column) for name, column in zip(answers, columns, strict=True)}


def figures(found: Sequence[Answer]) -> dict[str, float | None]:
    """Milliseconds and shares of one peer's answers."""
    times = [answer.total_ms for answer in found]
    warm = [answer.first_ms for answer in found if answer.reuse >= REUSED]
    cold = [answer.first_ms for answer in found if answer.reuse < COLD]
    return {
        "p50_ms": common.percentile(times, 0.5),
        "p95_ms": common.percentile(times, 0.95),
        "reused": len(warm) / len(found),
        "warm_first_ms": statistics.median(warm) if warm else None,
        "cold_first_ms": statistics.median(cold) if cold else None,
    }


def measure(peers: Sequence[Peer], keys: Sequence[Key], prompter: Prompter) -> Part:
    """The first peer is ours; the others stand beside it."""
    answers = ask(peers, keys, prompter)
    every = {name: [a for a in found if a] for name, found in answers.items()}
    compared = complete(answers)
    found = {
        # Times of requests that all answered in full; what the caches did, of all requests.
        name: {**figures(every[name]), **_times(compared[name])}
        for name in answers
    }
    ours = found[peers[0].name]
    count = len(compared[peers[0].name])
    rows = [
        [
            name,
            row["p50_ms"],
            _of(ours["p50_ms"], row["p50_ms"]),
            row["p95_ms"],
            _of(ours["p95_ms"], row["p95_ms"]),
            f"{row['reused']:.0%}",
            row["cold_first_ms"] or "-",
            row["warm_first_ms"] or "-",
        ]
        for name, row in found.items()
    ]
    columns = [
        "",
        "p50, ms",
        "ours is",
        "p95, ms",
        "ours is",
        f"reuse {REUSED:.0%} of the prompt",
        "first token cold, ms",
        "warm, ms",
    ]
    files = len({key.file for key in keys})
    title = f"{len(keys)} keys in {files} files, {TOKENS} tokens each; {count} compared"
    return Part(title, columns, rows, {"compared": count, **found})


def _times(found: Sequence[Answer]) -> Mapping[str, float | None]:
    return {name: value for name, value in figures(found).items() if name in ("p50_ms", "p95_ms")}


def _of(ours: float | None, other: float | None) -> str:
    return ratio(ours or 0.0, other)
