"""Pools of real containers: lent one at a time, and none left when Tandem is killed."""

import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable

import docker
import psutil
import pytest

from sandbox import owner, profile
from sandbox.container import Sandbox
from sandbox.pool import Pool
from tandem.errors import SandboxError
from tests.docker_support import SMALL, containers, docker_client, image, make_sandbox, tar_of

__all__ = ["docker_client", "image", "make_sandbox"]
TAR = tar_of({"a.txt": b"a"})
PATIENCE_S = 60


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_two_are_used_at_the_same_time(docker_client: docker.DockerClient, image: str) -> None:
    """Each waits for the other, through the test: neither ends if they took turns."""
    met = threading.Barrier(2, timeout=PATIENCE_S)
    seen = []

    def use(pool: Pool) -> None:
        with pool.sandbox() as one:
            met.wait()
            seen.append((one, one.run(["cat", "a.txt"], timeout_s=30).stdout))

    with Pool(image, TAR, SMALL, 2, docker_client) as pool:
        threads = [threading.Thread(target=use, args=[pool]) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [output for _, output in seen] == [b"a", b"a"]
    assert len({one for one, _ in seen}) == 2


def test_one_that_is_lent_comes_back_even_after_an_error(
    docker_client: docker.DockerClient, image: str
) -> None:
    with Pool(image, TAR, SMALL, 1, docker_client) as pool:
        with pytest.raises(RuntimeError), pool.sandbox() as first:
            raise RuntimeError
        with pool.sandbox() as second:
            assert second is first
            assert second.run(["cat", "a.txt"], timeout_s=30).stdout == b"a"


def test_an_open_process_ends_when_its_sandbox_goes_back(
    docker_client: docker.DockerClient, image: str
) -> None:
    with Pool(image, TAR, SMALL, 1, docker_client) as pool:
        with pool.sandbox() as one:
            process = one.open(["cat"])
            process.send(b"x\n")
        with pytest.raises(SandboxError):
            process.send(b"y\n")
        with pool.sandbox() as one:
            assert one.run(["cat", "a.txt"], timeout_s=30).stdout == b"a"


def test_a_pool_that_cannot_start_leaves_no_container(docker_client: docker.DockerClient) -> None:
    mine = owner.labels()[profile.OWNER]
    before = containers(docker_client, mine)
    with pytest.raises(SandboxError, match="no-such"):
        Pool("tandem-no-such:1", TAR, SMALL, 2, docker_client)
    assert containers(docker_client, mine) == before


CHILD = """
import sys, time
from sandbox import owner, profile
from sandbox.pool import Pool
from tests.docker_support import SMALL, tar_of
with Pool(sys.argv[1], tar_of({}), SMALL, 2) as pool, pool.sandbox() as one:
    process = one.open(["sh", "-c", "trap '' HUP TERM; setsid sleep 1000 & echo started; sleep 1000"])
    process.receive(60)
    print(owner.labels()[profile.OWNER], flush=True)
    time.sleep(1000)
"""


def test_kill_9_leaves_no_container(docker_client: docker.DockerClient, image: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(CHILD), image]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert len(containers(docker_client, name)) == 2
        child.send_signal(signal.SIGKILL)
        child.wait()
    wait_until(lambda: not containers(docker_client, name))


def test_what_an_owner_left_behind_is_reaped(
    docker_client: docker.DockerClient, image: str
) -> None:
    """Containers that nobody's stdin keeps alive, as after a crash of Docker itself."""
    dead = f"{owner.machine()}/{psutil.Process().pid}/1.00"  # that number, but long ago
    alive = owner.labels()[profile.OWNER]
    elsewhere = "another-machine/1/1.00"
    made = []
    for name in (dead, alive, elsewhere):
        arguments = profile.create_arguments(image, SMALL, {profile.OWNER: name})
        made.append(docker_client.api.create_container_from_config(arguments)["Id"])
    try:
        assert owner.reap(docker_client) >= 1
        assert containers(docker_client, dead) == []
        assert made[1] in containers(docker_client, alive)
        assert made[2] in containers(docker_client, elsewhere)
    finally:
        for identity in made:
            owner.remove(docker_client, identity)


def test_a_new_pool_reaps(docker_client: docker.DockerClient, image: str) -> None:
    dead = f"{owner.machine()}/999999999/1.00"
    arguments = profile.create_arguments(image, SMALL, {profile.OWNER: dead})
    docker_client.api.create_container_from_config(arguments)
    with Pool(image, TAR, SMALL, 1, docker_client):
        assert containers(docker_client, dead) == []


def test_ctrl_c_ends_the_containers(make_sandbox: Callable[..., Sandbox], image: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(CHILD), image]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        child.send_signal(signal.SIGINT)
        child.wait(PATIENCE_S)
    client = docker.DockerClient.from_env()
    wait_until(lambda: not containers(client, name))
    client.close()
