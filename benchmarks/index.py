"""What the repository index costs beside universal-ctags on the same trees, in the same run.

    python -m benchmarks.index [--tree FOLDER] [--plot FILE.svg] [--quick] [--json FILE]

Both run as commands, from start to end: `ctags -R` and `tandem index` with two workers, in turn.
Without `--tree` the trees are copies of this environment's packages: all that is not compiled,
and its Python files alone. Then a saved file: `Indexer.update_files` in this process beside a
`ctags` of that file. Lookups run on the index of the Python tree. `--plot` draws how build and
size grow over 10,000, 100,000 and 1,000,000 lines of Python.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks import common
from completion.index import Index, Indexer, terms_of
from tandem.errors import TandemError

COMPILED = {".pyc", ".pyo", ".so", ".a", ".dll", ".exe", ".bin", ""}
LINES = (10_000, 100_000, 1_000_000)
SAVED = 20  # files, one line added to each
SAMPLE_S = 0.1


@dataclass
class Build:
    """`peak` in bytes: the most that all processes of the command had, shared pages divided."""

    seconds: float
    cpu: float
    peak: int = 0


@dataclass
class Tree:
    """One tree's figures: seconds are the shortest of the rounds; `source` and `size` in bytes."""

    name: str
    files: int
    source: int
    size: int
    ours: Build
    ctags: Build

    @property
    def ratio(self) -> float:
        return self.ours.seconds / self.ctags.seconds


def find_ctags() -> str:
    found = shutil.which("ctags")
    version = (
        subprocess.run([found, "--version"], capture_output=True, text=True) if found else None
    )
    if not found or version is None or "Universal" not in version.stdout:
        raise TandemError("universal-ctags is not installed.", "Try: apt install universal-ctags")
    return found


def copy(target: Path, wanted: Callable[[Path], bool], most: int, lines: int = 0) -> Path:
    """This environment's packages, in the order of their paths: so many bytes, or lines."""
    source = Path(sysconfig.get_path("purelib"))
    left, lines_left = most, lines
    for file in sorted(source.rglob("*")):
        if file.is_symlink() or not file.is_file() or not wanted(file.relative_to(source)):
            continue
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, place)
        left -= place.stat().st_size
        lines_left -= place.read_bytes().count(b"\n") if lines else 0
        if left < 0 or (lines and lines_left < 0):
            break
    return target


def is_python(path: Path) -> bool:
    return path.suffix == ".py"


def is_text(path: Path) -> bool:
    return path.suffix not in COMPILED and "node_modules" not in path.parts


def run(command: list[str], home: Path) -> tuple[Build, str]:
    """A command's cost and what it prints."""
    environment = {**os.environ, "TANDEM_HOME": str(home), "PYTHONPATH": str(common.REPOSITORY)}
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed below)
    before = os.times()
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
    )
    peak = [0]
    sampler = threading.Thread(target=_sample, args=(process.pid, peak))
    sampler.start()
    printed, _ = process.communicate()
    seconds = time.perf_counter() - began
    sampler.join()
    log.seek(0)
    said = log.read().splitlines()
    log.close()
    if process.returncode:
        raise TandemError(f"{' '.join(command)} failed: {said[-1] if said else ''}")
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return Build(seconds, cpu, peak[0]), printed


def _sample(pid: int, peak: list[int]) -> None:
    try:
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            family = [process, *process.children(recursive=True)]
            peak[0] = max(peak[0], sum(_pss(one) for one in family))
            time.sleep(SAMPLE_S)
    except psutil.NoSuchProcess:
        return


def _pss(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # it ended between two looks
        return 0


def measure(name: str, root: Path, home: Path, ctags: str, rounds: int) -> Tree:
    ours: list[Build] = []
    theirs: list[Build] = []
    stats: dict = {}
    for _ in range(rounds):
        tags = home / "tags"
        theirs.append(run([ctags, "-R", "-f", str(tags), str(root)], home)[0])
        shutil.rmtree(home / "cache", ignore_errors=True)
        command = [sys.executable, "-m", "tandem", "index", str(root), "--json"]
        build, printed = run(command, home)
        ours.append(build)
        stats = json.loads(printed)
    best = lambda builds: min(builds, key=lambda build: build.seconds)  # noqa: E731
    peak = max(build.peak for build in ours)
    shortest = best(ours)
    shortest.peak = peak
    return Tree(name, stats["files"], stats["source"], stats["size"], shortest, best(theirs))


def saves(root: Path, ctags: str) -> dict[str, float]:
    """Median milliseconds after one line was added to a file: ours, and ctags on that file."""
    indexer = Indexer(root)
    files = sorted(root.rglob("*.py"), key=lambda file: (file.stat().st_size, file))
    middle = files[len(files) // 2 : len(files) * 9 // 10]  # of some length
    ours, theirs = [], []
    indexer.update_files(middle[:1])  # loads the grammar
    for file in middle[:: max(1, len(middle) // SAVED)]:
        with file.open("a") as stream:
            stream.write("\nadded_line = 1\n")
        began = time.perf_counter()
        indexer.update_files([file])
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        subprocess.run([ctags, "-f", os.devnull, str(file)], check=True, stderr=subprocess.DEVNULL)
        theirs.append(time.perf_counter() - began)
    return {
        "ours_p50": 1000 * statistics.median(ours),
        "ours_p95": 1000 * common.percentile(ours, 0.95),
        "ctags_p50": 1000 * statistics.median(theirs),
    }


def lookups(root: Path) -> dict[str, tuple[float, float]]:
    """(p50, p95) milliseconds by lookup, over names and places of files across the tree."""
    index = Index(root)
    files = [index.file(path.relative_to(root).as_posix()) for path in sorted(root.rglob("*.py"))]
    some = [file for file in files if file and file.lines > 60][::40][:60]
    times: dict[str, list[float]] = {}

    def timed(name: str, ask: Callable[[], object]) -> object:
        began = time.perf_counter()
        answer = ask()
        times.setdefault(name, []).append(1000 * (time.perf_counter() - began))
        return answer

    for file in some:
        timed("file", lambda file=file: index.file(file.path))
        stem = file.path.rpartition("/")[2].removesuffix(".py")
        timed("files_by_stem", lambda stem=stem: index.files_by_stem(stem))
        timed("files_in", lambda file=file: index.files_in(file.path.rpartition("/")[0]))
        timed("importers_of", lambda stem=stem: index.importers_of(stem))
        timed("imports_of", lambda file=file: index.imports_of(file))
        timed("symbols_of", lambda file=file: index.symbols_of(file))
        for found in index.symbols_of(file)[:5]:
            timed("definitions", lambda found=found: index.definitions(found.symbol.name))
        terms = terms_of(index.lines(file, 30, 45) or "")
        near = timed(
            "neighbours", lambda terms=terms, file=file: index.neighbours(terms, 10, file.path)
        )
        for chunk in near[:1]:  # type: ignore[index]
            timed("text_of", lambda chunk=chunk: index.text_of(chunk))
    index.close()
    return {
        name: (common.percentile(ms, 0.5), common.percentile(ms, 0.95))
        for name, ms in times.items()
    }


def plot(growth: list[tuple[int, Tree]], file: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "tandem"
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    lines = [count for count, _ in growth]
    left.plot(lines, [tree.ours.seconds for _, tree in growth], "o-", label="tandem index")
    left.plot(lines, [tree.ctags.seconds for _, tree in growth], "o-", label="ctags -R")
    left.set(xscale="log", yscale="log", xlabel="lines of Python", ylabel="seconds, first build")
    left.legend()
    right.plot(lines, [100 * tree.size / tree.source for _, tree in growth], "o-", label="size")
    right.plot(lines, [tree.ours.peak / 1e6 for _, tree in growth], "s-", label="memory")
    right.set(xscale="log", xlabel="lines of Python", ylabel="% of the source; MB", ylim=(0, None))
    right.legend()
    figure.savefig(file, metadata={"Date": None})


def trees(arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path]]:
    if arguments.tree:
        # The saved files are changed: never in somebody's own tree.
        shutil.copytree(arguments.tree, folder / "given", symlinks=True)
        yield str(arguments.tree), folder / "given"
        return
    most = 6_000_000 if arguments.quick else 2_000_000_000
    yield "packages, all languages", copy(folder / "mixed", is_text, most)
    yield (
        "packages, Python",
        copy(folder / "python", is_python, most, 0 if arguments.quick else LINES[-1]),
    )


def main() -> None:
    try:
        benchmark()
    except TandemError as error:
        sys.exit(f"index: {error}")


def benchmark() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("--tree", type=Path, help="measure on this folder's files (copied)")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the growth")
    arguments = parser.parse_args()
    ctags = find_ctags()
    rounds = 1 if arguments.quick else 3
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        home = folder / "home"
        home.mkdir()
        os.environ["TANDEM_HOME"] = str(home)
        found, root = [], folder
        for name, root in trees(arguments, folder):  # the last one stays
            found.append(measure(name, root, home, ctags, rounds))
        looked, saved = lookups(root), saves(root, ctags)
        growth = []
        if arguments.plot:
            for count in LINES[:2] if arguments.quick else LINES:
                tree = copy(folder / f"lines{count}", is_python, 2_000_000_000, count)
                growth.append((count, measure(f"{count:,} lines", tree, home, ctags, rounds)))
            plot(growth, arguments.plot)
    show(found + [tree for _, tree in growth], saved, looked, arguments.json)


def show(
    found: list[Tree],
    saved: dict[str, float],
    looked: dict[str, tuple[float, float]],
    file: Path | None,
) -> None:
    rows: list[Sequence[object]] = []
    for tree in found:
        name = f"{tree.name}: {tree.files:,} files, {tree.source / 1e6:.1f} MB"
        cpu = f"CPU {tree.ours.cpu:.1f} s / {tree.ctags.cpu:.1f} s"
        rows.append(
            [
                name,
                f"{tree.ours.seconds:.2f} s",
                f"{tree.ctags.seconds:.2f} s",
                f"{tree.ratio:.1f} x",
            ]
        )
        # The clock ticks every 10 ms: a small tree may take none.
        times = f"{tree.ours.cpu / tree.ctags.cpu:.1f} x" if tree.ctags.cpu else ""
        rows.append(["  " + cpu, "", "", times])
        rows.append(
            [
                "  index size, share of the source",
                f"{tree.size / 1e6:.1f} MB",
                "",
                f"{tree.size / tree.source:.0%}",
            ]
        )
        rows.append(
            [
                "  most memory, all processes",
                f"{tree.ours.peak / 1e6:.0f} MB",
                f"{tree.ctags.peak / 1e6:.0f} MB",
                "",
            ]
        )
    rows.append(
        [
            "one saved file, p50",
            f"{saved['ours_p50']:.1f} ms",
            f"{saved['ctags_p50']:.1f} ms",
            f"p95 {saved['ours_p95']:.1f}",
        ]
    )
    rows += [
        [f"{name}, p50", f"{p50:.3f} ms", "", f"p95 {p95:.3f}"]
        for name, (p50, p95) in looked.items()
    ]
    figures = {"trees": [asdict(tree) for tree in found], "saved_ms": saved, "lookups_ms": looked}
    common.report(
        "The repository index beside universal-ctags",
        ["what", "tandem", "ctags", "ratio"],
        rows,
        ("index_over_ctags_build", f"{found[0].ratio:.2f}"),
        figures,
        file,
    )


if __name__ == "__main__":
    main()
