"""A team's adapters over HTTP: push a version, list, fetch, roll back.

    POST /v1/tandem/adapters               a package (`completion.adapter_package`), as octet-stream
    GET  /v1/tandem/adapters               what the user may use, and where it is loaded
    GET  /v1/tandem/adapters/REPOSITORY    the version in use, as the package that was sent
    POST /v1/tandem/adapters/rollback      a signed order that names the version to go back from

All need the scope `adapters`; what a user's patterns do not cover does not exist for them. What
changes something needs a signature of a key that the settings list besides: a stolen token alone
changes nothing, and an order counts once, as the version it names is in use once.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from completion import adapter_package, lora
from completion.adapter_package import MAX_CONFIG, MAX_HEAD, Statement, Unpacking
from completion.engine import wire
from completion.engine.api import ApiError
from completion.signing import Purpose, Signed
from finetune import gate
from gateway.adapter_store import Shelf, Store, Version
from gateway.backend import LOST, Backend
from gateway.config import ROLES, Settings, User
from gateway.events import TooLong
from gateway.loading import Loading
from gateway.refusals import clean
from gateway.routes import may_use
from tandem.errors import ModelError, UsageError

PATH = "/v1/tandem/adapters"
AT_ONCE = 2
CLOCKS_DIFFER_MS = 10 * 60 * 1000
_PIECE = 1 << 20
_NONE = "There is no such adapter for you here."
log = logging.getLogger(__name__)


class Sharing:
    """The store, what keeps it loaded, and the routes to it."""

    def __init__(self, settings: Settings, backends: Sequence[Backend], root: Path) -> None:
        self._settings = settings
        self._backends = backends
        self._pushing = asyncio.Semaphore(AT_ONCE)
        self.store = Store(root, settings.adapters)
        self.loading = Loading(self.store, backends)

    async def keep(self) -> None:
        """Have what is in use loaded, for ever."""
        while True:
            try:
                await self.loading.settle()
            except Exception:
                log.exception("adapters were not looked after; tried again")
            await asyncio.sleep(self._settings.poll_seconds)

    def routes(self, user_of: Callable[..., tuple[str, User]]) -> list[Route]:
        """`user_of` finds a request's user, and raises ApiError for who lacks the scope."""

        async def push(request: Request) -> Response:
            name, user = user_of(request, "adapters")
            if self._pushing.locked():
                raise ApiError(429, "Others push adapters now. Try again.", code="queue_full")
            async with self._pushing:
                shelf = await self._push(request, name, user)
            return JSONResponse(await self._load(shelf))

        async def rows(request: Request) -> Response:
            _, user = user_of(request, "adapters")
            known = [shelf for shelf in self.store.shelves() if may_use(shelf.name, user)]
            return JSONResponse({"adapters": [self._row(shelf) for shelf in known]})

        async def fetch(request: Request) -> Response:
            _, user = user_of(request, "adapters")
            shelf = self._shelf(request.path_params["repository"], user)
            if (version := shelf.in_use) is None:
                raise ApiError(404, _NONE, code="adapter_not_found")
            try:
                signed = await asyncio.to_thread(self.store.signed, shelf, version)
            except ModelError as error:
                raise ApiError(500, error.message, code="adapter_damaged") from None
            return _Package(self.store.folder(shelf, version), signed)

        async def rollback(request: Request) -> Response:
            name, user = user_of(request, "adapters")
            data = await wire.read_body(request)
            shelf = await self._roll_back(_signed(data), user)
            log.warning("%s rolled %s back", name, shelf.name)
            if (version := shelf.in_use) is not None:
                await self.loading.load(shelf, version)
            return JSONResponse(self._row(shelf))

        return [
            Route(PATH, push, methods=["POST"]),
            Route(PATH, rows),
            Route(f"{PATH}/rollback", rollback, methods=["POST"]),
            Route(f"{PATH}/{{repository}}", fetch),
        ]

    @property
    def most_bytes(self) -> int:
        """Of a package."""
        return (self._settings.adapters.mb_each << 20) + MAX_HEAD + MAX_CONFIG

    async def _push(self, request: Request, name: str, user: User) -> Shelf:
        """A version that is on disk, in use, and not loaded yet. Raises ApiError."""
        folder = await asyncio.to_thread(self.store.receiving)
        package = Unpacking()
        try:
            statement, signer = await self._receive(request, package, folder, user)
            assert package.signed is not None
            rank = await asyncio.to_thread(lora.examine_alone, folder)
            if rank > self._settings.adapters.most_rank:
                most = self._settings.adapters.most_rank
                raise ModelError(f"Its rank is {rank}; at most {most} is taken here.")
            shelf = await asyncio.to_thread(
                self.store.put, folder, statement, package.signed, rank, signer, name
            )
        except ModelError as error:
            raise ApiError(400, clean(error.message), code="bad_adapter") from None
        except UsageError as error:
            raise ApiError(409, error.message, code="not_taken") from None
        except ClientDisconnect:
            raise ApiError(400, "The package broke off.", code="bad_adapter") from None
        finally:
            package.close()
            await asyncio.to_thread(self.store.discard, folder)
        return shelf

    async def _receive(
        self, request: Request, package: Unpacking, folder: Path, user: User
    ) -> tuple[Statement, str]:
        """The statement, and who signed it, once its files lie in `folder`."""
        admitted: tuple[Statement, str] | None = None
        held, ended = bytearray(), False
        stream = request.stream()
        while not ended:
            try:
                async with asyncio.timeout(wire.STALL_SECONDS):
                    piece = await anext(stream, b"")
            except TimeoutError:
                raise ApiError(408, "The package did not arrive in time.") from None
            held += piece
            ended = not piece
            if len(held) >= _PIECE or ended or admitted is None:
                await asyncio.to_thread(package.feed, bytes(held))
                held.clear()
            if admitted is None and package.signed is not None:
                admitted = await self._admit(package.signed, user)
                await asyncio.to_thread(package.into, folder, admitted[0])
        package.finish()
        assert admitted is not None
        return admitted

    async def _admit(self, signed: Signed, user: User) -> tuple[Statement, str]:
        """Everything that can be judged before a file arrives. Raises ApiError, ModelError."""
        signer = self._signer("adapter", signed)
        statement = adapter_package.read(signed)
        limits, known = self._settings.adapters, self.store.of(statement.repository)
        if not may_use(statement.name, user) or (known and known.name != statement.name):
            raise ApiError(
                403,
                f"You may not push this repository's adapter as {statement.name}.",
                code="name_refused",
            )
        taken = {name for backend in self._backends for name in backend.settings.models}
        if statement.name in {*taken, *ROLES}:
            raise ApiError(409, f"{statement.name} is a model's name.", code="name_taken")
        if reason := self.store.refusal(statement):
            raise ApiError(409, f"{reason}.", code="not_newer" if known else "name_taken")
        if statement.signed_ms > time.time() * 1000 + CLOCKS_DIFFER_MS:
            raise ApiError(409, "It was signed in the future. Set your clock.", code="not_newer")
        if statement.size > limits.mb_each << 20:
            raise ApiError(413, f"It is larger than {limits.mb_each} MB.", code="too_large")
        verdict = gate.judge(gate.Figures.from_json(statement.figures))
        if not verdict.passed:
            reasons = "; ".join(verdict.refusals)
            raise ApiError(409, f"The gate refuses it: {reasons}.", code="gate_refused")
        hashes = await self._base_hashes(statement.base)
        if statement.base_hash not in hashes:
            told = "has other weights" if hashes else "tells its weights (see base_hash)"
            raise ApiError(
                409,
                f"It was tuned on {statement.base}, weights {statement.base_hash[:12]}…; "
                f"{'the one here' if hashes else 'no server here'} {told}.",
                code="wrong_base",
            )
        return statement, signer

    async def _roll_back(self, signed: Signed, user: User) -> Shelf:
        self._signer("rollback", signed)
        try:
            order = json.loads(signed.text)
            repository, signed_ms = str(order["repository"]), order["from_ms"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ApiError(400, "What was signed is no order to roll back.") from None
        shelf = self._shelf(repository, user)
        version = shelf.in_use
        if version is None or version.signed_ms != signed_ms:
            raise ApiError(409, "That version is not in use any more.", code="not_in_use")
        try:
            return await asyncio.to_thread(self.store.withdraw, shelf, version)
        except UsageError as error:
            raise ApiError(409, error.message, code="not_in_use") from None

    async def _load(self, shelf: Shelf) -> dict[str, Any]:
        """Raises ApiError if back ends answered and none could; the version is gone then."""
        version = shelf.in_use
        assert version is not None
        await self.loading.load(shelf, version)
        states = self.loading.states(shelf, version)
        failed = [f"{name}: {state}" for name, state in states.items() if state not in _WELL]
        if failed and "loaded" not in states.values():
            before = (await asyncio.to_thread(self.store.forget, shelf, version)).in_use
            stays = f"{before.version} stays in use" if before else "The base stays in use"
            raise ApiError(
                409, f"No server could load it ({'; '.join(failed)}). {stays}.", code="not_loaded"
            )
        return self._row(shelf)

    async def _base_hashes(self, base: str) -> set[str]:
        """Of the weights that back ends have under that name, as far as they tell."""

        async def one(backend: Backend) -> str:
            if backend.settings.base_hash:
                return backend.settings.base_hash
            try:
                status, data = await backend.get("tandem/base")
                told = json.loads(data)
                return str(told["base_hash"]) if (status, told["base"]) == (200, base) else ""
            except (*LOST, TooLong, ValueError, KeyError, TypeError, RecursionError):
                return ""

        servers = [backend for backend in self._backends if base in backend.settings.models]
        return {*await asyncio.gather(*(one(backend) for backend in servers))} - {""}

    def _signer(self, purpose: Purpose, signed: Signed) -> str:
        try:
            return signed.signer(purpose, self._settings.adapters.signers)
        except UsageError as error:
            raise ApiError(403, f"Refused: {error.message}", code="signature_refused") from None

    def _shelf(self, repository: str, user: User) -> Shelf:
        shelf = self.store.of(repository)
        if shelf is None or not may_use(shelf.name, user):
            raise ApiError(404, _NONE, code="adapter_not_found")
        return shelf

    def _row(self, shelf: Shelf) -> dict[str, Any]:
        version = shelf.in_use
        return {
            "name": shelf.name,
            "repository": shelf.repository,
            "in_use": _told(version) if version else None,
            "servers": self.loading.states(shelf, version) if version else {},
            "versions": [_told(one) for one in shelf.versions],
        }


class _Package(Response):
    """Sent piece by piece, and given up for who does not read."""

    def __init__(self, folder: Path, signed: Signed) -> None:
        self._pieces = adapter_package.pack(folder, signed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/octet-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for piece in iterate_in_threadpool(self._pieces):
            await wire.send_in_time(send, piece, more=True)
        await wire.send_in_time(send, b"", more=False)


_WELL = ("loaded", "waiting")


def _told(version: Version) -> dict[str, Any]:
    return version.model_dump() | {"version": version.version}


def _signed(data: bytes) -> Signed:
    try:
        return Signed.model_validate_json(data)
    except ValidationError:
        raise ApiError(400, "The body is no signed order.", code="signature_refused") from None
