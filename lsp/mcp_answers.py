"""What the tools of `tandem mcp` answer, and how an error of ours becomes an answer."""

import contextlib
from collections.abc import Iterator

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

from tandem import secrets
from tandem.errors import TandemError


class Place(BaseModel):
    path: str
    line: int
    text: str
    kind: str


class Piece(BaseModel):
    path: str
    line: int
    text: str
    reason: str


class Fixed(BaseModel):
    """`run` is what `apply_fix` takes; `diff` "" if no patch was found."""

    run: str
    ended: str
    diff: str
    label: str
    verdict: str
    failing: list[str]
    notes: list[str]


class Written(BaseModel):
    files: list[str]
    backup: str


class Ran(BaseModel):
    """`exit_code` None: it was killed, and `killed` says why."""

    exit_code: int | None
    killed: str
    stdout: str
    stderr: str


@contextlib.contextmanager
def told_errors() -> Iterator[None]:
    """Our errors as the tool's answer, in one line."""
    try:
        yield
    except TandemError as error:
        raise ToolError(secrets.redact(str(error))) from error
