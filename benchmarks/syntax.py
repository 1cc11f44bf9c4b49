"""What syntax costs while one types: the scope at each key and after each move, and a parse.

    python -m benchmarks.syntax [--quick] [--json FILE]

Files of 1,000 lines: argparse for Python, for the other languages the body of our sample of each,
over and over. CPU milliseconds, p50 and p95: another process's work is not counted. A key types
within a line, so the tree stays; a move goes to the next line, so the line left comes back and
the next one is taken out. Then the outlines of the standard library, in CPU seconds.
"""

import argparse
import sysconfig
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import common
from completion import syntax
from completion.document import language_of, read_text
from completion.languages import ROWS
from completion.outline import outline, outline_of
from completion.scope import scope_at
from completion.syntax import SyntaxTree

SAMPLES = common.REPOSITORY / "tests" / "languages"
LINES = 1000
TYPED = "foo.bar(baz, qux.quux"


@dataclass
class Times:
    """CPU milliseconds."""

    p50: float
    p95: float

    def __str__(self) -> str:
        return f"{self.p50:.2f} / {self.p95:.2f}"


def timed(runs: Iterable[Callable[[], object]]) -> Times:
    found: list[float] = []
    for run in runs:
        began = time.process_time()
        run()
        found.append((time.process_time() - began) * 1000)
    return Times(common.percentile(found, 0.5), common.percentile(found, 0.95))


def long_text(path: Path) -> str:
    """A sample made long: what comes after its imports, over and over."""
    text = read_text(path)[0]
    lines = text.split("\n")
    imports = outline(text.encode(), language_of(path)).imports
    first = max((one.row for one in imports if one.row < 15), default=-1) + 1
    while first < len(lines) and lines[first].strip():  # the rest of an import of many lines
        first += 1
    body = [line for line in lines[first:] if not line.startswith("return ")]  # Lua's last line
    return "\n".join([*lines[:first], *body * (LINES // len(body))])


def texts() -> dict[str, str]:
    found = {
        language_of(path): long_text(path)
        for path in sorted(SAMPLES.iterdir())
        if path.is_file() and language_of(path) != "python"
    }
    lines = Path(argparse.__file__).read_text("utf-8").split("\n")
    return {"python": "\n".join(lines[:LINES])} | found


def measure(language: str, text: str, count: int) -> tuple[Times, Times, Times, Times]:
    """Key, move, edit of the tree alone, parse from scratch."""
    tree = SyntaxTree(language, limit_s=0)
    starts = [0, *(at + 1 for at, ch in enumerate(text) if ch == "\n")]
    middle = starts[len(starts) // 2]

    def key(index: int) -> None:
        size = 1 + index % len(TYPED)
        shown = f"{text[:middle]}    {TYPED[:size]}\n{text[middle:]}"
        scope_at(shown, middle + 4 + size, language, tree)

    key(0)
    keys = timed([lambda index=index: key(index) for index in range(count)])
    rows = [starts[len(starts) // 4 + index % (len(starts) // 2)] for index in range(count)]
    moves = timed([lambda at=at: scope_at(text, at, language, tree) for at in rows])
    alone = SyntaxTree(language, limit_s=0)
    alone.update(text)
    edited = [f"{text[:middle]}{' ' * (1 + index)}\n{text[middle:]}" for index in range(count)]
    edits = timed([lambda text=text: alone.update(text) for text in edited])
    parses = timed([lambda: syntax.parse(text, language)] * max(5, count // 10))
    return keys, moves, edits, parses


def standard_library() -> dict[str, float]:
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    datas = [file.read_bytes() for file in files]
    began = time.process_time()
    roots = [syntax.parse_bytes(data, "python") for data in datas]
    parsed = time.process_time()
    for root, data in zip(roots, datas, strict=True):
        assert root
        outline_of(root, data, "python")
    outlined = time.process_time()
    size = sum(map(len, datas)) / 1e6
    return {"MB": size, "parse_s": parsed - began, "outline_s": outlined - parsed}


def main() -> None:
    chosen = common.options(__doc__ or "")
    count = 40 if chosen.quick else 400
    rows: list[list[object]] = []
    figures: dict[str, dict[str, float]] = {}
    for language, text in texts().items():
        found = measure(language, text, count)
        rows.append([language, text.count("\n"), *map(str, found)])
        figures[language] = {
            name: times.p50
            for name, times in zip(("key", "move", "edit", "parse"), found, strict=True)
        }
    assert set(figures) == set(ROWS)
    whole = standard_library()
    share = 1 / whole["MB"]
    rows.append(
        [
            f"standard library, {whole['MB']:.1f} MB",
            "",
            *("", "", f"outlines {whole['outline_s'] * share:.3f} s/MB"),
            f"{whole['parse_s'] * share:.3f} s/MB",
        ]
    )
    common.report(
        "Scope at a key and after a move; an edit of the tree alone; a parse from scratch",
        ["language", "lines", "key", "move", "edit", "parse"],
        rows,
        ("scope_key_ms_p50", f"{figures['python']['key']:.2f}"),
        {"cpu_ms_p50": figures, "standard_library": whole},
        chosen.json,
    )


if __name__ == "__main__":
    main()
