"""A real `tandem gateway` process with user folders of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from completion.engine.background import Address
from gateway import ledger, tokens
from gateway.ledger import Entry
from tests.wire import wait_until

ALL = ["completion", "chat", "adapters", "metrics", "admin"]


@dataclass(frozen=True)
class Running:
    """`tokens` are by user; each may do everything unless the settings say otherwise."""

    url: str
    home: Path
    process: subprocess.Popen[str]
    tokens: Mapping[str, str]

    def address(self, user: str = "ann") -> Address:
        """As the helpers in `wire` want it."""
        return Address(self.url, self.tokens[user], self.process.pid, "")

    def client(self, user: str = "ann", **options: Any) -> httpx.Client:
        return httpx.Client(
            base_url=f"{self.url}/",
            headers={"Authorization": f"Bearer {self.tokens[user]}"},
            trust_env=False,
            verify=False,  # of plain HTTP; to read the authorities takes long
            timeout=60,
            **options,
        )

    def asynchronous(self, user: str = "ann") -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"{self.url}/",
            headers={"Authorization": f"Bearer {self.tokens[user]}"},
            trust_env=False,
            verify=False,
            timeout=120,
            limits=httpx.Limits(max_connections=None),
        )

    def entries(self) -> list[Entry]:
        return list(ledger.read(self.home / "state" / "gateway" / "requests.jsonl"))

    def entry(self) -> Entry:
        """The last of the log. It is written just after the answer's end."""
        return self.entries()[-1]

    def state(self, user: str = "ann") -> dict[str, Any]:
        with self.client(user) as client:
            return client.get("tandem/gateway").json()

    def metrics(self, user: str = "ann") -> str:
        with self.client(user) as client:
            return client.get(f"{self.url.removesuffix('/v1')}/metrics").text

    def settled(self, requests: int) -> list[Entry]:
        """The log, once it has so many."""
        wait_until(lambda: len(self.entries()) >= requests)
        return self.entries()


def backend(name: str, url: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "url": url, "roles": ["completion", "chat"], "models": ["m"], **options}


@contextlib.contextmanager
def gateway(
    home: Path,
    backends: Sequence[Mapping[str, Any]],
    users: Mapping[str, Mapping[str, Any]] | None = None,
    **options: Any,
) -> Iterator[Running]:
    """`options` are top-level settings."""
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "gateway.toml"
    known = users or {"ann": {"scopes": ALL, "adapters": ["*"]}, "bob": {"scopes": ALL}}
    settings.write_text(_toml({"port": 0, "poll_seconds": 0.2, **options}, backends, known))
    settings.chmod(0o600)
    file = home / "state" / "gateway" / "tokens.json"
    made = {name: tokens.make(name, file) for name in known}
    environment = {key: value for key, value in os.environ.items() if "TANDEM_" not in key}
    process = subprocess.Popen(
        [sys.executable, "-m", "tandem", "gateway", "--config", str(settings)],
        stdout=subprocess.PIPE,
        stderr=(home / "gateway.err").open("a"),
        text=True,
        env=environment | {"TANDEM_HOME": str(home)},
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert "http://" in line, (home / "gateway.err").read_text()
        url = next(word for word in line.split() if word.startswith("http://")).rstrip(",")
        yield Running(url, home, process, made)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout:
            process.stdout.close()


def _toml(
    options: Mapping[str, Any],
    backends: Sequence[Mapping[str, Any]],
    users: Mapping[str, Mapping[str, Any]],
) -> str:
    """JSON's texts, numbers and lists are TOML's, too."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in options.items()]
    for row in backends:
        lines += ["[[backends]]", *(f"{key} = {json.dumps(value)}" for key, value in row.items())]
    for name, row in users.items():
        lines += [
            f"[users.{json.dumps(name)}]",
            *(f"{key} = {json.dumps(value)}" for key, value in row.items()),
        ]
    return "\n".join(lines) + "\n"
