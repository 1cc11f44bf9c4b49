"""How long each stage of a request takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Stages:
    """Milliseconds by stage of one request."""

    began: float = field(default_factory=time.perf_counter)
    ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.ms[name] = (time.perf_counter() - began) * 1000

    def mark(self, name: str, since: float) -> None:
        self.ms.setdefault(name, (time.perf_counter() - since) * 1000)

    def total(self) -> dict[str, float]:
        return {**self.ms, "total": (time.perf_counter() - self.began) * 1000}
