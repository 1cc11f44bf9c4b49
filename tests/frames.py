"""Request smuggling: requests of which two readers could think that they end in two places.

A proxy before a server is the other reader; what it takes for a body, the server must not answer.
"""

from completion.engine.background import Address
from tests.wire import bearer, everything, host_of

# By a name: headers of a POST, with {n} for the length of its body, and the body, with {s} for a
# request of the attacker's.
FRAMES = {
    "length beside chunks": ("Content-Length: {n}\r\nTransfer-Encoding: chunked", "0\r\n\r\n{s}"),
    "chunks beside length": ("Transfer-Encoding: chunked\r\nContent-Length: 4", "0\r\n\r\n{s}"),
    "folded coding": ("Content-Length: {n}\r\nTransfer-Encoding:\r\n chunked", "0\r\n\r\n{s}"),
    "two lengths": ("Content-Length: {n}\r\nContent-Length: 0", "{s}"),
    "list of lengths": ("Content-Length: 0, {n}", "{s}"),
    "space before the colon": ("Transfer-Encoding : chunked", "0\r\n\r\n{s}"),
    "unknown coding": ("Transfer-Encoding: xchunked", "0\r\n\r\n{s}"),
    "coding twice": ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n{s}"),
    "another coding": ("Transfer-Encoding: gzip, chunked", "0\r\n\r\n{s}"),
    "identity": ("Transfer-Encoding: identity\r\nContent-Length: {n}", "{s}"),
    "negative": ("Content-Length: -1", "{s}"),
    "plus": ("Content-Length: +{n}", "{s}"),
    "hexadecimal": ("Content-Length: 0x10", "{s}"),
    "underscore": ("Content-Length: 1_0", "{s}"),
    "other digits": ("Content-Length: \xb2", "{s}"),
    "zero byte": ("X-A: a\x00b\r\nContent-Length: {n}", "{s}"),
    "bare return": ("X-A: a\rContent-Length: 0\r\nContent-Length: {n}", "{s}"),
    "space in a name": ("Content Length: 0\r\nContent-Length: {n}", "{s}"),
    "no name": (": 0\r\nContent-Length: {n}", "{s}"),
    "chunk size with 0x": ("Transfer-Encoding: chunked", "0x0\r\n\r\n{s}"),
    "negative chunk": ("Transfer-Encoding: chunked", "-1\r\n\r\n{s}"),
    "huge chunk": ("Transfer-Encoding: chunked", "1" + "0" * 20 + "\r\n{s}"),
    "chunk without an end": ("Transfer-Encoding: chunked", "1\r\naXX0\r\n\r\n{s}"),
}


def head(address: Address, method: str, path: str, *lines: str, token: bool = True) -> bytes:
    """The head of a request as a client of ours would begin it, and then these lines."""
    shown = [bearer(address)] if token else []
    first = [f"{method} {path} HTTP/1.1", f"Host: {host_of(address)}", *shown]
    if method == "POST":
        first.append("Content-Type: application/json")
    return "\r\n".join([*first, *lines, "", ""]).encode("latin-1")


def statuses(answers: bytes) -> list[int]:
    """Of all that came on a connection."""
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


def smuggle(address: Address, frame: str) -> list[int]:
    """The statuses of all answers."""
    lines, body = FRAMES[frame]
    body = body.format(s=head(address, "GET", "/v1/models").decode())
    asked = head(address, "POST", "/v1/completions", lines.format(n=len(body)))
    return statuses(everything(address, asked + body.encode()))
