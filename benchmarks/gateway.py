"""The gateway: what it adds to a request, 200 streams at once, back ends that die, and which
replica to ask.

    python -m benchmarks.gateway [--quick] [--only PART...] [--json FILE]

overhead and streams: a tiny random model, whose answers take no time of their own. chaos: eight
tenants with an adapter each, before two replicas of it that are killed and revived. affinity:
eight developers type before two replicas of the shipped model, sent by prefix and by turns.
Everything is a process of its own and real HTTP.
"""

import asyncio
import os
import statistics
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks import common
from benchmarks.parts import gateway_chaos, gateway_replay, gateway_speed
from benchmarks.parts.keystrokes import Prompter
from completion import models
from completion.engine import shipped
from completion.engine.tokenizer import Tokenizer
from completion.templates import for_model
from tandem import paths
from tandem.config import CompletionConfig, Config, EngineConfig
from tests.gateways import Running, backend, gateway
from tests.replicas import Replica, replicas
from tests.tiny_adapters import Store

PROMPT = "def tiny(model):\n    return model.settings\n\nclass Config:\n    name = "
FREE = {"requests_per_minute": 1_000_000, "at_once": 1000}
TINY = {"threads": "1", "context": "256", "dtype": "float32", "queue": "1024", "batch": "32"}
DEVELOPERS = 8
# An hour in which each developer asks every 5 s, in ten minutes.
HOUR, PACE_SECONDS = 5760, 5 / 6
Rows = list[list[Any]]
Part = tuple[Rows, dict[str, Any]]


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("--only", nargs="+", choices=[*PARTS], default=[*PARTS])
    options = parser.parse_args()
    rows: Rows = []
    figures: dict[str, Any] = {}
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="gateway-") as folder:
            more, figures[name] = PARTS[name](Path(folder), options.quick)
        rows += more
    figures["load"] = os.getloadavg()
    headline = "gateway_overhead_ms", str(figures.get("overhead", {}).get("p50_ms", "not measured"))
    if options.only == ["affinity"]:
        headline = "gateway_affinity_over_round_robin", str(figures["affinity"]["ratio"])
    columns = ["", "what", "figure"]
    common.report("The gateway", columns, rows, headline, figures, options.json)


def overhead(folder: Path, quick: bool) -> Part:
    """Paired: each request direct and through the gateway, right after each other."""
    # Seldom polled, as it is by default: that is no part of a request.
    with _tiny(folder, 1, poll_seconds=60) as (found, running):
        body = {"model": "tiny", "prompt": PROMPT, "max_tokens": 8, "temperature": 0.0005}
        asked = 200 if quick else 1000
        process = psutil.Process(running.process.pid)
        before = sum(process.cpu_times()[:2])
        direct, through = gateway_speed.in_turns([found[0].address, running.address()], body, asked)
        spent = sum(process.cpu_times()[:2]) - before
    firsts = [t.first - d.first for d, t in zip(direct, through, strict=True)]
    wholes = [t.whole - d.whole for d, t in zip(direct, through, strict=True)]
    figures = {
        "requests": asked,
        "direct_first_ms_p50": round(statistics.median(d.first for d in direct), 2),
        "through_first_ms_p50": round(statistics.median(t.first for t in through), 2),
        "p50_ms": round(statistics.median(firsts), 2),
        "p95_ms": round(common.percentile(firsts, 0.95), 2),
        "whole_p50_ms": round(statistics.median(wholes), 2),
        "cpu_ms": round(1000 * spent / (asked + gateway_speed.WARM), 2),
    }
    rows = [
        ["overhead", "first byte direct, p50, ms", figures["direct_first_ms_p50"]],
        ["", "first byte through the gateway, p50, ms", figures["through_first_ms_p50"]],
        ["", "difference, p50 / p95, ms", f"{figures['p50_ms']} / {figures['p95_ms']}"],
        ["", "difference at the end, p50, ms", figures["whole_p50_ms"]],
        ["", "CPU of the gateway a request, ms", figures["cpu_ms"]],
    ]
    return rows, figures


def streams(folder: Path, quick: bool) -> Part:
    """200 at once, through the gateway to two engines; and to one of them directly."""
    body = {"model": "tiny", "prompt": PROMPT, "max_tokens": 16 if quick else 64}
    body["temperature"] = 0.0005
    with _tiny(folder, 2) as (found, running):
        crowd = asyncio.run(gateway_speed.at_once(running.address(), body, 200))
        direct = asyncio.run(gateway_speed.at_once(found[0].address, body, 200))
    figures = {"gateway": vars(crowd), "one engine direct": vars(direct)}
    ended = f"{crowd.well} of 200, {crowd.most_open} open at once"
    rows = [
        ["streams", "ended in full", ended],
        ["", "events a second, two engines", crowd.events / crowd.seconds],
        ["", "one engine direct", direct.events / direct.seconds],
    ]
    return rows, figures


def chaos(folder: Path, quick: bool) -> Part:
    """An hour's requests of eight developers in a sixth of its time; 400 where it is quick."""
    requests = 400 if quick else HOUR
    names = {f"team-{n}": f"team-{n}-adapter" for n in range(DEVELOPERS)}
    with _tiny(folder, 2, names) as (found, running):
        texts = asyncio.run(gateway_chaos.right(found[0].address, [*names.values()]))
        told = asyncio.run(
            gateway_chaos.replay(
                *(running, names, texts, found, requests),
                pace=PACE_SECONDS,
                tell=lambda line: print(line, file=sys.stderr, flush=True),
            )
        )
        hits = sum(entry.cache_hit for entry in running.entries())
    figures = {
        "requests": sum(told.ends.values()),
        "different_texts": len({*texts.values()}),
        "ends": dict(told.ends),
        "errors": dict(told.errors),
        "kills": told.kills,
        "from_cache": hits,
        "seconds": round(told.seconds, 1),
    }
    ends = told.ends
    rows = [
        ["chaos", f"requests, kills in {told.seconds:.0f} s", f"{ends.total()}, {told.kills}"],
        ["", "answered right (from the cache)", f"{ends['right']} ({hits})"],
        ["", "left by the client", ends["left"]],
        ["", "an error that the client shows", ends["error"]],
        ["", "wrong text / lost without an error", f"{ends['wrong']} / {ends['lost']}"],
        ["", "another tenant's text or adapter", ends["mixed"]],
    ]
    return rows, figures


def affinity(folder: Path, quick: bool) -> Part:
    """The same work by prefix and by turns, in parts that take turns."""
    keys = 24 if quick else 96
    installed = models.resolve(Config().model)
    difference = shipped.of(installed)
    template = for_model("", difference.template if difference else installed.manifest.template)
    tokenizer = Tokenizer.load(installed.folder)
    prompter = Prompter(template, tokenizer.count, CompletionConfig().prompt_tokens)
    stdlib = Path(sysconfig.get_path("stdlib"))
    folders = [stdlib / name for name in ("asyncio", "email", "http", "json", "unittest")]
    work = gateway_replay.work_of(DEVELOPERS, keys, prompter, folders)
    half = keys if quick else keys // 2
    parts = [[asks[at : at + half] for asks in work] for at in range(0, keys, half)]
    got: dict[str, list[gateway_replay.Got]] = {"prefix": [], "round robin": []}
    home = _home_with(folder, installed.folder)
    for number, part in enumerate(parts):
        for choice in [*got] if number % 2 else [*reversed(got)]:
            with replicas(home, installed.name, 2, threads="1") as found:
                users = {f"dev-{n}": FREE for n in range(DEVELOPERS)}
                place = folder / f"{choice} {number}"
                with gateway(place, _rows(found, installed.name), users, choice=choice) as running:
                    got[choice] += asyncio.run(gateway_replay.replay(running, part, installed.name))
    figures: dict[str, Any] = {"requests": len(got["prefix"]), "cache_mb": EngineConfig().cache_mb}
    rows: Rows = []
    for choice, answers in got.items():
        firsts = [answer.first_ms for answer in answers]
        figures[choice] = {
            "first_ms_p50": round(statistics.median(firsts), 1),
            "first_ms_p95": round(common.percentile(firsts, 0.95), 1),
            "cached": round(statistics.fmean(answer.cached for answer in answers), 3),
        }
        told = figures[choice]
        rows.append(
            [
                "affinity" if not rows else "",
                f"by {choice}: first token p50 / p95, ms; of prompts read before",
                f"{told['first_ms_p50']} / {told['first_ms_p95']}; {told['cached']:.0%}",
            ]
        )
    ratio = figures["round robin"]["first_ms_p50"] / figures["prefix"]["first_ms_p50"]
    figures["ratio"] = round(ratio, 2)
    rows.append(["", "round robin takes, at p50, times", figures["ratio"]])
    return rows, figures


PARTS: dict[str, Callable[[Path, bool], Part]] = {
    "overhead": overhead,
    "streams": streams,
    "chaos": chaos,
    "affinity": affinity,
}


@contextmanager
def _tiny(
    folder: Path, count: int, adapters: dict[str, str] | None = None, **options: Any
) -> Iterator[tuple[list[Replica], Running]]:
    """Replicas of a tiny model, and a gateway before them with a user for each adapter and these
    `options`."""
    home = folder / "engines"
    os.environ["TANDEM_KERNELS"] = str(paths.kernels_dir().resolve())
    with _home(home):
        store = Store()
        for number, name in enumerate((adapters or {}).values()):
            store.add(name, number)
    users: dict[str, dict[str, Any]] = {"ann": dict(FREE)}
    for user, name in (adapters or {}).items():
        users[user] = FREE | {"scopes": ["completion", "adapters"], "adapters": [name]}
    with (
        replicas(home, "tiny", count, **TINY) as found,
        gateway(folder / "gateway", _rows(found, "tiny"), users, **options) as running,
    ):
        yield found, running


@contextmanager
def _home(folder: Path) -> Iterator[None]:
    """The user's folders, for the block's time."""
    before = os.environ.get("TANDEM_HOME")
    os.environ["TANDEM_HOME"] = str(folder)
    try:
        yield
    finally:
        del os.environ["TANDEM_HOME"]
        if before is not None:
            os.environ["TANDEM_HOME"] = before


def _rows(found: list[Replica], model: str) -> list[dict[str, Any]]:
    return [
        backend(
            f"replica-{number}", replica.url, models=[model], token_file=str(replica.token_file)
        )
        for number, replica in enumerate(found)
    ]


def _home_with(folder: Path, model: Path) -> Path:
    """User folders with the model, and weights that are packed already."""
    home = folder / "engines"
    (home / "cache" / "models").mkdir(parents=True)
    (home / "cache" / "models" / model.name).symlink_to(model.resolve())
    (home / "cache" / "packed").symlink_to(paths.packed_dir().resolve())
    os.environ["TANDEM_KERNELS"] = str(paths.kernels_dir().resolve())
    return home


if __name__ == "__main__":
    main()
