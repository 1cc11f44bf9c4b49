"""Safetensors files that tell of more than they hold.

Whoever believes their headers hands out memory of the process as tensors (the class of
CVE-2026-7482).
"""

import json
import struct
from typing import Any

WAYS = (
    *("beyond the file", "negative", "overlapping", "backwards", "huge shape"),
    *("negative shape", "another width", "no numbers", "header beyond the file"),
    *("nested header", "short"),
)


def crafted(good: bytes, how: str) -> bytes:
    """A good file in one of WAYS."""
    length = struct.unpack("<Q", good[:8])[0]
    header, data = json.loads(good[8 : 8 + length]), good[8 + length :]
    first = min((n for n in header if n != "__metadata__"), key=lambda n: header[n]["data_offsets"])
    begin, end = header[first]["data_offsets"]
    if how == "beyond the file":
        last = max(header, key=lambda n: header[n].get("data_offsets", [0, 0]))
        header[last]["data_offsets"][1] += 1 << 20
    elif how == "negative":
        header[first]["data_offsets"] = [-(1 << 20), end - (1 << 20)]
    elif how == "overlapping":
        other = next(n for n in header if header[n].get("data_offsets", [0])[0] == end)
        header[other]["data_offsets"] = [begin, end]
    elif how == "backwards":
        header[first]["data_offsets"] = [end, begin]
    elif how == "huge shape":
        header[first]["shape"] = [2**32, 2**32]
    elif how == "negative shape":
        header[first]["shape"] = [-n for n in header[first]["shape"]]
    elif how == "another width":
        header[first]["dtype"] = "F64"
    elif how == "no numbers":
        header[first]["data_offsets"] = ["0", None]
    elif how == "header beyond the file":
        return struct.pack("<Q", 2**63) + good[8:]
    elif how == "nested header":
        return tensors(b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", data)
    elif how == "short":
        return good[: length // 2]
    return tensors(header, data)


def tensors(header: Any, data: bytes) -> bytes:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + data
