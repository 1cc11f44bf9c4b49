"""What comes back from the GPU machine: few files, none over 16 MiB, and their hashes.

    report.json     what was trained, figures, and the pieces with size and sha256
    adapter-00 ...  the compressed difference, cut into pieces
    log.jsonl       a line for each step, loss.png its picture

Needs nothing but Python: it runs on both sides.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tandem.errors import TandemError, UsageError

FORMAT = 1
PIECE = 15 << 20
REPORT = "report.json"
_AGAIN = "Copy the result files again."


def write(folder: Path, adapter: bytes, report: dict[str, Any], piece: int = PIECE) -> Path:
    """Write the pieces, then the report, which returns; a folder without a report is no result."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in (folder / REPORT, *folder.glob("adapter-*")):
        old.unlink(missing_ok=True)
    pieces = []
    for number, begin in enumerate(range(0, len(adapter), piece)):
        content = adapter[begin : begin + piece]
        name = f"adapter-{number:02}"
        (folder / name).write_bytes(content)
        pieces.append({"name": name, "size": len(content), "sha256": _sha256(content)})
    whole = {"size": len(adapter), "sha256": _sha256(adapter), "pieces": pieces}
    work = folder / f".{REPORT}.tmp"
    work.write_text(json.dumps({"v": FORMAT, **report, "adapter": whole}, indent=1), "utf-8")
    return work.replace(folder / REPORT)


def read(files: Sequence[Path]) -> tuple[bytes, dict[str, Any]]:
    """The adapter and the report, out of the files that came back, in any order.

    Raises UsageError if a file is missing, TandemError if one is damaged.
    """
    by_name = {file.name: file for file in files}
    if REPORT not in by_name:
        raise UsageError(f"{REPORT} is not among the files.", "Name all files that came back.")
    try:
        report = json.loads(by_name[REPORT].read_text("utf-8"))
        adapter = report["adapter"] if report["v"] == FORMAT else None
    except OSError as error:
        raise UsageError(f"{by_name[REPORT]} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise TandemError(f"{by_name[REPORT]} is damaged.", _AGAIN) from None
    if adapter is None:
        hint = "Use the version of Tandem that built the bundle."
        raise TandemError(f"{by_name[REPORT]} is of another version of Tandem.", hint)
    content = b""
    for piece in adapter["pieces"]:
        if piece["name"] not in by_name:
            hint = "Name all files that came back."
            raise UsageError(f"{piece['name']} is not among the files.", hint)
        file = by_name[piece["name"]]
        try:
            found = file.read_bytes()
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {error.strerror}.") from None
        if _sha256(found) != piece["sha256"]:
            raise TandemError(f"{file} is damaged.", _AGAIN)
        content += found
    if _sha256(content) != adapter["sha256"]:
        raise TandemError("The pieces do not make up the adapter.", _AGAIN)
    return content, report


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
