"""Users' bearer tokens: made once, shown once, kept as salted hashes.

`state_dir()/gateway/tokens.json`, readable by its owner alone: {"v": 1, "tokens": {id: {user,
salt, hash, made}}}. A token is `tg-ID-SECRET`; the id finds its row, so that one hash is enough
whatever the number of users. The secret has 256 random bits: a slow hash would protect nothing.
The file is looked at with each request, so a revoked token is refused at once.
"""

import hashlib
import hmac
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from tandem import paths
from tandem.errors import ConfigError

FORMAT = 1
_MARK = "tg"


@dataclass(frozen=True)
class Row:
    """What is kept of a token; `made` in seconds since 1970."""

    user: str
    salt: str
    hash: str
    made: float


def default_file() -> Path:
    return paths.state_dir() / "gateway" / "tokens.json"


def make(user: str, file: Path) -> str:
    """A new token, in place of those that the user had."""
    id, secret, salt = secrets.token_hex(6), secrets.token_urlsafe(32), secrets.token_hex(16)
    with _changing(file):
        rows = {known: row for known, row in _read(file).items() if row.user != user}
        rows[id] = Row(user, salt, _hash(salt, secret), round(time.time(), 3))
        _write(file, rows)
    return f"{_MARK}-{id}-{secret}"


def revoke(user: str, file: Path) -> bool:
    """Whether the user had one."""
    with _changing(file):
        rows = _read(file)
        left = {id: row for id, row in rows.items() if row.user != user}
        _write(file, left)
    return len(left) < len(rows)


class Tokens:
    """The file, read again when it changes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp: tuple[int, ...] = ()
        self._rows: dict[str, Row] = {}

    def user(self, token: str) -> str | None:
        """Whose it is. A damaged file is nobody's."""
        self._refresh()
        mark, _, rest = token.partition("-")
        id, _, secret = rest.partition("-")
        row = self._rows.get(id) if mark == _MARK else None
        if row is None:
            return None
        right = hmac.compare_digest(_hash(row.salt, secret), row.hash)
        return row.user if right else None

    def _refresh(self) -> None:
        try:
            found = self._file.stat()
        except OSError:
            self._rows, self._stamp = {}, ()
            return
        stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
        if stamp != self._stamp:
            try:
                self._rows = _read(self._file)
            except ConfigError:
                self._rows = {}
            self._stamp = stamp


def _hash(salt: str, secret: str) -> str:
    data = salt.encode() + secret.encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).hexdigest()


def _read(file: Path) -> dict[str, Row]:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"Cannot read {file}: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, encoding="utf-8") as stream:
            found = json.load(stream)
        if found["v"] != FORMAT:
            raise ValueError("another version")
        return {str(id): Row(**row) for id, row in found["tokens"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError(f"{file} is damaged.", "Remove it and make new tokens.") from None


def _write(file: Path, rows: dict[str, Row]) -> None:
    with paths.atomic_write(file) as stream:
        json.dump({"v": FORMAT, "tokens": {id: vars(row) for id, row in rows.items()}}, stream)


def _changing(file: Path) -> FileLock:
    paths.private_dir(file.parent)
    return FileLock(file.with_suffix(".lock"), mode=0o600)
