"""The sandbox's benchmark runs and says what it promises to say."""

import json
import subprocess
import sys
from pathlib import Path

from tests.docker_support import docker_client, image

__all__ = ["docker_client", "image"]
REPOSITORY = Path(__file__).parent.parent


def test_sandbox_prints_its_headline_and_writes_its_figures(image: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.sandbox", "--quick", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    times = figures["overhead_ms"]
    assert set(times) >= {"warm sandbox", "docker exec", "docker run", "reset alone"}
    assert all(min(each) > 0 for each in times.values())
    median = sorted(times["warm sandbox"])[len(times["warm sandbox"]) // 2]
    assert done.stdout.splitlines()[-1] == f"headline: warm run overhead p50 {median:.1f} ms"
