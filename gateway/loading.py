"""Keeps the store's adapters loaded at the back ends that serve their base model.

What a back end has is read from its list of models, so that one that restarted is given them
again. Each repository's version in use is loaded, and others are unloaded once it has been there
for a while and requests under way have ended. A load that fails is told and tried again later;
meanwhile the version before stays where it is, and nothing else is touched.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from gateway.adapter_store import Shelf, Store, Version
from gateway.backend import LOST, Backend, whole
from gateway.events import TooLong
from gateway.refusals import clean

LOAD_SECONDS = 120.0
UNLOAD_AFTER = 60.0
PAUSE, LONGEST = 5.0, 300.0
_MAX_REPLY = 64 * 1024
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """Why it could not be loaded, how often in a row, and when to try again (monotonic)."""

    reason: str
    times: int
    again: float


class Loading:
    """`failures` by (back end, name of the version there)."""

    def __init__(self, store: Store, backends: Sequence[Backend]) -> None:
        self._store = store
        self._backends = backends
        self._locks = {backend.name: asyncio.Lock() for backend in backends}
        self._spare: dict[tuple[str, str], float] = {}
        self.failures: dict[tuple[str, str], Failure] = {}

    async def settle(self) -> None:
        """Load and unload what is due at all back ends. Never raises."""
        await asyncio.gather(*(self._settle(backend) for backend in self._backends))

    async def load(self, shelf: Shelf, version: Version) -> None:
        """One version at all its back ends, now."""
        wanted = [b for b in self._backends if version.base in b.settings.models]
        await asyncio.gather(*(self._load(backend, shelf, version) for backend in wanted))

    def states(self, shelf: Shelf, version: Version) -> dict[str, str]:
        """By back end: "loaded", "waiting", or why it failed."""
        name = shelf.served(version)
        told: dict[str, str] = {}
        for backend in self._backends:
            if version.base in backend.settings.models:
                failure = self.failures.get((backend.name, name))
                told[backend.name] = failure.reason if failure else "waiting"
                if name in backend.cards:
                    told[backend.name] = "loaded"
        return told

    async def _settle(self, backend: Backend) -> None:
        wanted: set[str] = set()
        for shelf in self._store.shelves():
            version = shelf.in_use
            if version is not None and version.base in backend.settings.models:
                wanted.add(shelf.served(version))
                failure = self.failures.get((backend.name, shelf.served(version)))
                if failure is None or time.monotonic() >= failure.again:
                    await self._load(backend, shelf, version)
        await self._unload(backend, wanted)

    async def _load(self, backend: Backend, shelf: Shelf, version: Version) -> None:
        name = shelf.served(version)
        async with self._locks[backend.name]:
            if name in backend.cards:
                self.failures.pop((backend.name, name), None)
                return
            if not backend.cards:  # it has never answered
                return
            folder = self._store.folder(shelf, version, backend.settings.adapter_root)
            body = {"lora_name": name, "lora_path": str(folder)}
            reason = await _told(backend, "load_lora_adapter", body)
            if reason is None:
                return
            if not reason:
                self.failures.pop((backend.name, name), None)
                await backend.poll()
                return
            self._failed(backend, name, reason)

    def _failed(self, backend: Backend, name: str, reason: str) -> None:
        before = self.failures.get((backend.name, name))
        times = before.times + 1 if before else 1
        if before is None or before.reason != reason:
            log.warning("%s cannot load %s: %s", backend.name, name, reason)
        again = time.monotonic() + min(PAUSE * 2.0 ** (times - 1), LONGEST)
        self.failures[backend.name, name] = Failure(reason, times, again)

    async def _unload(self, backend: Backend, wanted: set[str]) -> None:
        """What nothing refers to any more, and versions whose successor has settled in."""
        now = time.monotonic()
        for name in [name for name in backend.cards if self._is_spare(backend, name, wanted)]:
            since = self._spare.setdefault((backend.name, name), now)
            if now - since < UNLOAD_AFTER:
                continue
            async with self._locks[backend.name]:
                if await _told(backend, "unload_lora_adapter", {"lora_name": name}) == "":
                    del self._spare[backend.name, name]
                    await backend.poll()

    def _is_spare(self, backend: Backend, name: str, wanted: set[str]) -> bool:
        shelf = self._store.owner(name)
        if shelf is None or name in wanted:
            self._spare.pop((backend.name, name), None)
            return False
        version = shelf.in_use
        return version is None or shelf.served(version) in backend.cards


async def _told(backend: Backend, path: str, body: dict[str, Any]) -> str | None:
    """What is wrong; empty if it was done, None if nobody was there to do it."""
    try:
        async with asyncio.timeout(LOAD_SECONDS), backend.post(path, body) as response:
            data = await whole(response, _MAX_REPLY)
            status = response.status
    except (*LOST, TooLong):
        return None
    if status == 200:
        return ""
    if status in (429, 503):
        return None
    try:
        told = from_json(data, allow_inf_nan=False)
        error = told.get("error", told)  # vLLM's own has no wrapper
        if error.get("code") == "adapter_not_found" or error.get("message") is None:
            raise KeyError
        return clean(str(error["message"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    if status in (404, 405):
        return "it loads no adapters from there: see docs/gateway.md, adapters"
    return f"it answered {status}"
