"""Which lines of the repository ran, and where the values came from that a test got.

sys.settrace, as the container's Python 3.11 has no sys.monitoring. Calls outside of the repository
cost one look-up; a function all of whose lines were seen is not followed line by line any more.
"""

import collections
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

from sandbox.inside import frames

LAST_RETURNS = 3
Follow = Callable[[types.FrameType, str, Any], Any]


class Lines:
    def __init__(self, root: str, values: bool) -> None:
        self.root = root
        self.values = values
        self.caller = ""  # the test's own file, absolute
        self.returned: collections.deque[dict] = collections.deque(maxlen=LAST_RETURNS)
        self._known: dict[types.CodeType, tuple[set[int], int, Follow] | None] = {}

    def start(self, caller: str) -> None:
        self.caller = caller
        self.returned.clear()
        for known in self._known.values():
            if known:
                known[0].clear()
        threading.settrace(self._called)
        sys.settrace(self._called)

    def stop(self) -> dict[str, list[int]]:
        """The lines that ran since `start`, by path."""
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        found: dict[str, set[int]] = {}
        for code, known in self._known.items():
            if known and known[0]:
                path = code.co_filename[len(self.root) + 1 :]
                found.setdefault(path, set()).update(known[0])
        return {path: sorted(lines) for path, lines in found.items()}

    def _called(self, frame: types.FrameType, event: str, arg: object) -> Follow | None:
        code = frame.f_code
        try:
            known = self._known[code]
        except KeyError:
            known = self._known[code] = self._know(code)
        if known is None:
            return None
        lines, total, follow = known
        lines.add(code.co_firstlineno)
        if len(lines) >= total and not self.values:
            return None
        return follow

    def _know(self, code: types.CodeType):
        if not code.co_filename.startswith(self.root + "/"):
            return None
        lines: set[int] = set()
        every = {line for _, _, line in code.co_lines() if line} | {code.co_firstlineno}
        add = lines.add

        def follow(frame: types.FrameType, event: str, arg: object):
            if event == "line":
                add(frame.f_lineno)
            elif event == "return" and self.values:
                self._returns(frame, arg)
            return follow

        return lines, len(every), follow

    def _returns(self, frame: types.FrameType, value: object) -> None:
        back = frame.f_back
        if back is None or back.f_code.co_filename != self.caller:
            return
        if frame.f_code.co_filename != self.caller:
            found = frames.one(frame, frame.f_lineno, self.root)
            found["values"]["return"] = frames.text_of(value)
            self.returned.append(found)
