"""A team: an engine, a gateway before it, and developers with clones of one repository."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from completion import adapter_package, adapters, identity, signing
from completion.adapter_package import Statement
from completion.signing import Signed
from tests import gateways
from tests.gateways import Running, backend
from tests.lsp_client import use_folders
from tests.replicas import Replica, replicas
from tests.tiny_adapters import Store
from tests.wire import wait_until

NAME = "app-shared"
ENGINE = {"threads": "1", "context": "256", "dtype": "float32", "queue": "256"}
USERS: dict[str, dict[str, Any]] = {
    "ann": {"scopes": gateways.ALL, "adapters": ["app-*"]},
    "bob": {"scopes": ["completion"], "adapters": ["app-*"]},
    "eve": {"scopes": ["completion", "adapters"], "adapters": ["eve-*"]},
}


def git(folder: Path, *arguments: str) -> None:
    told = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", "-C", str(folder), *told, *arguments], check=True, capture_output=True)


def repository(folder: Path) -> Path:
    """With two commits."""
    folder.mkdir(parents=True)
    git(folder, "init")
    for number in range(2):
        (folder / f"{number}.py").write_text(f"a = '{folder}'\n")
        git(folder, "add", ".")
        git(folder, "commit", "-m", str(number))
    return folder


@dataclass
class Team:
    """`dev` is the home of who tunes, with the model and adapters in it."""

    dev: Path
    store: Store
    source: Path
    engine: Replica
    running: Running
    numbers: Iterator[int]

    @property
    def shelves(self) -> Path:
        return self.running.home / "state" / "gateway" / "adapters"

    @property
    def identity(self) -> str:
        return identity.of(self.source)

    def adapter(self, **manifest: Any) -> adapters.Adapter:
        number = next(self.numbers)
        return self.store.add(f"local-{number}", number, self.source, **manifest)

    def state(self, **changes: Any) -> tuple[Path, Statement]:
        """An adapter's folder and a statement of it, newer than all before."""
        adapter = self.adapter()
        told = adapter_package.state(adapter, NAME, self.identity)
        return adapter.folder, told.model_copy(update=changes)

    def send(self, folder: Path, signed: Signed, user: str = "ann") -> httpx.Response:
        return self.raw(b"".join(adapter_package.pack(folder, signed)), user)

    def raw(self, data: bytes, user: str = "ann") -> httpx.Response:
        headers = {"Content-Type": "application/octet-stream"}
        with self.running.client(user) as client:
            return client.post("tandem/adapters", content=data, headers=headers)

    def push(self, user: str = "ann", **changes: Any) -> httpx.Response:
        folder, statement = self.state(**changes)
        return self.send(folder, adapter_package.sign(statement), user)

    def models(self, user: str = "ann") -> dict[str, dict[str, Any]]:
        with self.running.client(user) as client:
            return {row["id"]: row for row in client.get("models").json()["data"]}

    def ask(self, model: str, user: str = "ann") -> httpx.Response:
        body = {"model": model, "prompt": "def load(path):\n    return ", "max_tokens": 12}
        with self.running.client(user) as client:
            return client.post("completions", json=body | {"temperature": 0})

    def text(self, model: str) -> str:
        answer = self.ask(model)
        assert answer.status_code == 200, answer.text
        return answer.json()["choices"][0]["text"]

    def rows(self, user: str = "ann") -> list[dict[str, Any]]:
        with self.running.client(user) as client:
            return client.get("tandem/adapters").json()["adapters"]

    def files(self) -> set[str]:
        """Under the gateway's store, but for what shelves are."""
        return {str(f.relative_to(self.shelves)) for f in self.shelves.rglob("*") if f.is_file()}

    def base_answers(self) -> Callable[[], bool]:
        return lambda: self.ask("tiny").status_code == 200


@contextlib.contextmanager
def team(home: Path, **options: Any) -> Iterator[Team]:
    """With the tuning developer's folders as this process's own."""
    dev, gate = home / "dev", home / "gateway"
    (gate / "state" / "gateway" / "adapters").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        use_folders(patch, dev)
        store = Store()
        key = signing.own_key()
        source = repository(home / "work" / "app")
        folder = str(gate / "state" / "gateway" / "adapters")
        with replicas(dev, "tiny", 1, adapter_folder=folder, **ENGINE) as (engine,):
            rows = [backend("engine", engine.url, models=["tiny"])]
            rows[0]["token_file"] = str(engine.token_file)
            settings = {"adapters.signers.dev": key, "adapters.mb_each": 1, **options}
            with gateways.gateway(gate, rows, USERS, **settings) as running:
                made = Team(dev, store, source, engine, running, iter(range(1000)))
                wait_until(made.base_answers())
                yield made
