"""Adapters between this machine and a team's gateway: push, pull, roll back there.

What is pushed is signed here with the user's own key. What is pulled is believed for its
signature, never for where it came from: the key must be trusted, the repository must be this
one, the base's weights those of here, and the version no older than one that was here before.
"""

import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from completion import activations, adapter_package, adapters, identity, signing
from completion.adapter_package import Statement, Unpacking
from completion.adapters import Adapter, Base
from finetune import registry
from tandem import paths
from tandem.errors import EngineError, ModelError, UsageError

MAX_BYTES = 16 << 30
_PATH = "tandem/adapters"


@dataclass(frozen=True)
class Pulled:
    """`new` is false if that version was here already."""

    statement: Statement
    signer: str
    new: bool


class Team:
    """A gateway by its address, which ends in /v1. Use as a context manager."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        # trust_env off: a proxy variable must not send an adapter elsewhere.
        self._http = httpx.Client(
            base_url=f"{self._url}/",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(180.0, connect=5.0),
            trust_env=False,
        )

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def push(self, adapter: Adapter, repository: Path, name: str = "") -> dict[str, Any]:
        """Send an adapter that the gate lets pass; what the gateway says of it then.

        `name` is what it is called there, by default the repository's name and identity; a
        repository that has one there keeps it. Raises TandemError.
        """
        judged = registry.verdict(adapter)
        if not judged.passed:
            raise ModelError(
                f"The gate refuses {adapter.name}: {'; '.join(judged.refusals)}.",
                f"More commits may help: {adapters.retune(adapter.manifest)}.",
            )
        known = _identity(repository)
        row = next((row for row in self.rows() if row.get("repository") == known), None)
        name = name or (str(row["name"]) if row else _name(repository, known))
        signed = adapter_package.sign(adapter_package.state(adapter, name, known))
        pieces = adapter_package.pack(adapter.folder, signed)
        return self._post(_PATH, "application/octet-stream", pieces)

    def pull(
        self, repository: Path, base_named: Callable[[str], Base], older: bool = False
    ) -> Pulled:
        """Fetch this repository's adapter, and use it for it. `older` takes one that is older
        than what was here before. Raises TandemError; nothing is changed then."""
        known = _identity(repository)
        temporary = Path(tempfile.mkdtemp(dir=paths.private_dir(paths.adapters_dir()), prefix="."))
        try:
            statement, signer = self._fetch(known, temporary)
            base = base_named(statement.base)
            if not older and statement.version < (newest := _newest(statement)):
                raise UsageError(
                    f"{self._url} offers the version {statement.version}, older than {newest}, "
                    "which was here before.",
                    "If your team rolled it back, add --older.",
                )
            new = statement.served not in adapters.names()
            if new:
                note = f"pulled from {self._url}, signed by {signer}"
                registry.register(temporary, statement.manifest(str(repository), note), base)
            registry.activate(statement.served, repository, base)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return Pulled(statement, signer, new)

    def roll_back(self, name: str, repository: Path | None) -> dict[str, Any]:
        """Have the team use the version before, or the base. By the adapter's name there, or the
        repository it is for. Returns what the gateway says of it then."""
        wanted = "" if name or repository is None else _identity(repository)
        found = [row for row in self.rows() if row["name"] == name or row["repository"] == wanted]
        if not found or not found[0]["in_use"]:
            raise UsageError(
                f"{self._url} has no adapter {name or 'of this repository'} in use for you.",
                "See: tandem adapters team",
            )
        order = {"v": 1, "repository": found[0]["repository"]}
        order["from_ms"] = found[0]["in_use"]["signed_ms"]
        signed = signing.sign("rollback", json.dumps(order))
        body = signed.model_dump_json().encode()
        return self._post(f"{_PATH}/rollback", "application/json", body)

    def rows(self) -> list[dict[str, Any]]:
        """The adapters there that the user may use."""
        with self._reached():
            response = self._http.get(_PATH)
        rows = self._checked(response).get("adapters")
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and {"name", "repository", "in_use"} <= row.keys() for row in rows
        ):
            raise EngineError(f"{self._url} is no gateway of ours.", "Give its address: --to URL.")
        return rows

    def _fetch(self, known: str, folder: Path) -> tuple[Statement, str]:
        package, statement, signer, size = Unpacking(), None, "", 0
        with self._reached(), self._http.stream("GET", f"{_PATH}/{known}") as response:
            if response.status_code != 200:
                response.read()
                self._checked(response)
            try:
                for piece in response.iter_bytes():
                    if (size := size + len(piece)) > MAX_BYTES:
                        raise ModelError(f"{self._url} sends more than any adapter has.")
                    package.feed(piece)
                    if statement is None and package.signed is not None:
                        statement, signer = _believed(package.signed, known)
                        package.into(folder, statement)
                package.finish()
            finally:
                package.close()
        assert statement is not None
        return statement, signer

    def _post(self, path: str, kind: str, content: bytes | Iterable[bytes]) -> dict[str, Any]:
        with self._reached():
            response = self._http.post(path, content=content, headers={"Content-Type": kind})
        return self._checked(response)

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise EngineError(
                f"{self._url} cannot be reached: {reason}.", "Is the gateway running?"
            ) from error
        except httpx.InvalidURL:
            raise UsageError(f"{self._url} is no address.", "Such as https://host/v1.") from None

    def _checked(self, response: httpx.Response) -> dict[str, Any]:
        try:
            told = response.json()
            if response.status_code == 200:
                return dict(told)
            message = str(told["error"]["message"])
        except (ValueError, KeyError, TypeError, RecursionError):
            message = "no answer that we know"
        hint = "Set a token: TANDEM_TOKEN, or --token-file." if response.status_code == 401 else ""
        raise EngineError(f"{self._url} answered {response.status_code}: {message}", hint)


def _believed(signed: signing.Signed, known: str) -> tuple[Statement, str]:
    """Raises UsageError, ModelError for what must not be installed for this repository."""
    try:
        signer = signed.signer("adapter", signing.trusted())
    except UsageError as error:
        raise UsageError(
            f"The adapter is refused: {error.message}",
            f"If that is your team's key: tandem adapters trust {signed.key} NAME",
        ) from None
    statement = adapter_package.read(signed)
    if statement.repository != known:
        raise UsageError("The adapter is refused: it was signed for another repository.")
    return statement, signer


def _newest(statement: Statement) -> str:
    """The newest version of the same adapter that is or was in use here."""
    seen = {*adapters.names(), *(entry.name for entry in activations.history())}
    parts = [adapter_package.parted(name) for name in seen]
    return max((found[1] for found in parts if found and found[0] == statement.name), default="")


def _identity(repository: Path) -> str:
    known = identity.of(repository)
    if not known:
        raise UsageError(
            f"{repository} has no identity: it is no git repository, has no commit, or is shallow.",
            "Name a clone with --repo; a shallow one needs: git fetch --unshallow",
        )
    return known


def _name(repository: Path, known: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9-]+", "-", repository.resolve().name)[:40].strip("-")
    return f"{stem or 'repository'}-{known[:8]}"
