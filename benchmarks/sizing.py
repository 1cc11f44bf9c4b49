"""How many developers one replica serves: docs/sizing.md.

    python -m benchmarks.sizing [--quick] [--files FOLDER...] [--json FILE]
    python -m benchmarks.sizing --recorded FILE [--rates FILE | --at URL --model NAME] [--kept N]

Files are typed key by key by a real editor's client through the real server, as in
`benchmarks.replay`; what it asks the model, when, and how many tokens were read and written is a
developer's recording. `--json` keeps it, `--recorded` takes it from there. A replica's rates are
measured on the embedded engine, or on the server at `--at` (its token in TANDEM_TOKEN), or are
those of `--rates`, tokens a second, all answers together by how many are written at once:
{"read": 9000, "written": {"1": 120, "16": 1400}}. Then a day of N developers is played, each
typing a share of the time (--typing), to find the largest N of which 95 in 100 answers take at
most --limit-ms.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import common
from benchmarks.parts.homes import Home, seated
from benchmarks.parts.ledger import Sitting
from benchmarks.parts.meter import Meter, Work
from benchmarks.parts.replica import Replica, cached, rates_of
from benchmarks.parts.scripts import Script, scripts
from benchmarks.parts.seat import Replay, Row
from benchmarks.parts.sizing import PLAYED_S, REQUESTS, Asked, Rates, answer_times, arrivals, most
from benchmarks.replay import ALL, rows_of
from completion import silence
from completion.engine import background
from tandem import config, progress
from tandem.errors import TandemError, UsageError

KEYS, QUICK_KEYS = 150, 40
FILES, QUICK_FILES = 8, 1
AT_ONCE, QUICK_AT_ONCE = (1, 2, 4, 8), (1, 4)
SECONDS, QUICK_SECONDS = 3.0, 0.7  # a round
TRIED, QUICK_TRIED = 32, 8  # prompts
QUICK_REQUESTS = 500  # that are played at most
SLOTS = 8
CANCELLED = (silence.CANCELLED, silence.TYPED_ON)


@dataclass(frozen=True)
class Typed:
    """A file that was typed, from when to when, in time.time()'s seconds."""

    sitting: Sitting
    began: float
    ended: float


def recorded(typed: Sequence[Typed], at: Callable[[float], Work]) -> tuple[list[Asked], int]:
    """What the model was asked, and how many of it the next key cancelled.

    `at` tells what the engine had computed by a moment. Of what it computed from a request to the
    next one, what the answer's usage tells was waited for; the rest was asked ahead, or for
    nobody. What was computed for a request that was cancelled is all its own. Raises UsageError if
    none was answered.
    """
    events = [
        sorted(
            (one.event for one in file.sitting.asked if one.asked_model and one.event),
            key=lambda event: event["time"],
        )
        for file in typed
    ]
    if not any(_usage(event) for told in events for event in told):
        raise UsageError("No request was answered before the next key.", "Type more (--files).")
    starts = [event["time"] for told in events for event in told] + [typed[-1].ended]
    found: list[Asked] = []
    cancelled, spent, prompt = 0, 0.0, 0
    for file, told in zip(typed, events, strict=True):
        before = file.began
        for event in told:
            computed = at(starts[len(found) + 1]).since(at(event["time"]))
            spent += event["time"] - before
            before = event["time"]
            if usage := _usage(event):
                prompt = usage["prompt_tokens"]
                own = Work(prompt - cached(usage), usage["completion_tokens"])
                rest = max(0, computed.read - own.read), max(0, computed.written - own.written)
                found.append(Asked(spent, *own, prompt, *rest))
            else:
                cancelled += 1
                found.append(Asked(spent, *computed, prompt, seen=False))
            spent = 0.0
        spent += file.ended - before
    return found, cancelled


def _usage(event: dict[str, Any]) -> dict[str, Any]:
    """Of an answer that came."""
    usage = event["details"].get("usage") or {}
    told = {"prompt_tokens", "completion_tokens"} <= usage.keys()
    return usage if told and event["reason"] not in CANCELLED else {}


async def sit(
    row: Row, home: Home, texts: Sequence[Script], seconds: float, tell: progress.Tell
) -> list[Typed]:
    """Type them one after the other, until the last one or so many seconds are over."""
    seat, found = Replay(row, home), list[Typed]()
    until = time.monotonic() + seconds
    try:
        await seat.start(list(dict.fromkeys(script.root for script in texts)))
        for number, script in enumerate(texts):
            if found and time.monotonic() > until:
                break
            tell(f"typing, {script.file.name}", number, len(texts))
            began = time.time()
            sitting = await seat.type(script)
            found.append(Typed(sitting, began, time.time()))
    finally:
        await seat.close()
    return found


def record(arguments: argparse.Namespace, told: dict[str, Any]) -> None:
    """A recording, and of this machine's engine its rates and how many prompts it keeps."""
    settings = config.load()
    if settings.endpoint:
        raise UsageError("The recording is of Tandem's own engine.", "Unset the endpoint.")
    quick = arguments.quick
    [row] = rows_of([ALL], settings.model)
    folders = [folder.resolve() for folder in arguments.files]
    with tempfile.TemporaryDirectory(prefix="tandem-sizing-") as temporary:
        place = Path(temporary)
        files, keys = (QUICK_FILES, QUICK_KEYS) if quick else (arguments.count, KEYS)
        texts = scripts(folders, place / "repositories", arguments.seed, files, keys)
        roots = [script.root for script in texts]
        with (
            progress.on_stderr() as tell,
            seated(place / "homes", [row.settings], roots, tell) as [home],
        ):
            address = background.find(config.load(None, row.settings))
            assert address is not None, "the engine runs"
            with Meter(address.url, address.token) as meter:
                typed = asyncio.run(sit(row, home, texts, arguments.minutes * 60, tell))
            asked, cancelled = recorded(typed, meter.at)
            computed = meter.at(inf).since(meter.at(0))
            told["asked"] = [asdict(one) for one in asked]
            told["keys"] = sum(file.sitting.pressed for file in typed)
            told["files"], told["cancelled"] = len(typed), cancelled
            told["computed"] = computed._asdict()
            told["typed_s"] = sum(file.ended - file.began for file in typed)
            told["answers_ms"] = [
                one.wall_ms
                for file in typed
                for one in file.sitting.asked
                if one.asked_model and one.wall_ms is not None
            ]
            if not arguments.rates and not arguments.at:
                with Replica(address.url, address.token, address.model) as replica:
                    told.update(measured(replica, asked, quick))


def measured(replica: Replica, asked: Sequence[Asked], quick: bool) -> dict[str, Any]:
    rates, rounds = replica.rates(
        QUICK_AT_ONCE if quick else AT_ONCE, QUICK_SECONDS if quick else SECONDS
    )
    kept = replica.keeps(round(fmean(one.prompt for one in asked)), QUICK_TRIED if quick else TRIED)
    return {"read": rates.read, "written": rates.written, "rounds": rounds, "kept": kept}


def earlier(files: Sequence[Path]) -> dict[str, Any]:
    """What earlier runs wrote, one after the other; the first one's rates. Raises UsageError."""
    first, *others = [_earlier(file) for file in files]
    for other in others:
        first["asked"] += other["asked"]
        first["answers_ms"] = first.get("answers_ms", []) + other.get("answers_ms", [])
        for what in ("keys", "cancelled", "files", "typed_s"):
            first[what] = first.get(what, 0) + other.get(what, 0)
        for what in ("read", "written"):
            first["computed"][what] += other["computed"][what]
    return first


def _earlier(file: Path) -> dict[str, Any]:
    try:
        told = json.loads(file.read_text("utf-8"))
        told["asked"] = [asdict(Asked(**one)) for one in told["asked"]]
        if "written" in told:
            told["written"] = {int(number): rate for number, rate in told["written"].items()}
        told["computed"] = Work(**told["computed"])._asdict()
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
        record(arguments, told)
    asked = [Asked(**one) for one in told["asked"]]
    if given:
        # Whose rates are told has a memory of its own.
        told.update(read=given.read, written=given.written, kept=0, rounds={})
    elif arguments.at:
        token = config.load().token.get_secret_value()
        with Replica(arguments.at, token, arguments.model) as replica:
            told.update(measured(replica, asked, arguments.quick))
    elif "read" not in told:
        raise UsageError("The first recording has no rates.", "Give --rates or --at.")
    if arguments.kept is not None:
        told["kept"] = arguments.kept
    told["slots"], told["limit_ms"] = arguments.slots, arguments.limit_ms
    report(arguments, told, asked)


def report(arguments: argparse.Namespace, told: dict[str, Any], asked: Sequence[Asked]) -> None:
    rates, kept = Rates(told["read"], told["written"]), told["kept"]

    def developers(typing: float, gives_way: bool = True) -> int:
        return most(
            *(asked, rates, arguments.slots, arguments.limit_ms / 1000, typing, kept),
            gives_way=gives_way,
            requests=QUICK_REQUESTS if arguments.quick else REQUESTS,
        )

    alone = answer_times(arrivals(asked, 1, PLAYED_S, 0.5, 0), rates, arguments.slots, True)
    told["alone_p95_ms"] = 1000 * common.percentile(alone, 0.95)
    took = told.get("answers_ms")
    found = {typing: developers(typing) for typing in sorted({0.1, arguments.typing, 0.5})}
    told["developers"] = {str(typing): number for typing, number in found.items()}
    queued = developers(arguments.typing, gives_way=False)
    told["developers_all_queue"] = queued
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
            ["- tokens read of it, mean (not cached)", fmean(one.read for one in asked)],
            ["- written, mean", fmean(one.written for one in asked)],
            ["- read ahead or for nobody, mean", fmean(one.ahead_read for one in asked)],
            ["- written ahead or for nobody, mean", fmean(one.ahead_written for one in asked)],
            ["one developer alone, played, p95 ms", f"{told['alone_p95_ms']:.0f}"],
            ["- as recorded", f"{common.percentile(took, 0.95):.0f}" if took else "-"],
            ["prompts that a replica keeps", str(kept or "all")],
            ["a replica reads, tokens a second", f"{rates.read:.0f}"],
            *(
                [f"a replica writes, {number} at once", _among(rate, told, number)]
                for number, rate in rates.written.items()
            ),
            *(
                [f"developers who type {share:.0%} of the time", str(n)]
                for share, n in found.items()
            ),
            [f"- {arguments.typing:.0%}, if what is asked ahead does not give way", str(queued)],
        ],
        ("developers_per_replica", str(found[arguments.typing])),
        told,
        arguments.json,
    )


def _among(rate: float, told: dict[str, Any], number: int) -> str:
    """With the lowest and highest of its rounds: far apart, something disturbed them."""
    rounds = told.get("rounds", {})
    found = rounds.get(number) or rounds.get(str(number)) or []
    return f"{rate:.0f} ({min(found):.0f} to {max(found):.0f})" if found else f"{rate:.0f}"


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    default = [common.REPOSITORY / "completion"]
    add = parser.add_argument
    add("--files", type=Path, nargs="+", metavar="FOLDER", default=default, help="repositories")
    add("--count", type=int, default=FILES, help="files to type in at most")
    add("--minutes", type=float, default=600.0, help="after which no other file is begun")
    add(
        "--recorded", type=Path, nargs="+", metavar="FILE", help="what --json of earlier runs wrote"
    )
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
