"""Try every probe, say which hold, and refuse where one that must hold does not.

    results = check(image, client)

A probe that breaks counts as one that does not hold.
"""

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException

from sandbox import daemon, image, profile
from sandbox.probes.bench import Bench, Broken, Found
from sandbox.probes.table import PROBES, Probe
from sandbox.profile import Limits
from tandem import paths
from tandem.errors import SandboxError, TandemError

FORMAT = 1
# What a check says is believed for so long, on the same daemon, kernel, image and code.
BELIEVED_S = 24 * 3600


@dataclass(frozen=True)
class Result:
    """What became of one probe. `control`: whether its attack worked where its wall was missing,
    None if that was not tried. `reason` is one line."""

    probe: Probe
    holds: bool
    reason: str
    seconds: float
    control: bool | None = None

    @property
    def fails(self) -> bool:
        """Whether nothing may run here for it."""
        return self.probe.must and not self.holds

    def to_json(self) -> dict[str, Any]:
        one = self.probe
        return {
            "name": one.name,
            "group": one.group,
            "attack": one.attack,
            "must_hold": one.must,
            "holds": self.holds,
            "reason": self.reason,
            "control": self.control,
            "seconds": round(self.seconds, 3),
        }


def check(
    image: str,
    client: docker.DockerClient,
    probes: Iterable[Probe] = PROBES,
    controls: bool = False,
    tell: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Try probes in sandboxes of an image; `tell` gets each result as it is known.

    `controls` tries each attack also where its wall is missing, in privileged containers among
    others: for Tandem's own tests and documents. Raises SandboxError if no sandbox can be started.
    """
    results = []
    with Bench(image, client) as bench:
        bench.box(Limits())  # if this fails there is nothing to probe
        for probe in probes:
            results.append(_tried(probe, bench, controls))
            tell(results[-1])
    return results


def must_hold(tell: Callable[[str], None] = lambda line: None) -> None:
    """Return if every probe that must hold does. Raises SandboxError, with the first, if not.

    A check that was passed is believed for a day, if nothing that it depends on has changed.
    """
    client = daemon.client()
    base = image.base_image(client)
    key = _key(client, base)
    if _believed(key):
        return
    tell("trying whether the sandbox holds, which takes half a minute or so")
    failing = [result for result in check(base, client) if result.fails]
    if failing:
        first = failing[0]
        more = f" and {len(failing) - 1} more" if len(failing) > 1 else ""
        raise SandboxError(
            f"The sandbox does not hold: {first.probe.name}{more} ({first.reason}).",
            "Nothing is run here. See: tandem sandbox check",
        )
    remember(client, base)


def remember(client: docker.DockerClient, base: str) -> None:
    """Write down that a whole check was passed. A folder that cannot be written costs the next
    run another check, and nothing else."""
    said = {"v": FORMAT, "key": _key(client, base), "time": time.time()}
    try:
        with paths.atomic_write(_file()) as stream:
            json.dump(said, stream)
    except OSError:
        return


def _believed(key: str) -> bool:
    try:
        said = json.loads(_file().read_bytes())
        age = time.time() - said["time"]
        return said["v"] == FORMAT and said["key"] == key and 0 <= age < BELIEVED_S
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _file() -> Path:
    return paths.state_dir() / "sandbox-check.json"


def _key(client: docker.DockerClient, base: str) -> str:
    """A digest of what a check's outcome depends on, as far as it can be asked for."""
    try:
        info, version = client.info(), client.version()
        found = client.api.inspect_image(base)["Id"]
    except DockerException as error:
        raise SandboxError("The Docker daemon does not answer.", daemon.SETUP) from error
    told = [
        *(
            info.get(name)
            for name in ("SecurityOptions", "CgroupVersion", "KernelVersion", "Runtimes")
        ),
        *(version.get(name) for name in ("Version", "Components")),
        found,
        profile.create_arguments(base, Limits(), {}),
        Path("/proc/sys/kernel/random/boot_id").read_text() if Path("/proc/sys").exists() else "",
    ]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode())
    folder = Path(profile.__file__).parent
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _tried(probe: Probe, bench: Bench, controls: bool) -> Result:
    began = time.perf_counter()
    control = None
    try:
        found = probe.judge(bench)
        holds, reason = not found.worked, found.detail
        if controls and probe.control:
            control, told = _control(probe.control, bench)
            if control is False:
                holds = False
            reason += told
    except Broken as error:
        holds, reason = False, f"the probe broke: {error}"
    except (TandemError, DockerException, OSError) as error:
        holds, reason = False, f"the probe broke: {type(error).__name__}: {error}"
    line = " ".join(reason.split())
    return Result(probe, holds, line, time.perf_counter() - began, control)


def _control(attack: Callable[[Bench], Found], bench: Bench) -> tuple[bool | None, str]:
    """Whether an attack works without its wall, and what to say of it."""
    try:
        found = attack(bench)
    except Broken as error:  # a daemon that may not take this wall out
        return None, f" (no control: {error})"
    if not found.worked and os.strerror(errno.ENOSYS) in found.detail:
        return None, " (no control: this kernel does not have it)"
    return found.worked, "" if found.worked else f" (its control fails too: {found.detail})"
