"""The Docker daemon: a client, and what to do where there is none."""

import contextlib
import os
import shutil
from pathlib import Path

import docker
from docker.errors import DockerException

from tandem.errors import SandboxError

TIMEOUT_S = 120
SOCKET = "/var/run/docker.sock"
SETUP = "Run: tandem sandbox setup"


def client() -> docker.DockerClient:
    """A client of a daemon that answers. Raises SandboxError that says what is missing."""
    try:
        found = docker.DockerClient.from_env(timeout=TIMEOUT_S)
        found.ping()
    except DockerException as error:
        raise SandboxError(*_missing()) from error
    return found


def works() -> bool:
    with contextlib.suppress(SandboxError):
        client().close()
        return True
    return False


def _missing() -> tuple[str, str]:
    """What happened and what to do."""
    host = os.environ.get("DOCKER_HOST")
    if host:
        return f"The Docker daemon at DOCKER_HOST={host} does not answer.", "Start it, or unset it."
    if Path(SOCKET).exists() and not os.access(SOCKET, os.R_OK | os.W_OK):
        return (
            f"You may not use Docker's socket {SOCKET}.",
            "Join its group (sudo usermod -aG docker $USER) and log in again.",
        )
    if shutil.which("dockerd") is None and shutil.which("docker") is None:
        return "Docker is not installed.", SETUP
    return "The Docker daemon does not run.", SETUP
