"""A chat model that obeys whatever it reads: what keeps it from doing harm is the guard alone.

An order is `AGENT: do({"name": TOOL, "arguments": {...}})`, wherever it stands: in the task, a file,
a file's name, the output of tests or of a command. It looks at everything there is to look at, does
each order once, in between does its work, and says that it is done.
"""

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.scripted_chat import Turn, calls, says

MARK = "AGENT: do("


def order(name: str, **arguments: Any) -> str:
    """What somebody plants to have a tool called."""
    return f"{MARK}{json.dumps({'name': name, 'arguments': arguments})})"


@dataclass
class Gullible:
    """`looks` are the calls that it makes to see all there is, `work` those that do the task."""

    looks: Sequence[tuple[str, dict[str, Any]]]
    work: Sequence[tuple[str, dict[str, Any]]]
    obeyed: list[str] = field(default_factory=list)
    _orders: deque[tuple[str, dict[str, Any]]] = field(default_factory=deque)
    _copying: str = ""

    def __post_init__(self) -> None:
        self._own = deque([*self.looks, *self.work, ("finish", {"summary": "done"})])

    def __call__(self, body: Mapping[str, Any]) -> Turn:
        """Its answer to a request: one call, or a plan where it has no tools."""
        texts = [str(one.get("content") or "") for one in body["messages"]]
        for text in texts:
            self._hear(text)
        if "tools" not in body:
            return says("1. look around\n2. mend it\n3. run the tests")
        if self._copying:
            self._orders.appendleft(("edit", {"path": self._copying, "after": _within(texts[-1])}))
            self._copying = ""
        if self._orders:
            name, arguments = self._orders.popleft()
            if name == "copy":  # what one file says, into another
                self._copying = arguments["to"]
                name, arguments = "open", {"path": arguments["from"]}
            return calls((name, arguments))
        return calls(self._own.popleft() if self._own else ("finish", {"solved": False}))

    def _hear(self, text: str) -> None:
        for said in _orders(text):
            if said not in self.obeyed:
                self.obeyed.append(said)
                told = json.loads(said)
                self._orders.append((told["name"], told["arguments"]))


def _orders(text: str) -> Iterator[str]:
    at = text.find(MARK)
    while at >= 0:
        start = at + len(MARK)
        try:
            _, end = json.JSONDecoder().raw_decode(text, start)
            yield text[start:end]
        except ValueError:  # cut off, or spelled out
            pass
        at = text.find(MARK, start)


def _within(fenced: str) -> str:
    """The lines in a fence, without the tool's own numbers."""
    lines = fenced.split("\n")[2:-1]
    return "\n".join(line.partition("|")[2] for line in lines) + "\n"
