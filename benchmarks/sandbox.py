"""What a sandbox adds to a command: from asking to the verdict, less the command's own time.

    python -m benchmarks.sandbox [--quick] [--json FILE]

The command reads the clock when it begins and again before it ends and prints the difference,
which is its own time; all else is overhead, the start of its process included. The same command
runs in a warm sandbox (with what removes all traces of it before the next one may start), by
`docker exec` into a warm container and by `docker run`, one after another, by turns. The
repository is this one.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import common
from sandbox import daemon, image, worktree
from sandbox.container import Sandbox
from sandbox.profile import WORKER

# A shell: its own start is a millisecond, and it works 20 ms.
COMMAND = ["sh", "-c", "a=$(date +%s%N); sleep 0.02; b=$(date +%s%N); echo $((b - a))"]
HARDENED = ("--rm", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges")
BAR_MS = 30.0


def overhead_ms(run: Callable[[], bytes]) -> float:
    began = time.perf_counter()
    own_ns = int(run())
    return (time.perf_counter() - began) * 1000 - own_ns / 1e6


def main() -> None:
    options = common.options(__doc__ or "")
    client = daemon.setup(lambda line: print(line, file=sys.stderr))
    tag = image.base_image(client)
    with tempfile.TemporaryDirectory() as folder:
        copy = worktree.snapshot(common.REPOSITORY, Path(folder) / "copy")
        tar = worktree.tar_of(copy)
    began = time.perf_counter()
    with Sandbox(tag, tar, client=client) as sandbox:
        start_ms = (time.perf_counter() - began) * 1000
        warm = sandbox.attributes()["Id"]

        def reset_and_run() -> bytes:
            return sandbox.run(COMMAND, timeout_s=60).stdout

        def docker_exec() -> bytes:
            return _output("docker", "exec", f"--user={WORKER}", warm, *COMMAND)

        def docker_run() -> bytes:
            return _output("docker", "run", *HARDENED, tag, *COMMAND)

        ways = {"warm sandbox": reset_and_run, "docker exec": docker_exec, "docker run": docker_run}
        times: dict[str, list[float]] = {name: [] for name in (*ways, "reset alone")}
        for turn in range(20 if options.quick else 200):
            for name, run in ways.items():
                if name == "docker run" and turn % 4:
                    continue
                times[name].append(overhead_ms(run))
                if name == "warm sandbox":
                    began = time.perf_counter()
                    sandbox.reset()
                    times["reset alone"].append((time.perf_counter() - began) * 1000)
    back_to_back = [a + b for a, b in zip(times["warm sandbox"], times["reset alone"], strict=True)]
    times["warm sandbox with its reset"] = back_to_back
    rows = [
        [name, len(ms), *(common.percentile(ms, share) for share in (0.5, 0.9, 0.99))]
        for name, ms in times.items()
    ]
    p50 = common.percentile(times["warm sandbox"], 0.5)
    common.report(
        f"Overhead of a command, ms ({len(copy.files)} files, {len(tar) / 1e6:.1f} MB;"
        f" a sandbox starts in {start_ms:.0f} ms; bar {BAR_MS:.0f} ms)",
        ["way", "runs", "p50", "p90", "p99"],
        rows,
        ("warm run overhead p50", f"{p50:.1f} ms"),
        {"overhead_ms": times, "start_ms": start_ms, "files": len(copy.files)},
        options.json,
    )


def _output(*command: str) -> bytes:
    return subprocess.run(command, check=True, capture_output=True).stdout


if __name__ == "__main__":
    main()
