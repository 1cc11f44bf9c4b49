"""Bake wheels, and a repository's own installation, into a layer on top of an image.

All that runs while baking runs in a container without a network, as a plain user: installing
unpacks wheels, and a repository's build backend is code like any other. Only the root file system
can be written, as it is what becomes the layer.
"""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import docker

from sandbox import daemon, owner, profile
from sandbox.profile import WORKER, Limits
from tandem.errors import SandboxError

LIMITS = Limits(memory_mb=2048, cpus=2.0, pids=512, file_mb=4096)
USER = int(WORKER.split(":")[0])
WHEELS = "opt/wheels"
STEP_S = 900
BUILD_S = 900  # of the repository itself
TIMED_OUT = 137  # as timeout(1) kills itself, too
# An image gets its container's labels, and by them the reaper would end what others run of it.
NOT_OURS = f"LABEL {profile.LABEL}=image {profile.OWNER}="
# A version for build backends that ask git, which is not here.
VERSION = "99.0.0"
GENERATED = "/opt/venv/generated.tar"  # the runner looks there
_VENV = (
    "test -x /opt/venv/bin/python || python3 -m venv --without-pip --system-site-packages /opt/venv"
)
_PIP = "exec /opt/venv/bin/python $(ls /opt/wheels/pip-*.whl | tail -1)/pip --quiet --no-cache-dir install"
_OFFLINE = "--no-index --find-links /opt/wheels --no-warn-script-location --root-user-action ignore"
# Files that a build wrote into the tree, such as a version's; each later copy gets them, too.
_LIST = "cd /work/repo && find . -type f | sort >/work/tmp/before"
_GENERATED = (
    "find . -type f | grep -vE '/(__pycache__|build|[^/]*[.]egg-info)/' | sort"
    f" | comm -13 /work/tmp/before - | tar -cf {GENERATED} -T -"
)


def bake(
    client: docker.DockerClient,
    image: str,
    tag: str,
    wheels: Path,
    requirements: Sequence[str],
    project: bytes = b"",
) -> str:
    """Make the image `tag`: `image` with a venv that holds `requirements` from `wheels`.

    `project` is a tar of a repository to install as editable, or empty. Returns what went wrong
    with that, or an empty string. Raises SandboxError for all else.
    """
    arguments = profile.create_arguments(image, LIMITS, owner.labels())
    arguments["HostConfig"] |= {"ReadonlyRootfs": False, "Tmpfs": {}, "AutoRemove": False}
    container = ""
    try:
        with daemon.refusals("The image could not be made"):
            container = client.api.create_container_from_config(arguments)["Id"]
            keeper: Any = client.api.attach_socket(container, params={"stdin": 1, "stream": 1})
            client.api.start(container)
            client.api.put_archive(container, "/", _layout(wheels, project))
            _must(client, container, _VENV)
            if requirements:
                _must(client, container, f'{_PIP} {_OFFLINE} "$@"', *requirements)
            failure = _install(client, container) if project else ""
            _must(client, container, "rm -rf /opt/wheels/* /work/* /tmp/*")
            name, _, version = tag.partition(":")
            client.api.commit(container, name, version, changes=[NOT_OURS])
            keeper.close()
            return failure
    finally:
        if container:
            owner.remove(client, container)


def _install(client: docker.DockerClient, container: str) -> str:
    _must(client, container, _LIST)
    command = f"{_PIP} {_OFFLINE} --no-deps -e /work/repo"
    code, said = _run(client, container, command, limit_s=BUILD_S)
    if code == TIMED_OUT:
        return f"it took more than {BUILD_S} s"
    if code:
        return (said.strip().splitlines() or ["pip failed"])[-1][:300]
    _must(client, container, f"cd /work/repo && {_GENERATED}")
    return ""


def _layout(wheels: Path, project: bytes) -> bytes:
    """The folders and files to begin with, all of the worker."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        made: set[str] = set()

        def folder(path: PurePosixPath) -> None:
            """Docker would make it root's."""
            if str(path) not in made:
                made.add(str(path))
                tar.addfile(_owned(tarfile.TarInfo(str(path)), tarfile.DIRTYPE))

        # A tmpfs takes over the mode of the folder that it covers.
        work = tarfile.TarInfo("work")
        work.type, work.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(work)
        for name in ("opt/venv", WHEELS, "work/home", "work/repo", "work/tmp"):
            folder(PurePosixPath(name))
        for wheel in sorted(wheels.glob("*.whl")):
            tar.add(wheel, f"{WHEELS}/{wheel.name}", filter=_owned)
        if project:
            with tarfile.open(fileobj=io.BytesIO(project)) as source:
                for member in source:
                    stream = source.extractfile(member) if member.isreg() else None
                    path = PurePosixPath("work/repo", member.name)
                    for parent in list(path.parents)[-4::-1]:
                        folder(parent)
                    member.name = str(path)
                    tar.addfile(_owned(member), stream)
    return buffer.getvalue()


def _owned(member: tarfile.TarInfo, kind: bytes | None = None) -> tarfile.TarInfo:
    if kind is not None:
        member.type, member.mode = kind, 0o755
    member.uid = member.gid = USER
    member.uname = member.gname = ""
    return member


def _must(client: docker.DockerClient, container: str, script: str, *arguments: str) -> None:
    code, said = _run(client, container, script, *arguments)
    if code:
        last = (said.strip().splitlines() or [f"exit code {code}"])[-1]
        raise SandboxError(f"The image could not be made: {last[:300]}.")


def _run(
    client: docker.DockerClient,
    container: str,
    script: str,
    *arguments: str,
    limit_s: int = STEP_S,
) -> tuple[int, str]:
    """A shell script in the container, as the worker: its exit code and what it said."""
    made = client.api.exec_create(
        container,
        ["timeout", "-s", "KILL", str(limit_s), "sh", "-c", script, "sh", *arguments],
        user=WORKER,
        environment={
            **profile.ENVIRONMENT,
            "SETUPTOOLS_SCM_PRETEND_VERSION": VERSION,
            "PDM_BUILD_SCM_VERSION": VERSION,
        },
    )
    said = client.api.exec_start(made["Id"])
    return client.api.exec_inspect(made["Id"])["ExitCode"], said.decode("utf-8", "replace")
