"""The gateway's settings: one TOML file, `gateway.toml` beside the user's `config.toml`.

Read at start. Only users' tokens live elsewhere (`tokens`), because they are made and revoked
while the gateway runs.
"""

import stat
import tomllib
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from completion import settings_file, signing
from completion.engine import background
from tandem import paths
from tandem.errors import ConfigError

Role = Literal["completion", "chat", "agent"]
Scope = Literal["completion", "chat", "adapters", "admin", "metrics"]
ROLES: tuple[Role, ...] = ("completion", "chat", "agent")
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
PORT = 8018
_NOT_TO_SERVE = {"--host", "--port", "--background", "--allow-remote", "--print"}


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Backend(_Table):
    """An OpenAI-compatible server. Those that serve the same model are its replicas.

    `stands_in_for` names models whose chats it answers while none of their own servers does.
    `slots` is how many requests at once it takes well. Prices are per million tokens.
    `first_seconds` without a byte of a stream, or `whole_seconds` without a whole answer, and
    the next one is asked. `fields` are more fields of a request that may be passed on to it.
    `cache_salt` sends a field of that name, which keeps tenants' prompt caches apart; servers
    that refuse fields they do not know need it off. `base_hash` is that of its model, as `tandem
    adapters show NAME --json` tells it of an adapter; the embedded engine says it itself.
    `adapter_root` is where it sees this gateway's folder of adapters, if elsewhere than we do.
    `serve` has the gateway run it: arguments of `tandem serve`, which listens where `url` says; its
    token is this user's then.
    """

    name: str = Field(pattern=NAME)
    url: str
    token: SecretStr = SecretStr("")
    token_file: Path | None = None
    roles: list[Role] = Field(min_length=1)
    models: list[str] = Field(min_length=1)
    stands_in_for: list[str] = []
    slots: int = Field(default=8, ge=1)
    price_in: float = Field(default=0.0, ge=0)
    price_out: float = Field(default=0.0, ge=0)
    first_seconds: float = Field(default=20.0, gt=0)
    whole_seconds: float = Field(default=300.0, gt=0)
    fields: list[str] = []
    cache_salt: bool = True
    base_hash: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    adapter_root: str = ""
    serve: list[str] | None = None

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http address, such as http://127.0.0.1:8017/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold no user, query or fragment; a token goes into token_file")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _served_here(self) -> "Backend":
        if self.serve is None:
            return self
        address = urlsplit(self.url)
        if address.hostname != "127.0.0.1" or not address.port or address.path != "/v1":
            raise ValueError("with `serve`, url must be as http://127.0.0.1:PORT/v1")
        if self.token_file is not None or self.token.get_secret_value():
            raise ValueError("with `serve` there is no token to name: it is this user's")
        if strange := {word.split("=")[0] for word in self.serve} & _NOT_TO_SERVE:
            raise ValueError(f"{min(strange)} is not for `serve`; `url` says where it listens")
        return self

    def bearer(self) -> str:
        """Raises ConfigError if its file cannot be read."""
        if self.serve is not None:
            return background.user_token()[0]
        if self.token_file is None:
            return self.token.get_secret_value()
        try:
            return self.token_file.expanduser().read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The token of {self.name} cannot be read: {error}.", "Mend token_file."
            ) from None


class Adapters(_Table):
    """What may be sent by `tandem adapters push`. `signers` are public keys (`tandem adapters
    key`) by name; without one nobody may. At most `versions` of a repository's adapter are kept,
    each of `mb_each` and all together of `mb_all` megabytes."""

    signers: dict[str, str] = {}
    mb_each: int = Field(default=512, ge=1, le=16_384)
    mb_all: int = Field(default=4096, ge=1)
    most_rank: int = Field(default=256, ge=1)
    versions: int = Field(default=5, ge=2, le=100)

    @field_validator("signers")
    @classmethod
    def _keys(cls, signers: dict[str, str]) -> dict[str, str]:
        if wrong := [name for name, key in signers.items() if not signing.valid(key)]:
            raise ValueError(f"{wrong[0]} has no public key such as ed25519:…")
        return signers


class User(_Table):
    """Somebody who may ask. Users of one `tenant` (each is their own by default) share caches.

    `adapters` are the names, or patterns such as `billing-*`, that the scope of that name lets
    them ask for.
    """

    scopes: list[Scope] = ["completion"]
    tenant: str = Field(default="", max_length=64)
    adapters: list[str] = []
    requests_per_minute: int = Field(default=600, ge=1)
    tokens_per_day: int | None = Field(default=None, ge=1)
    at_once: int = Field(default=32, ge=1)


class Settings(_Table):
    """All of the file. `hosts` are names by which a proxy before the gateway is asked.

    `port` 0 takes a free one. `cache_mb` 0 keeps no answers. `choice` between replicas follows
    the prompt's prefix; round robin is there to be compared with.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=PORT, ge=0, le=65535)
    hosts: list[str] = []
    allow_remote: bool = False
    max_body: int = Field(default=4 * 1024 * 1024, ge=1024)
    max_tokens: int = Field(default=8192, ge=1)
    max_requests: int = Field(default=512, ge=1)
    choice: Literal["prefix", "round robin"] = "prefix"
    cache_mb: int = Field(default=64, ge=0)
    cache_seconds: float = Field(default=3600.0, gt=0)
    poll_seconds: float = Field(default=5.0, gt=0)
    currency: str = Field(default="", max_length=8)
    adapters: Adapters = Adapters()
    backends: list[Backend] = Field(min_length=1)
    users: dict[str, User] = {}

    @field_validator("backends")
    @classmethod
    def _named_once(cls, backends: list[Backend]) -> list[Backend]:
        names = [backend.name for backend in backends]
        if len({*names}) < len(names):
            raise ValueError("two back ends have the same name")
        return backends

    @field_validator("users")
    @classmethod
    def _user_names(cls, users: dict[str, User]) -> dict[str, User]:
        for name, user in users.items():
            if not name or len(name) > 64 or not name.isprintable():
                raise ValueError("a user's name is 1 to 64 printable characters")
            user.tenant = user.tenant or name
        return users


def default_file() -> Path:
    return paths.config_dir() / "gateway.toml"


def load(file: Path) -> Settings:
    """Raises ConfigError naming what is wrong, or that others could read a token in it."""
    try:
        with file.open("rb") as stream:
            mode = stat.S_IMODE(file.stat().st_mode)
            values = tomllib.load(stream)
    except FileNotFoundError:
        raise ConfigError(f"There is no {file}.", "Make one: tandem gateway init") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"Cannot read {file}: {error}.", "Mend that file.") from None
    settings = settings_file.validated(Settings, values, file, "docs/gateway.md")
    if mode & 0o077 and any(backend.token.get_secret_value() for backend in settings.backends):
        raise ConfigError(f"{file} holds a token and others can read it.", f"chmod 600 {file}")
    return settings


EXAMPLE = """\
# The gateway's settings; docs/gateway.md has all of them. Read at start.
host = "127.0.0.1"      # for other machines put a TLS proxy in front, and name it in `hosts`
port = 8018

[[backends]]            # a server that the gateway runs, at `url`: `tandem serve` with these arguments
name = "small"
url = "http://127.0.0.1:8017/v1"
serve = []              # the embedded engine; ["--backend", "vllm", "--config", "~/coder.toml"] is vLLM
roles = ["completion", "chat"]
models = ["{model}"]

# [[backends]]          # a large model for chat and agents, elsewhere
# name = "large"
# url = "http://gpu-1:8000/v1"
# token_file = "/etc/tandem/large.token"
# roles = ["chat", "agent"]
# models = ["Qwen/Qwen3-Coder-30B-A3B-Instruct"]
# price_in = 0.10       # per million tokens
# price_out = 0.40

# [adapters.signers]    # whose `tandem adapters push` counts: their `tandem adapters key`
# ann = "ed25519:..."

[users.{user}]
scopes = ["completion", "chat", "metrics", "admin"] # and "adapters", with adapters = ["NAME"]
# tenant = "payments"   # who shares caches; default: each user for themselves
# tokens_per_day = 2000000
"""
