"""The image that a repository names itself: a devcontainer's or a Dockerfile's.

Building one runs the repository's commands as root in a container with a network, and pulling
one runs whatever it holds, so both need a person's yes; see `image.image_for`.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import ImageNotFound

from sandbox import daemon, owner, profile
from sandbox.profile import Limits
from tandem.errors import SandboxError

DEVCONTAINERS = (".devcontainer/devcontainer.json", ".devcontainer.json")
DOCKERFILE = "Dockerfile"
# Comments and commas before an end, both outside of strings, which devcontainer.json may have.
_JSONC = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.S)
_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


@dataclass(frozen=True)
class Named:
    """An image to pull, or a Dockerfile to build with a context; paths in the repository."""

    image: str = ""
    dockerfile: str = ""
    context: str = "."

    def __str__(self) -> str:
        return self.image or self.dockerfile


def named(repository: Path) -> Named | None:
    """What a repository names, if anything. Raises SandboxError if that makes no sense."""
    for name in DEVCONTAINERS:
        file = repository / name
        if not file.is_file():
            continue
        said = _jsonc(file)
        build = said.get("build")
        build = build if isinstance(build, dict) else {}
        where = build.get("dockerfile") or said.get("dockerFile")
        if isinstance(where, str):
            context = build.get("context") or said.get("context") or "."
            return Named(
                dockerfile=_inside(repository, file.parent / where),
                context=_inside(repository, file.parent / str(context)),
            )
        if isinstance(said.get("image"), str):
            return Named(image=said["image"])
    return Named(dockerfile=DOCKERFILE) if (repository / DOCKERFILE).is_file() else None


def bring(client: docker.DockerClient, repository: Path, found: Named) -> str:
    """Pull or build it: the image's id. Raises SandboxError."""
    with daemon.refusals(f"{found} cannot be had"):
        if not found.image:
            built, _ = client.images.build(
                path=str(repository / found.context),
                dockerfile=str((repository / found.dockerfile).resolve()),
                rm=True,
                forcerm=True,
            )
            return str(built.id)
        try:
            return str(client.images.get(found.image).id)
        except ImageNotFound:
            pulled = client.images.pull(found.image)
            return str(pulled[0].id if isinstance(pulled, list) else pulled.id)


def python_of(client: docker.DockerClient, image: str) -> str:
    """The version of the image's python3, as "3.12". Raises SandboxError if it has none."""
    arguments = profile.create_arguments(image, Limits(), owner.labels())
    arguments |= {"Cmd": ["python3", "-c", _VERSION], "OpenStdin": False, "AttachStdin": False}
    arguments["HostConfig"] |= {"AutoRemove": False, "LogConfig": {"Type": "json-file"}}
    container = ""
    try:
        with daemon.refusals(f"The image {image} cannot be used"):
            container = client.api.create_container_from_config(arguments)["Id"]
            client.api.start(container)
            code = client.api.wait(container, timeout=60)["StatusCode"]
            version = client.api.logs(container).decode("utf-8", "replace").strip()
    finally:
        if container:
            owner.remove(client, container)
    if code or not re.fullmatch(r"3\.\d+", version):
        raise SandboxError(f"The image {image} has no python3.", "Sandboxes need one.")
    return version


def _inside(repository: Path, path: Path) -> str:
    path, top = path.resolve(), repository.resolve()
    if not path.is_relative_to(top):
        raise SandboxError(f"{path} is not in the repository.", "Its devcontainer.json names it.")
    return str(path.relative_to(top))


def _jsonc(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(_JSONC.sub(lambda m: m[1] or "", file.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise SandboxError(f"{file.name} cannot be read: {error}.") from error
    return data if isinstance(data, dict) else {}
