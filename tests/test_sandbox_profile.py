"""How a container is shut in: what Docker says of a running one, and what it looks like inside."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from sandbox import container, profile
from sandbox.container import Sandbox
from sandbox.profile import Limits, violations, violations_inside
from tandem.errors import SandboxError
from tests.docker_support import SMALL, docker_client, image, make_sandbox, sandbox

__all__ = ["docker_client", "image", "make_sandbox", "sandbox"]


@pytest.fixture(scope="module")
def attributes(sandbox: Sandbox) -> dict[str, Any]:
    return sandbox.attributes()


def test_a_running_container_is_as_it_must_be(attributes: dict[str, Any]) -> None:
    assert violations(attributes, SMALL) == []
    host = attributes["HostConfig"]
    assert attributes["State"]["Running"]
    assert (host["NetworkMode"], host["CapDrop"], host["ReadonlyRootfs"]) == ("none", ["ALL"], True)
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Memory"] == host["MemorySwap"] == SMALL.memory_mb << 20
    assert host["Init"] is True
    assert attributes["Mounts"] == []
    assert attributes["Config"]["User"].split(":")[0] not in ("", "0", "root")


LOOSER = {
    "NetworkMode": "bridge",
    "CapDrop": [],
    "CapAdd": ["SYS_ADMIN"],
    "Privileged": True,
    "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"],
    "ReadonlyRootfs": False,
    "Tmpfs": {"/work": ""},
    "Memory": 0,
    "MemorySwap": -1,
    "NanoCpus": 0,
    "PidsLimit": None,
    "Init": None,
    "IpcMode": "host",
    "PidMode": "host",
    "UTSMode": "host",
    "UsernsMode": "host",
    "CgroupnsMode": "host",
    "ShmSize": 1 << 40,
    "LogConfig": {"Type": "json-file", "Config": {}},
    "Ulimits": [{"Name": "core", "Soft": -1, "Hard": -1}],
    "Binds": ["/:/host"],
    "Devices": [{"PathOnHost": "/dev/kvm"}],
    "DeviceRequests": [{"Driver": "nvidia"}],
    "PortBindings": {"80/tcp": []},
    "ExtraHosts": ["host:host-gateway"],
    "VolumesFrom": ["other"],
    "AutoRemove": False,
    "MaskedPaths": [],
    "ReadonlyPaths": None,
}


@pytest.mark.parametrize("name", LOOSER)
def test_anything_looser_is_seen(attributes: dict[str, Any], name: str) -> None:
    looser = copy.deepcopy(attributes)
    looser["HostConfig"][name] = LOOSER[name]
    assert violations(looser, SMALL)


def test_another_user_a_mount_or_a_network_is_seen(attributes: dict[str, Any]) -> None:
    for change in (
        {"Config": {**attributes["Config"], "User": "0"}},
        {"Mounts": [{"Destination": "/host", "Source": "/"}]},
        {"NetworkSettings": {"Networks": {"bridge": {}}}},
    ):
        assert len(violations({**attributes, **change}, SMALL)) == 1


def test_other_limits_than_asked_for_are_seen(attributes: dict[str, Any]) -> None:
    assert violations(attributes, Limits(**{**vars(SMALL), "pids": SMALL.pids - 1}))


def status(sandbox: Sandbox) -> dict[str, str]:
    ran = sandbox.run(["cat", "/proc/self/status"], timeout_s=30)
    pairs = (line.split(":", 1) for line in ran.stdout.decode().splitlines())
    return {name: value.strip() for name, value in pairs}


def test_a_command_has_no_capability_and_a_filter(sandbox: Sandbox) -> None:
    assert violations_inside(status(sandbox)) == []


def test_a_capability_or_a_missing_filter_is_seen(sandbox: Sandbox) -> None:
    good = status(sandbox)
    for change in (
        {"CapBnd": "00000000a80425fb"},
        {"CapEff": "0000000000000001"},
        {"NoNewPrivs": "0"},
        {"Seccomp": "0"},
        {"Uid": "0\t0\t0\t0"},
        {"Groups": "0 10001"},
    ):
        assert len(violations_inside({**good, **change})) == 1
    assert violations_inside({})


def test_a_sandbox_that_is_not_shut_in_is_not_used(
    make_sandbox: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that ignores what it is asked for, played by asking for less."""
    asked = profile.create_arguments

    def less(*arguments: Any) -> dict[str, Any]:
        given = asked(*arguments)
        given["HostConfig"]["CapDrop"] = []
        return given

    with monkeypatch.context() as patch:
        patch.setattr(container.profile, "create_arguments", less)
        # What must be is asked of the same function, so only the kernel's view tells here.
        with pytest.raises(SandboxError, match="CapBnd"):
            make_sandbox()


WRITABLE = """
import os
for folder, folders, names in os.walk("/"):
    folders[:] = [f for f in folders if os.path.join(folder, f) not in ("/proc", "/sys")]
    if os.access(folder, os.W_OK):
        print(folder)
        folders.clear()
"""


def test_only_limited_folders_can_be_written(sandbox: Sandbox) -> None:
    ran = sandbox.run(["python3", "-c", WRITABLE], timeout_s=60)
    assert set(ran.stdout.decode().split()) == {"/work", "/tmp", "/dev/shm", "/dev/mqueue"}


def test_the_folders_have_the_sizes_and_flags_they_should(sandbox: Sandbox) -> None:
    ran = sandbox.run(["cat", "/proc/mounts"], timeout_s=30)
    options = {}
    for line in ran.stdout.decode().splitlines():
        _, place, kind, flags, *_ = line.split()
        options[place] = (kind, set(flags.split(",")))
    assert "ro" in options["/"][1]
    for place, size, flags in (
        ("/work", SMALL.work_mb, {"rw", "nosuid", "nodev"}),
        ("/tmp", SMALL.tmp_mb, {"rw", "nosuid", "nodev", "noexec"}),
        ("/dev/shm", SMALL.shm_mb, {"rw", "nosuid", "nodev", "noexec"}),
    ):
        kind, found = options[place]
        assert kind == "tmpfs"
        assert flags | {f"size={size << 10}k"} <= found


def test_limits_hold_inside(sandbox: Sandbox) -> None:
    code = """
import resource as r
print([r.getrlimit(x) for x in (r.RLIMIT_CORE, r.RLIMIT_FSIZE, r.RLIMIT_NOFILE)])
"""
    ran = sandbox.run(["python3", "-c", code], timeout_s=30)
    size = SMALL.file_mb << 20
    files = SMALL.open_files
    assert ran.stdout.decode().strip() == str([(0, 0), (size, size), (files, files)])
