"""The Docker daemon: a client, and bringing it up where there is none.

A daemon that answers is used as it is. On Debian (and its like), as root, `setup` installs
Docker from Debian's own packages and starts it; elsewhere it says the one command to run.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import requests
from docker.errors import APIError, DockerException

from tandem import paths
from tandem.errors import SandboxError

TIMEOUT_S = 120  # of one question to the daemon
STARTS_S = 90
SOCKET = Path("/var/run/docker.sock")
SETUP = "Run: tandem sandbox setup"
PACKAGES = ("docker.io", "iptables", "mmdebstrap", "debian-archive-keyring")
PROGRAMS = ("dockerd", "iptables", "mmdebstrap")


def client() -> docker.DockerClient:
    """A client of a daemon that answers. Raises SandboxError that says what is missing."""
    try:
        found = docker.DockerClient.from_env(timeout=TIMEOUT_S)
        found.ping()
    except (DockerException, requests.RequestException) as error:
        raise SandboxError(*_missing()) from error
    return found


def works() -> bool:
    """Whether a daemon answers."""
    with contextlib.suppress(SandboxError):
        client().close()
        return True
    return False


@contextlib.contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turn what Docker or the way to it says into a SandboxError: "`what`: the reason"."""
    try:
        yield
    except APIError as error:
        raise SandboxError(f"{what}: {_line(error.explanation or error)}.") from error
    except (DockerException, requests.RequestException, OSError) as error:
        message, hint = (f"{what}: {_line(error)}.", "") if works() else _missing()
        raise SandboxError(message, hint) from error


def _line(said: object) -> str:
    return " ".join(str(said).split())[:300].rstrip(".")


def setup(tell: Callable[[str], None]) -> docker.DockerClient:
    """A client, after installing and starting what is missing. Raises SandboxError if it cannot.

    `tell` gets a line for each thing that takes long.
    """
    may_install = os.geteuid() == 0 and shutil.which("apt-get") is not None
    if may_install and not all(map(shutil.which, PROGRAMS)) and not works():
        tell(f"installing {', '.join(PACKAGES)} with apt-get")
        _apt("update")
        _apt("install", "--yes", "--no-install-recommends", *PACKAGES)
    if not works():
        _start(tell)
    if may_install and shutil.which("mmdebstrap") is None:
        tell("installing mmdebstrap with apt-get")
        _apt("update")
        _apt("install", "--yes", "--no-install-recommends", *PACKAGES[2:])
    return client()


def _start(tell: Callable[[str], None]) -> None:
    """Start the daemon and wait until it answers."""
    dockerd = shutil.which("dockerd")
    if os.environ.get("DOCKER_HOST") or dockerd is None or os.geteuid() != 0:
        message, _ = _missing()
        raise SandboxError(message, _by_hand(dockerd is not None))
    tell("starting the Docker daemon")
    if Path("/run/systemd/system").exists():
        subprocess.run(["systemctl", "start", "docker"], capture_output=True, timeout=STARTS_S)
    else:
        paths.private_dir(paths.state_dir())
        with _log().open("ab") as stream:
            # It outlives us, as a service would.
            subprocess.Popen(
                [dockerd],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
    deadline = time.monotonic() + STARTS_S
    while not works():
        if time.monotonic() > deadline:
            raise SandboxError("The Docker daemon did not start.", f"Its log: {_log()}")
        time.sleep(0.2)


def _log() -> Path:
    return paths.state_dir() / "dockerd.log"


def _apt(*arguments: str) -> None:
    try:
        subprocess.run(
            ["apt-get", "--quiet", *arguments],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        raise SandboxError(f"apt-get {arguments[0]} failed: {last}.") from error


def _missing() -> tuple[str, str]:
    """What happened and what to do."""
    host = os.environ.get("DOCKER_HOST")
    if host:
        return f"The Docker daemon at DOCKER_HOST={host} does not answer.", _by_hand(False)
    if SOCKET.exists() and not os.access(SOCKET, os.R_OK | os.W_OK):
        return f"You may not use Docker's socket {SOCKET}.", _by_hand(False)
    if shutil.which("dockerd") is None and shutil.which("docker") is None:
        return "Docker is not installed.", SETUP
    return "The Docker daemon does not run.", SETUP


def _by_hand(installed: bool) -> str:
    """The one command that a person must run, as setup may not."""
    if os.environ.get("DOCKER_HOST"):
        return "Start it, or unset DOCKER_HOST."
    if SOCKET.exists() and not os.access(SOCKET, os.R_OK | os.W_OK):
        return "Run: sudo usermod -aG docker $USER   (and log in again)"
    if installed:
        return "Run: sudo systemctl start docker"
    if shutil.which("apt-get"):
        return f"Run: sudo apt-get install {' '.join(PACKAGES)}"
    return "Install Docker: https://docs.docker.com/engine/install"
