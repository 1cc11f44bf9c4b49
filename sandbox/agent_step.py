"""One step of an agent's trajectory as a reader sees it: whatever is not what it should be is left
out, as a page must be made of any run."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Step:
    """`kind` is task, plan, act, observe, reflect or finish. `arguments` are JSON text, `usage`
    has prompt and completion tokens and the cost."""

    number: int
    kind: str
    text: str = ""
    tool: str = ""
    arguments: str = ""
    result: str = ""
    outcome: str = ""
    attempt: str = ""
    seconds: float = 0.0
    usage: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Step":
        arguments = told.get("arguments")
        usage = told.get("usage")
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False, indent=1) if arguments else ""
        return cls(
            int(_number(told.get("step"))),
            _text(told.get("kind")),
            _text(told.get("text")),
            _text(told.get("tool")),
            arguments,
            _text(told.get("result")),
            _text(told.get("outcome")),
            _text(told.get("attempt")),
            _number(told.get("seconds")),
            {name: _number(usage.get(name)) for name in ("prompt", "completion", "cost")}
            if isinstance(usage, dict)
            else {},
        )


def _text(told: object) -> str:
    return told if isinstance(told, str) else "" if told is None else str(told)


def _number(told: object) -> float:
    good = isinstance(told, int | float) and math.isfinite(told) and abs(told) < 1e12
    return float(told) if good else 0.0  # pyright: ignore[reportArgumentType]
