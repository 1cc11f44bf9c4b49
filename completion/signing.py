"""Who answers for an adapter: Ed25519 signatures (RFC 8032), the user's own key, keys trusted.

In the settings folder: `adapter-key.pem` is the private key, made at first need and for its
owner's eyes alone; `adapter-signers` has a line for each key that is trusted besides it,
`ed25519:BASE64 NAME`. A signature is over a text as it is, byte for byte, and over what the text
is for, so that one made for one purpose is worth nothing for another.
"""

import base64
import binascii
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field

from tandem import paths
from tandem.errors import ConfigError, UsageError

KEY = r"ed25519:[A-Za-z0-9+/]{43}="
MAX_TEXT = 64 * 1024
_MARK = "ed25519:"

Purpose = Literal["adapter", "rollback"]


class Signed(BaseModel):
    """A text, the public key of who signed it, and the signature, in base64."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(max_length=MAX_TEXT)
    key: str = Field(pattern=f"^{KEY}$")
    signature: str = Field(max_length=88)

    def signer(self, purpose: Purpose, known: Mapping[str, str]) -> str:
        """Who signed it, by the names of `known`, which has a public key for each.

        Raises UsageError if that is nobody of them, or the text was changed since.
        """
        name = next((name for name, key in known.items() if key == self.key), None)
        if name is None:
            raise UsageError(f"It is signed by {self.key}, which is not trusted here.")
        public = Ed25519PublicKey.from_public_bytes(_raw(self.key))
        try:
            signature = base64.b64decode(self.signature, validate=True)
            public.verify(signature, _message(purpose, self.text))
        except (InvalidSignature, ValueError):
            raise UsageError(
                "Its signature is wrong: it was changed since it was signed."
            ) from None
        return name


def sign(purpose: Purpose, text: str) -> Signed:
    """With the user's own key. Raises ConfigError if that cannot be read."""
    key = _private()
    signature = base64.b64encode(key.sign(_message(purpose, text))).decode()
    return Signed(text=text, key=_public(key), signature=signature)


def own_key() -> str:
    """The user's public key; the pair is made if there is none. Raises ConfigError."""
    return _public(_private())


def valid(key: str) -> bool:
    """Whether a text can be a public key."""
    try:
        Ed25519PublicKey.from_public_bytes(_raw(key))
    except ValueError:
        return False
    return key.startswith(_MARK)


def trusted() -> dict[str, str]:
    """The keys whose adapters may be installed here, by name, the user's own first.

    Raises ConfigError if a file cannot be read.
    """
    return ({"you": own_key()} if key_file().exists() else {}) | _signers()


def trust(key: str, name: str) -> None:
    """Install from now on what this key signed. Raises UsageError for what is no key or name."""
    name = name.strip()
    if not valid(key):
        raise UsageError(f"'{key[:80]}' is no public key.", "Ask its owner: tandem adapters key")
    if not name.isprintable() or not 1 <= len(name) <= 64 or "#" in name or name == "you":
        raise UsageError(
            "A signer's name is 1 to 64 printable characters without #.", "Choose one."
        )
    with _changing():
        kept = {other: known for other, known in _signers().items() if other != name}
        with paths.atomic_write(signers_file()) as stream:
            stream.writelines(f"{known} {other}\n" for other, known in [*kept.items(), (name, key)])


def key_file() -> Path:
    return paths.config_dir() / "adapter-key.pem"


def signers_file() -> Path:
    return paths.config_dir() / "adapter-signers"


def _signers() -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        text = signers_file().read_text("utf-8")
    except FileNotFoundError:
        return found
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read {signers_file()}: {error}.", "Mend that file.") from None
    for number, line in enumerate(text.splitlines(), 1):
        key, _, name = line.partition("#")[0].strip().partition(" ")
        if key and not valid(key):
            raise ConfigError(
                f"{signers_file()}, line {number}: no key of ours.", "Lines are: ed25519:… NAME"
            )
        if key:
            found[name.strip() or key] = key
    return found


def _private() -> Ed25519PrivateKey:
    with _changing():
        if not key_file().exists():
            made = Ed25519PrivateKey.generate()
            pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            with paths.atomic_write(key_file(), "wb") as stream:
                stream.write(pem)
            return made
    try:
        descriptor = os.open(key_file(), os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as stream:
            mode, pem = stat.S_IMODE(os.fstat(stream.fileno()).st_mode), stream.read(1 << 16)
        key = load_pem_private_key(pem, None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"Cannot read {key_file()}: {error}.", "Remove it; a new key needs to be trusted anew."
        ) from None
    if mode & 0o077:
        raise ConfigError(f"Others can read {key_file()}.", f"chmod 600 {key_file()}")
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{key_file()} is no Ed25519 key.", "Remove it to have one made.")
    return key


def _changing() -> FileLock:
    paths.private_dir(paths.config_dir())
    return FileLock(paths.config_dir() / ".adapter-keys.lock", mode=0o600)


def _public(key: Ed25519PrivateKey) -> str:
    return _MARK + base64.b64encode(key.public_key().public_bytes_raw()).decode()


def _raw(key: str) -> bytes:
    try:
        return base64.b64decode(key.removeprefix(_MARK), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def _message(purpose: Purpose, text: str) -> bytes:
    return f"tandem {purpose} 1\n".encode() + text.encode("utf-8", "surrogatepass")
