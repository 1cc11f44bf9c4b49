"""In a server's own process: what somebody with the token wants loaded is looked at before.

Of the standard library and what `completion.engine.api` needs: vLLM's and Ray's Python import it.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from completion.engine.api import ApiError

LOAD, UNLOAD, BASE = "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/tandem/base"
MAX_BODY = 64 * 1024
_HERE = str(Path(__file__).resolve().parents[2])


async def looked_at(lends: Mapping[str, Any], name: str, path: str, hidden: Iterable[str]) -> str:
    """The folder to load, after `completion.vllm.lent` has looked at it in our Python. `lends` is
    its `Lends`, `hidden` are variables that it must not see. Raises ApiError."""
    looking = await asyncio.create_subprocess_exec(
        *(lends["python"], "-P", "-m", "completion.vllm.lent"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": _HERE, **dict.fromkeys(hidden, "")},
    )
    asked = json.dumps({"lends": lends, "name": name, "path": path}).encode()
    said, _ = await looking.communicate(asked)
    try:
        told = json.loads(said)
    except ValueError:
        raise unusable("It could not be looked at; the server's log says why.") from None
    if told["status"] != 200:
        error = told["body"]["error"]
        raise ApiError(told["status"], error["message"], code=error["code"])
    return told["folder"]


async def body_of(receive: Any) -> bytes:
    """Raises ApiError for one that is too long, or breaks off."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ApiError(400, "The request broke off.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise ApiError(413, f"The body is larger than {MAX_BODY} bytes.")
    return body


def unusable(message: str) -> ApiError:
    return ApiError(409, message, param="lora_name", code="adapter_unusable")
