"""Images: a base with Python, made offline from Debian, and a layer of a repository's needs."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from sandbox import daemon
from tandem import paths
from tandem.errors import SandboxError

SUITE = "bookworm"
PACKAGES = ("python3",)
# Bytes that no test reads.
LEFT_OUT = ("man", "doc", "locale", "info")
NAME = "tandem-base"


def base_image(client: docker.DockerClient | None = None) -> str:
    """The base image's tag; it is made if it is not there. Raises SandboxError."""
    client = client or daemon.client()
    tag = f"{NAME}:{_key()}"
    try:
        client.api.inspect_image(tag)
    except ImageNotFound:
        client.api.import_image_from_file(str(root_file_system()), NAME, _key())
    return tag


def image_for(repository: Path, client: docker.DockerClient | None = None) -> str:
    """The image that a repository's tests run in: the base and what the repository needs."""
    return base_image(client)


def root_file_system() -> Path:
    """A tar of a small Debian with Python, kept in the cache. Raises SandboxError."""
    file = paths.cache_dir() / "sandbox" / f"{NAME}-{_key()}.tar"
    if file.exists():
        return file
    if shutil.which("mmdebstrap") is None or os.geteuid() != 0:
        raise SandboxError("There is no base image.", daemon.SETUP)
    paths.private_dir(file.parent)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        made = Path(folder) / "root.tar"
        subprocess.run(_command(made), check=True, capture_output=True)
        made.replace(file)
    return file


def _command(file: Path) -> list[str]:
    left_out = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT]
    return [
        "mmdebstrap",
        "--variant=essential",
        f"--include={','.join(PACKAGES)}",
        "--dpkgopt=force-unsafe-io",
        '--aptopt=Acquire::Languages "none"',
        *left_out,
        SUITE,
        str(file),
    ]


def _key() -> str:
    return hashlib.sha256(repr((SUITE, PACKAGES, LEFT_OUT)).encode()).hexdigest()[:12]
