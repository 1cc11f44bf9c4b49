"""Any command as one test: it passes if it exits with 0."""

import os
import re
import subprocess
import tempfile

from sandbox.inside import frames
from sandbox.inside.say import Say

TEST_ID = "command"
TAIL_BYTES = 16_000
_FRAME = re.compile(r'^\s*File "([^"\n]+)", line (\d+)(?:, in (\S+))?', re.M)


def run(args: list[str], say: Say, only_collect: bool) -> int:
    say.collected([TEST_ID])
    if only_collect or not say.wants(TEST_ID):
        return 0
    say.start(TEST_ID, "")
    with tempfile.TemporaryFile() as output:
        try:
            code = subprocess.run(args, stdout=output, stderr=output, check=False).returncode
        except OSError as error:
            say.end("error", None, f"{args[0]} could not be started: {error.strerror}")
            return 1
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - TAIL_BYTES))
        tail = output.read().decode("utf-8", "replace")
    told = {"message": tail[-frames.LONGEST_MESSAGE :], "kind": "", "frames": stack(tail, say.root)}
    say._result("passed" if code == 0 else "failed", **({} if code == 0 else told))
    return code


def stack(text: str, root: str) -> list[dict]:
    """The repository's frames in the last traceback that was printed."""
    last = text.rpartition("Traceback (most recent call last)")[2]
    found = []
    for file, line, function in _FRAME.findall(last):
        full = os.path.normpath(os.path.join(root, file))
        if full.startswith(root + "/"):
            path = full[len(root) + 1 :]
            found.append({"path": path, "line": int(line), "function": function, "values": {}})
    return found[-frames.MOST_FRAMES :]
