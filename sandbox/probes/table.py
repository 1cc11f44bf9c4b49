"""All probes by name: what the attacker tries, whether the answer must be no, and the control.

`group` is the number in the checklist that the probes follow (docs/sandbox-probes.md has it).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.probes import after, facts, incoming, leaving
from sandbox.probes.bench import SMALL, Bench, Found, Weak
from sandbox.profile import Limits

ROOT: dict[str, Any] = {"User": "0:0"}
_OPEN: dict[str, Any] = {"CapDrop": [], "SecurityOpt": [], "ReadonlyRootfs": False}
UNFILTERED = Weak("no seccomp", {"SecurityOpt": ["seccomp=unconfined"]})
# Not "privileged": that asks for capabilities that a daemon in a virtual machine may not have.
POWERFUL = Weak(
    "as root with SYS_ADMIN and others, nothing filtered or masked",
    {
        "CapDrop": [],
        "CapAdd": [
            *("SYS_ADMIN", "SYS_MODULE", "SYS_BOOT", "SYS_PTRACE", "DAC_READ_SEARCH"),
            *("MKNOD", "SYSLOG"),
        ],
        "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
        "MaskedPaths": [],
        "ReadonlyPaths": [],
    },
    ROOT,
)
CGROUPS = Weak("the host's cgroups mounted", {"Binds": ["/sys/fs/cgroup:/sys/fs/cgroup:rw"]}, ROOT)
AS_ROOT = Weak("as root, writable, all usual capabilities", _OPEN, ROOT)
HOST_NETWORK = Weak("the host's network", {"NetworkMode": "host"}, {"NetworkDisabled": False})
BRIDGE = Weak("a network as Docker makes them", top={"NetworkDisabled": False}, network=True)
SOCKET = Weak(
    "Docker's socket mounted", {"Binds": ["/var/run/docker.sock:/var/run/docker.sock"]}, ROOT
)
ETC = Weak("a folder of the host mounted", {"Binds": ["/etc:/host:ro"]})
LEFT_OPEN = Weak("a folder left open")
NAMED = Weak("the name is in its hosts file", {"ExtraHosts": ["example.org:192.0.2.9"]})
PIDS = Weak("the host's processes", {"PidMode": "host"})
TRACING = Weak(
    "as root with SYS_PTRACE",
    {"CapAdd": ["SYS_PTRACE"], "SecurityOpt": ["seccomp=unconfined"]},
    ROOT,
)
SOME_ENVIRONMENT = Weak("an environment passed on", top={"Env": ["AWS_SECRET_ACCESS_KEY=x"]})
ROOMY = Weak(
    "no limits",
    {
        "Memory": 0,
        "MemorySwap": 0,
        "PidsLimit": -1,
        "Ulimits": [],
        "Tmpfs": {"/work": "rw,size=512m,mode=1777", "/tmp": "rw,exec,size=256m"},  # noqa: S108
    },
)


@dataclass(frozen=True)
class Probe:
    """One attack. `must`: `tandem fix` does not run where it works. `without` is the wall that
    stops it, taken out for the control; a probe without one has its control in itself, or none:
    then `alone` says why."""

    name: str
    group: int
    attack: str
    judge: Callable[[Bench], Found]
    must: bool = True
    without: Weak | None = None
    control: Callable[[Bench], Found] | None = None
    alone: str = ""


def _inside(
    name: str,
    group: int,
    attack: str,
    where: str,
    arguments: Callable[[Bench], tuple[str, ...]] = lambda bench: (),
    *,
    must: bool = True,
    without: Weak | None = None,
    small: bool = False,
    alone: str = "",
) -> Probe:
    """A probe that is an attack from inside: `where` is its module and function."""
    module, function = where.split(".")
    limits = SMALL if small else Limits()

    def judge(bench: Bench) -> Found:
        return bench.attack(module, function, *arguments(bench), limits=limits)

    def control(bench: Bench) -> Found:
        assert without is not None
        if without.network:
            bench.network()  # an argument may be its gateway
        return bench.weakened(without, module, function, *arguments(bench), limits=limits)

    return Probe(name, group, attack, judge, must, without, control if without else None, alone)


def _these(*arguments: str) -> Callable[[Bench], tuple[str, ...]]:
    return lambda bench: arguments


def _host(bench: Bench) -> tuple[str, ...]:
    return (f"127.0.0.1:{bench.port}", f"{bench.gateway()}:{bench.port}", f"[::1]:{bench.port}")


def _gateway(bench: Bench) -> tuple[str, ...]:
    return (f"{bench.gateway()}:53",)


def _open_folder(bench: Bench) -> Found:
    return bench.attack("escape", "leaked_descriptors", "/usr", limits=Limits())


def _open_port(bench: Bench) -> Found:
    with bench.listening(2375):
        return bench.weakened(HOST_NETWORK, "escape", "docker_port", limits=Limits())


_TOLD = "asked, not tried"
_STARTS = "the other probes do start one"

PROBES: tuple[Probe, ...] = (
    Probe("profile", 2, "a container less shut in than asked for", facts.profile, alone=_TOLD),
    _inside("docker-socket", 1, "use a daemon's socket", "escape.docker_socket", without=SOCKET),
    Probe("docker-port", 1, "use a daemon's port",
          lambda b: b.attack("escape", "docker_port", b.gateway(), limits=Limits()),
          without=HOST_NETWORK, control=_open_port),
    _inside("mount", 2, "mount a file system", "kernel.mount", without=POWERFUL),
    _inside("mount-new", 2, "mount by the newer calls", "kernel.new_mount_api", without=POWERFUL),
    _inside("devices", 2, "open the host's disk or memory", "escape.devices", without=POWERFUL),
    _inside("host-mounts", 2, "read a folder of the host", "escape.host_mounts", without=ETC),
    _inside("write-root", 2, "change the image's files", "escape.write_root", without=AS_ROOT),
    _inside("release-agent", 3, "have a cgroup start a program on the host", "kernel.release_agent",
            without=POWERFUL),
    _inside("cgroup-limits", 3, "raise the own limits", "escape.cgroup_limits", without=CGROUPS),
    _inside("kernel-settings", 4, "write core_pattern, modprobe, sysrq and others",
            "escape.kernel_settings", without=POWERFUL),
    _inside("masked-files", 4, "read kcore, keys, firmware", "escape.masked_files", without=POWERFUL),
    _inside("runc-program", 5, "overwrite the program that starts us (CVE-2019-5736)",
            "escape.own_program", without=AS_ROOT),
    Probe("leaked-descriptors", 5, "reach the host by an open folder (CVE-2024-21626)",
          lambda b: b.attack("escape", "leaked_descriptors", limits=Limits()),
          without=LEFT_OPEN, control=_open_folder),
    Probe("runc-version", 5, "a runc with known holes", facts.old_runc, False, alone=_TOLD),
    Probe("docker-version", 5, "a daemon with known holes", facts.old_docker, False, alone=_TOLD),
    _inside("capabilities", 6, "hold a capability, or gain one", "escape.capabilities", without=AS_ROOT),
    _inside("become-root", 6, "become root, by setuid or by asking", "escape.become_root", without=AS_ROOT),
    _inside("open-by-handle", 6, "open files of the host by number (Shocker)",
            "kernel.open_by_handle", without=POWERFUL),
    _inside("trace", 6, "trace the first process or the runner", "kernel.trace_keeper", without=TRACING),
    _inside("kernel-module", 6, "load a kernel module", "kernel.kernel_module", without=POWERFUL),
    _inside("kexec", 6, "start another kernel", "kernel.kexec", without=POWERFUL),
    _inside("raw-socket", 6, "send packets of one's own making", "escape.raw_socket", without=AS_ROOT),
    _inside("seccomp", 7, "make any system call", "kernel.seccomp", without=UNFILTERED),
    _inside("user-namespace", 7, "be root in a namespace of one's own", "kernel.user_namespace",
            without=UNFILTERED),
    _inside("namespaces", 7, "mounts, processes, network of one's own", "kernel.other_namespaces",
            without=POWERFUL),
    _inside("keyctl", 7, "use the kernel's keys", "kernel.keyctl", without=UNFILTERED),
    _inside("userfaultfd", 7, "hold the kernel up at a page", "kernel.userfaultfd", without=POWERFUL),
    _inside("bpf", 7, "load a program into the kernel", "kernel.bpf", without=POWERFUL),
    _inside("perf", 7, "use the kernel's performance events", "kernel.perf", without=POWERFUL),
    _inside("io-uring", 7, "use io_uring, past seccomp", "kernel.io_uring", without=UNFILTERED),
    Probe("apparmor", 7, "no second wall behind seccomp", facts.no_apparmor, False, alone=_TOLD),
    Probe("daemon-root", 7, "root inside is root outside", facts.root_daemon, False, alone=_TOLD),
    Probe("kernel-version", 8, "a kernel with known holes", facts.old_kernel, False, alone=_TOLD),
    Probe("copy-links", 9, "have a file outside copied in by a link", incoming.snapshot_links),
    Probe("archive-slip", 9, "an archive that writes outside", incoming.archive_slip),
    Probe("patch-paths", 9, "a patch that leads out, or to an alias", leaving.patch_paths),
    Probe("patch-kinds", 9, "a patch of links, modes, renames, binaries", leaving.patch_kinds),
    Probe("patch-through-link", 9, "a patch written through a link", leaving.write_through_link),
    Probe("git-programs", 10, "have git run a program of the repository", incoming.git_programs),
    Probe("git-redirect", 10, "have another repository read", incoming.git_folder_redirect),
    Probe("git-history", 10, "find the later fix in the history", incoming.git_history),
    Probe("patch-start-files", 11, "a patch of what runs by itself", leaving.patch_start_files),
    Probe("patch-tests", 12, "a patch of the tests that judge it", leaving.patch_tests),
    _inside("network", 13, "find a network", "reach.interfaces", without=BRIDGE),
    _inside("host-ports", 13, "connect to a server on the host", "reach.connect", _host,
            without=HOST_NETWORK),
    _inside("gateway", 13, "send to the host by UDP", "reach.send", _gateway, without=BRIDGE),
    _inside("internet", 13, "send a packet out, IPv4 and IPv6", "reach.send",
            _these("192.0.2.1:53", "[2001:db8::1]:53"), without=BRIDGE),
    _inside("metadata", 13, "ask a cloud for its credentials", "reach.send",
            _these("169.254.169.254:80"), without=BRIDGE),
    _inside("icmp", 13, "send an ICMP packet out", "reach.ping", _these("192.0.2.1"), without=BRIDGE),
    _inside("dns", 13, "look a name up", "reach.resolve", _these("example.org"),
            without=NAMED),
    _inside("abstract-socket", 13, "connect to a Unix socket without a file",
            "reach.abstract_socket", lambda b: (b.name,), without=HOST_NETWORK),
    _inside("fork-bomb", 14, "500 processes", "exhaust.fork_bomb", _these("500"), small=True,
            without=ROOMY),
    _inside("memory-bomb", 14, "400 MB of memory", "exhaust.memory_bomb", _these("400"),
            small=True, without=ROOMY),
    _inside("disk-fill", 14, "300 MB of files", "exhaust.disk_fill", _these("300"), small=True,
            without=ROOMY),
    _inside("inode-fill", 14, "110,000 files", "exhaust.inode_fill", _these("110000"), small=True,
            without=ROOMY),
    _inside("huge-file", 14, "a file of 400 MB with a hole", "exhaust.huge_file", _these("400"),
            small=True, without=ROOMY),
    _inside("core-dump", 14, "write a core file", "exhaust.core_dump", without=ROOMY),
    _inside("raise-limits", 14, "raise the limits of a process", "exhaust.raise_limits", without=ROOMY),
    Probe("flood", 14, "print a gigabyte", after.flood),
    Probe("endless", 14, "spin, and ignore every signal", after.endless),
    _inside("environment", 15, "find keys in the environment", "reach.environment",
            without=SOME_ENVIRONMENT),
    _inside("credentials", 15, "find credentials in files", "reach.secret_files", without=AS_ROOT),
    _inside("others-environment", 15, "read other processes' environments",
            "reach.others_environment", without=TRACING),
    _inside("keyring", 15, "list the keys of who started us", "reach.keyring", without=POWERFUL),
    _inside("host-processes", 15, "see the host's processes", "escape.host_processes", without=PIDS),
    Probe("copy-secrets", 15, "have secret files copied in", incoming.snapshot_secrets),
    Probe("log-secrets", 15, "have a token written into the log", after.audit_secrets),
    Probe("log-tampering", 15, "change the log of a run unseen", after.audit_tampering),
    Probe("hidden-text", 16, "show one patch and apply another", leaving.patch_hidden_text),
    Probe("residue", 17, "leave something for the next run", after.residue),
    Probe("orphan", 17, "a container that outlives tandem", after.orphan),
    _inside("path-aliases", 18, "the same files by other names", "escape.path_aliases", without=AS_ROOT),
    _inside("noexec", 18, "run a program in /tmp, by the loader too", "escape.noexec_tmp", must=False,
            without=ROOMY),
    Probe("no-daemon", 21, "run without a sandbox: no daemon", after.no_daemon, alone=_STARTS),
    Probe("no-image", 21, "run without a sandbox: no image", after.no_image, alone=_STARTS),
    Probe("no-seccomp", 21, "run where system calls cannot be filtered", facts.seccomp_there, alone=_TOLD),
)  # fmt: skip


def named(name: str) -> Probe:
    return next(probe for probe in PROBES if probe.name == name)
