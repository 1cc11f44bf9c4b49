"""The chat commands with the embedded engine: whatever it says, it comes in pieces and whole."""

import asyncio
from pathlib import Path

from pygls.exceptions import JsonRpcException

from tests.lsp_client import StartEditor
from tests.test_lsp_chat import CODE, FAILED, TOTAL, plain


async def test_the_embedded_model_explains(start: StartEditor, file: Path) -> None:
    editor = await start(loaded=False, options={"chat": {"max_tokens": 24}})
    editor.open(file.as_uri(), CODE)
    arguments = [{"uri": file.as_uri(), "range": TOTAL, "token": "here"}]
    command = {"command": "tandem.explain", "arguments": arguments}
    [told] = await asyncio.gather(
        editor.send("workspace/executeCommand", command), return_exceptions=True
    )
    if isinstance(told, JsonRpcException):
        # A small model may say nothing, or the same again and again: that is told, too.
        assert told.code == FAILED
        assert "said nothing" in told.message or "began to repeat" in told.message
        return
    told = plain(told)
    pieces = [value["text"] for value in editor.progress["here"]]
    assert "".join(pieces).strip() == told["text"].strip()
    assert 0 < told["usage"]["answer"] <= 24
    assert any("lines 4–8" in part["name"] for part in told["context"])
