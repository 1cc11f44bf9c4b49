"""What an agent may do: rules checked by code over each change, command and read that it asks for.

    policy = Policy(config.agent, copy.files)
    ruling = policy.change("app.py", old, new)

No model has a say, and no text that a model reads: rules see only what would be done. The user's
settings add to the rules, and a repository's may only tighten them (see `tandem.config`). Where a
file is of a kind that nobody may change (`allowed`), not even a person's yes lets it out.
"""

import re
from collections.abc import Collection, Mapping, Sequence

from pathspec import GitIgnoreSpec

from sandbox import allowed, commands
from sandbox.allowed import shown
from sandbox.patch import Patch
from sandbox.ruling import Ruling
from tandem import secrets
from tandem.sections import AgentConfig

__all__ = ["Policy"]


class Policy:
    """`files` are the paths of the repository as the run found it, `judges` those of tests that
    judge the fix and that no name tells. `own` are new tests that the agent was asked to write, so
    that they need no question."""

    def __init__(
        self,
        config: AgentConfig,
        files: Collection[str],
        judges: Collection[str] = (),
        own: Collection[str] = (),
    ) -> None:
        self.config = config
        self._known = dict.fromkeys(files, "")
        self._judges = frozenset(judges)
        self._own = frozenset(own) - frozenset(files)
        self._allowed = _Globs(config.allowed)
        self._protected = _Globs(config.protected)

    def change(self, path: str, before: str | None, after: str | None) -> Ruling:
        """Of one file's new text; None for no file."""
        old = dict(self._known)
        old.pop(path, None)
        if before is not None:
            old[path] = before
        granted = self._own & {path} if before is None else ()
        found = allowed.refusals(Patch({path: after}), old, self._judges, granted=granted)
        asks = [str(one) for one in found if one.can_grant]
        refusals = [str(one) for one in found if not one.can_grant]
        refusals += self._refused(path, before or "", after or "")
        if after is None:
            asks.append(f"{shown(path)}: the file would be removed")
        return Ruling.of(asks, refusals)

    def command(self, line: str | Sequence[str]) -> Ruling:
        """Of what is to run in the sandbox: a shell's line, or a program with its arguments."""
        return commands.ruling(line, self.config)

    def read(self, path: str) -> Ruling:
        """Of a file that the model would see."""
        if not allowed.stays_inside(path):
            return Ruling.of((), [f"{shown(path)}: it leads out of the repository"])
        if any(secrets.is_secret_name(name) for name in path.split("/")):
            return Ruling.of((), [f"{shown(path)}: a file for secrets is not read"])
        return Ruling()

    def patch(
        self, files: Mapping[str, str | None], old: Mapping[str, str], granted: Collection[str] = ()
    ) -> Ruling:
        """Of a whole patch, whose every file is looked at again; `granted` are the paths whose new
        text a person said yes to. What is not granted is refused: it is too late to ask."""
        patch = Patch(files)
        granted = {*granted, *(self._own - old.keys())}
        known = {**self._known, **old}
        found = allowed.refusals(patch, known, self._judges, granted=granted)
        reasons = [str(one) for one in found]
        for path, after in files.items():
            reasons += self._refused(path, old.get(path, ""), after or "")
            if after is None and path not in granted:
                reasons.append(f"{shown(path)}: nobody said yes to its removal")
        return Ruling.of((), reasons)

    def _refused(self, path: str, before: str, after: str) -> list[str]:
        found = []
        if self._protected.match(path):
            found.append("your settings protect it")
        if self.config.allowed and not self._allowed.match(path):
            found.append("it is not among the files that your settings allow")
        new = _kinds(after) - _kinds(before)
        if new:
            found.append(f"the new text has a secret ({min(new)[0]})")
        if after.count(secrets.REDACTED) > before.count(secrets.REDACTED):
            found.append(f"{secrets.REDACTED} would be written over what was hidden from the model")
        return [f"{shown(path)}: {reason}" for reason in found]


class _Globs:
    """Patterns as in .gitignore; for a file system that ignores case, too."""

    def __init__(self, globs: Sequence[str]) -> None:
        self._as_is = GitIgnoreSpec.from_lines(globs)
        self._folded = GitIgnoreSpec.from_lines(re.sub(r"[A-Z]", _lower, one) for one in globs)

    def match(self, path: str) -> bool:
        return self._as_is.match_file(path) or self._folded.match_file(path.casefold())


def _lower(match: re.Match[str]) -> str:
    return match[0].lower()


def _kinds(text: str) -> set[tuple[str, str]]:
    return {(one.kind, text[one.start : one.end]) for one in secrets.find(text)}
