"""The adapters that were sent to a gateway, on disk: a folder a repository, in it one a version.

    REPOSITORY/shelf.json          what there is and what is in use, written anew with each change
    REPOSITORY/VERSION/            peft's two files, our manifest, and the signed statement

REPOSITORY is an `identity`, VERSION the time of signing: no name comes from outside. A version's
folder is built beside and renamed; what no shelf names is left over from a crash and goes at
start. The newest time ever taken is kept, so that an older version cannot come back later.
"""

import logging
import re
import shutil
import tempfile
import threading
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from completion import adapter_package, adapters, identity
from completion.adapter_package import Statement
from completion.signing import Signed
from gateway.config import Adapters
from tandem import paths
from tandem.errors import ModelError, UsageError

FORMAT = 1
SHELF, SIGNED = "shelf.json", "signed.json"
_INCOMING = ".incoming-"
log = logging.getLogger(__name__)


class Version(BaseModel):
    """`size` in bytes, `pushed` in seconds since 1970, `signer` and `user` by their names here.
    `withdrawn`: somebody rolled back from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    signed_ms: int
    base: str
    base_hash: str
    rank: int
    size: int
    signer: str
    user: str
    pushed: float
    withdrawn: bool = False

    @property
    def version(self) -> str:
        return adapter_package.version(self.signed_ms)


class Shelf(BaseModel):
    """The versions of one repository's adapter, oldest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: int = FORMAT
    name: str
    repository: str
    newest_ms: int = 0
    versions: tuple[Version, ...] = ()

    @property
    def usable(self) -> list[Version]:
        """What may be served, the best first."""
        return [version for version in reversed(self.versions) if not version.withdrawn]

    @property
    def in_use(self) -> Version | None:
        return next(iter(self.usable), None)

    def served(self, version: Version) -> str:
        return f"{self.name}.{version.version}"


class Store:
    """Reads the disk at start; all changes go through it, one at a time. Blocking."""

    def __init__(self, root: Path, limits: Adapters) -> None:
        self.root = root
        self._limits = limits
        self._changing = threading.Lock()
        self._shelves: dict[str, Shelf] = {}
        for folder in sorted(root.iterdir()) if root.is_dir() else []:
            if folder.name.startswith(_INCOMING):
                shutil.rmtree(folder, ignore_errors=True)
            elif re.fullmatch(identity.FORM, folder.name) and (shelf := _read(folder)):
                self._shelves[shelf.repository] = shelf
                self._clear(shelf)

    def shelves(self) -> list[Shelf]:
        return list(self._shelves.values())

    def of(self, repository: str) -> Shelf | None:
        return self._shelves.get(repository)

    def named(self, name: str) -> Shelf | None:
        return next((shelf for shelf in self.shelves() if shelf.name == name), None)

    def owner(self, served: str) -> Shelf | None:
        """Whose version is loaded under this name at a back end."""
        parts = adapter_package.parted(served)
        return self.named(parts[0]) if parts else None

    def folder(self, shelf: Shelf, version: Version, root: str = "") -> Path:
        """Where its files lie, or where they do for who sees the store under another path."""
        return (Path(root) if root else self.root) / shelf.repository / version.version

    def receiving(self) -> Path:
        """A new folder for files that arrive; they are no adapter until `put`."""
        paths.private_dir(self.root)
        return Path(tempfile.mkdtemp(dir=self.root, prefix=_INCOMING))

    def discard(self, folder: Path) -> None:
        """One of `receiving`, if it is still there."""
        shutil.rmtree(folder, ignore_errors=True)

    def signed(self, shelf: Shelf, version: Version) -> Signed:
        """Raises ModelError if it is damaged."""
        try:
            data = (self.folder(shelf, version) / SIGNED).read_bytes()
            return Signed.model_validate_json(data)
        except (OSError, ValidationError):
            raise ModelError(f"{shelf.served(version)} is damaged.", "Push it again.") from None

    def refusal(self, statement: Statement) -> str:
        """Why it cannot come in after what there is; empty if it can."""
        shelf = self.of(statement.repository)
        if shelf is not None and statement.signed_ms <= shelf.newest_ms:
            return f"{statement.version} is not newer than what was sent before"
        if shelf is None and self.named(statement.name) is not None:
            return f"{statement.name} is another repository's adapter"
        return ""

    def put(
        self, folder: Path, statement: Statement, signed: Signed, rank: int, signer: str, user: str
    ) -> Shelf:
        """Take in a folder of `receiving` with both files; it is in use from now on.

        Raises UsageError as `refusal` says, or if there is no room.
        """
        version = Version(
            signed_ms=statement.signed_ms,
            base=statement.base,
            base_hash=statement.base_hash,
            rank=rank,
            size=statement.size,
            signer=signer,
            user=user,
            pushed=round(time.time(), 3),
        )
        known = statement.manifest("REPOSITORY", f"signed by {signer}, sent by {user}")
        _write(folder / adapters.FILE, known)
        _write(folder / SIGNED, signed)
        with self._changing:
            if reason := self.refusal(statement):
                raise UsageError(f"{reason}.", "Push a newer one.")
            shelf = self.of(statement.repository) or Shelf(
                name=statement.name, repository=statement.repository
            )
            self._make_room(version.size, shelf.repository)
            shelf = self.of(shelf.repository) or shelf
            target = self.folder(shelf, version)
            target.parent.mkdir(exist_ok=True, mode=0o700)
            folder.chmod(0o755)  # a back end may run as somebody else
            folder.rename(target)
            versions = (*shelf.versions, version)[-self._limits.versions :]
            return self._change(shelf, versions=versions, newest_ms=version.signed_ms)

    def withdraw(self, shelf: Shelf, version: Version) -> Shelf:
        """Go back to the version before. Raises UsageError if that one is not in use any more."""
        with self._changing:
            now = self._shelves[shelf.repository]
            if now.in_use != version:
                raise UsageError("Another version is in use meanwhile.", "Look again.")
            back = version.model_copy(update={"withdrawn": True})
            return self._change(
                now, versions=(*(back if v == version else v for v in now.versions),)
            )

    def forget(self, shelf: Shelf, version: Version) -> Shelf:
        """Take a version out as if it had never come; one as old is refused all the same."""
        with self._changing:
            now = self._shelves[shelf.repository]
            return self._change(now, versions=tuple(v for v in now.versions if v != version))

    def _make_room(self, size: int, repository: str) -> None:
        """Old versions go first: those rolled back from, and those before the one before."""
        limit = self._limits.mb_all << 20
        while sum(v.size for s in self.shelves() for v in s.versions) + size > limit:
            spare = [
                (version.signed_ms, shelf, version)
                for shelf in self.shelves()
                for version in shelf.versions
                if version not in shelf.usable[: 1 if shelf.repository == repository else 2]
            ]
            if not spare:
                raise UsageError(
                    f"The gateway's store of {self._limits.mb_all} MB is full.",
                    "Ask its admin for a larger adapters.mb_all.",
                )
            _, shelf, version = min(spare, key=lambda one: one[0])
            self._change(shelf, versions=tuple(v for v in shelf.versions if v != version))

    def _change(self, shelf: Shelf, **values: object) -> Shelf:
        """First what is told of it, then its folders: a crash leaves one too many."""
        changed = shelf.model_copy(update=values)
        _write(self.root / shelf.repository / SHELF, changed)
        self._shelves[shelf.repository] = changed
        self._clear(changed)
        return changed

    def _clear(self, shelf: Shelf) -> None:
        kept = {version.version for version in shelf.versions}
        for folder in (self.root / shelf.repository).iterdir():
            if folder.is_dir() and folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)


def _read(folder: Path) -> Shelf | None:
    """A damaged one is left alone: its adapters are not served, everything else is."""
    try:
        shelf = Shelf.model_validate_json((folder / SHELF).read_bytes())
        if (shelf.v, shelf.repository) != (FORMAT, folder.name):
            raise ValueError("another format or folder")
    except (OSError, ValueError) as error:
        log.warning("%s is not served: %s", folder, error)
        return None
    return shelf


def _write(file: Path, value: BaseModel) -> None:
    with paths.atomic_write(file, permissions=0o644) as stream:
        stream.write(value.model_dump_json(indent=1) + "\n")
