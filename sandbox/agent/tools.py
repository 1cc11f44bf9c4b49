"""The tools that a model may call, and the bench that does what they ask on a copy of its own.

A call that cannot be done gives an error that says what to do instead. Edits are kept here as texts
over the run's copy; nothing is written to any disk but in the sandbox, for the command that needs it.
"""

import ast
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from completion import search
from completion.chat import Tool, ToolCall
from completion.index import Index
from sandbox import hunks
from sandbox.agent import observe
from sandbox.agent.checks import Checks
from sandbox.agent.observe import Observation
from sandbox.approval import Approval
from sandbox.ends import ends
from sandbox.process import Ran
from sandbox.worktree import Snapshot
from tandem.errors import TandemError

HITS = 40  # of a search
LINES = 200  # of a file that are shown at once
RUN_S = 60.0
LARGEST = 1_000_000  # bytes of a file that is searched


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Search(Arguments):
    """Find where names are defined, and lines of the repository that hold a text."""

    query: str = Field(min_length=2, max_length=200, description="A name, or plain text of a line.")


class Open(Arguments):
    """Show lines of a file."""

    path: str
    first: int = Field(default=1, ge=1, description="First line, from 1.")
    last: int = Field(default=0, ge=0, description=f"Last line; 0: {LINES} lines.")


class Edit(Arguments):
    """Change files: replace `before`, copied exactly from the file, by `after`. With an empty
    `before` and a `line`, `after` is put in front of that line; without either it is a new file.
    Or give a unified `diff` in place of all that."""

    path: str = ""
    before: str = ""
    after: str = ""
    line: int = Field(default=0, ge=0)
    diff: str = ""


class RunTests(Arguments):
    """Run tests on your changes. Solved is what passes all of them."""

    ids: list[str] = Field(default_factory=list, max_length=50, description="Empty: all.")


class Run(Arguments):
    """Run a command in the sandbox with your changes. It has no network, and what it writes to
    files is lost."""

    command: str = Field(min_length=1, max_length=4000)


class Finish(Arguments):
    """Say that you are done (all tests are then run), or that you give up."""

    summary: str = ""
    solved: bool = True


KINDS: dict[str, type[Arguments]] = {
    "search": Search,
    "open": Open,
    "edit": Edit,
    "run_tests": RunTests,
    "run": Run,
    "finish": Finish,
}


class Runs(Protocol):
    """A sandbox, as `sandbox.container.Sandbox`."""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        files: Mapping[str, bytes | None] | None = None,
    ) -> Ran: ...


def offered() -> tuple[Tool, ...]:
    """The tools as a server is told of them."""
    return tuple(
        Tool(name, " ".join((kind.__doc__ or "").split()), kind.model_json_schema())
        for name, kind in KINDS.items()
    )


@dataclass
class Bench:
    """One attempt's copy. `only` names the one file that may be written where a test is to be made;
    `approval` is asked before each edit and command; a replay, whose actions were judged, has none."""

    copy: Snapshot
    checks: Checks
    sandbox: Runs
    approval: Approval | None = None
    index: Index | None = None
    only: str = ""
    files: dict[str, str | None] = field(default_factory=dict)
    edits: int = 0

    def do(self, call: ToolCall) -> Observation:
        """What the call gives. Raises SandboxError where no sandbox can be had."""
        kind = KINDS.get(call.name)
        if kind is None:
            return _error(f"There is no tool {call.name!r}. There are: {', '.join(KINDS)}.")
        if isinstance(call.arguments, str):
            return _error(
                f"The arguments of {call.name} are no JSON object: {call.arguments[:200]!r}. "
                f"They have these fields: {', '.join(kind.model_fields)}."
            )
        try:
            asked = kind.model_validate(call.arguments)
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}"
                for one in error.errors()[:5]
            )
            return _error(f"Wrong arguments of {call.name}: {wrong}.")
        return self._done(asked)

    def text(self, path: str) -> str | None:
        """A file as it is now; None if it is not there, or no text."""
        return self.files[path] if path in self.files else self._original(path)

    def _done(self, asked: Arguments) -> Observation:
        match asked:
            case Search():
                return Observation(self._search(asked.query))
            case Open():
                return self._open(asked)
            case Edit():
                return self._edit(asked)
            case RunTests():
                return self._tested(asked.ids)
            case Run():
                return self._run(asked.command)
            case Finish():
                return self._finish(asked)
        raise AssertionError(asked)

    def _search(self, query: str) -> str:
        found = list(self._definitions(query))
        for path, number, line in self._lines(query):
            found.append(f"{path}:{number}: {line.strip()[:200]}")
            if len(found) >= HITS:
                found.append("There are more: ask for less.")
                break
        return "\n".join(found) or f"Nothing holds {query!r}."

    def _definitions(self, query: str) -> Iterator[str]:
        if self.index is None or not self.index.exists:
            return
        for one in search.symbols(self.index, query.strip(), 10):
            if self.text(one.path) is not None:
                yield f"{one.path}:{one.line}: defined: {one.text}"

    def _lines(self, query: str) -> Iterator[tuple[str, int, str]]:
        for path in sorted({*self.copy.files, *self.files}):
            file = self.copy.root / path
            if path not in self.files and (not file.is_file() or file.stat().st_size > LARGEST):
                continue
            text = self.text(path) or ""
            if query in text:
                for number, line in enumerate(text.splitlines(), 1):
                    if query in line:
                        yield path, number, line

    def _open(self, asked: Open) -> Observation:
        if self.approval and (why := self.approval.policy.read(asked.path).reasons):
            return _error("; ".join(why))
        text = self.text(asked.path)
        if text is None:
            name = asked.path.rsplit("/", 1)[-1]
            near = [path for path in self.copy.files if path.rsplit("/", 1)[-1] == name][:5]
            return _error(f"There is no text file {asked.path!r}. {'; '.join(near)}".strip())
        lines = text.splitlines()
        last = min(asked.last or len(lines), asked.first + LINES - 1, len(lines))
        rows = [f"{n:5}|{lines[n - 1]}" for n in range(asked.first, last + 1)]
        head = f"{asked.path}, lines {asked.first} to {last} of {len(lines)}"
        return Observation(ends("\n".join([head, *rows]), 2 * observe.MOST))

    def _edit(self, asked: Edit) -> Observation:
        """All of a call's hunks or none."""
        one = hunks.Edit(asked.path, asked.before, asked.after, asked.line)
        new: dict[str, str | None] = {}
        told: list[str] = []
        try:
            for edit in hunks.parse(asked.diff) if asked.diff else [one]:
                if self.only and edit.path != self.only:
                    return _error(f"Only {self.only} may be written now. Nothing was changed.")
                old = new[edit.path] if edit.path in new else self.text(edit.path)
                if old is None and edit.before:
                    return _error(f"There is no text file {edit.path!r}: open or search first.")
                done = hunks.apply(edit, old or "")
                new[edit.path] = done.text
                told.append(f"{edit.path}: lines {done.first} to {done.last} ({done.how})")
        except TandemError as error:  # what a model wrote is not read, or does not fit
            return _error(f"Nothing was changed. {error}")
        if not new:
            return _error("There is no change in this call.")
        if why := self._refused(new):
            return _error(f"Nothing was changed. {why}")
        diff = "".join(_short_diff(path, self.text(path) or "", new[path] or "") for path in new)
        self.files |= new
        self.edits += 1
        return Observation(ends("\n".join([*told, diff]), observe.MOST // 2))

    def _refused(self, new: Mapping[str, str | None]) -> str:
        """Why these texts may not be; "" if they may."""
        for path, text in new.items():
            was_python = path.endswith(".py") and not _unparsed(self._original(path))
            if was_python and (why := _unparsed(text)):
                return f"{path} would be no Python: {why}"
            if self.approval:
                decision = self.approval.change(path, self._original(path), text)
                if not decision.yes:
                    return f"{'; '.join(decision.reasons)}."
        return ""

    def _original(self, path: str) -> str | None:
        """As the run's copy has it; None if it is not there, or no text."""
        if path not in self.copy.files or path in self.copy.pointers:
            return None
        try:
            return self.copy.text(path)
        except (ValueError, OSError):
            return None

    def _tested(self, ids: Sequence[str]) -> Observation:
        return self.checks.run(ids, self.changed)

    def _run(self, command: str) -> Observation:
        if self.approval and not (decision := self.approval.command(command)).yes:
            return _error(f"The command was not run: {'; '.join(decision.reasons)}.")
        self.checks.close()
        texts = {p: None if t is None else t.encode() for p, t in self.changed.items()}
        ran = self.sandbox.run(["sh", "-c", command], timeout_s=RUN_S, files=texts)
        return Observation(f"$ {shlex.quote(command)[:200]}\n{observe.of_command(ran)}")

    def _finish(self, asked: Finish) -> Observation:
        if not asked.solved:
            return Observation(asked.summary or "no reason was given", "gave up")
        if not self.changed:
            return _error("You have changed nothing yet. Edit, or finish with solved=false.")
        return self._tested(())

    @property
    def changed(self) -> dict[str, str | None]:
        """What differs from the run's copy."""
        return {p: text for p, text in self.files.items() if text != self._original(p)}


def _short_diff(path: str, old: str, new: str) -> str:
    rows = unified_diff(old.splitlines(), new.splitlines(), path, path, n=2, lineterm="")
    return "\n".join(rows) + "\n"


def _unparsed(text: str | None) -> str:
    """Why it is no Python; "" if it is."""
    try:
        ast.parse(text or "")
    except (SyntaxError, ValueError) as error:
        return str(error)
    return ""


def _error(text: str) -> Observation:
    return Observation(text, "error")
