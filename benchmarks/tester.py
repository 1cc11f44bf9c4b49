"""Candidates a second through the test server, beside a whole pytest run for each.

Two containers, a small program of ours with ten tests. Each candidate is another text of the
program; it is put in, the failing tests run, its verdict told, everything put back. Overhead is
what a candidate takes beyond the time of its tests themselves. CPU time is the containers' own, by
Docker's count, so it says what an idle machine could do.
"""

import argparse
import io
import tarfile
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import common
from sandbox import daemon, image, tester
from sandbox.container import Sandbox
from sandbox.suite import parse
from sandbox.tester import TestServer

CODE = "words.py"
PROGRAM = """\
def wrap(text, width):
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = (lines[-1] + " " + word).strip()
    return lines
"""
TESTS = """\
import pytest
from words import wrap


@pytest.mark.parametrize("width", range(6, 16))
def test_no_line_is_wider(width):
    lines = wrap("one two three four five six seven", width)
    assert all(len(line) <= width for line in lines)
    assert " ".join(lines) == "one two three four five six seven"
"""
FILES = {CODE: PROGRAM, "test_words.py": TESTS}
SUITE = parse("python -m pytest")
CONTAINERS = 2


def main() -> None:
    options = _options()
    count = 100 if options.quick else options.candidates
    client = daemon.client()
    base = image.base_image(client)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(CONTAINERS) as threads:
        for name, text in FILES.items():
            (Path(folder) / name).write_text(text)
        boxes = [Sandbox(base, _tar(), client=client) for _ in range(CONTAINERS)]
        # Asked now, as a sandbox that serves must not be asked anything else.
        ids = [box.attributes()["Id"] for box in boxes]
        servers = [tester.in_sandbox(box, SUITE, Path(folder)) for box in boxes]
        for server in servers:
            server.prepare()
        quick = [lambda n, s=server: _forked(s, n) for server in servers]
        forked = _measure(quick, count, ids, threads)
        for server in servers:
            server.close()
        slow = [lambda n, b=box: _whole(b, n) for box in boxes]
        whole = _measure(slow, max(10, count // 10), ids, threads)
        for box in boxes:
            box.close()
    columns = ["", "a second", "p50 ms", "p99 ms", "overhead p50", "overhead p99", "CPU ms each"]
    rows = [["test server", *forked.values()], ["pytest in a warm container", *whole.values()]]
    common.report(
        f"Candidates validated with {CONTAINERS} containers",
        columns,
        rows,
        ("candidates_per_second", f"{forked['per_second']:.1f}"),
        {"test_server": forked, "whole_pytest": whole},
        options.json,
    )


def candidate(n: int) -> str:
    """Each is another text; one in ten passes."""
    mended = PROGRAM.replace("len(word) > width", "len(word) + 1 > width")
    return (
        mended if n % 10 == 0 else PROGRAM.replace("> width", f"> width + {n % 7}")
    ) + f"# {n}\n"


def _forked(server: TestServer, n: int) -> float:
    run = server.run(files={CODE: candidate(n)}, fail_fast=True)
    assert run.passed == (n % 10 == 0), run
    return sum(result.seconds for result in run.results)


def _whole(sandbox: Sandbox, n: int) -> float:
    argv = ["python3", "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    ran = sandbox.run(argv, timeout_s=60, files={CODE: candidate(n).encode()})
    assert (ran.exit_code == 0) == (n % 10 == 0), ran
    return 0.0


def _measure(
    workers: list[Callable[[int], float]],
    count: int,
    ids: list[str],
    threads: ThreadPoolExecutor,
) -> dict[str, float]:
    def share(which: int) -> list[tuple[float, float]]:
        times = []
        for n in range(which, count, len(workers)):
            began = time.perf_counter()
            tests_s = workers[which](n)
            times.append((time.perf_counter() - began, tests_s))
        return times

    before, began = _cpu_s(ids), time.perf_counter()
    times = [one for part in threads.map(share, range(len(workers))) for one in part]
    seconds, cpu = time.perf_counter() - began, _cpu_s(ids) - before
    walls = [wall * 1000 for wall, _ in times]
    over = [(wall - tests) * 1000 for wall, tests in times]
    return {
        "per_second": count / seconds,
        "p50_ms": common.percentile(walls, 0.5),
        "p99_ms": common.percentile(walls, 0.99),
        "overhead_p50_ms": common.percentile(over, 0.5),
        "overhead_p99_ms": common.percentile(over, 0.99),
        "cpu_ms": cpu * 1000 / count,
    }


def _cpu_s(ids: list[str]) -> float:
    """CPU seconds that the containers used so far."""
    client = daemon.client()
    total = 0.0
    for id in ids:
        stats = client.api.stats(id, stream=False, one_shot=True)
        total += stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
    return total


def _tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


def _options() -> argparse.Namespace:
    parser = common.parser(__doc__ or "")
    parser.add_argument("--candidates", type=int, default=600)
    return parser.parse_args()


if __name__ == "__main__":
    main()
