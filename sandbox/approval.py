"""Who says yes to what an agent wants: rules first, then a person, and nobody means no.

    approval = Approval(policy, "final", asker(as_json=False), log)
    if not approval.change("app.py", old, new).yes: ...

What the rules refuse is not asked about. What they ask about, or the mode, is put to the asker with
the very text that will be used, made fit to be seen. Each decision is a line of the audit log.
"""

import contextlib
import json
import shlex
import sys
import termios
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO

from sandbox import twice
from sandbox.allowed import shown
from sandbox.patch import Patch
from sandbox.policy import Policy
from sandbox.ruling import Answer, Ruling
from tandem import trace

FORMAT = 1
LONGEST_ANSWER = 10_000  # characters of a line from an editor

Kind = Literal["edit", "command", "patch"]
Mode = Literal["each", "commands", "final"]
By = Literal["rules", "person", "nobody", "in advance"]
Asked = tuple[Kind, str, str]  # its subject and its diff, without secrets


@dataclass(frozen=True)
class Question:
    """What a person is asked: `subject` is a path or a command line, `diff` what would change,
    `reasons` why it is asked, and `flags` what to look at twice. All is fit for a terminal."""

    kind: Kind
    subject: str
    reasons: tuple[str, ...] = ()
    diff: str = ""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """Yes or no, who said so, and why, for the agent and for the log."""

    yes: bool
    by: By
    reasons: tuple[str, ...] = ()


class Asker(Protocol):
    def ask(self, question: Question) -> bool | None:
        """The person's word; None if there is nobody."""
        ...


class EventLog(Protocol):
    """Such as `sandbox.audit.Log`."""

    def append(self, event: str, **data: Any) -> None: ...


class Nobody:
    """Where no person can be asked."""

    def ask(self, question: Question) -> bool | None:
        return None


class Terminal:
    """Asks whoever sits at it. `given` and `told` are its two sides."""

    def __init__(self, given: TextIO | None = None, told: TextIO | None = None) -> None:
        self._given, self._told = given or sys.stdin, told or sys.stderr

    def ask(self, question: Question) -> bool | None:
        if not (self._given.isatty() and self._told.isatty()):
            return None
        termios.tcflush(self._given, termios.TCIFLUSH)  # typed before it was asked: no answer
        # A command of many lines must not look like what stands around it.
        subject = question.subject.split("\n")
        lines = ["", f"The agent wants to {_WANTS[question.kind]}:", *(f"  | {s}" for s in subject)]
        lines += [f"  because of a rule: {reason}" for reason in question.reasons]
        if question.diff:
            lines += ["", question.diff.rstrip("\n")]
        lines += [f"  look twice: {flag}" for flag in question.flags]
        while True:
            self._told.write("\n".join([*lines, "Allow this? [y/N] "]))
            self._told.flush()
            said = self._given.readline()
            if not said:
                return None
            if said.strip().lower() in _YES | _NO:
                return said.strip().lower() in _YES
            lines = ["Say y or n."]


class JsonLines:
    """Asks an editor: a line of JSON for each question, and one for each answer.

    `{"v": 1, "ask": N, "kind", "subject", "reasons", "diff", "flags"}` is answered by
    `{"answer": N, "yes": true}`. Anything but that, of this very number, is a no.
    """

    def __init__(self, given: TextIO | None = None, told: TextIO | None = None) -> None:
        self._given, self._told = given or sys.stdin, told or sys.stdout
        self._asked = 0

    def ask(self, question: Question) -> bool | None:
        self._asked += 1
        line = {"v": FORMAT, "ask": self._asked, **vars(question)}
        self._told.write(json.dumps(line) + "\n")
        self._told.flush()
        said = self._given.readline(LONGEST_ANSWER)
        if not said:
            return None
        with contextlib.suppress(ValueError, RecursionError):
            answer = json.loads(said)
            return (
                isinstance(answer, dict)
                and answer.get("yes") is True
                and answer.get("answer") == self._asked
            )
        return False


@dataclass
class Approval:
    """See the module. `agreed` says yes to the patch at the end in advance, and to nothing else.
    `granted_texts` are the new texts by path that a person said yes to though a rule asks. `said` is
    what a person said before, also in the run that this one goes on with: nobody is asked the very
    same thing twice, but for the patch.

    One at a time is asked, so that agents side by side may share it.
    """

    policy: Policy
    mode: Mode
    asker: Asker
    log: EventLog
    agreed: bool = False
    granted_texts: set[tuple[str, str | None]] = field(default_factory=set)
    said: dict[Asked, bool] = field(default_factory=dict)
    _one: threading.RLock = field(default_factory=threading.RLock)

    def change(self, path: str, before: str | None, after: str | None) -> Decision:
        """Of one file's new text; None for no file."""
        ruling = self.policy.change(path, before, after)
        old = {} if before is None else {path: before}
        question = self._about_texts("edit", shown(path), ruling, {path: after}, old)
        is_asked = ruling.answer is Answer.ASK or self.mode == "each"
        decision = self._decided(question, ruling, is_asked)
        if decision.yes and ruling.answer is Answer.ASK:
            self.granted_texts.add((path, after))
        return decision

    def command(self, line: str | Sequence[str]) -> Decision:
        """Of what is to run in the sandbox: a shell's line, or a program with its arguments."""
        ruling = self.policy.command(line)
        text = line if isinstance(line, str) else shlex.join(line)
        is_asked = (
            ruling.answer is Answer.ASK
            or self.mode == "each"
            or (self.mode == "commands" and not ruling.is_free)
        )
        return self._decided(Question("command", shown(text), ruling.reasons), ruling, is_asked)

    def patch(self, files: Mapping[str, str | None], old: Mapping[str, str]) -> Decision:
        """Of the whole patch, before it is written to the user's files: always asked."""
        ruling = self.policy.patch(files, old, self.granted(files))
        paths = ", ".join(map(shown, sorted(files)))
        question = self._about_texts("patch", paths, ruling, files, old)
        return self._decided(question, ruling, True, self.agreed)

    def granted(self, files: Mapping[str, str | None]) -> tuple[str, ...]:
        """The paths of a patch whose very text a person said yes to though a rule asks."""
        return tuple(path for path, text in files.items() if (path, text) in self.granted_texts)

    def _about_texts(
        self,
        kind: Kind,
        subject: str,
        ruling: Ruling,
        files: Mapping[str, str | None],
        old: Mapping[str, str],
    ) -> Question:
        if ruling.answer is Answer.REFUSE:  # some of these have no diff
            return Question(kind, subject, ruling.reasons)
        diff = shown(Patch(files).diff(old))
        flags = tuple(map(str, twice.flags(files, old)))
        return Question(kind, subject, ruling.reasons, diff, flags)

    def _decided(
        self, question: Question, ruling: Ruling, is_asked: bool, agreed: bool = False
    ) -> Decision:
        with self._one:
            decision = self._answered(question, ruling, is_asked, agreed)
            self.log.append(
                "decision",
                kind=question.kind,
                subject=question.subject,
                yes=decision.yes,
                by=decision.by,
                reasons=list(decision.reasons),
                diff=question.diff,
                flags=list(question.flags),
            )
        return decision

    def _answered(
        self, question: Question, ruling: Ruling, is_asked: bool, agreed: bool
    ) -> Decision:
        if ruling.answer is Answer.REFUSE:
            return Decision(False, "rules", ruling.reasons)
        if not is_asked:
            return Decision(True, "rules")
        if agreed:
            return Decision(True, "in advance", ruling.reasons)
        asked = (question.kind, question.subject, trace.scrub(question.diff))
        said = self.said.get(asked) if question.kind != "patch" else None
        if said is None:
            said = self.asker.ask(question)
        if said is None:
            return Decision(False, "nobody", (*ruling.reasons, "nobody is there to be asked"))
        self.said[asked] = said
        return Decision(
            said, "person", ruling.reasons if said else (*ruling.reasons, "you said no")
        )


def said_before(file: Path) -> dict[Asked, bool]:
    """What a person said in a run, by its audit log; nothing if there is none."""
    found: dict[Asked, bool] = {}
    lines = file.read_bytes().split(b"\n") if file.is_file() else []
    for one in (json.loads(line) for line in lines[:-1]):
        data = one["data"]
        if one["event"] == "decision" and data["by"] == "person":
            found[data["kind"], data["subject"], data["diff"]] = data["yes"]
    return found


def asker(as_json: bool) -> Asker:
    """Whom a command asks: an editor that reads JSON lines, or the terminal if there is one."""
    if as_json:
        return JsonLines()
    return Terminal() if sys.stdin.isatty() and sys.stderr.isatty() else Nobody()


_WANTS = {"edit": "change", "command": "run in the sandbox", "patch": "write its patch to"}
_YES, _NO = frozenset({"y", "yes"}), frozenset({"n", "no", ""})
