"""What was said in a workspace's chats: one JSONL file a chat, a line a message, in the state folder.

    state/chat/WORKSPACE/TIME.jsonl     {"v": 1, "time": …, "role": …, "content": …, "note": …}

Secrets are taken out before writing. The first line tells the workspace. Old chats go when there
are more than `MOST_CHATS`; a chat that has grown beyond `MOST_BYTES` is read from its end only.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from completion.messages import Message
from tandem import paths, trace

FORMAT = 1
MOST_CHATS = 50
MOST_BYTES = 1_000_000
LONGEST = 100_000  # characters of a message


@dataclass(frozen=True)
class Line:
    """One message. `time` in seconds since 1970; `note` says if it was cut off."""

    message: Message
    time: float
    note: str = ""


class History:
    """One chat's file; it is made with the first message."""

    def __init__(self, file: Path, workspace: Path) -> None:
        self.file = file
        self.workspace = workspace

    @property
    def name(self) -> str:
        return self.file.stem

    def add(self, message: Message, note: str = "") -> None:
        """Append a message; a long one without its middle. Raises OSError."""
        content = message.content
        if len(content) > LONGEST:
            content = f"{content[: LONGEST // 2]}\n…\n{content[-LONGEST // 2 :]}"
        rows: list[dict[str, Any]] = [{"v": FORMAT, "time": round(time.time(), 3)}]
        rows[0] |= {"role": message.role, "content": content, **({"note": note} if note else {})}
        if not self.file.exists():
            paths.private_dir(self.file.parent)
            rows.insert(0, {"v": FORMAT, "workspace": str(self.workspace)})
        text = "".join(f"{json.dumps(trace.scrub(row), ensure_ascii=False)}\n" for row in rows)
        descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as stream:
            stream.write(text.encode("utf-8", "backslashreplace"))

    def lines(self) -> list[Line]:
        """Oldest first. Damaged lines, and those of other versions, are passed over."""
        return list(self._lines())

    def messages(self) -> list[Message]:
        return [line.message for line in self.lines()]

    def _lines(self) -> Iterator[Line]:
        try:
            with self.file.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - MOST_BYTES))
                data = stream.read()
        except FileNotFoundError:
            return
        for raw in data.split(b"\n"):
            try:
                row = json.loads(raw)
                if row["v"] == FORMAT and row["role"] in ("user", "assistant"):
                    said = Message(row["role"], str(row["content"]))
                    yield Line(said, float(row["time"]), str(row.get("note", "")))
            except (ValueError, KeyError, TypeError):
                continue


def of_workspace(root: Path) -> list[History]:
    """The chats of a workspace, oldest first."""
    files = sorted(_folder(root).glob("*.jsonl"))
    return [History(file, root) for file in files]


def latest(root: Path) -> History:
    """The newest chat, or a new one if there is none."""
    found = of_workspace(root)
    return found[-1] if found else new(root)


def new(root: Path) -> History:
    """An empty chat; the oldest ones go if there are too many."""
    for old in of_workspace(root)[: -(MOST_CHATS - 1)]:
        old.file.unlink(missing_ok=True)
    name = time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + f"-{time.time_ns() % 1000:03d}"
    return History(_folder(root) / f"{name}.jsonl", root)


def _folder(root: Path) -> Path:
    key = hashlib.sha256(str(root.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return paths.state_dir() / "chat" / key
