"""Where does the faulty line stand among the suspects? On QuixBugs' Python programs.

python -m benchmarks.localize PATH    PATH: a clone of jkoppel/QuixBugs

The faulty lines are those in which a program differs from its correct version; where something is
missing, the lines on both sides. All code runs in the sandbox; the correct versions are not in it.
"""

import argparse
import difflib
import io
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import common
from sandbox import image, suspects
from sandbox.pool import Pool
from sandbox.statements import statements
from sandbox.suite import Suite

FOLDERS = ("python_programs", "python_testcases", "json_testcases", "conftest.py")
RANKS = (1, 3, 5, 10)
QUICK = 10  # programs


def main() -> None:
    options = _options()
    root: Path = options.path
    programs = sorted(
        file.stem.removeprefix("test_") for file in root.glob("python_testcases/test_*")
    )
    if options.only:
        programs = [name for name in programs if name in options.only]
    if options.quick:
        programs = programs[:: max(1, len(programs) // QUICK)]
    with Pool(image.base_image(), _tar(root), size=2) as pool, ThreadPoolExecutor(2) as threads:
        rows = list(threads.map(lambda name: _one(root, name, pool, options.show), programs))
    ranks = [row[1] for row in rows]
    tops = {f"top {n}": sum(0 < rank <= n for rank in ranks) for n in RANKS}
    mean = sum(1 / rank for rank in ranks if rank) / len(ranks)
    summary = [
        ["all", *tops.values(), f"{len(ranks)} programs, mean reciprocal rank {mean:.2f}", ""]
    ]
    common.show(
        "Rank of the faulty line",
        ["program", "rank", "lines", "failing", "passing", "seconds"],
        rows,
    )
    common.report(
        "Programs whose faulty line is among the first",
        ["", *tops, "", ""],
        summary,
        ("quixbugs_faulty_line_in_top_5", f"{tops['top 5']}/{len(ranks)}"),
        {
            "programs": {
                row[0]: dict(zip(("rank", "lines"), row[1:3], strict=True)) for row in rows
            },
            **tops,
        },
        options.json,
    )


def faulty(buggy: str, correct: str) -> set[int]:
    """The first lines of the statements in which the two texts differ, layout aside."""
    old, new = _texts(buggy), _texts(correct)
    lines = list(old)
    found: set[int] = set()
    matcher = difflib.SequenceMatcher(None, list(old.values()), list(new.values()), autojunk=False)
    for kind, start, end, _, _ in matcher.get_opcodes():
        if kind == "insert":
            found |= set(lines[max(0, start - 1) : start + 1])
        elif kind != "equal":
            found |= set(lines[start:end])
    return found


def _texts(source: str) -> dict[int, str]:
    """Each statement's own text by its first line, without docstrings and imports."""
    lines = source.splitlines()
    return {
        one.line: "".join(line.split("#")[0] for line in lines[one.line - 1 : one.last]).replace(
            " ", ""
        )
        for one in sorted(set(statements(source).values()), key=lambda one: one.line)
        if one.weight
    }


def _one(root: Path, name: str, pool: Pool, show: bool) -> list:
    path = f"python_programs/{name}.py"
    texts = [
        (root / folder / f"{name}.py").read_text()
        for folder in ("python_programs", "correct_python_programs")
    ]
    suite = Suite("pytest", (f"python_testcases/test_{name}.py",))
    began = time.perf_counter()
    found = suspects.find(root, suite, pool)
    seconds = time.perf_counter() - began
    wanted = {(path, line) for line in faulty(*texts)}
    ranks = [n for n, s in enumerate(found.suspects, 1) if (s.path, s.line) in wanted]
    if show:
        from rich.console import Console

        Console(width=150).print(name, sorted(wanted), found.baseline.notes, suspects.table(found))
    counts = [len(found.baseline.failing), len(found.baseline.passing)]
    return [name, min(ranks, default=0), len(found.suspects), *counts, seconds]


def _tar(root: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in FOLDERS:
            archive.add(root / name, name, filter=lambda f: None if "__pycache__" in f.name else f)
    return packed.getvalue()


def _options() -> argparse.Namespace:
    parser = common.parser(__doc__ or "")
    parser.add_argument("path", type=Path, metavar="PATH", help="a clone of jkoppel/QuixBugs")
    parser.add_argument("--only", nargs="*", help="these programs")
    parser.add_argument("--show", action="store_true", help="print the suspects of each")
    return parser.parse_args()


if __name__ == "__main__":
    main()
