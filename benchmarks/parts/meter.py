"""What a model server has computed, by its own counters: whoever it was for.

Answers' usage leaves out what was read and written for requests that were cancelled, or asked
ahead of anybody who waits. The embedded engine tells its counters in `/health`, vLLM in `/metrics`.
"""

import bisect
import threading
import time
from types import TracebackType
from typing import NamedTuple

import httpx

from completion.vllm import metrics

EVERY_S = 0.05
ALIKE_S, LATE_S = 0.02, 1.0


class Work(NamedTuple):
    """Tokens of prompts that were computed, and of answers."""

    read: int
    written: int

    def since(self, earlier: "Work") -> "Work":
        return Work(self.read - earlier.read, self.written - earlier.written)


def work(client: httpx.Client, url: str) -> Work | None:
    """Since the start of the server whose API is at `url`, which ends in /v1; None if it has no
    such counters. Raises httpx.HTTPError."""
    root = url.rstrip("/").removesuffix("/v1")
    if stats := _json(client.get(f"{root}/health")).get("stats"):
        return Work(stats["read_tokens"], stats["generated_tokens"])
    answer = client.get(f"{root}/metrics")
    if answer.is_error or "vllm:generation_tokens_total" not in answer.text:
        return None
    counts = metrics.read(answer.text)
    return Work(int(counts.read), int(counts.written))


def settled(client: httpx.Client, url: str, before: Work) -> Work | None:
    """As `work`, once it counts more than before and has come to rest: vLLM counts a little
    after it answers."""
    until = time.monotonic() + LATE_S
    last = work(client, url)
    while last is not None and time.monotonic() < until:
        time.sleep(ALIKE_S)
        now = work(client, url)
        if now == last != before:
            break
        last = now
    return last


def _json(answer: httpx.Response) -> dict:
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return {}
    told = answer.json()
    return told if isinstance(told, dict) else {}


class Meter:
    """Looks at a server's counters several times a second until the block ends."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(headers=headers, timeout=10, trust_env=False)
        self._url = url
        self._times: list[float] = []
        self._works: list[Work] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Meter":
        self._once()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        if error is None:
            self._once()
        self._client.close()

    def at(self, moment: float) -> Work:
        """As it was last seen by then, `moment` being time.time()'s."""
        number = bisect.bisect_right(self._times, moment)
        return self._works[max(0, number - 1)]

    def _look(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._once()

    def _once(self) -> None:
        found = work(self._client, self._url)
        assert found is not None, "the embedded engine counts"
        # Told for the moment after the answer: it may hold what was computed until then.
        self._times.append(time.time())
        self._works.append(found)
