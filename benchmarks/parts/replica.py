"""What a replica does by itself: tokens a second that it reads and writes, and prompts it keeps."""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx

from benchmarks.parts.meter import Work, settled, work
from benchmarks.parts.sizing import Rates
from tandem.errors import EngineError, UsageError

LONG = 32  # tokens of an answer by which writing is measured
READS, READ_LINES = 4, 60  # prompts by which reading is measured
ROUNDS = 3
TIMEOUT_S = 120.0
SHAPE = '{"read": 9000, "written": {"1": 120, "16": 1400}}'


def rates_of(file: Path) -> Rates:
    """Of a file. Raises UsageError."""
    try:
        told = json.loads(file.read_text("utf-8"))
        written = {int(number): float(rate) for number, rate in told["written"].items()}
        rates = Rates(float(told["read"]), written)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"Cannot read rates from {file}.", f"Write {SHAPE} into it.") from error
    if not written or not all(0 < one < inf for one in (rates.read, *written, *written.values())):
        raise UsageError(f"Rates in {file} must be above zero.", f"Write {SHAPE} into it.")
    return rates


class Measured(NamedTuple):
    """`rounds` are what the medians in `rates` were taken of."""

    rates: Rates
    rounds: dict[int, list[float]]


class Replica:
    """One that answers at `url`, which ends in /v1, and that nobody else asks meanwhile."""

    def __init__(self, url: str, token: str, model: str) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._url, self._model = url.rstrip("/"), model
        self._client = httpx.Client(headers=headers, timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> "Replica":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _ask(self, prompt: str | list[int], tokens: int) -> tuple[dict[str, Any], float]:
        """The usage of an answer of so many tokens, and seconds. Raises EngineError."""
        body = {"model": self._model, "prompt": prompt, "max_tokens": tokens, "ignore_eos": True}
        began = time.perf_counter()
        try:
            answer = self._client.post(f"{self._url}/completions", json=body)
            if answer.is_error:
                said = " ".join(answer.text[:300].split())
                raise EngineError(f"{self._url} answers {answer.status_code}: {said}")
            usage = answer.json()["usage"]
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise EngineError(f"{self._url} does not answer: {error}.", "Is it served?") from error
        return usage, time.perf_counter() - began

    def _work(self) -> Work | None:
        """None as well where the counters are not for us."""
        try:
            return work(self._client, self._url)
        except (httpx.HTTPError, ValueError, KeyError):
            return None

    def _read(self, prompt: str | list[int]) -> tuple[int, int, float]:
        """Tokens of the prompt, of which computed, and seconds. The server's own counters go
        before what the answer says: not every server tells `cached_tokens`."""
        before = self._work()
        usage, took = self._ask(prompt, 1)
        after = settled(self._client, self._url, before) if before else None
        tokens = usage["prompt_tokens"]
        read = after.since(before).read if before and after else tokens - cached(usage)
        return tokens, min(tokens, read), took

    def rates(self, at_once: Sequence[int], seconds: float) -> Measured:
        """Each number of answers at once is written in ROUNDS rounds of so many seconds, in turns:
        what disturbs the machine for a while hits all alike, and shows as a round unlike others."""
        self._ask("warm", 4)
        tokens = took = 0.0
        mark = time.time_ns()  # a prompt of an earlier measurement is not new
        for number in range(READS):
            text = f"# {mark} {number}\n" + f"value_{number} = compute({number})\n" * READ_LINES
            _, read, lasted = self._read(text)
            tokens += read
            took += lasted
        rounds: dict[int, list[float]] = {number: [] for number in at_once}
        for _ in range(ROUNDS):
            for number, found in rounds.items():
                found.append(self._writes(number, seconds))
        written = {number: median(found) for number, found in rounds.items()}
        return Measured(Rates(tokens / took, written), rounds)

    def _writes(self, number: int, seconds: float) -> float:
        began = time.perf_counter()

        def write(at: int) -> int:
            tokens = 0
            while time.perf_counter() < began + seconds:
                usage, _ = self._ask(f"# {at} {tokens}\n", LONG)
                tokens += usage["completion_tokens"]
            return tokens

        with ThreadPoolExecutor(number) as pool:
            tokens = sum(pool.map(write, range(number)))
        return tokens / (time.perf_counter() - began)

    def keeps(self, tokens: int, most: int) -> int:
        """Of how many prompts of so many tokens the last ones are not read again; 0 for all of
        those that were tried, `most`."""

        def again(number: int) -> int:
            prompt = [(number * 7919 + at * 31) % 400 + 100 for at in range(tokens)]
            asked, read, _ = self._read(prompt)
            return asked - read

        for number in range(most):
            again(number)
        for back in range(most):
            if again(most - 1 - back) < tokens // 2:
                return max(1, back)
        return 0


def cached(usage: dict[str, Any]) -> int:
    """Tokens of the prompt that were not read again."""
    return (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
