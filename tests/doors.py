"""A real engine with a tiny model, and a real gateway before it: what attacks are tried on.

The model's context is long, and without guesses ahead an answer that fills it takes many seconds:
who leaves, leaves in the middle of it.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from completion.engine.background import Address
from tests.gateways import ALL, Running, backend, gateway
from tests.lsp_client import use_folders
from tests.replicas import Replica, replicas
from tests.tiny_adapters import Store
from tests.wire import stats, wait_until

COMPLETIONS, CHATS = "/v1/completions", "/v1/chat/completions"
# Nearly greedy: the gateway keeps no such answer.
SHORT: dict[str, Any] = {"model": "tiny", "prompt": "def f(", "max_tokens": 2}
SHORT["temperature"] = 0.0005
LONG: dict[str, Any] = SHORT | {"max_tokens": 16_000, "stream": True}
ENGINE = {"threads": "1", "context": "16384", "dtype": "float32", "speculation": "false"}
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


@dataclass
class Doors:
    """`lent` is the folder from which the engine loads adapters."""

    home: Path
    store: Store
    lent: Path
    replica: Replica
    running: Running

    def at(self, which: str) -> Address:
        return self.replica.address if which == "engine" else self.running.address()

    def process(self, which: str) -> int:
        return self.at(which).pid

    def log(self, which: str) -> str:
        if which == "engine":
            return (self.home / f"{self.replica.port}.log").read_text()
        folder = self.running.home
        ledger = folder / "state" / "gateway" / "requests.jsonl"
        return (folder / "gateway.err").read_text() + (
            ledger.read_text() if ledger.exists() else ""
        )

    def count(self, name: str) -> float:
        return stats(self.replica.address)[name]

    def is_idle(self) -> bool:
        waiting = self.count("running") + self.count("waiting")
        return not waiting and not self.running.state()["running"]

    def idle(self) -> None:
        wait_until(self.is_idle)


@contextlib.contextmanager
def doors(home: Path) -> Iterator[Doors]:
    """With `home`'s folders as this process's own."""
    with pytest.MonkeyPatch.context() as patch:
        dev, lent = home / "engine", home / "lent"
        for folder in (dev, lent):
            folder.mkdir(parents=True)
        use_folders(patch, dev)
        store = Store(context=16_384)
        (store.folder / "chat_template.jinja").write_text(TEMPLATE)
        with replicas(dev, "tiny", 1, adapter_folder=str(lent), **ENGINE) as (replica,):
            row = backend("engine", replica.url, models=["tiny"])
            row["token_file"] = str(replica.token_file)
            users = {"ann": {"scopes": ALL, "adapters": ["*"]}}
            with gateway(home / "gateway", [row], users) as running:
                yield Doors(dev, store, lent, replica, running)
