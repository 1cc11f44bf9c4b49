"""How a sandbox's container is shut in, and a check that a running one really is.

Nothing of the host is mounted: the repository goes in through a pipe. Nothing can be written but
tmpfs of limited sizes. The first process, which only waits for its stdin to close, has a user of
its own; the runner and the commands have another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEEPER = "10000:10000"
WORKER = "10001:10001"
LABEL = "tandem.sandbox"
OWNER = "tandem.owner"
ENVIRONMENT = {
    "PATH": "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/work/home",
    "LANG": "C.UTF-8",
    "TMPDIR": "/work/tmp",  # tests write scripts there and run them; /tmp is noexec
    "USER": "tandem",
}
MB = 1 << 20
_MUST_BE_EMPTY = (
    *("Privileged", "CapAdd", "Binds", "Mounts", "VolumesFrom", "Links", "ExtraHosts"),
    *("Devices", "DeviceRequests", "DeviceCgroupRules", "PortBindings", "PublishAllPorts"),
    *("PidMode", "UTSMode", "UsernsMode", "OomKillDisable", "GroupAdd", "Dns"),
)


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

    @classmethod
    def of(cls, memory_mb: int, cpus: float) -> "Limits":
        """Folders that, all full, leave half of the memory to processes."""
        parts = {"work_mb": 3 / 8, "tmp_mb": 1 / 16, "shm_mb": 1 / 16, "file_mb": 3 / 8}
        sizes = {name: int(memory_mb * part) for name, part in parts.items()}
        return cls(memory_mb=memory_mb, cpus=cpus, **sizes)


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
            "CgroupnsMode": "private",
            "Memory": limits.memory_mb * MB,
            "MemorySwap": limits.memory_mb * MB,
            "NanoCpus": int(limits.cpus * 1e9),
            "PidsLimit": limits.pids,
            "Ulimits": [{"Name": n, "Soft": v, "Hard": v} for n, v in soft_hard.items()],
            "Init": True,
            "LogConfig": {"Type": "none", "Config": {}},
        },
    }


def violations(attributes: Mapping[str, Any], limits: Limits) -> list[str]:
    """What `docker inspect` says of a running container that is not as it must be."""
    host, config = attributes["HostConfig"], attributes["Config"]
    wanted = create_arguments("", limits, {})
    found = [
        f"{name} is {host.get(name)!r}, not {value!r}"
        for name, value in wanted["HostConfig"].items()
        if name not in ("Ulimits", "LogConfig") and host.get(name) != value
    ]
    ulimits = {each["Name"]: (each["Soft"], each["Hard"]) for each in host.get("Ulimits") or []}
    for each in wanted["HostConfig"]["Ulimits"]:
        if ulimits.get(each["Name"]) != (each["Soft"], each["Hard"]):
            found.append(f"ulimit {each['Name']} is {ulimits.get(each['Name'])}")
    if host.get("LogConfig", {}).get("Type") != "none":
        found.append("its output is logged")
    found += [f"{name} is {host[name]!r}" for name in _MUST_BE_EMPTY if host.get(name)]
    found += [f"{name} is empty" for name in ("MaskedPaths", "ReadonlyPaths") if not host.get(name)]
    if config.get("User") != wanted["User"]:
        found.append(f"its user is {config.get('User')!r}")
    if mounts := attributes.get("Mounts"):
        found.append(f"mounts: {', '.join(mount['Destination'] for mount in mounts)}")
    networks = set(attributes.get("NetworkSettings", {}).get("Networks") or {})
    if networks - {"none"}:
        found.append(f"networks: {', '.join(sorted(networks))}")
    return found


def violations_inside(status: Mapping[str, str]) -> list[str]:
    """What /proc/self/status of the runner shows that is not as it must be."""
    user, group = WORKER.split(":")
    wanted = {
        "Uid": "\t".join([user] * 4),
        "Gid": "\t".join([group] * 4),
        "Groups": group,
        "NoNewPrivs": "1",
        "Seccomp": "2",  # a filter
        **dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16),
    }
    return [f"{k} is {status.get(k)!r}" for k, value in wanted.items() if status.get(k) != value]
