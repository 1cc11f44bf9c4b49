"""How many developers one replica serves: docs/sizing.md.

    python -m benchmarks.sizing [--quick] [--files FOLDER...] [--json FILE]
    python -m benchmarks.sizing --recorded FILE [--rates FILE | --at URL --model NAME] [--kept N]

Files are typed key by key by a real editor's client through the real server, as in
`benchmarks.replay`; what it asks the model, when, and how many tokens were read and written is a
developer's recording. `--json` keeps it, `--recorded` takes it from there. A replica's rates are
measured on the embedded engine, or on the server at `--at` (its token in TANDEM_TOKEN), or are
those of `--rates`, tokens a second, all answers together by how many are written at once:
{"read": 9000, "written": {"1": 120, "16": 1400}}. Then half an hour of N developers is played, each
typing a share of the time (--typing), to find the largest N of which 95 in 100 answers take at
most --limit-ms.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import common
from benchmarks.parts.homes import homes
from benchmarks.parts.ledger import Sitting
from benchmarks.parts.replica import Replica, cached, rates_of
from benchmarks.parts.scripts import scripts
from benchmarks.parts.sizing import Asked, Rates, most
from benchmarks.replay import ALL, replay, rows_of
from completion.engine import background
from completion.index import Indexer
from tandem import config, progress
from tandem.errors import TandemError, UsageError

KEYS, QUICK_KEYS = 60, 40
FILES, QUICK_FILES = 8, 1
AT_ONCE, QUICK_AT_ONCE = (1, 2, 4, 8), (1, 4)
SECONDS, QUICK_SECONDS = 6.0, 1.5
TRIED, QUICK_TRIED = 32, 8  # prompts
SLOTS = 8
LONGEST_PAUSE_S = 5.0  # between files nobody types


def recorded(sittings: Sequence[Sitting]) -> tuple[list[Asked], int]:
    """What the model was asked, and how many of it the next key cancelled.

    Of those nobody counted tokens, so that they stand here with the mean of the others: the
    replica worked for them as well, on a fast one to the end. Raises UsageError if none ended.
    """
    events = [
        [one.event for one in sitting.asked if one.asked_model and one.event]
        for sitting in sittings
    ]
    usages = [usage for told in events for event in told if (usage := _usage(event))]
    if not usages:
        raise UsageError("No request was answered before the next key.", "Type more (--files).")
    mean = Asked(
        0.0,
        round(fmean(usage["prompt_tokens"] - cached(usage) for usage in usages)),
        round(fmean(usage["completion_tokens"] for usage in usages)),
        round(fmean(usage["prompt_tokens"] for usage in usages)),
    )
    found: list[Asked] = []
    for told in events:
        before = None
        for event in told:
            after = LONGEST_PAUSE_S if before is None else event["time"] - before
            after = min(max(0.0, after), LONGEST_PAUSE_S)
            before = event["time"]
            if usage := _usage(event):
                prompt = usage["prompt_tokens"]
                read, written = prompt - cached(usage), usage["completion_tokens"]
                found.append(Asked(after, read, written, prompt))
            else:
                found.append(Asked(after, mean.read, mean.written, mean.prompt))
    return found, len(found) - len(usages)


def _usage(event: dict[str, Any]) -> dict[str, Any]:
    usage = event["details"].get("usage") or {}
    return usage if {"prompt_tokens", "completion_tokens"} <= usage.keys() else {}


def typed(arguments: argparse.Namespace, told: dict[str, Any]) -> None:
    """A recording, and of this machine's engine its rates and how many prompts it keeps."""
    settings = config.load()
    if settings.endpoint:
        raise UsageError("The recording is of Tandem's own engine.", "Unset the endpoint.")
    quick = arguments.quick
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
            asked, stopped = recorded(sittings)
            told["asked"] = [asdict(one) for one in asked]
            told["keys"] = sum(sitting.pressed for sitting in sittings)
            told["cancelled"] = stopped
            if not arguments.rates and not arguments.at:
                address = background.find(config.load(None, rows[0].settings))
                assert address is not None, "the engine runs"
                with Replica(address.url, address.token, address.model) as replica:
                    told.update(measured(replica, asked, quick))


def measured(replica: Replica, asked: Sequence[Asked], quick: bool) -> dict[str, Any]:
    rates = replica.rates(QUICK_AT_ONCE if quick else AT_ONCE, QUICK_SECONDS if quick else SECONDS)
    kept = replica.keeps(round(fmean(one.prompt for one in asked)), QUICK_TRIED if quick else TRIED)
    return {"read": rates.read, "written": rates.written, "kept": kept}


def earlier(file: Path) -> dict[str, Any]:
    """What an earlier run wrote. Raises UsageError."""
    try:
        told = json.loads(file.read_text("utf-8"))
        told["asked"] = [asdict(Asked(**one)) for one in told["asked"]]
        if "written" in told:
            told["written"] = {int(number): rate for number, rate in told["written"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{file} is no recording.", "Write one with --json.") from error
    if not told["asked"]:
        raise UsageError(f"{file} has no requests.", "Write one with --json.")
    return told


def run(arguments: argparse.Namespace) -> None:
    if not 0 < arguments.typing <= 1:
        raise UsageError("--typing is a share above 0, at most 1.")
    if arguments.slots < 1 or arguments.limit_ms <= 0 or (arguments.kept or 0) < 0:
        raise UsageError("--slots and --limit-ms must be above zero, --kept not below it.")
    if arguments.at and not arguments.model:
        raise UsageError("--at needs the name of a model it serves.", "Give --model too.")
    given = rates_of(arguments.rates) if arguments.rates else None
    told: dict[str, Any] = earlier(arguments.recorded) if arguments.recorded else {}
    if not told:
        typed(arguments, told)
    asked = [Asked(**one) for one in told["asked"]]
    if given:
        # Whose rates are told has a memory of its own.
        told.update(read=given.read, written=given.written, kept=0)
    elif arguments.at:
        token = config.load().token.get_secret_value()
        with Replica(arguments.at, token, arguments.model) as replica:
            told.update(measured(replica, asked, arguments.quick))
    elif "read" not in told:
        raise UsageError(f"{arguments.recorded} has no rates.", "Give --rates or --at.")
    if arguments.kept is not None:
        told["kept"] = arguments.kept
    told["slots"], told["limit_ms"] = arguments.slots, arguments.limit_ms
    report(arguments, told, asked)


def report(arguments: argparse.Namespace, told: dict[str, Any], asked: Sequence[Asked]) -> None:
    rates, kept = Rates(told["read"], told["written"]), told["kept"]
    limit_s = arguments.limit_ms / 1000
    found = {
        typing: most(asked, rates, arguments.slots, limit_s, typing, kept)
        for typing in sorted({0.1, arguments.typing, 0.5})
    }
    told["developers"] = {str(typing): number for typing, number in found.items()}
    # What was read before anybody waited for it is in no answer's usage: this is the other bound.
    reread = [replace(one, read=one.prompt) for one in asked]
    fewest = most(reread, rates, arguments.slots, limit_s, arguments.typing)
    told["developers_all_read"] = fewest
    minutes = sum(one.after_s for one in asked) / 60
    common.report(
        f"Developers per replica, 95% of answers within {arguments.limit_ms:g} ms",
        ["what", ""],
        [
            ["keys pressed", str(told["keys"])],
            ["requests that reached the model", str(len(asked))],
            ["- cancelled by the next key", str(told["cancelled"])],
            ["- a minute of typing", len(asked) / minutes if minutes else 0.0],
            ["- tokens of the prompt, mean", fmean(one.prompt for one in asked)],
            ["- tokens read, mean (not cached)", fmean(one.read for one in asked)],
            ["- tokens written, mean", fmean(one.written for one in asked)],
            ["prompts that a replica keeps", str(kept or "all")],
            ["a replica reads, tokens a second", rates.read],
            *(
                [f"a replica writes, {number} at once", rate]
                for number, rate in rates.written.items()
            ),
            *(
                [f"developers who type {share:.0%} of the time", str(n)]
                for share, n in found.items()
            ),
            [f"- {arguments.typing:.0%}, if every prompt is read as a whole", str(fewest)],
        ],
        ("developers_per_replica", str(found[arguments.typing])),
        told,
        arguments.json,
    )


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    default = [common.REPOSITORY / "completion"]
    add = parser.add_argument
    add("--files", type=Path, nargs="+", metavar="FOLDER", default=default, help="repositories")
    add("--recorded", type=Path, metavar="FILE", help="what --json of an earlier run wrote")
    add("--rates", type=Path, metavar="FILE", help="of another replica, as JSON")
    add("--at", metavar="URL", help="measure the server there, which nobody else asks; ends in /v1")
    add("--model", metavar="NAME", help="that it serves")
    add("--slots", type=int, default=SLOTS, help="requests written at once")
    add("--kept", type=int, metavar="N", help="prompts it keeps, 0: all; default: as measured")
    add("--limit-ms", type=float, default=500.0)
    add("--typing", type=float, default=0.2, help="share of the time one types")
    add("--seed", type=int, default=7)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        run(arguments)
    except TandemError as error:
        sys.exit(f"sizing: {error}")


if __name__ == "__main__":
    main()
