"""An adapter on its way between machines: a signed statement, then its two files.

A package is one line of JSON (`signing.Signed`, whose text is a `Statement` as JSON) and after
it the bytes of `adapter_config.json` and `adapter_model.safetensors`, as long as the statement
says. No names and no paths are read from it: there is nothing to unpack elsewhere. Who receives
one reads the statement before any file is written.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from completion import adapters, identity, lora, manifest, signing
from completion.signing import MAX_TEXT, Signed
from tandem.errors import ModelError

FORMAT = 1
FILES = (lora.CONFIG, lora.WEIGHTS)
MAX_CONFIG = 64 * 1024
# JSON may write a character of the text as six.
MAX_HEAD = 6 * MAX_TEXT + 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERSION = re.compile(r"(.+)\.(\d{8}T\d{9}Z)")
_HASH = r"^[0-9a-f]{64}$"


class File(BaseModel):
    """Bytes, and their sha256."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=1)
    sha256: str = Field(pattern=_HASH)


class Statement(BaseModel):
    """What the signer says of an adapter. `repository` is an `identity`; nothing in here tells
    where anything lies on a disk. Of two statements the one signed later is the newer version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = FORMAT
    name: str
    repository: str = Field(pattern=f"^{identity.FORM}$")
    signed_ms: int = Field(gt=0, lt=4_102_444_800_000)  # the year 2100
    base: str = Field(min_length=1, max_length=200)
    base_hash: str = Field(pattern=_HASH)
    data_hash: str = Field(max_length=128)
    created: str = Field(max_length=64)
    recipe: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    licence: str = Field(default="", max_length=1000)
    files: dict[str, File]

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not _NAME.fullmatch(name) or parted(name):
            raise ValueError("must be letters, digits, dots, dashes: at most 64")
        return name

    @field_validator("files")
    @classmethod
    def _both(cls, files: dict[str, File]) -> dict[str, File]:
        if {*files} != {*FILES} or files[lora.CONFIG].size > MAX_CONFIG:
            raise ValueError(f"must be {' and '.join(FILES)}")
        return files

    @property
    def version(self) -> str:
        return version(self.signed_ms)

    @property
    def served(self) -> str:
        """What this version is called where it is loaded."""
        return f"{self.name}.{self.version}"

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files.values())

    def manifest(self, repository: str, note: str) -> adapters.Manifest:
        """As the adapter store has it."""
        return adapters.Manifest(
            name=self.served,
            repository=repository,
            note=note,
            files={name: file.sha256 for name, file in self.files.items()},
            **self.model_dump(
                include={"base", "base_hash", "data_hash", "created", "recipe", "figures"}
                | {"licence"}
            ),
        )


def version(signed_ms: int) -> str:
    """When it was signed, as part of a name: 20261127T093015123Z."""
    moment = datetime.fromtimestamp(signed_ms // 1000, UTC)
    return f"{moment:%Y%m%dT%H%M%S}{signed_ms % 1000:03d}Z"


def parted(served: str) -> tuple[str, str] | None:
    """The adapter's name and version of a name such as `Statement.served`."""
    found = _VERSION.fullmatch(served)
    return (found[1], found[2]) if found else None


def state(adapter: adapters.Adapter, name: str, repository: str) -> Statement:
    """What there is to sign of an adapter of the store. Raises ModelError if its files are not
    what was registered, and for a name that cannot be one."""
    known = adapter.manifest
    files: dict[str, File] = {}
    for file in FILES:
        path = adapter.folder / file
        try:
            found = File(size=path.stat().st_size, sha256=manifest.sha256(path))
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}.", "Tune again.") from None
        if found.sha256 != known.files.get(file):
            raise ModelError(f"{path} has changed since it was registered.", "Tune again.")
        files[file] = found
    told = known.model_dump(
        include={"base", "base_hash", "data_hash", "created", "recipe", "figures", "licence"}
    )
    values = {"name": name, "repository": repository, "signed_ms": time.time_ns() // 1_000_000}
    try:
        return Statement.model_validate(values | told | {"files": files})
    except ValidationError as error:
        raise ModelError(f"It cannot be shared: {_first(error)}.", "Choose another --as.") from None


def sign(statement: Statement) -> Signed:
    """With the user's own key."""
    return signing.sign("adapter", statement.model_dump_json())


def read(signed: Signed) -> Statement:
    """What was signed, whoever that did. Raises ModelError if it is no statement."""
    try:
        return Statement.model_validate_json(signed.text)
    except ValidationError as error:
        raise ModelError(f"What was signed is no adapter's statement: {_first(error)}.") from None


def pack(folder: Path, signed: Signed) -> Iterator[bytes]:
    """The package of the adapter whose files lie in `folder`, piece by piece."""
    yield signed.model_dump_json().encode() + b"\n"
    for name in FILES:
        with (folder / name).open("rb") as stream:
            while piece := stream.read(manifest.CHUNK):
                yield piece


class Unpacking:
    """A package as it arrives. `signed` is there once its first line is; after `into` has said
    where, the files are written. Raises ModelError for anything else than a package."""

    def __init__(self) -> None:
        self.signed: Signed | None = None
        self._held = bytearray()
        self._folder: Path | None = None
        self._waits: list[tuple[str, File]] = []
        self._stream: IO[bytes] | None = None
        self._digest = hashlib.sha256()
        self._left = 0

    def feed(self, data: bytes) -> None:
        """Some more bytes of it. Blocking."""
        self._held += data
        if self.signed is None:
            self._read_head()
        if self._folder is not None:
            self._write()

    def into(self, folder: Path, statement: Statement) -> None:
        """Write the files of this statement, which is what `signed` says, into a folder."""
        self._waits = [(name, statement.files[name]) for name in FILES]
        self._folder = folder
        self._write()

    def finish(self) -> None:
        """Everything has come."""
        if self.signed is None or self._folder is None or self._stream or self._waits:
            raise ModelError("The adapter's package broke off.", "Send it again.")

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def _read_head(self) -> None:
        line, newline, rest = self._held.partition(b"\n")
        if len(line) > MAX_HEAD:
            raise ModelError("This is no adapter's package.")
        if newline:
            try:
                self.signed = Signed.model_validate_json(bytes(line))
            except ValidationError as error:
                raise ModelError(f"This is no adapter's package: {_first(error)}.") from None
            self._held = rest

    def _write(self) -> None:
        assert self._folder is not None
        while self._held:
            if self._stream is None:
                if not self._waits:
                    raise ModelError("The adapter's package is longer than was signed.")
                name, file = self._waits[0]
                self._stream = (self._folder / name).open("xb")
                self._digest, self._left = hashlib.sha256(), file.size
            piece = bytes(self._held[: self._left])
            del self._held[: len(piece)]
            self._stream.write(piece)
            self._digest.update(piece)
            self._left -= len(piece)
            if not self._left:
                self._end_file()

    def _end_file(self) -> None:
        assert self._stream is not None
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self._stream = None
        name, file = self._waits.pop(0)
        if self._digest.hexdigest() != file.sha256:
            raise ModelError(f"{name} is not the file that was signed.")


def _first(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return json.dumps(f"{where}: {first['msg']}"[:200], ensure_ascii=True).strip('"')
