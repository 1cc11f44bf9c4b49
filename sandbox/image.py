"""Images: a base with Python, made offline from Debian, and a layer of a repository's needs."""

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
from docker.errors import APIError
from filelock import FileLock

from sandbox import bake, daemon, named, needs, rootfs, wheels
from tandem import paths
from tandem.errors import SandboxError

VERSION = 4  # of how images are made
LAYERS = "tandem-repository"
KEPT = 20  # layers of repositories, the newest
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
    with _alone(), _wheels_folder() as folder:
        if _has(client, tag):  # somebody else made it meanwhile
            return tag
        if not _has(client, bare):
            file = str(rootfs.root_file_system())
            with daemon.refusals("The base image could not be made"):
                client.api.import_image_from_file(file, *bare.split(":"))
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
    use_named: bool = False,
) -> str:
    """The tag of the image for a repository's tests: the base and what the repository needs.

    `tar` is a copy of the repository, to install itself as editable. The image is cached by what
    the repository's files say that it needs. `tell` gets a line for all that is left out.
    `use_named` is a person's yes to the Dockerfile or devcontainer.json of the repository, which
    then takes the place of our base. Raises SandboxError.
    """
    client = client or daemon.client()
    found = needs.needs(repository)
    own = named.named(repository)
    if own and use_named:
        base = named.bring(client, repository, own)
        python = named.python_of(client, base)
        found.requirements += TOOLS
    else:
        if own:
            tell(f"not used: {own}, which the repository names")
        base, python = base_image(client), needs.PYTHON
    if not (found.requirements or found.project):
        return base
    tag = _layer(repository, found, base, bool(tar))
    if _has(client, tag):
        return tag
    for line in found.left_out:
        tell(f"left out: {line}")
    with _alone(), _wheels_folder() as folder:
        if _has(client, tag):
            return tag
        wanted, said = wheels.gather(found.requirements, found.constraints, Path(folder), python)
        builders, more = wheels.gather(found.build, [], Path(folder), python)
        for line in said + more:
            tell(f"left out: {line}")
        _with_pip(Path(folder), python)
        source = tar if found.project and len(builders) == len(found.build) else b""
        if failure := bake.bake(client, base, tag, Path(folder), wanted, source):
            tell(f"{found.project} itself could not be installed: {failure}")
    _forget_old(client)
    return tag


def lend(tag: str, repository: Path, client: docker.DockerClient | None = None) -> None:
    """Let the image `tag` be the one that a repository installs itself in, and none be made.

    For many states of one repository that hardly differ in what they need. Raises SandboxError.
    """
    client = client or daemon.client()
    found, base = needs.needs(repository), base_image(client)
    if found.requirements or found.project:
        name, _, version = _layer(repository, found, base, True).partition(":")
        with daemon.refusals("The image could not be named"):
            client.api.tag(tag, name, version)


def _layer(repository: Path, found: needs.Needs, base: str, installed: bool) -> str:
    """The tag of a repository's image, by what its files say."""
    files = [repository / name for name in needs.DESCRIPTIONS]
    texts = [file.read_text("utf-8", "replace") for file in files if file.is_file()]
    return f"{LAYERS}:{_key(base, found.requirements, found.constraints, texts, installed)}"


def _forget_old(client: docker.DockerClient) -> None:
    """Remove the oldest layers; one that is in use stays."""
    with daemon.refusals("Docker's images cannot be listed"):
        layers = client.api.images(LAYERS)
    for layer in sorted(layers, key=lambda each: -each["Created"])[KEPT:]:
        with contextlib.suppress(APIError):
            client.api.remove_image(layer["Id"])


def _with_pip(folder: Path, python: str = needs.PYTHON) -> None:
    """pip installs itself from its own wheel."""
    _, said = wheels.gather(["pip"], [], folder, python)
    if said:
        raise SandboxError(f"There is no pip for the sandbox: {said[0]}.", "Is there a network?")


def _wheels_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir=paths.private_dir(paths.cache_dir() / "sandbox"))


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two processes that need the same image make it once."""
    with FileLock(paths.private_dir(paths.cache_dir() / "sandbox") / "images.lock"):
        yield


def _has(client: docker.DockerClient, tag: str) -> bool:
    with daemon.refusals("Docker's images cannot be listed"):
        return bool(client.api.images(tag))


def _key(*parts: object) -> str:
    text = json.dumps([VERSION, *parts], default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
