"""Which files a workspace leaves out: `.gitignore` and `.tandemignore`, a pair for each folder."""

import re
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore import GitIgnorePatternError

# Of one folder; what a later one says wins.
NAMES = (".git/info/exclude", ".gitignore", ".tandemignore")


@dataclass(frozen=True, slots=True)
class Rules:
    """Those of one folder. A path from the root is relative to that folder without its first
    `skip` characters, or with `prefix` where the folder is above the root."""

    skip: int
    prefix: str
    spec: GitIgnoreSpec
    some: re.Pattern[str]

    def says(self, path: str) -> bool | None:
        """Whether a path is out (a folder's ends with a slash); None if no rule is about it."""
        inside = self.prefix + path[self.skip :]
        # Hardly any path has a rule, and one pattern tells that faster than one after another.
        return self.spec.check_file(inside).include if self.some.match(inside) else None


def rules(folder: Path, skip: int = 0, prefix: str = "") -> Rules | None:
    """What a folder's own files say; None if they say nothing."""
    lines: list[str] = []
    for name in NAMES:
        try:
            lines += (folder / name).read_text("utf-8", errors="replace").splitlines()
        except OSError:
            continue
    spec = GitIgnoreSpec.from_lines(line for line in lines if is_rule(line))
    patterns = [p.regex.pattern for p in spec.patterns if p.regex is not None]
    if not patterns:
        return None
    unnamed = [re.sub(r"\(\?P<\w+>", "(?:", pattern) for pattern in patterns]
    return Rules(skip, prefix, spec, re.compile("|".join(unnamed)))


def above(root: Path) -> tuple[Rules, ...]:
    """Those of the folders above a root that are in the same repository, the outermost first."""
    if (root / ".git").exists():
        return ()
    found: list[Rules] = []
    for folder in root.parents:
        if one := rules(folder, prefix=f"{root.relative_to(folder).as_posix()}/"):
            found.append(one)
        if (folder / ".git").exists():
            return tuple(reversed(found))
    return ()


def is_out(path: str, known: tuple[Rules, ...]) -> bool:
    """By the innermost folder that has a rule about it."""
    for one in reversed(known):
        said = one.says(path)
        if said is not None:
            return said
    return False


def is_rule(line: str) -> bool:
    """Whether the line can be read."""
    try:
        GitIgnoreSpec.from_lines([line])
    except GitIgnorePatternError:  # git passes over a broken line too
        return False
    return True
