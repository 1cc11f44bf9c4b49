"""What a model says of its own work: the plan, notes on what failed, and a sense for circles."""

import re
from collections import Counter
from dataclasses import dataclass

from sandbox.ends import ends

TIMES = 3  # the same call with the same result: a circle
LONGEST = 400  # characters of each part of a note
STEPS, STEP = 5, 200  # of a plan that are kept, and characters of each
QUESTION = """That did not work. Before you go on, answer with exactly three lines and nothing else:
tried: what you changed
why: why the tests still fail, from what they said
next: what you will try now, which must differ"""
CIRCLE = """You have made the same call {times} times with the same result. Answer with exactly \
three lines and nothing else:
tried: what you have been doing
why: why it does not help
next: another way, which must differ"""
_NUMBERED = re.compile(r"\W*\d+\W*[.):]\s*")
_PART = re.compile(r"^\W*(tried|why|next)\W*:\s*(.*)$", re.I | re.M)

_VOLATILE = re.compile(r"0x[0-9a-f]+|\d+\.\d+ s\b")  # addresses and times


def plan(answer: str) -> str:
    """The first numbered steps of an answer, each told once; of one without any its first lines.
    Small models go on and on."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    numbered = [line for line in lines if _NUMBERED.match(line)]
    said = {_NUMBERED.sub("", line, count=1): line for line in reversed(numbered or lines)}
    return "\n".join(ends(line, STEP) for line in list(reversed(said.values()))[:STEPS])


@dataclass(frozen=True)
class Reflection:
    """What was tried, why it failed, and the next hypothesis."""

    tried: str
    why: str
    then: str

    def __str__(self) -> str:
        parts = (("tried", self.tried), ("why", self.why), ("next", self.then))
        return "; ".join(f"{name}: {text}" for name, text in parts if text)


def reflection(answer: str, tried: str, why: str) -> Reflection:
    """From the model's answer; what it leaves out is taken from what really happened."""
    said = {name.lower(): text.strip() for name, text in _PART.findall(answer)}
    parts = (said.get("tried") or tried, said.get("why") or why, said.get("next", ""))
    return Reflection(*(ends(" ".join(part.split()), LONGEST) for part in parts))


class Circle:
    """Notices the same call with the same result."""

    def __init__(self) -> None:
        self._seen = Counter[tuple[str, str]]()
        self.found = 0

    def noticed(self, call: str, result: str) -> bool:
        """Whether this was the third time; then the count begins anew."""
        key = call, _VOLATILE.sub("", result)
        self._seen[key] += 1
        if self._seen[key] < TIMES:
            return False
        del self._seen[key]
        self.found += 1
        return True
