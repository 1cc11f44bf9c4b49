"""`tandem sandbox setup` and `run` as a person runs them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import docker
import pytest
import requests

from sandbox import daemon
from tandem.errors import SandboxError
from tests.docker_support import docker_client, image

__all__ = ["docker_client", "image"]


def tandem(
    *arguments: str, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tandem", "sandbox", *arguments]
    place = {"PYTHONPATH": str(Path(__file__).parent.parent)}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=280,
        cwd=folder,
        env={**os.environ, **place, **environment},
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "a.py").write_text("import sys\nprint(41 + 1)\nsys.exit(len(sys.argv) - 1)\n")
    (folder / ".gitignore").write_text("ignored\n")
    (folder / "ignored").write_text("x")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run([*git, "init", "-q"], cwd=folder, check=True)
    subprocess.run([*git, "add", "."], cwd=folder, check=True)
    subprocess.run([*git, "commit", "-qm", "first"], cwd=folder, check=True)
    return folder


def test_setup_says_what_is_there(image: str) -> None:
    done = tandem("setup")
    assert done.returncode == 0, done
    assert done.stdout.startswith("Sandboxes are ready: Docker ")
    assert image in done.stdout


def test_a_command_runs_on_a_copy(image: str, repository: Path) -> None:
    done = tandem("run", "--", "python3", "a.py", "--flag", "x", folder=repository)
    assert (done.returncode, done.stdout) == (2, "42\n"), done
    done = tandem("run", "--repository", str(repository), "--", "ls", "-A")
    assert "ignored" not in done.stdout.split()
    assert "a.py" in done.stdout.split()


def test_what_it_changes_stays_inside(image: str, repository: Path) -> None:
    done = tandem("run", "--", "sh", "-c", "rm a.py; touch new; echo no >&2; ls", folder=repository)
    assert (done.returncode, done.stdout) == (0, "new\n"), done
    assert done.stderr.endswith("no\n")
    assert (repository / "a.py").exists()
    assert not (repository / "new").exists()


def test_a_command_out_of_time_is_killed_and_says_so(image: str, repository: Path) -> None:
    done = tandem("run", "--timeout", "1", "--", "sleep", "1000", folder=repository)
    assert done.returncode == 124
    assert done.stderr.strip().endswith("killed: out of time")


def test_a_signal_is_told_as_a_shell_does(image: str, repository: Path) -> None:
    done = tandem("run", "--", "sh", "-c", "kill -SEGV $$", folder=repository)
    assert done.returncode == 128 + 11


def test_wrong_usage_is_one_line(image: str, tmp_path: Path) -> None:
    done = tandem("run", "--repository", str(tmp_path / "nowhere"), "--", "true")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert tandem("run").returncode == 2


def test_without_a_daemon_nothing_runs_and_the_reason_is_told(repository: Path) -> None:
    """Above all not on the host."""
    nowhere = "unix:///nonexistent/docker.sock"
    done = tandem(
        "run", "--", "touch", str(repository / "ran"), folder=repository, DOCKER_HOST=nowhere
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        f"tandem: The Docker daemon at DOCKER_HOST={nowhere} does not answer."
        " Start it, or unset DOCKER_HOST."
    ]
    assert not (repository / "ran").exists()
    done = tandem("setup", DOCKER_HOST=nowhere)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1)


def test_a_client_that_nobody_answers_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert not daemon.works()
    with pytest.raises(SandboxError, match="unset DOCKER_HOST"):
        daemon.client()


def test_a_daemon_that_runs_is_used_as_it_is(docker_client: docker.DockerClient) -> None:
    said: list[str] = []
    again = daemon.setup(said.append)
    assert again.info()["ID"] == docker_client.info()["ID"]
    again.close()
    assert not [line for line in said if "daemon" in line]


def test_who_may_not_start_it_is_told_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As somebody else than root, with no daemon there."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(daemon, "works", lambda: False)
    monkeypatch.setattr(daemon, "SOCKET", tmp_path / "docker.sock")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SandboxError, match="Run: sudo "):
        daemon.setup(print)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SandboxError, match="Docker is not installed"):
        daemon.setup(print)


def test_a_daemon_that_does_not_run_is_started_and_outlives_us(
    docker_client: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second daemon, with places of its own, as the first must go on."""
    real = shutil.which("dockerd")
    if os.geteuid() or real is None:
        pytest.skip("starting a daemon takes root and dockerd")
    # A socket's path is at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="tandem-", dir="/tmp") as place:
        program = tmp_path / "dockerd"
        program.write_text(
            f"#!/bin/sh\nexec {real} --host unix://{place}/sock --pidfile {place}/pid"
            f" --data-root {place}/data --exec-root {place}/exec --bridge none --iptables=false\n"
        )
        program.chmod(0o755)
        there = docker.DockerClient(base_url=f"unix://{place}/sock", version="1.41")

        def works() -> bool:
            try:
                return there.ping()
            except requests.RequestException:
                return False

        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "home"))
        monkeypatch.delenv("DOCKER_HOST", raising=False)
        monkeypatch.setattr(daemon, "works", works)
        monkeypatch.setattr(daemon, "client", lambda: there)
        said: list[str] = []
        try:
            assert daemon.setup(said.append) is there
            assert said == ["starting the Docker daemon"]
            assert there.info()["DockerRootDir"] == f"{place}/data"
            assert (tmp_path / "home/state/dockerd.log").stat().st_size > 0
        finally:
            there.close()
            pid = int(Path(place, "pid").read_text())
            assert os.getsid(pid) != os.getsid(0)
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
