"""Warm sandboxes of one repository, started side by side and lent one at a time.

with Pool(image, tar, size=2) as pool, pool.sandbox() as sandbox:
    sandbox.run([...], timeout_s=60)
"""

import contextlib
import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self

import docker

from sandbox import daemon, owner
from sandbox.container import Sandbox
from sandbox.profile import Limits
from tandem.errors import SandboxError


class Pool:
    """See the module. Threads may borrow at the same time. Raises SandboxError as Sandbox does."""

    def __init__(
        self,
        image: str,
        tar: bytes,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        size: int = 2,
        client: docker.DockerClient | None = None,
    ) -> None:
        assert size > 0
        client = client or daemon.client()
        with daemon.refusals("Docker's containers cannot be listed"):
            owner.reap(client)
        self._free: queue.SimpleQueue[Sandbox] = queue.SimpleQueue()
        self._all: list[Sandbox] = []
        self._start = partial(Sandbox, image, tar, limits, client)
        with ThreadPoolExecutor(size) as starters:
            starts = [starters.submit(self._start) for _ in range(size)]
        errors = [start.exception() for start in starts]
        self._all = [start.result() for start in starts if start.exception() is None]
        for error in filter(None, errors):
            self.close()
            raise error
        for sandbox in self._all:
            self._free.put(sandbox)

    @contextlib.contextmanager
    def sandbox(self) -> Iterator[Sandbox]:
        """A sandbox of one's own for a while; waits until one is free."""
        sandbox = self._free.get()
        try:
            yield sandbox
        finally:
            with contextlib.suppress(SandboxError):  # the next one to use it is told
                sandbox.reset()
            self._free.put(sandbox)

    def fresh(self) -> Sandbox:
        """One more, that nothing has run in; whoever asks for it closes it."""
        return self._start()

    def close(self) -> None:
        """End all containers that are lent."""
        for sandbox in self._all:
            sandbox.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
