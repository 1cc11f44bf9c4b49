"""A keystroke replay: held-out lines of real files typed again, before the real language server.

    python -m benchmarks.replay [--files FOLDER...] [--keys N] [--rows NAME...] [--json FILE]

Each row is a server with settings of its own, over stdio, and all rows get the same keys at the
same human rhythm, in real time; docs/replay.md tells how to read the figures. Rows type in turns,
file by file, in another order each time, so that a busy machine hits all of them. They share one
engine for each model; before each turn it is given something else to read.
"""

import argparse
import asyncio
import gc
import json
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.parts.gain import gain
from benchmarks.parts.homes import Home, forget, seated
from benchmarks.parts.ledger import Sitting, figures
from benchmarks.parts.plan import plan
from benchmarks.parts.scripts import Script, scripts
from benchmarks.parts.seat import Accept, Replay, Row
from completion import models
from completion.engine import shipped
from tandem import config, progress
from tandem.errors import TandemError, UsageError

SEED = 7
ALL, BASELINE = "all", "baseline"
DISPLAY_GATE_OFF, UNFILTERED = "display gate off", "unfiltered"
NO_ADAPTER = "no adapter"
_BARE: Mapping[str, object] = {
    "cache": False,
    "prefetch": False,
    "gate": False,
    "debounce": False,
    "display_gate": False,
    "cut_unsure": False,
    "memory": False,
    "candidates": 1,
}
_OFF: dict[str, Mapping[str, object]] = {
    ALL: {},
    DISPLAY_GATE_OFF: {"display_gate": False},
    "no cache": {"cache": False, "prefetch": False},
    "no gate": {"gate": False, "debounce": False},
    "no context": {"context_tokens": 0},
    "with memory": {"memory": True},
    "two candidates": {"candidates": 2},
    NO_ADAPTER: {},
    "whole answers": {"cut_unsure": False},
    UNFILTERED: {"gate": False, "debounce": False, "display_gate": False},
    BASELINE: _BARE,
    "baseline in comments and strings too": {**_BARE, "in_comments": True, "in_strings": True},
    "all, by line": {},
    "all, by word": {},
}
_ACCEPT: dict[str, Accept] = {"all, by line": "line", "all, by word": "word"}
QUICK_ROWS = [ALL, BASELINE]
Sittings = dict[str, list[Sitting]]


def rows_of(names: Sequence[str], model: str) -> list[Row]:
    """Rows by name; the one without our adapter only where the model has one."""
    found = []
    for name in names:
        served = model
        if name == NO_ADAPTER:
            base = models.resolve(model)
            if shipped.of(base) is None:
                continue
            # Named by its folder a model is served as it is.
            served = str(base.folder)
        settings = {"model": served, "completion": dict(_OFF[name])}
        found.append(Row(name, settings, _ACCEPT.get(name, "whole")))
    return found


async def replay(
    rows: Sequence[Row],
    texts: Sequence[Script],
    user_folders: Sequence[Home],
    speed: float,
    closing: bool,
    tell: progress.Tell,
) -> Sittings:
    """What each row did, file by file."""
    configs = [config.load(None, row.settings) for row in rows]
    found: Sittings = {row.name: [] for row in rows}
    roots = list(dict.fromkeys(script.root for script in texts))
    seats = [
        Replay(row, home, speed, closing) for row, home in zip(rows, user_folders, strict=True)
    ]
    try:
        for seat in seats:
            await seat.start(roots)
        # A full collection here, with torch loaded, would count as a server's time.
        gc.collect()
        gc.freeze()
        for number, script in enumerate(texts):
            turn = number % len(seats)
            for seat in [*seats[turn:], *seats[:turn]]:
                turns = sum(map(len, found.values()))
                stage = f"typing, {script.file.name}, {seat.row.name}"
                tell(stage, turns, len(texts) * len(seats))
                await asyncio.to_thread(forget, configs, number)
                found[seat.row.name].append(await seat.type(script))
    finally:
        for seat in seats:
            await seat.close()
    return found


def shown_table(found: Mapping[str, Mapping[str, Any]]) -> None:
    common.show(
        "Suggestions",
        ["", "requests", "with text", "shown", "taken", "of shown", "net keys", "of all", "wrong"],
        [
            [
                name,
                row["requests"],
                row["with_suggestion"],
                row["shown"],
                row["accepted"],
                _percent(row["accepted_of_shown"]),
                row["net_keys"],
                _percent(row["net_share"]),
                ", ".join(f"{count} {what}" for what, count in row["mistakes"].items()) or 0,
            ]
            for name, row in found.items()
        ],
        "shown: what only goes on with the text on display is not counted again; taken: right as a "
        "whole and there before the next key; net keys: those that taken text stands for, less one "
        "for each taken; wrong: mistakes in what was shown, see benchmarks/parts/mistakes.py",
    )


def time_rows(found: Mapping[str, Mapping[str, Any]]) -> list[list[object]]:
    return [
        [
            name,
            _percent(row["without_model"]),
            _percent(row["late_share"]),
            _times(row["total_ms"], "p50", "p90", "p99"),
            _times(row["own_ms"], "p50", "p99"),
            f"{_times(row['typed_through_ms'], 'p95')} ({row['answered_without_model']})",
            _times(row["stages_ms"].get("first_token"), "p50", "p90"),
            _percent(row["kv_reuse"]),
        ]
        for name, row in found.items()
    ]


def stages_table(name: str, row: Mapping[str, Any]) -> None:
    common.show(
        f"Stages of '{name}', ms",
        ["", "requests", "p50", "p90", "p99"],
        [
            [stage, spread["n"], *(f"{spread[at]:.2f}" for at in ("p50", "p90", "p99"))]
            for stage, spread in row["stages_ms"].items()
        ],
        "as the server's trace has them, of answered requests; first_token is a part of generate",
    )


def own_table(name: str, row: Mapping[str, Any]) -> None:
    parts = row["own_by_stage"]
    if parts:
        common.show(
            f"Own time of '{name}', mean ms",
            ["", *(parts["all"])],
            [
                [which, *(f"{means.get(stage, 0.0):.2f}" for stage in parts["all"])]
                for which, means in (("all", parts["all"]), ("slowest 2%", parts["slowest"]))
            ],
            "outside: the server's reading and writing, and the pipe",
        )


def outcomes_table(found: Mapping[str, Mapping[str, Any]]) -> None:
    reasons = dict.fromkeys(reason for row in found.values() for reason in row["outcomes"])
    common.show(
        "What became of the requests",
        ["", *(str(number) for number in range(1, len(found) + 1))],
        [
            [reason, *(row["outcomes"].get(reason, 0) for row in found.values())]
            for reason in reasons
        ],
        "; ".join(f"{number}: {name}" for number, name in enumerate(found, 1)),
    )


def comparison(sittings: Sittings, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The two bars that hang on more than one row, printed; what they came to."""
    told: dict[str, Any] = {}
    if {ALL, BASELINE} <= found.keys():
        nets = [[float(one.net) for one in sittings[name]] for name in (ALL, BASELINE)]
        more = gain(nets[0], nets[1])
        told["gain"] = vars(more)
        counts = " and ".join(
            f"{found[name]['net_keys']} of {found[name]['keys']} keys, {found[name]['shown']} shown"
            for name in (ALL, BASELINE)
        )
        print(f"'{ALL}' saves {more} over '{BASELINE}': {counts}")
    if {DISPLAY_GATE_OFF, UNFILTERED} <= found.keys():
        shown, of = found[DISPLAY_GATE_OFF]["shown"], found[UNFILTERED]["shown"]
        told["coverage"] = shown / of if of else None
        print(f"'{DISPLAY_GATE_OFF}' shows {shown}, {_percent(told['coverage'])} of '{UNFILTERED}'")
    return told


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def _times(spread: Mapping[str, float] | None, *shares: str) -> str:
    return " ".join(f"{spread[share]:.1f}" for share in shares) if spread else "–"


def run(arguments: argparse.Namespace) -> None:
    settings = config.load()
    if settings.endpoint:
        raise UsageError("A replay measures Tandem's own engine.", "Unset the endpoint.")
    quick = arguments.quick
    rows = rows_of(arguments.rows or (QUICK_ROWS if quick else list(_OFF)), settings.model)
    count = arguments.count or (1 if quick else 4)
    keys = arguments.keys or (40 if quick else 100)
    speed = arguments.speed or (2.0 if quick else 1.0)
    folders = [folder.resolve() for folder in arguments.files]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tandem-replay-") as temporary:
        place = Path(temporary)
        copies = place / "repositories"
        texts = scripts(folders, copies, arguments.seed, count, keys, arguments.type_prose)
        closing = not arguments.no_closing
        if arguments.plan:
            plan(texts, speed, closing, arguments.json)
            return
        with (
            progress.on_stderr() as tell,
            seated(
                place / "homes",
                [row.settings for row in rows],
                [script.root for script in texts],
                tell,
            ) as user_folders,
        ):
            sittings = asyncio.run(replay(rows, texts, user_folders, speed, closing, tell))
    if arguments.rows_out:
        with arguments.rows_out.open("w", encoding="utf-8") as stream:
            for name, row in sittings.items():
                stream.writelines(json.dumps(one) + "\n" for sat in row for one in sat.rows(name))
    found = {name: figures(row) for name, row in sittings.items()}
    shown_table(found)
    outcomes_table(found)
    first = next(iter(found))
    stages_table(first, found[first])
    own_table(first, found[first])
    told = comparison(sittings, found)
    net = found[first]["net_share"]
    headline = ("net_keys_saved", f"{net:.3f}")
    if told.get("gain", {}).get("ratio") is not None:
        headline = ("net_keys_over_baseline", f"{told['gain']['ratio']:.2f}")
    common.report(
        f"Time: {len(texts)} files, {found[first]['keys']} keys a row at {speed:g} x 239 ms a key "
        f"({found[first]['put_in']} of comments and docstrings put in at once), seed {arguments.seed}, {time.monotonic() - began:.0f} s",
        [
            "",
            "no model asked",
            "late",
            "total p50 90 99",
            "own p50 99",
            "typed through p95 (n)",
            "first token p50 90",
            "KV reuse",
        ],
        time_rows(found),
        headline,
        {"rows": found, **told, "files": [str(s.file.relative_to(place)) for s in texts]},
        arguments.json,
    )


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    default = [common.REPOSITORY / "completion"]
    add = parser.add_argument
    add("--files", type=Path, nargs="+", metavar="FOLDER", default=default, help="repositories")
    add("--count", type=int, default=0, help="files to type in")
    add("--keys", type=int, default=0, help="keys to type in each file")
    add("--rows", nargs="+", choices=list(_OFF), metavar="NAME", help=f"of: {', '.join(_OFF)}")
    add("--speed", type=float, default=0.0, help="2 types twice as fast; default: 1")
    add("--seed", type=int, default=SEED, help="another seed draws other files, lines and slips")
    add("--type-prose", action="store_true", help="type comments and docstrings key by key as well")
    add("--plan", action="store_true", help="only tell how long a row would take, and of what")
    add("--no-closing", action="store_true", help="the editor closes no brackets")
    add("--rows-out", type=Path, metavar="FILE", help="what was suggested and taken, JSON lines")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    try:
        run(arguments)
    except TandemError as error:
        sys.exit(f"replay: {error}")


def _end(*_: object) -> None:
    """The engine in the background would outlive us if the stack that stops it did not unwind."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # `timeout` sends it twice
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
