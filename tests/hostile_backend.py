"""A back end that attacks who asks it: it lists models and answers byte by byte as it is told."""

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Answer = Callable[[dict[str, Any]], Iterable[bytes]]
CLOSE = b"CLOSE"
END = b"0\r\n\r\n"


@dataclass
class Hostile:
    """`answer` gives the pieces of an answer to a body, headers and all; a piece CLOSE ends the
    connection. `models` is its list's body, which `listed` counts. `asked` has all else that came,
    `left` counts answers that nobody heard to their end."""

    url: str
    models: bytes
    answer: Answer
    asked: list[bytes] = field(default_factory=list)
    left: int = 0
    listed: int = 0

    def serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as stream:
            while head := _head(stream):
                found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                body = stream.read(int(found[1])) if found else b""
                if head.startswith(b"GET /v1/models "):
                    connection.sendall(whole(self.models))
                    self.listed += 1
                    continue
                self.asked.append(head + body)
                try:
                    for piece in self.answer(json.loads(body)):
                        if piece == CLOSE:
                            return
                        connection.sendall(piece)
                except OSError:
                    self.left += 1
                    return


@contextlib.contextmanager
def hostile(*models: str, answer: Answer) -> Iterator[Hostile]:
    opened = socket.create_server(("127.0.0.1", 0), backlog=100)
    url = f"http://127.0.0.1:{opened.getsockname()[1]}/v1"
    made = Hostile(url, rows(*({"id": name} for name in models)), answer)
    connections: list[socket.socket] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connections.append(opened.accept()[0])
                threading.Thread(target=made.serve, args=connections[-1:], daemon=True).start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield made
    finally:
        opened.shutdown(socket.SHUT_RDWR)
        opened.close()
        accepting.join()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def rows(*cards: Any) -> bytes:
    return json.dumps({"object": "list", "data": cards}).encode()


def whole(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def begin(*headers: str) -> bytes:
    """Of a stream."""
    told = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers, "", ""]
    return "\r\n".join(told).encode("latin-1")


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def event(text: str = "word ", **more: Any) -> bytes:
    told = {"choices": [{"index": 0, "text": text}], **more}
    return chunk(f"data: {json.dumps(told)}\n\n".encode())


def answer(text: str, **more: Any) -> bytes:
    told = {"choices": [{"index": 0, "text": text, "finish_reason": "stop"}], **more}
    return whole(json.dumps(told).encode())


def _head(stream: Any) -> bytes:
    lines = b""
    while (line := stream.readline()) not in (b"\r\n", b""):
        lines += line
    return lines
