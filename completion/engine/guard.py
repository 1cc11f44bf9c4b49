"""Who may talk to the engine, and how much they may say: pure ASGI middleware.

A model server on localhost can be reached by every web page the user opens and every user of
the machine. So: the Host must be ours (DNS rebinding), an Origin must be ours (cross-site
requests), a bearer token is needed (other users), the body must be JSON (form posts need no
CORS preflight) and short. There are no CORS headers and no GET with side effects.
"""

import hmac
import ipaddress
import socket
from collections.abc import Callable, Collection, Iterable, Mapping

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from completion.engine.api import ApiError

MAX_BODY = 4 * 1024 * 1024
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
OPEN_PATHS = {"/health"}
OF_SERVE = "It is in the file that `tandem serve` names."

# Who shows a token; None is nobody.
Known = Callable[[str], object]


def only(token: str) -> Known:
    """One token, for all who know it."""
    assert token
    right = token.encode()
    return lambda given: True if hmac.compare_digest(given.encode(), right) else None


class Guard:
    """Checks each request before `app` sees it, and counts its body while `app` reads it.

    `known` says whose a token is; `app` finds that in the request's state, as `user`, and as
    `trusted` whether there was one. `port` is the port we listen on. `remote` also lets in Hosts
    that are an IP address or this machine's name: rebinding needs a name of the attacker's.
    `names` are Hosts by which a proxy before us is known, on any port. `hint` says where to
    find a token. `uploads` are paths that take files instead of JSON, with their most bytes: as
    octet-stream, which a web page cannot send without asking either.
    """

    def __init__(
        self,
        app: ASGIApp,
        known: Known,
        port: int,
        remote: bool = False,
        max_body: int = MAX_BODY,
        names: Collection[str] = (),
        hint: str = OF_SERVE,
        uploads: Mapping[str, int] | None = None,
    ) -> None:
        self._app = app
        self._known = known
        self._port = port
        self._public = {name.lower() for name in names}
        self._hint = hint
        self._names = {*LOOPBACK, socket.gethostname().lower()} if remote else {*LOOPBACK}
        self._remote = remote
        self._max_body = max_body
        self._uploads = uploads or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            user = self._admit(scope)
            scope.setdefault("state", {}).update(user=user, trusted=user is not None)
        except ApiError as error:
            # The server discards a body that nobody read, so that the client can read this.
            response = JSONResponse(error.body(), error.status, error.headers)
            await response(scope, receive, send)
        else:
            await self._app(scope, self._counted(receive, self._limit(scope)), send)

    def _admit(self, scope: Scope) -> object:
        """Whose token the request showed. Raises ApiError for who may not enter."""
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            raise ApiError(403, "The Host header does not name this server.", code="wrong_host")
        for origin in _values(scope, b"origin"):
            scheme, _, host = origin.partition("://")
            if scheme.lower() != "http" or not self._is_ours(host):
                raise ApiError(403, "Web pages may not use this server.", code="wrong_origin")
        codings = [coding.strip().lower() for coding in _values(scope, b"transfer-encoding")]
        if codings and (codings != ["chunked"] or _values(scope, b"content-length")):
            # Two opinions where this request ends: a proxy before us may hold the other one. Our
            # own server knows no other coding; those of vLLM and Ray do.
            raise ApiError(
                400,
                "Give one of Content-Length and Transfer-Encoding, and no coding but chunked.",
                headers={"Connection": "close"},
            )
        user = self._user(scope)
        if scope["method"] in ("POST", "PUT"):
            self._check_body(scope)
        return user

    def _is_ours(self, host: str) -> bool:
        name, separator, port = host.rpartition(":")
        if not separator or "]" in port:
            name, port = host, "80"
        if name.lower() in self._public:
            return True
        if port != str(self._port):
            return False
        return name.lower() in self._names or (self._remote and _is_address(name.strip("[]")))

    def _user(self, scope: Scope) -> object:
        given = _values(scope, b"authorization")
        if not given and scope["path"] in OPEN_PATHS:
            return None
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        user = self._known(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise ApiError(
                401,
                f"The bearer token is missing or wrong. {self._hint}",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return user

    def _check_body(self, scope: Scope) -> None:
        kinds = _values(scope, b"content-type")
        kind = kinds[0].partition(";")[0].strip().lower() if len(kinds) == 1 else ""
        upload = scope["method"] == "POST" and scope["path"] in self._uploads
        wanted = "application/octet-stream" if upload else "application/json"
        if kind != wanted:
            raise ApiError(415, f"The content type must be {wanted}.")
        limit = self._limit(scope)
        for length in _values(scope, b"content-length"):
            if not length.isdigit() or int(length) > limit:
                raise _too_large(limit)

    def _limit(self, scope: Scope) -> int:
        return self._uploads.get(scope["path"], self._max_body)

    def _counted(self, receive: Receive, limit: int) -> Receive:
        """Chunked bodies have no length to trust, so count what comes. Raises ApiError."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _too_large(limit)
            return message

        return counted


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"The body is larger than {limit} bytes.", code="request_too_large")


def _values(scope: Scope, name: bytes) -> list[str]:
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return [value.decode("latin-1") for key, value in headers if key == name]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
