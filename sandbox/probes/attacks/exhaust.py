"""Use up what the host has, or leave something behind for the next run."""

import contextlib
import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import sys
import time

Found = tuple[bool, str]
MARK = "tandem-probe-residue"
PLACES = ("/work/repo", "/work/home", "/work", "/tmp", "/dev/shm")
MB = 1 << 20
_NO_ROOM = (errno.EFBIG, errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENOENT)


def fork_bomb(bound: str) -> Found:
    """As many processes as there may be, at most `bound`; all end with us."""
    pids = []
    try:
        while len(pids) < int(bound):
            pid = os.fork()
            if pid == 0:
                signal.pause()
                os._exit(0)
            pids.append(pid)
    except OSError as error:
        return False, f"{len(pids)} processes, then: {error.strerror}"
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return True, f"{len(pids)} processes"


def memory_bomb(megabytes: str) -> Found:
    """Take and touch so much memory, in a child that may be killed for it."""
    pid = os.fork()
    if pid == 0:
        try:
            held = [mmap.mmap(-1, 16 * MB) for _ in range(int(megabytes) // 16)]
            for one in held:
                for at in range(0, 16 * MB, 4096):
                    one[at] = 1
        except (OSError, MemoryError):
            os._exit(3)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code == 0, f"{megabytes} MB are held" if code == 0 else f"ended with {code}"


def disk_fill(megabytes: str) -> Found:
    """Write more than so much, everywhere that can be written, in files of 100 MB."""
    written, block = 0, b"x" * MB
    with contextlib.suppress(OSError):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for place in PLACES:
        for number in range(int(megabytes) // 100 + 1):
            try:
                with open(f"{place}/fill-{number}", "wb", buffering=0) as file:
                    for _ in range(100):
                        if written >= int(megabytes):
                            return True, f"{written} MB are written"
                        written += file.write(block) // MB
            except OSError:
                break
    return False, f"{written} MB, then no room"


def inode_fill(count: str) -> Found:
    made = 0
    os.makedirs("/work/repo/inodes", exist_ok=True)
    try:
        for made in range(int(count)):
            os.mknod(f"/work/repo/inodes/{made}")
    except OSError as error:
        return False, f"{made} files, then: {error.strerror}"
    return True, f"{made + 1} files"


def huge_file(megabytes: str) -> Found:
    """A file with a hole: it takes no room until someone copies it."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for place in PLACES:
        try:
            with open(f"{place}/huge", "wb") as file:
                file.truncate(int(megabytes) * MB)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
        else:
            return True, f"{megabytes} MB in {place}"
    return False, "too large everywhere"


def core_dump() -> Found:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    return (soft, hard) != (0, 0), f"core files of {hard} bytes"


def raise_limits() -> Found:
    found = []
    for name in ("NOFILE", "FSIZE", "CORE"):
        kind = getattr(resource, f"RLIMIT_{name}")
        _, hard = resource.getrlimit(kind)
        if hard == resource.RLIM_INFINITY:
            found.append(f"{name} has none")
            continue
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (hard + 1, hard + 1))
            found.append(name)
    return bool(found), f"raised: {', '.join(found)}" if found else "no limit can be raised"


def flood(megabytes: str) -> Found:
    block = b"y" * MB
    for _ in range(int(megabytes)):
        os.write(1, block)
        os.write(2, b"z" * 4096)
    return True, "all of it was taken"


def spin() -> Found:
    """Never end, and do not listen."""
    for number in range(1, 32):
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    signal.alarm(0)
    while True:
        pass


def stay(*_: str) -> Found:
    """Leave a process, files, shared memory and changed files behind."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in range(1, 32):
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, signal.SIG_IGN)
            signal.alarm(0)
            ctypes.CDLL(None).prctl(15, MARK[:15].encode(), 0, 0, 0)
            for descriptor in range(3):
                os.close(descriptor)
            while True:
                time.sleep(1)
        os._exit(0)
    os.wait()
    for place in (*PLACES, "/work/repo/__pycache__"):
        with contextlib.suppress(OSError):
            os.makedirs(place, exist_ok=True)
            os.mkfifo(f"{place}/{MARK}-pipe")
            with open(f"{place}/{MARK}", "w") as file:
                file.write("left")
            os.chmod(f"{place}/{MARK}", 0o4777)
    before = os.stat("/work/repo/module.py")
    with open("/work/repo/module.py", "r+b") as file:
        file.write(b"X")  # as long as it was, and as old
    os.utime("/work/repo/module.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.link("/work/repo/linked.py", "/work/home/other-name")
    for path in ("/work/repo/mapped.py", "/work/home/other-name"):
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            mapped[0:1] = b"X"  # which changes no time at all
    os.unlink("/work/home/other-name")
    ctypes.CDLL(None).shmget(0x7A4D, 4096, 0o1600)
    time.sleep(0.2)
    return look()


def look(*_: str) -> Found:
    """What of that is here."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as file:
            if file.read().strip() == MARK[:15]:
                found.append(f"process {pid}")
    for place in (*PLACES, "/work/repo/__pycache__"):
        found += [place] if os.path.lexists(f"{place}/{MARK}") else []
        found += ["pipe"] if os.path.lexists(f"{place}/{MARK}-pipe") else []
    for name in ("module.py", "mapped.py", "linked.py"):
        with open(f"/work/repo/{name}", "rb") as file:
            found += [f"{name} changed"] if file.read(1) == b"X" else []
    with open("/proc/sysvipc/shm") as file:
        found += [f"shared memory {len(rows) - 1}"] if len(rows := file.readlines()) > 1 else []
    return bool(found), ", ".join(found) or "nothing"


if __name__ == "__main__":
    signal.alarm(60)
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
