"""How many developers one replica serves: docs/ray.md.

    python -m benchmarks.sizing [--quick] [--files FOLDER...] [--rates FILE] [--json FILE]

Files are typed key by key by a real editor's client through the real server, as in `benchmarks.replay`;
what it asks the model, when, and how many tokens were read and written is a developer's recording.
The rates of a replica are measured here, on the embedded engine; `--rates` takes others, of a GPU
say, as JSON: {"read": 9000, "written": {"1": 120, "16": 1400}}, tokens a second, all answers
together by how many are written at once. Then `parts/sizing.py` plays half an hour of N developers, each
typing a share of the time (--typing), and looks for the largest N of which 95 in 100 answers take at
most --limit-ms.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx

from benchmarks import common
from benchmarks.parts.homes import homes
from benchmarks.parts.ledger import Sitting
from benchmarks.parts.scripts import scripts
from benchmarks.parts.sizing import Asked, Rates, most
from benchmarks.replay import ALL, replay, rows_of
from completion.engine import background
from completion.engine.background import Address
from completion.index import Indexer
from tandem import config, progress

KEYS, QUICK_KEYS = 60, 40
FILES, QUICK_FILES = 8, 1
AT_ONCE, QUICK_AT_ONCE = (1, 2, 4, 8), (1, 4)
SLOTS = 8
LONG = 32  # tokens of an answer by which writing is measured
LONGEST_PAUSE_S = 5.0  # between files nobody types


def recorded(sittings: Sequence[Sitting]) -> list[Asked]:
    """What the model was asked: by the trace's times and usage."""
    found: list[Asked] = []
    for sitting in sittings:
        before = 0.0
        for event in (one.event for one in sitting.asked if one.asked_model and one.event):
            usage = event["details"].get("usage") or {}
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
            after = min(event["time"] - before, LONGEST_PAUSE_S) if before else LONGEST_PAUSE_S
            before = event["time"]
            if usage:
                read = usage["prompt_tokens"] - cached
                written = usage.get("completion_tokens", 0)
                found.append(Asked(max(0.0, after), read, written, usage["prompt_tokens"]))
    return found


def kept_of(address: Address, tokens: int, most_tried: int) -> int:
    """Of how many prompts of so many tokens the replica holds the last ones; 0 for all tried."""
    headers = {"Authorization": f"Bearer {address.token}"}
    with httpx.Client(headers=headers, timeout=120, trust_env=False) as client:

        def cached(number: int) -> int:
            prompt = [(number * 7919 + at * 31) % 400 + 100 for at in range(tokens)]
            body = {"model": address.model, "prompt": prompt, "max_tokens": 1}
            answer = client.post(f"{address.url}/completions", json=body).raise_for_status()
            return answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"]

        for number in range(most_tried):
            cached(number)
        for back in range(most_tried):
            if cached(most_tried - 1 - back) < tokens // 2:
                return max(1, back)
    return 0


def measured(address: Address, at_once: Sequence[int], seconds: float) -> Rates:
    """Of an engine that does nothing else."""
    headers = {"Authorization": f"Bearer {address.token}"}
    with httpx.Client(headers=headers, timeout=120, trust_env=False) as client:

        def ask(prompt: str, tokens: int) -> tuple[int, float]:
            """Prompt tokens that were read, and seconds."""
            body = {"model": address.model, "prompt": prompt, "max_tokens": tokens}
            began = time.perf_counter()
            answer = client.post(f"{address.url}/completions", json=body | {"ignore_eos": True})
            took = time.perf_counter() - began
            usage = answer.raise_for_status().json()["usage"]
            return usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"], took

        ask("warm", 4)
        reads = [ask(f"# {n}\n" + f"value_{n} = compute({n})\n" * 60, 1) for n in range(4)]
        read = sum(tokens for tokens, _ in reads) / sum(took for _, took in reads)
        written: dict[int, float] = {}
        for number in at_once:
            began = time.perf_counter()
            until = began + seconds

            def write(at: int, until: float = until) -> int:
                tokens = 0
                while time.perf_counter() < until:
                    ask(f"# {at} {tokens}\n", LONG)
                    tokens += LONG
                return tokens

            with ThreadPoolExecutor(number) as pool:
                tokens = sum(pool.map(write, range(number)))
            written[number] = tokens / (time.perf_counter() - began)
    return Rates(read, written)


def typed(arguments: argparse.Namespace) -> tuple[list[Asked], int, Rates, int]:
    """A recording, the keys it took, this machine's rates, and how many prompts it keeps."""
    quick = arguments.quick
    settings = config.load()
    rows = rows_of([ALL], settings.model)
    folders = [folder.resolve() for folder in arguments.files]
    with tempfile.TemporaryDirectory(prefix="tandem-sizing-") as temporary:
        place = Path(temporary)
        files, keys = (QUICK_FILES, QUICK_KEYS) if quick else (FILES, KEYS)
        texts = scripts(folders, place / "repositories", arguments.seed, files, keys)
        with (
            progress.on_stderr() as tell,
            homes(place / "homes", [row.settings for row in rows]) as user_folders,
        ):
            for root in dict.fromkeys(script.root for script in texts):
                Indexer(root).update(partial(tell, f"indexing {root.name}"))
            sittings = asyncio.run(replay(rows, texts, user_folders, 1.0, True, tell))[ALL]
            address = background.find(config.load(None, rows[0].settings))
            assert address is not None, "the engine runs"
            at_once = QUICK_AT_ONCE if quick else AT_ONCE
            rates = measured(address, at_once, 1.5 if quick else 6.0)
            asked = recorded(sittings)
            mean = sum(one.prompt for one in asked) // len(asked)
            kept = kept_of(address, mean, 8 if quick else 32)
    return asked, sum(sitting.pressed for sitting in sittings), rates, kept


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    default = [common.REPOSITORY / "completion"]
    parser.add_argument("--files", type=Path, nargs="+", metavar="FOLDER", default=default)
    parser.add_argument("--rates", type=Path, metavar="FILE", help="of another replica, as JSON")
    parser.add_argument("--slots", type=int, default=SLOTS, help="requests written at once")
    parser.add_argument("--kept", type=int, help="prompts it keeps, 0 for all; else as measured")
    parser.add_argument("--limit-ms", type=float, default=500.0)
    parser.add_argument("--typing", type=float, default=0.2, help="share of the time one types")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    asked, keys, rates, kept = typed(arguments)
    kept = kept if arguments.kept is None else arguments.kept
    if arguments.rates:
        told = json.loads(arguments.rates.read_text("utf-8"))
        written = {int(number): float(rate) for number, rate in told["written"].items()}
        rates = Rates(float(told["read"]), written)
    minutes = sum(one.after_s for one in asked) / 60
    rows = [
        ["keys pressed", str(keys)],
        ["requests that reached the model", str(len(asked))],
        ["- a minute of typing", len(asked) / minutes],
        ["- tokens of the prompt, mean", sum(one.prompt for one in asked) / len(asked)],
        ["- tokens read, mean (not cached)", sum(one.read for one in asked) / len(asked)],
        ["- tokens written, mean", sum(one.written for one in asked) / len(asked)],
        ["prompts that a replica keeps", str(kept or "all that were tried")],
        ["a replica reads, tokens a second", rates.read],
        *([f"a replica writes, {number} at once", rate] for number, rate in rates.written.items()),
    ]
    found = {
        typing: most(asked, rates, arguments.slots, arguments.limit_ms / 1000, typing, kept)
        for typing in sorted({0.1, arguments.typing, 0.5})
    }
    rows += [[f"developers who type {typing:.0%} of the time", n] for typing, n in found.items()]
    common.report(
        f"Developers per replica, 95% of answers within {arguments.limit_ms:g} ms",
        ["what", ""],
        [[name, value if isinstance(value, float) else str(value)] for name, value in rows],
        ("developers_per_replica", str(found[arguments.typing])),
        {
            "asked": [vars(one) for one in asked],
            "read": rates.read,
            "written": rates.written,
            "kept": kept,
            "developers": {str(typing): number for typing, number in found.items()},
            "keys": keys,
        },
        arguments.json,
    )


if __name__ == "__main__":
    main()
