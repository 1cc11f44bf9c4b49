"""How the language server reads its input: pipes by the event loop, files by a thread; its garbage."""

import gc
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from lsp import garbage, transport

COMMAND = [sys.executable, "-m", "tandem", "lsp"]
INITIALIZE = {"processId": None, "rootUri": None, "capabilities": {}}
OFF = {"initializationOptions": {"completion": {"enabled": False}}}
PLACE = {"line": 0, "character": 0}


def message(method: str, params: Any, number: int | None = None) -> bytes:
    told: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    if number is not None:
        told["id"] = number
    body = json.dumps(told).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


CONVERSATION = [
    message("initialize", INITIALIZE | OFF, 1),
    message("initialized", {}),
    message("shutdown", None, 2),
    message("exit", None),
]


def answers(data: bytes) -> list[int]:
    """The numbers of the requests that were answered, in order."""
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        size = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        told, data = json.loads(rest[:size]), rest[size:]
        if "id" in told and "method" not in told:
            found.append(told["id"])
    return found


def talk(stdin: int | IO[bytes], data: bytes | None = None) -> tuple[int, bytes]:
    process = subprocess.Popen(COMMAND, stdin=stdin, stdout=subprocess.PIPE)
    out, _ = process.communicate(data, timeout=120)
    return process.returncode, out


def test_a_conversation_that_comes_at_once_is_answered_in_order(empty_home: Path) -> None:
    code, out = talk(subprocess.PIPE, b"".join(CONVERSATION))
    assert (code, answers(out)) == (0, [1, 2])


def test_a_conversation_may_come_from_a_file(empty_home: Path, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"".join(CONVERSATION))
    with (tmp_path / "input").open("rb") as stream:
        code, out = talk(stream)
    assert (code, answers(out)) == (0, [1, 2])


def test_a_conversation_may_go_both_ways_over_one_socket(empty_home: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(COMMAND, stdin=theirs.fileno(), stdout=theirs.fileno())
        theirs.close()
        ours.sendall(b"".join(CONVERSATION))
        out = b""
        while part := ours.recv(65536):
            out += part
        assert (process.wait(120), answers(out)) == (0, [1, 2])


def test_a_conversation_may_come_byte_by_byte(empty_home: Path) -> None:
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    for byte in b"".join(CONVERSATION):
        process.stdin.write(bytes([byte]))
        process.stdin.flush()
    out, _ = process.communicate(timeout=120)
    assert (process.returncode, answers(out)) == (0, [1, 2])


def test_a_request_has_the_text_that_was_there_when_it_was_sent(empty_home: Path) -> None:
    """Though the next change lies in the pipe already: the trace tells the document's version."""
    uri, changes = "file:///a.py", []
    item = {"uri": uri, "languageId": "python", "version": 1, "text": "a"}
    for version in range(2, 30):
        document = {"uri": uri, "version": version}
        changes += [
            message(
                "textDocument/didChange",
                {"textDocument": document, "contentChanges": [{"text": "a" * version}]},
            ),
            message(
                "textDocument/inlineCompletion",
                {"textDocument": {"uri": uri}, "position": PLACE, "context": {"triggerKind": 2}},
                version,
            ),
        ]
    start, end = CONVERSATION[:2], CONVERSATION[3:]
    opened = message("textDocument/didOpen", {"textDocument": item})
    # A request that the server answers itself comes last, so that it has seen all others.
    _, out = talk(subprocess.PIPE, b"".join([*start, opened, *changes, *CONVERSATION[2:3], *end]))
    assert set(answers(out)) == {1, 2, *range(2, 30)}
    lines = (empty_home / "state" / "trace.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    versions = [one["details"]["version"] for one in told if one["kind"] == "completion"]
    assert versions == list(range(2, 30))


def test_input_that_is_no_message_ends_the_server(empty_home: Path) -> None:
    code, out = talk(subprocess.PIPE, b"x" * (transport.LONGEST_LINE * 2 + 10))
    assert (code, out) == (1, b"")


def test_what_is_loaded_is_not_looked_at_again() -> None:
    threshold = gc.get_threshold()
    try:
        garbage.keep()
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < 10_000
        assert gc.get_threshold()[0] == garbage.YOUNG
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)
