"""How a sandbox's container is shut in, and a check that a running one really is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The container's first process has a user of its own, so that no command can reach into it.
KEEPER = "10000:10000"
WORKER = "10001:10001"
LABEL = "tandem.sandbox"
OWNER = "tandem.owner"
ENVIRONMENT = {
    "PATH": "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/work/home",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",  # noqa: S108
    "USER": "tandem",
}
MB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What one container may use."""

    memory_mb: int = 1024
    cpus: float = 1.0
    pids: int = 256
    work_mb: int = 384
    tmp_mb: int = 128
    shm_mb: int = 64
    file_mb: int = 256
    open_files: int = 1024
    output_kb: int = 512  # what is kept of stdout, and of stderr
    flood_mb: int = 64  # a command that prints more is killed


def create_arguments(image: str, limits: Limits, labels: Mapping[str, str]) -> dict[str, Any]:
    """What `POST /containers/create` gets, in the words of Docker's API."""
    tmpfs = "rw,nosuid,nodev,mode=1777,nr_inodes=100k"
    soft_hard = {
        "nofile": limits.open_files,
        "fsize": limits.file_mb * MB,
        "core": 0,
    }
    return {
        "Image": image,
        "Cmd": ["cat"],  # ends when its stdin closes, and so does the container
        "User": KEEPER,
        "Env": [],
        "WorkingDir": "/",
        "Entrypoint": [],
        "Labels": {LABEL: "1", **labels},
        "AttachStdin": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "NetworkDisabled": True,
        "HostConfig": {
            "AutoRemove": True,
            "NetworkMode": "none",
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": True,
            "Tmpfs": {
                "/work": f"{tmpfs},exec,size={limits.work_mb}m",
                "/tmp": f"{tmpfs},noexec,size={limits.tmp_mb}m",  # noqa: S108
            },
            "ShmSize": limits.shm_mb * MB,
            "IpcMode": "private",
            "Memory": limits.memory_mb * MB,
            "MemorySwap": limits.memory_mb * MB,
            "NanoCpus": int(limits.cpus * 1e9),
            "PidsLimit": limits.pids,
            "Ulimits": [{"Name": n, "Soft": v, "Hard": v} for n, v in soft_hard.items()],
            "Init": True,
            "LogConfig": {"Type": "none", "Config": {}},
        },
    }
