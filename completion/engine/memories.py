"""The memories that an engine keeps, by name, within a limit of bytes.

Who asks for them last loses them last. They live as long as the engine: whoever filled one fills
it again when an answer tells that it is unknown.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from completion.engine.memory import Memory, View, token_ids
from completion.engine.tokenizer import Tokenizer
from tandem import secrets

# Of all memories together: some 9 million tokens, or 900,000 lines.
LIMIT = 128 << 20


class MemoryFull(Exception):
    """A memory alone would take more than there may be."""


@dataclass(frozen=True)
class Held:
    """What a memory has after a change."""

    files: int
    tokens: int
    bytes: int


class Memories:
    """Any thread may use it."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: int, limit: int = LIMIT) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._limit = limit
        self._held: OrderedDict[str, Memory] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, name: str, files: Mapping[str, str], drop: Iterable[str]) -> Held:
        """Give a memory, which may be new, texts by path, and take paths from it. Others that
        have not been asked for in a while make room.

        Secrets and files of secrets are left out, whoever sends them. Raises MemoryFull; the
        memory is then gone.
        """
        with self._lock:
            memory = self._held.setdefault(name, Memory(self._vocabulary))
            self._held.move_to_end(name)
        unwanted = {path for path in files if secrets.is_secret_file(PurePosixPath(path))}
        texts = {path: secrets.redact(text) for path, text in files.items() if path not in unwanted}
        tokens = {path: token_ids(self._tokenizer, text) for path, text in texts.items()}
        memory.update(tokens, unwanted.union(drop))
        with self._lock:
            self._make_room(name)
        return Held(memory.files, memory.tokens, memory.nbytes)

    def drop(self, name: str) -> bool:
        """Whether there was one."""
        with self._lock:
            return self._held.pop(name, None) is not None

    def view(self, name: str) -> View | None:
        """A memory as it is now; None if there is none of that name."""
        with self._lock:
            memory = self._held.get(name)
            if memory is not None:
                self._held.move_to_end(name)
        return memory and memory.view

    @property
    def nbytes(self) -> int:
        with self._lock:
            return sum(memory.nbytes for memory in self._held.values())

    def _make_room(self, name: str) -> None:
        while sum(memory.nbytes for memory in self._held.values()) > self._limit:
            oldest = next((other for other in self._held if other != name), name)
            del self._held[oldest]
            if oldest == name:
                raise MemoryFull
