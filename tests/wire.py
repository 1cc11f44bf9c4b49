"""Raw HTTP to the engine, byte by byte, for what proper clients would never send."""

import contextlib
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from completion.engine.background import Address
from completion.engine.listening import listen


@dataclass(frozen=True)
class Reply:
    status: int
    head: str
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        return json.loads(self.body)["error"]


def host_of(address: Address) -> str:
    return urlsplit(address.url).netloc


def connect(address: Address) -> socket.socket:
    parts = urlsplit(address.url)
    assert parts.hostname
    assert parts.port
    return socket.create_connection((parts.hostname, parts.port), timeout=60)


def exchange(address: Address, *lines: str, body: bytes = b"") -> Reply:
    """Send a request's lines and body on a connection of its own; read the first answer."""
    with connect(address) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return read_reply(connection)


def read_reply(connection: socket.socket) -> Reply:
    data = b""
    while b"\r\n\r\n" not in data and (piece := connection.recv(65536)):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    text = head.decode("latin-1")
    sizes = [line for line in text.lower().split("\r\n") if line.startswith("content-length:")]
    length = int(sizes[0].split(":")[1]) if sizes else 1 << 30
    while len(body) < length and (piece := connection.recv(65536)):
        body += piece
    return Reply(int(text.split(" ")[1]), text, body)


def everything(address: Address, data: bytes) -> bytes:
    """Send this, and read until the other side closes."""
    with connect(address) as connection:
        connection.sendall(data)
        return drained(connection)


def drained(connection: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            data += piece
    return data


def get(address: Address, path: str, *headers: str) -> Reply:
    return exchange(address, f"GET {path} HTTP/1.1", f"Host: {host_of(address)}", *headers)


def bearer(address: Address) -> str:
    return f"Authorization: Bearer {address.token}"


def post(address: Address, path: str, body: bytes, *headers: str) -> Reply:
    """POST as a client with our token and JSON would."""
    return exchange(
        address,
        f"POST {path} HTTP/1.1",
        f"Host: {host_of(address)}",
        bearer(address),
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
        body=body,
    )


def free_port() -> int:
    """That nobody listens on now."""
    opened = listen("127.0.0.1", 0)
    opened.socket.close()
    return opened.port


def stats(address: Address) -> dict[str, float]:
    response = httpx.get(
        address.url.removesuffix("/v1") + "/health",
        headers={"Authorization": f"Bearer {address.token}"},
        trust_env=False,
        timeout=60,
    )
    return response.json()["stats"]


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """The limit is only there to end a hanging test."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
