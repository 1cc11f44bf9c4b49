"""Runs inside a container: one command after another, and removes all that each one left.

The host sends the text of this file and of those that it imports to the container's Python, so
they need nothing but the standard library. It talks over stdin and stdout in frames, and ends
when stdin closes.

It shares its user with the commands and needs no capability: `kill(-1)` reaches each process of
that user, daemons too, and as a subreaper it knows when the last one is gone. It is not dumpable,
so that no command can trace it or reach its memory and its descriptors. A command may kill it;
then the host throws the container away, as after anything that cannot be put right in here.
"""

import contextlib
import ctypes
import os
import resource
import selectors
import signal
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.frames import Closed, Frame, pack, read_exactly, unpack, write_all
from sandbox.pristine import Entry, Pristine, entries, generated, make, remove

WORK = "/work"
REPO = "/work/repo"
FOLDERS = ("repo", "home", "tmp")
SCRATCH = ("/tmp", "/dev/shm", "/dev/mqueue")  # noqa: S108
# Out of memory, the command goes before the runner.
LAUNCH = ("sh", "-c", 'echo 1000 >/proc/self/oom_score_adj; exec "$@"', "sh")
CHUNK = 1 << 16
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER = 4, 22, 36
# io_uring does what other calls do, past any filter of those; Docker lets it through before
# version 25. A program for the kernel: refuse calls 425 to 427 (the same on all processors, with
# or without the bit of x32), let all others go on to Docker's own filter.
NO_IO_URING = (
    (0x20, 0, 0, 0),  # load the call's number
    (0x54, 0, 0, 0xBFFFFFFF),
    (0x35, 0, 2, 425),
    (0x25, 1, 0, 427),
    (0x06, 0, 0, 0x00050001),  # EPERM
    (0x06, 0, 0, 0x7FFF0000),
)
OOM_COUNTERS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


class Capped:
    """The head and the tail of a stream, at most `limit` bytes, and how much it was in all."""

    def __init__(self, limit: int) -> None:
        self.limit, self.total = limit // 2, 0
        self.head, self.tail = b"", b""

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self.limit - len(self.head)
        self.head += data[:room]
        if data[room:]:
            self.tail = (self.tail + data[room:])[-self.limit :]

    def text(self) -> bytes:
        cut = self.total - len(self.head) - len(self.tail)
        line = f"\n[... {cut} bytes cut ...]\n".encode() if cut else b""
        return self.head + line + self.tail


def remove_ipc(libc: ctypes.CDLL) -> None:
    """Remove System V shared memory, semaphores and queues, which outlive their processes."""
    for kind, control in (("shm", libc.shmctl), ("sem", libc.semctl), ("msg", libc.msgctl)):
        with open(f"/proc/sysvipc/{kind}", encoding="ascii") as lines:
            for line in lines.readlines()[1:]:
                identity = int(line.split()[1])
                # IPC_RMID is 0; semctl takes the semaphore's number before the command.
                control(identity, 0, 0) if kind == "sem" else control(identity, 0, None)


def end_all() -> None:
    """Kill every other process of this user, and return when the last is gone."""
    while True:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def own_limits() -> tuple[object, ...]:
    """What a command of the same user could have changed about this process."""
    names = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))
    limits = [resource.getrlimit(getattr(resource, name)) for name in names]
    return (*limits, os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0))


def own_status() -> dict[str, str]:
    """What the kernel says of this process: users, capabilities, filters."""
    with open("/proc/self/status", encoding="ascii") as lines:
        pairs = (line.rstrip("\n").split(":", 1) for line in lines)
        return {name: value.strip() for name, value in pairs}


def refuse(libc: ctypes.CDLL, filter: tuple[tuple[int, int, int, int], ...]) -> None:
    """Add a filter of system calls, for this process and all that it starts."""
    code = b"".join(struct.pack("HBBI", *line) for line in filter)
    held = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(filter), ctypes.addressof(held))
    result = libc.prctl(PR_SET_SECCOMP, 2, ctypes.c_char_p(program), 0, 0)
    assert result == 0, "system calls cannot be filtered"


def out_of_memory_kills() -> int:
    for file in OOM_COUNTERS:
        with contextlib.suppress(OSError), open(file, encoding="ascii") as lines:
            return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return 0


@dataclass
class End:
    """How a command ended; `killed` is why it was killed, or empty."""

    exit_code: int | None = None
    killed: str = ""
    seconds: float = 0.0


class Runner:
    """Serves frames until the host closes the connection. Raises Closed then."""

    def __init__(self) -> None:
        self.libc = ctypes.CDLL(None)
        self.libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        self.libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        refuse(self.libc, NO_IO_URING)
        self.woken, wake = os.pipe()
        for end in (self.woken, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.work = Pristine(WORK, {})
        self.limits = own_limits()

    def serve(self) -> None:
        while True:
            header, blobs = self.receive()
            if header["op"] == "load":
                files = {**generated(), **entries(blobs[0])}
                tree = dict.fromkeys(FOLDERS, Entry(stat.S_IFDIR, 0o755, 0, b""))
                tree |= {f"repo/{path}": entry for path, entry in files.items()}
                self.work = Pristine(WORK, tree)
                self.send({"op": "status", "status": own_status()})
                self.reset()
            elif header["op"] == "prepare":
                self.write(header, blobs[1:])
                self.send({"op": "ready"})
                return
            else:
                self.write(header, blobs[1:])
                self.run(header, blobs[0])
                self.reset()

    def receive(self) -> Frame:
        return unpack(lambda size: read_exactly(0, size))

    def send(self, header: dict[str, Any], *blobs: bytes) -> None:
        write_all(1, pack(header, *blobs))

    def reset(self) -> None:
        """Leave nothing of the last command: processes, files, shared memory."""
        began = time.perf_counter()
        end_all()
        self.work.restore()
        for folder in SCRATCH:
            for name in os.listdir(folder):
                remove(os.path.join(folder, name))
        remove_ipc(self.libc)
        assert own_limits() == self.limits, "a command changed the runner's limits"
        self.send({"op": "ready", "seconds": time.perf_counter() - began})

    def write(self, header: dict[str, Any], blobs: list[bytes]) -> None:
        """Put files for one command into the repository; those with `gone` are removed."""
        for file, data in zip(header["files"], blobs, strict=True):
            path = os.path.join(REPO, file["path"])
            if os.path.lexists(path):
                remove(path)
            if not file["gone"]:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                make(path, Entry(stat.S_IFREG, file["mode"], time.time_ns(), data))

    def run(self, header: dict[str, Any], stdin: bytes) -> None:
        """One command, from its start to the frame that tells how it ended."""
        interactive = header["op"] == "open"
        output, errors = Capped(header["output"]), Capped(header["output"])
        oom_kills = out_of_memory_kills()
        sink = (lambda data: self.send({"op": "output"}, data)) if interactive else output.add
        began = time.perf_counter()
        end = End()
        try:
            command = Command(header, sink, errors.add)
        except OSError as error:  # the folder is not there, or an argument is too long
            end.exit_code = 126
            errors.add(f"{error.filename or header['argv'][0]}: {error.strerror}\n".encode())
        else:
            command.pending, command.keep_stdin = stdin, interactive
            while not command.ended(end, self.woken):
                if command.stdin_asked:
                    message, blobs = self.receive()
                    if message["op"] != "input":
                        end.killed = "closed"
                        break
                    command.pending += blobs[0]
                if output.total + errors.total > header["flood"]:
                    end.killed = "output"
                    break
            end.seconds = time.perf_counter() - began
            end_all()
            command.drain()
            if end.exit_code == -signal.SIGKILL and out_of_memory_kills() > oom_kills:
                end.killed = "memory"
        if end.killed:
            end.exit_code = None
        self.send({"op": "ended", **vars(end)}, output.text(), errors.text())


class Command:
    """A process and its three pipes. Raises OSError if it cannot be started."""

    def __init__(
        self,
        header: dict[str, Any],
        output: Callable[[bytes], None],
        errors: Callable[[bytes], None],
    ) -> None:
        self.process = subprocess.Popen(
            [*LAUNCH, *header["argv"]],
            cwd=os.path.join(REPO, header["cwd"]),
            env=header["env"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        pipes = (self.process.stdin, self.process.stdout, self.process.stderr)
        self.stdin, stdout, stderr = (pipe.fileno() for pipe in pipes if pipe is not None)
        self.sinks = {stdout: output, stderr: errors}
        self.pending, self.keep_stdin, self.stdin_asked = b"", False, False
        self.deadline = time.monotonic() + header["timeout"]
        self.ready = selectors.DefaultSelector()
        for descriptor in (self.stdin, stdout, stderr):
            os.set_blocking(descriptor, False)
        for descriptor in self.sinks:
            self.ready.register(descriptor, selectors.EVENT_READ)

    def ended(self, end: End, woken: int) -> bool:
        """Wait for the next event and handle it; whether that was the end."""
        self.feed()
        for descriptor in (0, woken):
            if descriptor not in self.ready.get_map():
                self.ready.register(descriptor, selectors.EVENT_READ)
        rest = self.deadline - time.monotonic()
        events = {key.fd for key, _ in self.ready.select(max(0.0, rest))}
        self.stdin_asked = 0 in events
        for descriptor in [d for d in self.sinks if d in events]:
            if not self.take(descriptor):
                self.ready.unregister(descriptor)
                del self.sinks[descriptor]
        if woken in events:
            os.read(woken, CHUNK)
            for pid, status in reaped():
                if pid == self.process.pid:
                    self.process.returncode = end.exit_code = os.waitstatus_to_exitcode(status)
        if end.exit_code is None and rest <= 0:
            end.killed = "time"
        return end.exit_code is not None or bool(end.killed)

    def feed(self) -> None:
        """Write what the command takes of its input now, and close it after the last."""
        if self.stdin < 0:
            return
        waiting = self.stdin in self.ready.get_map()
        try:
            self.pending = self.pending[os.write(self.stdin, self.pending) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self.pending = b""
        if self.pending and not waiting:
            self.ready.register(self.stdin, selectors.EVENT_WRITE)
        elif waiting and not self.pending:
            self.ready.unregister(self.stdin)
        if not (self.pending or self.keep_stdin):
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.stdin = -1

    def take(self, descriptor: int) -> bool:
        """Pass on what is there to read; False at the end of the stream."""
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return True
        if data:
            self.sinks[descriptor](data)
        return bool(data)

    def drain(self) -> None:
        """What is still in the pipes, when nobody is left to write into them."""
        for descriptor in self.sinks:
            while self.take(descriptor):
                pass
        self.ready.close()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def reaped() -> Iterator[tuple[int, int]]:
    """Each child that has ended, with its status; those of commands that left them, too."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, status


def main() -> None:
    sys.setrecursionlimit(5000)
    with contextlib.suppress(Closed):
        Runner().serve()


def become() -> None:
    """Be the command that the arguments name, with the filter that the runner's commands have."""
    refuse(ctypes.CDLL(None), NO_IO_URING)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - no shell is what is wanted
