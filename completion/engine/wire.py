"""What every HTTP face of ours does: read bodies, write streams and tell errors.

The engine and the gateway share it.
"""

import asyncio
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Send

from completion.engine.api import ApiError

# A client that takes no byte, or sends none, for this long is gone.
STALL_SECONDS = 30.0


def application(routes: Sequence[Route], name: str) -> Starlette:
    """Of the program that a person knows by this name. Errors have OpenAI's form."""

    def broken(request: Request, error: Exception) -> Response:
        """Says nothing of what broke: messages of unknown errors carry paths. The log has it."""
        return JSONResponse(ApiError(500, f"The {name} failed; its log says why.").body(), 500)

    made = Starlette(
        routes=routes,
        exception_handlers={ApiError: _failed, HTTPException: _not_routed, Exception: broken},
    )
    made.router.redirect_slashes = False
    return made


async def read_body(request: Request) -> bytes:
    """Raises ApiError (408) if it does not come in time."""
    try:
        async with asyncio.timeout(STALL_SECONDS):
            return await request.body()
    except TimeoutError:
        raise ApiError(408, "The body did not arrive in time.") from None


async def send_in_time(send: Send, data: bytes, more: bool) -> None:
    """Sending blocks once the socket's buffers are full. Raises TimeoutError."""
    async with asyncio.timeout(STALL_SECONDS):
        await send({"type": "http.response.body", "body": data, "more_body": more})


def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body(), error.status, error.headers)


def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path[:100]
    message = {
        404: f"There is no {path} here.",
        405: f"{path} does not take {request.method}.",
    }.get(error.status_code, error.detail)
    refusal = ApiError(error.status_code, message, headers=dict(error.headers or {}))
    return JSONResponse(refusal.body(), error.status_code, refusal.headers)
