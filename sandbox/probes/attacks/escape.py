"""Ways out of a container: sockets, devices, cgroups, kernel settings, capabilities, mounts."""

import contextlib
import errno
import glob
import json
import os
import signal
import socket
import stat
import sys

WORK = "/work"
Found = tuple[bool, str]
SOCKETS = (
    *("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"),
    *(
        "/run/podman/podman.sock",
        "/run/crio/crio.sock",
        "/var/run/docker/containerd/containerd.sock",
    ),
)
KNOBS = (
    *("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug"),
    *("/proc/sys/fs/binfmt_misc/register", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper"),
    *(
        "/proc/sys/vm/panic_on_oom",
        "/proc/sys/kernel/randomize_va_space",
        "/proc/irq/default_smp_affinity",
    ),
    *("/sys/kernel/mm/transparent_hugepage/enabled", "/proc/self/attr/exec_host"),
)
MASKED = (
    *("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats"),
    *("/sys/firmware/acpi/tables/DSDT", "/sys/firmware/dmi/tables/DMI", "/proc/acpi/info"),
)


def opened(paths: tuple[str, ...] | list[str], flags: int) -> Found:
    """Which of these files can be opened so; nothing is written."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            os.close(os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK))
            found.append(path)
    return bool(found), f"opened {', '.join(found)}" if found else f"none of {len(paths)} opens"


def docker_socket() -> Found:
    paths = {path for path in SOCKETS if os.path.exists(path)}
    for folder, _, names in os.walk("/run"):
        for name in names:
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(os.stat(os.path.join(folder, name)).st_mode):
                    paths.add(os.path.join(folder, name))
    for path in sorted(paths):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            return True, f"connected to {path}"
    return False, f"no socket of a daemon among {len(SOCKETS)} places and /run"


def docker_port(*hosts: str) -> Found:
    for host in ("127.0.0.1", "172.17.0.1", "host.docker.internal", *hosts):
        for port in (2375, 2376):
            with contextlib.suppress(OSError), socket.socket() as client:
                client.settimeout(1)
                client.connect((host, port))
                return True, f"connected to {host}:{port}"
    return False, "ports 2375 and 2376 are out of reach"


def devices() -> Found:
    """Disks, memory and the kernel's log; or a node of our own for the first disk."""
    found = []
    for path in glob.glob("/dev/**", recursive=True):
        with contextlib.suppress(OSError):
            if stat.S_ISBLK(os.stat(path).st_mode):
                found.append(path)
    found += [
        path for path in ("/dev/mem", "/dev/kmsg", "/dev/port", "/dev/kvm") if os.path.exists(path)
    ]
    found += [path for path in ("/dev/fuse", "/dev/net/tun") if os.path.exists(path)]
    for mode, major, minor in ((stat.S_IFBLK, 8, 0), (stat.S_IFBLK, 254, 0), (stat.S_IFCHR, 1, 1)):
        with contextlib.suppress(OSError):
            os.mknod(f"{WORK}/node", mode | 0o600, os.makedev(major, minor))
            os.unlink(f"{WORK}/node")
            found.append(f"mknod {major}:{minor}")
    return bool(found), ", ".join(found) or "only harmless devices, and mknod is refused"


def cgroup_limits() -> Found:
    """Raise the own limits, or make a group without any."""
    names = ("memory.max", "pids.max", "cgroup.procs", "memory.limit_in_bytes", "notify_on_release")
    paths = [p for name in names for p in glob.glob(f"/sys/fs/cgroup/**/{name}", recursive=True)]
    works, detail = opened(paths, os.O_WRONLY)
    for folder in {os.path.dirname(path) for path in paths}:
        with contextlib.suppress(OSError):
            os.mkdir(f"{folder}/tandem-probe")
            os.rmdir(f"{folder}/tandem-probe")
            return True, f"made a cgroup in {folder}"
    return works, detail


def kernel_settings() -> Found:
    return opened(KNOBS, os.O_WRONLY)


def masked_files() -> Found:
    found = []
    for path in MASKED:
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if file.read(16):
                found.append(path)
    with contextlib.suppress(OSError):
        found += ["/sys/firmware"] if os.listdir("/sys/firmware") else []
    return bool(found), f"read {', '.join(found)}" if found else "all are masked"


def own_program() -> Found:
    """Overwrite the program that started us (CVE-2019-5736)."""
    found = []
    for path in ("/proc/self/exe", "/proc/1/exe", *glob.glob("/proc/[0-9]*/exe")):
        try:
            os.close(os.open(path, os.O_WRONLY))
            found.append(path)
        except OSError as error:
            if error.errno == errno.ETXTBSY:  # it runs now; it could be written a moment later
                found.append(f"{path} (busy)")
    return bool(
        found
    ), f"writable: {', '.join(found[:3])}" if found else "no program can be written"


def leaked_descriptors(*left_open: str) -> Found:
    """Folders of the host that whoever started us left open (CVE-2024-21626); those named here
    stand for such ones."""
    for folder in left_open:
        os.open(folder, os.O_RDONLY)
    top = os.stat("/")
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if stat.S_ISDIR(os.stat(f"/proc/self/fd/{number}").st_mode):
                found.append(os.readlink(f"/proc/self/fd/{number}"))
            above = os.stat(f"/proc/self/fd/{number}/../../../../../../..")
            if (above.st_dev, above.st_ino) != (top.st_dev, top.st_ino):
                found.append(f"{number} leads out")
    # The listing's own descriptor is one, and it is in /proc.
    found = [one for one in found if not one.startswith("/proc/")]
    return bool(found), f"open: {', '.join(found)}" if found else "no folder is left open"


def capabilities() -> Found:
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    sets = {
        name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    }
    held = [f"{name} {value:x}" for name, value in sets.items() if value]
    if status["NoNewPrivs"].strip() != "1":
        held.append("new privileges are allowed")
    return bool(held), ", ".join(held) or "all five sets are empty, no new privileges"


def become_root() -> Found:
    """By asking, by a program of ours with the setuid bit, by one that is there."""
    if os.geteuid() == 0:
        return True, "already root"
    for ask in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0])):
        with contextlib.suppress(PermissionError):
            ask()
            return True, "a user or group of root's is given to who asks"
    with open("/proc/self/status") as file:
        bound = "NoNewPrivs:\t1" in file.read()
    bits = 0
    for folder, _, names in os.walk("/usr"):
        for name in names:
            with contextlib.suppress(OSError):
                bits += bool(os.stat(os.path.join(folder, name)).st_mode & stat.S_ISUID)
    if bits and not bound:
        return True, f"{bits} programs with the setuid bit"
    return False, f"refused; {bits} setuid programs gain nothing"


def raw_socket() -> Found:
    for family, protocol in (
        (socket.AF_INET, 1),
        (socket.AF_PACKET, 0x0300),
        (socket.AF_INET6, 58),
    ):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_RAW, protocol):
            return True, f"a raw socket of family {family.name}"
    return False, "raw sockets are refused"


def write_root() -> Found:
    """Change the image's files, which the next run would use."""
    found = []
    for folder in ("/", "/usr/bin", "/usr/lib/python3", "/opt/venv", "/etc", "/var/tmp", "/opt"):
        with contextlib.suppress(OSError):
            with open(f"{folder}/tandem-probe", "w"):
                pass
            os.unlink(f"{folder}/tandem-probe")
            found.append(folder)
    return bool(
        found
    ), f"wrote in {', '.join(found)}" if found else "the root file system is read-only"


def path_aliases() -> Found:
    """The same files by other names: /proc/self/root, /proc/1/root, a loader that is told to."""
    found = []
    for alias in ("/proc/self/root", "/proc/thread-self/root", "/proc/1/root", "/proc/self/cwd"):
        for inside in ("/usr/bin/tandem-probe", "/etc/tandem-probe", "/../../../etc/tandem-probe"):
            with contextlib.suppress(OSError):
                with open(f"{alias}{inside}", "w"):
                    pass
                os.unlink(f"{alias}{inside}")
                found.append(f"wrote {alias}{inside}")
    top, alias = os.stat("/"), os.stat("/proc/self/root/../..")
    if (top.st_dev, top.st_ino) != (alias.st_dev, alias.st_ino):
        found.append("/proc/self/root/.. leads out")
    return bool(found), ", ".join(found) or "they lead to the same closed places"


def noexec_tmp() -> Found:
    """Run a program from where none may run, by itself and by the loader."""
    copy = "/tmp/program"
    with open("/bin/true", "rb") as source, open(copy, "wb") as target:
        target.write(source.read())
    os.chmod(copy, 0o755)
    loaders = glob.glob("/lib*/ld-linux*") + glob.glob("/lib/*/ld-linux*")
    for command in ([copy], *([loader, copy] for loader in loaders)):
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(OSError), open(os.devnull, "w") as null:
                os.dup2(null.fileno(), 2)
                os.execv(command[0], command)
            os._exit(99)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
            return True, f"{' '.join(command)} ran"
    return False, "neither by itself nor by the loader"


def host_mounts() -> Found:
    """What of the host's disks is mounted here, beside the three files that Docker makes."""
    usual = {"/", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts", "/sbin/docker-init"} | {
        "/usr/sbin/docker-init"
    }
    with open("/proc/self/mountinfo") as file:
        rows = [line.split() for line in file]
    found = []
    for row in rows:
        kind = row[row.index("-") + 1]
        if row[4] not in usual and kind not in (
            "proc",
            "sysfs",
            "tmpfs",
            "devpts",
            "mqueue",
            "cgroup",
            "cgroup2",
        ):
            found.append(f"{row[4]} ({kind})")
    return bool(found), f"mounted: {', '.join(found)}" if found else "nothing of the host's disks"


def host_processes() -> Found:
    """See or signal processes outside: few are seen, and the first is ours."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    with open("/proc/1/cmdline", "rb") as file:
        first = file.read().replace(b"\0", b" ").decode("utf-8", "replace")
    if len(pids) > 20 or "init" not in first.split(" ")[0]:
        return True, f"{len(pids)} processes, the first is {first}"
    with contextlib.suppress(OSError):
        os.kill(1, 0)
        return True, "the first process may be signalled"
    return False, f"{len(pids)} processes, all of this container"


if __name__ == "__main__":
    signal.alarm(60)
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
