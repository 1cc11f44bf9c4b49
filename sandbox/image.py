"""Images: a base with Python, made offline from Debian, and a layer of a repository's needs."""

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from sandbox import bake, daemon, needs, rootfs, wheels
from tandem import paths
from tandem.errors import SandboxError

VERSION = 4  # of how images are made
TOOLS = ("coverage>=7", "pytest>=8")


def base_image(client: docker.DockerClient | None = None) -> str:
    """The base image's tag: Debian, Python, pytest, coverage. It is made if it is not there.

    Raises SandboxError.
    """
    client = client or daemon.client()
    tag = f"tandem-base:{_key(rootfs.key(), TOOLS)}"
    if _has(client, tag):
        return tag
    bare = f"tandem-debian:{rootfs.key()}"
    if not _has(client, bare):
        client.api.import_image_from_file(str(rootfs.root_file_system()), *bare.split(":"))
    with _wheels_folder() as folder:
        found, said = wheels.gather(TOOLS, [], Path(folder))
        if said:
            raise SandboxError(f"The base image lacks {said[0]}.", "Is there a network?")
        _with_pip(Path(folder))
        bake.bake(client, bare, tag, Path(folder), found)
    return tag


def image_for(
    repository: Path,
    tar: bytes = b"",
    client: docker.DockerClient | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> str:
    """The tag of the image for a repository's tests: the base and what the repository needs.

    `tar` is a copy of the repository, to install itself as editable. The image is cached by what
    the repository's files say that it needs. `tell` gets a line for all that is left out.
    """
    client = client or daemon.client()
    base = base_image(client)
    found = needs.needs(repository)
    if not (found.requirements or found.project):
        return base
    files = [repository / name for name in needs.DESCRIPTIONS]
    texts = [file.read_text("utf-8", "replace") for file in files if file.is_file()]
    tag = f"tandem-repository:{_key(base, found.requirements, found.constraints, texts, bool(tar))}"
    if _has(client, tag):
        return tag
    for line in found.left_out:
        tell(f"left out: {line}")
    with _wheels_folder() as folder:
        wanted, said = wheels.gather(found.requirements, found.constraints, Path(folder))
        builders, more = wheels.gather(found.build, [], Path(folder))
        for line in said + more:
            tell(f"left out: {line}")
        _with_pip(Path(folder))
        own = tar if found.project and len(builders) == len(found.build) else b""
        if failure := bake.bake(client, base, tag, Path(folder), wanted, own):
            tell(f"{found.project} itself could not be installed: {failure}")
    return tag


def _with_pip(folder: Path) -> None:
    """pip installs itself from its own wheel."""
    _, said = wheels.gather(["pip"], [], folder)
    if said:
        raise SandboxError(f"There is no pip for the sandbox: {said[0]}.", "Is there a network?")


def _wheels_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir=paths.private_dir(paths.cache_dir() / "sandbox"))


def _has(client: docker.DockerClient, tag: str) -> bool:
    try:
        client.api.inspect_image(tag)
    except ImageNotFound:
        return False
    return True


def _key(*parts: object) -> str:
    text = json.dumps([VERSION, *parts], default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
