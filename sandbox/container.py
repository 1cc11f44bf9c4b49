"""One warm, hardened container that holds a repository and runs commands on it.

    with Sandbox(image, tar) as sandbox:
        ran = sandbox.run(["python3", "-m", "pytest", "-q"], timeout_s=60)

The repository is at /work/repo. After each command nothing of it survives: no process, no file,
no shared memory. What cannot be put right inside costs the container, and a new one takes over.
"""

import inspect
import time
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from types import TracebackType
from typing import Any, Self

import docker

from sandbox import daemon, frames, owner, pristine, profile, runner
from sandbox.process import GRACE_S, Process, Ran
from sandbox.profile import ENVIRONMENT, WORKER, Limits
from sandbox.runner import Capped
from sandbox.wire import STDERR, STDOUT, Gone, Stream, Wire
from tandem.errors import SandboxError

__all__ = ["Process", "Ran", "Sandbox"]

START_S = 60
RESET_S = 30
FOREVER_S = 10**6
# Our modules as the container's Python gets them: no file of ours is in its image.
_MODULES = "import sys, types\n" + "".join(
    f"m = sys.modules[{name!r}] = types.ModuleType({name!r})\n"
    f"exec(compile({text!r}, {name!r}, 'exec'), m.__dict__)\n"
    for name, text in (
        ("sandbox", ""),
        *((m.__name__, inspect.getsource(m)) for m in (frames, pristine, runner)),
    )
)
PYTHON = ("python3", "-I", "-S", "-c")


class Sandbox:
    """See the module. `tar` holds the repository; paths in it are relative to its root.

    Raises SandboxError where no container can be started.
    """

    def __init__(
        self,
        image: str,
        tar: bytes,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        client: docker.DockerClient | None = None,
    ) -> None:
        self.image, self.limits = image, limits
        self.started = 0  # containers so far; more than one means that commands broke some
        self._tar = tar
        self._client = client or daemon.client()
        self._id = ""
        self._keeper: Any = None
        self._wire: Wire | None = None
        self._resetting = False
        self._process: Process | None = None
        self._used = False  # a command ran in this container
        self._start()

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        files: Mapping[str, bytes | None] | None = None,
        cwd: str = "",
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
    ) -> Ran:
        """Run a command to its end.

        `files` are there for this command only (None: not there), by path in the repository. The
        command gets the profile's environment and `env`. Raises SandboxError if Docker fails.
        """
        try:
            wire = self._ask("run", argv, timeout_s, files, cwd, env, stdin)
            return self.ended(*wire.receive(timeout_s + GRACE_S))
        except (Gone, TimeoutError):
            return self.lost()
        except BaseException:  # such as Ctrl-C, in the midst of a frame
            self._discard()
            raise

    def open(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, bytes | None] | None = None,
        cwd: str = "",
        env: Mapping[str, str] | None = None,
    ) -> "Process":
        """Start a command to talk with. Until it is closed the sandbox does nothing else."""
        try:
            wire = self._ask("open", argv, FOREVER_S, files, cwd, env, b"")
        except (Gone, TimeoutError) as error:
            self._discard()
            raise SandboxError("The sandbox ended.", str(error)) from error
        self._process = Process(self, wire)
        return self._process

    def judge(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        files: Mapping[str, bytes | None] | None = None,
        cwd: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Ran:
        """As `run`, but in a container of its own, with nothing of ours beside the command.

        The runner puts the files there and ends first. Docker itself starts the command, reads
        its output and tells its exit code (128 and more for a signal), so that no code in the
        container, ours or its, has a say in that.
        """
        if self._used:
            self._discard()
        try:
            wire = self._ask("prepare", [], 0.0, files, cwd, env, b"")
            if wire.receive(RESET_S)[0]["op"] != "ready":
                raise Gone("the files are not there")
            listed = [f"{k}={v}" for k, v in {**ENVIRONMENT, **(env or {})}.items()]
            command = [*PYTHON, f"{_MODULES}m.become()", "env", "-i", *listed, *argv]
            with daemon.refusals("The sandbox ended before its verdict"):
                return self._by_docker(command, timeout_s, cwd)
        except (Gone, TimeoutError) as error:
            raise SandboxError("The sandbox ended before its verdict.", str(error)) from error
        finally:
            self._discard()

    def reset(self) -> None:
        """Wait until nothing of the last command is left; one that is still open is killed."""
        try:
            self._ready()
        except (Gone, TimeoutError):  # what it left could not be removed
            self._discard()
            self._ready()

    def close(self) -> None:
        """End the container."""
        self._discard()

    def attributes(self) -> dict[str, Any]:
        """What `docker inspect` says of the container, as it runs."""
        self.reset()
        with daemon.refusals("The container cannot be looked at"):
            return self._client.api.inspect_container(self._id)

    def ended(self, header: dict[str, Any], blobs: list[bytes]) -> Ran:
        """What the runner says of a command's end, once it made sense. Raises Gone if not."""
        code, killed = header.get("exit_code"), header.get("killed")
        seconds = header.get("seconds")
        if (
            header["op"] != "ended"
            or len(blobs) != 2
            or not isinstance(code, int | None)
            or not isinstance(killed, str)
            or not isinstance(seconds, float)
        ):
            raise Gone(f"{header['op']} makes no sense here")
        self._resetting, self._process = True, None
        return Ran(code, killed, *blobs, seconds=seconds)

    def lost(self, wire: Wire | None = None) -> Ran:
        """A command took the runner with it: the container goes, too, if it is still that one."""
        if wire in (None, self._wire):
            self._discard()
        return Ran(None, "sandbox", b"", b"", 0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self) -> None:
        try:
            with daemon.refusals("The sandbox did not start"):
                self._launch()
        except BaseException:  # Ctrl-C leaves nothing, either
            self._discard()
            raise

    def _launch(self) -> None:
        arguments = profile.create_arguments(self.image, self.limits, owner.labels())
        api = self._client.api
        self._id = api.create_container_from_config(arguments)["Id"]
        self._keeper = api.attach_socket(self._id, params={"stdin": 1, "stream": 1})
        api.start(self._id)
        command = [*PYTHON, f"{_MODULES}m.main()"]
        made = api.exec_create(self._id, command, stdin=True, user=WORKER, workdir="/work")
        self._wire = Wire(api.exec_start(made["Id"], socket=True))
        self.started += 1
        try:
            self._wire.send({"op": "load"}, self._tar)
            header, _ = self._wire.receive(START_S)
            found = profile.violations(api.inspect_container(self._id), self.limits)
            if found := found + profile.violations_inside(header.get("status", {})):
                raise SandboxError(f"The sandbox is not shut in: {'; '.join(found)}.")
            self._resetting = True
            self._ready()
        except (Gone, TimeoutError) as error:
            why = str(error) or f"it took more than {START_S} s"
            raise SandboxError(f"The sandbox did not start: {why}.") from error

    def _ready(self) -> None:
        """Have a runner that waits for work, in a new container if need be."""
        if self._process is not None:
            self._process.close()
        if self._wire is None:
            self._start()
        assert self._wire is not None
        if self._resetting:
            header, _ = self._wire.receive(RESET_S)
            if header["op"] != "ready":
                raise Gone(f"{header['op']} instead of ready")
            self._resetting = False

    def _ask(
        self,
        op: str,
        argv: Sequence[str],
        timeout_s: float,
        files: Mapping[str, bytes | None] | None,
        cwd: str,
        env: Mapping[str, str] | None,
        stdin: bytes,
    ) -> Wire:
        self.reset()
        assert self._wire is not None
        files = files or {}
        facts = [{"path": p, "gone": data is None, "mode": 0o644} for p, data in files.items()]
        header = {
            "op": op,
            "argv": list(argv),
            "timeout": timeout_s,
            "cwd": cwd,
            "env": {**ENVIRONMENT, **(env or {})},
            "files": facts,
            "output": self.limits.output_kb << 10,
            "flood": self.limits.flood_mb << 20,
        }
        self._used = True
        self._wire.send(header, stdin, *(data or b"" for data in files.values()))
        return self._wire

    def _by_docker(self, argv: list[str], timeout_s: float, cwd: str) -> Ran:
        api, limit = self._client.api, self.limits.output_kb << 10
        streams = {STDOUT: Capped(limit), STDERR: Capped(limit)}
        folder = str(PurePosixPath(runner.REPO, cwd))
        made = api.exec_create(self._id, argv, user=WORKER, workdir=folder)
        began = time.monotonic()
        stream = Stream(api.exec_start(made["Id"], socket=True))
        stream.deadline = began + timeout_s
        killed = ""
        try:
            while sum(each.total for each in streams.values()) <= self.limits.flood_mb << 20:
                kind, data = stream.piece()
                streams[kind].add(data)
            killed = "output"
        except TimeoutError:
            killed = "time"
        except Gone:  # its last word
            pass
        finally:
            stream.close()
        seconds = time.monotonic() - began
        said = [each.text() for each in streams.values()]
        state = api.exec_inspect(made["Id"])
        if not killed and state["Running"]:
            killed = "sandbox"  # it shut its output and goes on
        return Ran(None if killed else state["ExitCode"], killed, *said, seconds=seconds)

    def _discard(self) -> None:
        """End the container, whatever state it is in."""
        if self._wire is not None:
            self._wire.close()
        if self._keeper is not None:
            self._keeper.close()
        if self._id:
            owner.remove(self._client, self._id)
        self._wire, self._keeper, self._id = None, None, ""
        self._resetting, self._process, self._used = False, None, False
