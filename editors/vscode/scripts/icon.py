"""Draws media/icon.png: two riders of one tandem, as two bars that lean the same way.

python editors/vscode/scripts/icon.py
"""

import struct
import zlib
from pathlib import Path

SIZE = 128  # pixels
FINE = 4  # samples of each pixel, both ways
GROUND, FIRST, SECOND = (31, 41, 55), (125, 211, 252), (253, 224, 71)
TARGET = Path(__file__).parent.parent / "media" / "icon.png"


def colour(x: float, y: float) -> tuple[int, int, int, int]:
    """At a place from 0 to 1 each way."""
    corner = 0.18
    dx, dy = max(abs(x - 0.5) - 0.5 + corner, 0), max(abs(y - 0.5) - 0.5 + corner, 0)
    if dx * dx + dy * dy > corner * corner:
        return (0, 0, 0, 0)
    for left, top, bottom, paint in ((0.24, 0.30, 0.78, FIRST), (0.52, 0.22, 0.70, SECOND)):
        shift = left + 0.16 * (1 - y)
        if top <= y <= bottom and shift <= x <= shift + 0.14:
            return (*paint, 255)
    if abs(y - 0.5 + 0.18 * (x - 0.5)) < 0.035 and 0.2 < x < 0.8:
        return (226, 232, 240, 255)
    return (*GROUND, 255)


def pixel(column: int, row: int) -> bytes:
    """The mean of its samples, colours weighed by their cover."""
    steps = [(n + 0.5) / FINE for n in range(FINE)]
    found = [colour((column + i) / SIZE, (row + j) / SIZE) for j in steps for i in steps]
    cover = sum(alpha for *_, alpha in found)
    mixed = [sum(one[n] * one[3] for one in found) // max(cover, 1) for n in range(3)]
    return bytes([*mixed, cover // len(found)])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png() -> bytes:
    rows = b"".join(
        b"\0" + b"".join(pixel(column, row) for column in range(SIZE)) for row in range(SIZE)
    )
    head = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 6, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


if __name__ == "__main__":
    TARGET.write_bytes(png())
