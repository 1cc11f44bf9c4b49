"""Fixtures of tests that need Docker: the daemon and the base image, brought up where they can be.

    from tests.docker_support import docker_client, image, make_sandbox  # noqa: F401

Where they cannot, such tests are skipped with the reason. `make sandbox` does the long part.
"""

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping

import docker
import pytest

from sandbox import daemon, profile
from sandbox import image as images
from sandbox.container import Sandbox
from sandbox.profile import Limits
from tandem.errors import SandboxError

SMALL = Limits(memory_mb=256, work_mb=64, tmp_mb=32, shm_mb=16, file_mb=48, pids=64)


@pytest.fixture(scope="session")
def docker_client() -> docker.DockerClient:
    """A client of the daemon, which is started if need be."""
    try:
        return daemon.setup(print)
    except SandboxError as error:
        pytest.skip(f"no Docker here: {error}")


@pytest.fixture(scope="session")
def image(docker_client: docker.DockerClient) -> str:
    """The base image's tag."""
    try:
        return images.base_image(docker_client)
    except SandboxError as error:
        pytest.skip(f"no base image here: {error}")


@pytest.fixture
def make_sandbox(
    docker_client: docker.DockerClient, image: str
) -> Iterator[Callable[..., Sandbox]]:
    """Sandboxes of this test: `make_sandbox({"a.py": b"..."}, limits)`."""
    made: list[Sandbox] = []

    def make(files: Mapping[str, bytes] | None = None, limits: Limits = SMALL) -> Sandbox:
        made.append(Sandbox(image, tar_of(files or {}), limits, docker_client))
        return made[-1]

    yield make
    for sandbox in made:
        sandbox.close()


@pytest.fixture(scope="module")
def sandbox(docker_client: docker.DockerClient, image: str) -> Iterator[Sandbox]:
    """One sandbox that a module's tests share, as it is clean after each command."""
    files = {"a.py": b"print(41 + 1)\n", "folder/b.txt": b"b\n"}
    with Sandbox(image, tar_of(files), SMALL, docker_client) as one:
        yield one


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """A tar of plain files by path."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode, member.mtime = len(data), 0o644, 1_700_000_000
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def containers(client: docker.DockerClient, owner: str = "") -> list[str]:
    """Ids of Tandem's containers, running or not; of one owner if it is named."""
    label = f"{profile.OWNER}={owner}" if owner else f"{profile.LABEL}=1"
    return [found["Id"] for found in client.api.containers(all=True, filters={"label": label})]
