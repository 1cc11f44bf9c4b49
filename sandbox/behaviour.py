"""How patches behave on inputs that no test has: the ones of the tests, changed a little.

Plausible patches that differ only where no test looks are told apart by this. What worked before
should work as before (Xiong et al., "Identifying patch correctness in test-based program repair",
ICSE 2018), no input should make a function hang or crash that answered before, and what several
independent patches agree on is likelier right.
"""

import ast
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.container import Sandbox
from sandbox.inside import calls

CALLS = 40  # of a function that are kept
CHANGED = 120  # inputs made of them
CALL_S = 0.5
RUN_S = 60
_SCRIPT = Path(calls.__file__).read_text("utf-8")
_LOST = "ended"  # the outcome of calls that the process did not live to make


@dataclass(frozen=True)
class Function:
    """A function of the repository by its file and the first line of its code, 1-based: that of
    its first decorator, if it has any. `end` is its last line."""

    path: str
    name: str
    first: int
    end: int


@dataclass(frozen=True)
class Recording:
    """Calls of a function during some tests. `calls` are pickles in base64, never read here."""

    module: str
    name: str
    path_list: tuple[str, ...]
    calls: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What one call did: "value", "error", "timeout" or "ended". Equal digests, equal outcomes.

    `asked` and `text` are the arguments and the outcome in short, for people; `shape` is the name
    of a value's type.
    """

    kind: str
    digest: str
    asked: str = ""
    text: str = ""
    shape: str = ""


@dataclass(frozen=True)
class Standing:
    """How a patch compares, shares from 0 to 1.

    `kept`: of inputs like those of passing tests, how many it answers as before. `agreed`: over
    inputs like those of failing tests, the mean share of groups of patches that say the same.
    `broken`: inputs on which it hangs or raises and the original did not. `odd`: inputs on which
    its value is of a type that no right value had.
    """

    kept: float
    agreed: float
    broken: int
    inputs: int
    odd: int = 0

    @property
    def score(self) -> float:
        wrong = (self.broken + self.odd) / self.inputs if self.inputs else 0.0
        return self.kept + self.agreed - wrong


def function_at(source: str, path: str, line: int) -> Function | None:
    """The innermost function around a line that others can reach by name; None outside of any."""
    found: Function | None = None

    def visit(node: ast.AST, owner: str) -> None:
        nonlocal found
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([child.lineno, *(one.lineno for one in child.decorator_list)])
                end = child.end_lineno or child.lineno
                if first <= line <= end:
                    found = Function(path, f"{owner}{child.name}", first, end)
                # A function inside a function cannot be called from outside.
            elif isinstance(child, ast.ClassDef):
                visit(child, f"{owner}{child.name}.")
            else:
                visit(child, owner)

    try:
        visit(ast.parse(source), "")
    except SyntaxError:
        return None
    return found


def record(
    sandbox: Sandbox, function: Function, arguments: Sequence[str], timeout_s: float = RUN_S
) -> Recording | None:
    """Calls of the function while pytest runs with these arguments; None if there are none."""
    order = {
        "do": "record",
        "path": function.path,
        "first": function.first,
        "argv": list(arguments),
        "most": CALLS,
    }
    told = _run(sandbox, order, {}, timeout_s)
    first = told[0] if told else {}
    module, name, path_list = (first.get(key) for key in ("module", "name", "path_list"))
    found = [one["call"] for one in told[1:] if isinstance(one.get("call"), str)][:CALLS]
    named = isinstance(module, str) and isinstance(name, str) and bool(module and name)
    if not named or not isinstance(path_list, list) or not all(map(_text, path_list)) or not found:
        return None
    return Recording(str(module), str(name), tuple(path_list), tuple(found))


def play(
    sandbox: Sandbox,
    recording: Recording,
    files: Mapping[str, bytes | None],
    made: int = CHANGED,
    seed: int = 1,
    timeout_s: float = RUN_S,
) -> tuple[Outcome, ...]:
    """What the function does on the recorded calls and on `made` changed ones, in their order.

    Always as many outcomes as calls, whatever the code in the container does to its process.
    """
    order = {
        "do": "play",
        "module": recording.module,
        "name": recording.name,
        "path_list": recording.path_list,
        "calls": recording.calls,
        "made": made,
        "seed": seed,
        "seconds": CALL_S,
    }
    wanted = len(recording.calls) + (made if recording.calls else 0)
    found = []
    for told in _run(sandbox, order, files, timeout_s):
        kind, digest = told.get("kind"), told.get("outcome")
        if isinstance(digest, str):
            kind = kind if kind in ("value", "error", "timeout") else _LOST
            names = ("asked", "text", "shape")
            texts = (str(told.get(name, ""))[: calls.SHOWN] for name in names)
            found.append(Outcome(str(kind), digest[:40], *texts))
    found = found[:wanted]
    return (*found, *[Outcome(_LOST, _LOST)] * (wanted - len(found)))


def standings(
    before: Sequence[Outcome],
    patches: Sequence[Sequence[Outcome]],
    before_failing: Sequence[Outcome],
    patches_failing: Sequence[Sequence[Outcome]],
) -> list[Standing]:
    """Of each patch. `before` and `patches` are outcomes on inputs like those of passing tests,
    the other two on inputs like those of failing tests; any may be empty.

    Patches that behave the same everywhere have one voice.
    """
    whole = [(*_digests(a), *_digests(b)) for a, b in zip(patches, patches_failing, strict=True)]
    voices = list(dict.fromkeys(whole))
    size = len(before)
    tallies = [Counter(column) for column in zip(*(one[size:] for one in voices), strict=True)]
    # What a passing test got is right, as far as anybody knows.
    shapes = {old.shape for old in before if old.kind == "value"}
    made = []
    for one, failing, digests in zip(patches, patches_failing, whole, strict=True):
        same = sum(a.digest == b.digest for a, b in zip(before, one, strict=True))
        agreed = [
            tally[digest] / len(voices)
            for tally, digest in zip(tallies, digests[size:], strict=True)
        ]
        pairs = [*zip(before, one, strict=True), *zip(before_failing, failing, strict=True)]
        broken = sum(old.kind == "value" and new.kind != "value" for old, new in pairs)
        values = [new.shape for _, new in pairs if new.kind == "value"]
        odd = sum(shape not in shapes for shape in values) if shapes else 0
        made.append(
            Standing(
                same / size if size else 1.0,
                sum(agreed) / len(agreed) if agreed else 1.0,
                broken,
                len(pairs),
                odd,
            )
        )
    return made


def _digests(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    return tuple(one.digest for one in outcomes)


def _run(
    sandbox: Sandbox, order: dict[str, Any], files: Mapping[str, bytes | None], timeout_s: float
) -> list[dict[str, Any]]:
    """The JSON objects that the script printed; what is none is passed over."""
    ran = sandbox.run(
        ["python3", "-B", "-c", _SCRIPT],
        timeout_s=timeout_s,
        files=files,
        stdin=json.dumps(order).encode(),
    )
    found = []
    for line in ran.stdout.splitlines():
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(told, dict):
            found.append(told)
    return found


def _text(value: Any) -> bool:
    return isinstance(value, str)
