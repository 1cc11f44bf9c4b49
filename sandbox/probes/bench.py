"""Where probes are tried: real sandboxes, and the same container with one wall taken out.

The second is a probe's control. It shows that the attack works where nothing stops it, so that a
probe which holds says something. No command of a repository is ever run in it, only `attacks`.
"""

import contextlib
import copy
import io
import json
import secrets
import socket
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import docker
from docker.errors import APIError

from sandbox import owner, profile
from sandbox.container import Ran, Sandbox
from sandbox.probes import attacks
from sandbox.profile import Limits

# So small that a bomb is at its bound within seconds.
SMALL = Limits(memory_mb=192, work_mb=48, tmp_mb=16, shm_mb=16, pids=64, file_mb=32, flood_mb=8)
TIMEOUT_S = 90
MODULE = b"value = 1\n"


@dataclass(frozen=True)
class Weak:
    """A wall taken out: changes to what `POST /containers/create` gets."""

    told: str
    host: Mapping[str, Any] = field(default_factory=dict)
    top: Mapping[str, Any] = field(default_factory=dict)

    network: bool = False  # it has a network of its own, as Docker makes them

    def of(self, arguments: dict[str, Any]) -> dict[str, Any]:
        changed = copy.deepcopy(arguments)
        changed["HostConfig"] |= dict(self.host)
        return changed | dict(self.top)


@dataclass(frozen=True)
class Found:
    """What became of an attack. `detail` says what it saw, in one line."""

    worked: bool
    detail: str


class Broken(Exception):
    """A probe did not come to an answer: it counts as one that does not hold."""


class Bench:
    """Two sandboxes, one as `tandem fix` has them and a small one, and listeners on the host."""

    def __init__(self, image: str, client: docker.DockerClient) -> None:
        self.image, self.client = image, client
        self.name = f"tandem-{secrets.token_hex(8)}"
        self.port = 0
        self._network = ""
        self._stack = contextlib.ExitStack()
        self._boxes: dict[Limits, Sandbox] = {}

    def __enter__(self) -> "Bench":
        self.port = self._stack.enter_context(_listener(socket.AF_INET, ("0.0.0.0", 0)))  # noqa: S104
        if sys.platform == "linux":  # no other system has sockets without a file
            self._stack.enter_context(_listener(socket.AF_UNIX, f"\0{self.name}"))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def box(self, limits: Limits) -> Sandbox:
        """The sandbox with these limits; it is started when first asked for."""
        if limits not in self._boxes:
            started = Sandbox(self.image, repository(), limits, self.client)
            self._stack.callback(started.close)
            self._boxes[limits] = started
        return self._boxes[limits]

    def network(self) -> str:
        """A network such as containers usually have; it is made when first asked for, and goes
        with the bench. Docker's own, which others use, is left alone."""
        if not self._network:
            try:
                made = self.client.networks.create(self.name, driver="bridge")
            except APIError as error:
                raise Broken(f"Docker refused: {error.explanation}") from error
            self._stack.callback(made.remove)
            self._network = self.name
        return self._network

    def gateway(self) -> str:
        """The host's address there; where there is none, the one that Docker usually takes."""
        if not self._network:
            return "172.17.0.1"
        return self.client.api.inspect_network(self._network)["IPAM"]["Config"][0]["Gateway"]

    @contextlib.contextmanager
    def listening(self, port: int) -> Iterator[None]:
        """A server on a port of the host's own, for a while. Raises Broken if it is taken."""
        try:
            with _listener(socket.AF_INET, ("127.0.0.1", port)):
                yield
        except OSError as error:
            raise Broken(f"port {port}: {error.strerror}") from error

    def attack(self, module: str, name: str, *arguments: str, limits: Limits) -> Found:
        """Try an attack in a sandbox as it is."""
        ran = self.run(module, name, *arguments, limits=limits)
        if ran.killed in ("memory", "output"):
            return Found(False, f"killed: {ran.killed}")
        if ran.exit_code != 0 or ran.killed:
            raise Broken(_why(ran.killed or f"exit code {ran.exit_code}", ran.stderr))
        return found(ran.stdout)

    def run(
        self, module: str, name: str, *arguments: str, limits: Limits, timeout_s: float = TIMEOUT_S
    ) -> Ran:
        command = ["python3", "-I", "-c", attacks.source(module), name, *arguments]
        return self.box(limits).run(command, timeout_s=timeout_s)

    def weakened(
        self, weak: Weak, module: str, name: str, *arguments: str, limits: Limits
    ) -> Found:
        """Try it where one wall is missing."""
        api = self.client.api
        plain = profile.create_arguments(self.image, limits, owner.labels())
        plain |= {"Cmd": ["python3", "-I", "-c", attacks.source(module), name, *arguments]}
        plain |= {"AttachStdin": False, "OpenStdin": False, "StdinOnce": False}
        plain["HostConfig"] |= {
            "AutoRemove": False,
            "LogConfig": {"Type": "json-file", "Config": {}},
        }
        changed = weak.of(plain)
        if weak.network:
            changed["HostConfig"]["NetworkMode"] = self.network()
        made = ""
        try:
            made = api.create_container_from_config(changed)["Id"]
            api.start(made)
            code = api.wait(made, timeout=TIMEOUT_S)["StatusCode"]
            if code != 0:
                raise Broken(_why(f"exit code {code}", api.logs(made, stdout=False)))
            return found(api.logs(made, stderr=False))
        except APIError as error:
            raise Broken(f"Docker refused: {error.explanation}") from error
        finally:
            if made:
                owner.remove(self.client, made)


def expect(condition: bool, control: str) -> None:
    """A probe whose control fails says nothing."""
    if not condition:
        raise Broken(f"its control failed: {control}")


def found(output: bytes) -> Found:
    """What an attack printed. It ran inside: nothing of it is trusted but its two fields."""
    try:
        worked, detail = json.loads(output.splitlines()[-1])
    except (ValueError, IndexError, TypeError, RecursionError) as error:
        raise Broken(f"it printed no answer: {output[:80]!r}") from error
    if not isinstance(worked, bool) or not isinstance(detail, str):
        raise Broken("its answer makes no sense")
    return Found(worked, detail[:300])


def repository() -> bytes:
    """A repository of three modules, as an archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("module.py", "mapped.py", "linked.py"):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(MODULE), 1_700_000_000
            archive.addfile(info, io.BytesIO(MODULE))
    return buffer.getvalue()


@contextlib.contextmanager
def _listener(family: socket.AddressFamily, address: Any) -> Iterator[int]:
    """Take connections and end them at once; the port, if there is one."""
    with socket.socket(family) as server:
        server.bind(address)
        server.listen()
        threading.Thread(target=_take, args=(server,), daemon=True).start()
        name = server.getsockname()
        try:
            yield name[1] if isinstance(name, tuple) else 0
        finally:
            with contextlib.suppress(OSError):  # wakes the thread
                server.shutdown(socket.SHUT_RDWR)


def _take(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            server.accept()[0].close()


def _why(how: str, errors: bytes) -> str:
    last = errors.decode("utf-8", "replace").strip().splitlines()[-1:]
    return f"{how}: {last[0]}" if last else how
