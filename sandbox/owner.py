"""Whose container is it: labels that name the process that started it, and a reaper by them."""

import contextlib
import os
import uuid

import docker
import psutil
import requests
from docker.errors import DockerException

from sandbox.profile import LABEL, OWNER


def labels() -> dict[str, str]:
    """Labels of this process."""
    return {OWNER: f"{machine()}/{os.getpid()}/{psutil.Process().create_time():.2f}"}


def machine() -> str:
    """A name of this machine: a daemon may serve several."""
    return f"{uuid.getnode():x}"


def reap(client: docker.DockerClient) -> int:
    """Remove this machine's sandboxes whose process is gone. How many they were."""
    removed = 0
    for found in client.api.containers(all=True, filters={"label": f"{LABEL}=1"}):
        owner = found["Labels"].get(OWNER, "")
        if owner.startswith(f"{machine()}/") and not _lives(owner):
            remove(client, found["Id"])
            removed += 1
    return removed


def remove(client: docker.DockerClient, identity: str) -> None:
    """Kill and remove a container; it may be gone, or going, already."""
    with contextlib.suppress(DockerException, requests.RequestException):
        client.api.remove_container(identity, force=True, v=True)


def _lives(owner: str) -> bool:
    _, pid, started = owner.split("/")
    with contextlib.suppress(psutil.Error):
        return abs(psutil.Process(int(pid)).create_time() - float(started)) < 1
    return False
