"""What the editor adds to a suggestion, and long typing with completion on, in a real VS Code.

    python -m benchmarks.editor [--quick] [--keys 10000] [--json FILE]

VS Code is code-server in Chromium, with our extension and the default model in a warm engine.

Key to ghost text: at the ends of lines that were cut off, one key is typed. `parts/way.py` has the
moments of each suggestion's way; the server's trace has the time of the same request. Gates are off,
so that most places are answered. The floor is an extension that answers at once, at the same places
in the same VS Code: what it takes from the key until an extension hears of it, and from an answer to
the screen, nobody can save.

Keys: code is typed at 15 keys a second, whatever is suggested meanwhile, and saved. Memory is what
/proc says of the extension host and the language server, the first tenth beside the last.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks import common
from benchmarks.parts import floor, way
from benchmarks.parts.homes import Home, homes
from benchmarks.parts.way import Way
from tests.code_server import code_server, packed
from tests.vscode import HEIGHT, WIDTH, chromium
from tests.workbench import LONGEST_WAIT_S, Workbench

SEED = 11
KEYS_A_SECOND = 15
PLACES, QUICK_PLACES = 60, 12
KEYS, QUICK_KEYS = 10_000, 240
SOURCES = ("lexer", "cut", "gate", "cache", "session", "scope", "syntax", "prompt", "filters")
SETTINGS = {
    "completion": {"gate": False, "display_gate": False, "in_comments": True, "in_strings": True}
}
# So that what is typed is what is to be saved.
LITERAL = {
    "editor.acceptSuggestionOnEnter": "off",
    "editor.autoClosingBrackets": "never",
    "editor.autoClosingQuotes": "never",
    "editor.autoIndent": "none",
    "editor.trimAutoWhitespace": False,
}


@dataclass(frozen=True)
class Shown:
    """One suggestion's way, and what of it the server took by its own clock, milliseconds."""

    way: Way
    server_ms: float

    @property
    def added_ms(self) -> float:
        return self.way.total_ms - self.server_ms


@dataclass
class Memory:
    """Resident megabytes of the extension host and of the server, by the time."""

    host: list[float]
    server: list[float]

    def sample(self, one: Workbench) -> None:
        self.host.append(_resident(one.server.processes("--type=extensionHost")))
        self.server.append(_resident(one.server.processes("lsp")))


@dataclass(frozen=True)
class Typed:
    keys: int
    seconds: float
    wrong: str
    memory: Memory


@contextmanager
def opened(folder: Path, work: Path) -> Iterator[Workbench]:
    """VS Code with a folder of our sources, and nothing open yet."""
    with code_server(folder / "code-server", packed()) as server, chromium() as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(LONGEST_WAIT_S * 1000)
        yield Workbench(page, server, work, logLevel="tandem.tandem-pair=trace")


def cut_lines(text: str, count: int) -> tuple[str, list[tuple[int, int, str]]]:
    """A text with lines cut off, and (line, column, next character) of their ends, from 1."""
    rng = random.Random(SEED)
    lines = text.split("\n")
    fit = [n for n, line in enumerate(lines) if line[:4] == "    " and len(line.strip()) > 16]
    places = []
    for n in sorted(rng.sample(fit, min(count, len(fit)))):
        line = lines[n]
        spaces = [at for at, ch in enumerate(line) if ch == " " and line[:at].strip()]
        at = rng.choice(spaces) if spaces else len(line) - 4
        places.append((n + 1, at + 1, line[at]))
        lines[n] = line[:at]
    return "\n".join(lines), places


def latency(one: Workbench, home: Home, file: Path, count: int) -> tuple[list[Shown], int]:
    """Suggestions for one key each, and how many places had none."""
    text, places = cut_lines(file.read_text("utf-8"), count)
    file.write_text(text)
    one.open(file, home.folder, **SETTINGS, **LITERAL)
    one.served()
    warm(one, home)
    way.begin(one.page)
    [log] = [log for log in one.server.logs() if log.name == "Tandem.log"]
    found, silent = [], 0
    for line, column, key in places:
        one.go_to(line, column)
        one.until(lambda: not one.ghost(), "no ghost text")
        one.type(key)
        went = way.of(one.page, log, line, column)
        told = _answer(home, file, line, column) if went else None
        if went and told:
            found.append(Shown(went, told["stages_ms"]["total"]))
        else:
            silent += 1
        one.press("Escape")
    return found, silent


def warm(one: Workbench, home: Home) -> None:
    """Until the model answers: it is loaded, and has read this file."""
    one.press("Control+End")
    for _ in range(30):
        one.type("\nreturn ")
        one.page.wait_for_timeout(1000)
        if any(event["shown"] for event in _events(home)):
            break
    one.press("Escape")


def typing(one: Workbench, home: Home, file: Path, text: str) -> Typed:
    """Type a text into an empty file, at a steady pace, and save it."""
    file.write_text("")
    one.open(file, home.folder, **SETTINGS, **LITERAL)
    one.served()
    one.focus()
    memory, every = Memory([], []), max(1, len(text) // 100)
    began = time.monotonic()
    for number, ch in enumerate(text):
        if number % every == 0:
            memory.sample(one)
        time.sleep(max(0.0, began + number / KEYS_A_SECOND - time.monotonic()))
        one.type(ch)
    seconds = time.monotonic() - began
    return Typed(len(text), seconds, difference(text, one.saved()), memory)


def difference(typed: str, saved: str) -> str:
    """Where a saved text is first not what was typed; "" if it is all the same."""
    if typed == saved:
        return ""
    at = next(
        (n for n, (a, b) in enumerate(zip(typed, saved, strict=False)) if a != b),
        min(len(typed), len(saved)),
    )
    return f"at {at}: {saved[at : at + 20]!r} for {typed[at : at + 20]!r}"


def code(count: int) -> str:
    """So many characters of our own sources: keys that every keyboard has, no tab."""
    folder = common.REPOSITORY / "completion"
    text = "\n".join(file.read_text("utf-8") for file in sorted(folder.glob("*.py")))
    plain = "".join(ch for ch in text if ch == "\n" or " " <= ch <= "~")
    assert len(plain) >= count
    return plain[:count]


def growth(values: list[float]) -> tuple[float, float]:
    """Medians of the first and of the last tenth."""
    tenth = max(1, len(values) // 10)
    return statistics.median(values[:tenth]), statistics.median(values[-tenth:])


def _events(home: Home) -> list[dict[str, Any]]:
    if not home.trace.exists():
        return []
    told = [json.loads(line) for line in home.trace.read_text().splitlines()]
    return [event for event in told if event["kind"] == "completion"]


def _answer(home: Home, file: Path, line: int, column: int) -> dict[str, Any] | None:
    """The trace of what was asked behind the key that was typed at a place."""
    for event in reversed(_events(home)):
        if (event["line"], event["column"]) == (line, column) and event["shown"]:
            return event
    return None


def _resident(processes: list[psutil.Process]) -> float:
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def options() -> argparse.Namespace:
    parser = common.parser(__doc__ or "")
    parser.add_argument("--keys", type=int, help=f"how many to type (default {KEYS})")
    return parser.parse_args()


def main() -> None:
    arguments = options()
    keys = arguments.keys or (QUICK_KEYS if arguments.quick else KEYS)
    places = QUICK_PLACES if arguments.quick else PLACES
    os.environ.setdefault("PYTHONPATH", str(common.REPOSITORY))
    with tempfile.TemporaryDirectory() as name, homes(Path(name) / "tandem", [{}]) as [home]:
        folder = Path(name) / "work"
        folder.mkdir()
        for source in SOURCES:
            text = (common.REPOSITORY / "completion" / f"{source}.py").read_text("utf-8")
            (folder / f"{source}.py").write_text(text)
        with opened(Path(name), folder) as one:
            shown, silent = latency(one, home, folder / "session.py", places)
            typed = typing(one, home, folder / "typed.py", code(keys))
        source = (common.REPOSITORY / "completion" / "session.py").read_text("utf-8")
        cut, cut_at = cut_lines(source, places)
        (folder / "floor.py").write_text(cut)
        least = floor.ways(Path(name) / "floor", folder, folder / "floor.py", cut_at)
    report(shown, silent, typed, least, arguments.json)


def report(
    shown: list[Shown], silent: int, typed: Typed, least: list[Way], json_file: Path | None
) -> None:
    ways = [one.way for one in shown]
    at_least = [floor.least_ms(one) for one in least]
    kinds = {
        "key to ghost text, ms": [one.total_ms for one in ways],
        **{
            f"- {part}": [one.parts_ms()[part] for one in ways]
            for part in (ways[0].parts_ms() if ways else ())
        },
        "the language server by its own clock": [one.server_ms for one in shown],
        "what the editor adds": [one.added_ms for one in shown],
        "the floor: key to an extension": [one.asked - one.key for one in least],
        "the floor: an answer to the screen": [one.seen - one.given for one in least],
        "the floor: both": at_least,
    }
    rows: list[list[Any]] = [
        [name, common.percentile(times, 0.5), common.percentile(times, 0.95)]
        for name, times in kinds.items()
    ]
    added = statistics.median(one.added_ms for one in shown)
    early = sum(one.is_early for one in ways)
    host, server = growth(typed.memory.host), growth(typed.memory.server)
    rate = typed.keys / typed.seconds
    rows += [
        ["places with a suggestion / without", str(len(shown)), str(silent)],
        ["asked before VS Code did / by VS Code", str(early), str(len(ways) - early)],
        [f"{typed.keys} keys at {rate:.1f} a second: wrong text", typed.wrong or "none", ""],
        ["extension host, MB: first / last tenth", *host],
        ["language server, MB: first / last tenth", *server],
    ]
    figures = {
        "seen_ms": [one.total_ms for one in ways],
        "server_ms": [one.server_ms for one in shown],
        "parts_ms": [one.parts_ms() for one in ways],
        "floor_ms": at_least,
        "early": early,
        "silent": silent,
        "keys": typed.keys,
        "keys_a_second": rate,
        "wrong": typed.wrong,
        "host_mb": host,
        "server_mb": server,
    }
    common.report(
        "A real VS Code",
        ["what", "p50", "p95"],
        rows,
        ("vscode_adds_ms", f"{added:.0f}"),
        figures,
        json_file,
    )


if __name__ == "__main__":
    main()
