"""What a patch may touch, and what in it a person should look at twice.

A patch is text that will be run: by git, by editors, by test runners and by CI, and not only where
the person who says yes looks. So what any of them runs by itself is out of bounds, and so are the
tests, when they are what judges the patch. Some of it a person may grant, file by file (CAN_GRANT);
the rest nobody can.
"""

import re
import sys
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sandbox import beneath
from sandbox.patch import Patch, lines
from tandem import secrets
from tandem.visible import visible

MAX_FILES = 20
MAX_BYTES = 200_000  # of the diff, and of any new file
MAX_LINE = 5_000  # characters: nobody reads a longer one

_TABLE: tuple[tuple[str, str], ...] = (
    (r"\.git(?!hub$|lab-ci\.yml$|lab$|ea$).*", "git's own, or the settings of a forge"),
    (
        r"conftest\.py|sitecustomize\.py|usercustomize\.py|.*\.pth|.*\.egg-link|__editable__.*"
        r"|\.pythonrc|\.pdbrc|\.pdbrc\.py|.*\.dist-info|.*\.egg-info",
        "run when Python or pytest starts",
    ),
    (
        r"pytest\.ini|\.pytest\.ini|pytest\.toml|tox\.ini|tox\.toml|setup\.cfg|setup\.py"
        r"|pyproject\.toml|noxfile\.py|\.coveragerc|makefile|gnumakefile|.*\.mk|justfile"
        r"|taskfile\.ya?ml|package\.json|package-lock\.json|build\.rs|.*\.gradle|pom\.xml"
        r"|hatch\.toml|uv\.toml|pdm\.toml|poetry\.toml|pip\.conf|requirements|requirements.*\.(?:txt|in)"
        r"|constraints.*\.(?:txt|in)|.*\.lock|pipfile|environment\.ya?ml|\.tool-versions"
        r"|\.python-version|mise\.toml|npm-shrinkwrap\.json|pnpm-.*\.ya?ml|\.pnpmfile\.c?js"
        r"|\.yarnrc.*|deno\.jsonc?|bunfig\.toml|tsconfig.*\.json|.*\.config\.[cm]?[jt]s|karma\.conf\.js"
        r"|\.(?:mocha|babel|eslint|prettier|swc)rc.*|go\.(?:mod|sum|work)|cargo\.toml|gemfile|.*\.gemspec"
        r"|rakefile|composer\.json|cmakelists\.txt|.*\.cmake|meson\.build|.*\.gradle\.kts"
        r"|gradle\.properties",
        "settings of a build or of the tests",
    ),
    (
        r"\.github|\.gitlab|\.gitlab-ci\.yml|\.gitea|\.forgejo|\.circleci|\.travis\.yml"
        r"|azure-pipelines.*\.ya?ml|jenkinsfile|\.buildkite"
        r"|\.drone\.ya?ml|bitbucket-pipelines\.yml|appveyor\.yml|\.appveyor\.yml|\.cirrus\.yml"
        r"|\.woodpecker.*|cloudbuild\.ya?ml|dependabot\.ya?ml|renovate\.json",
        "settings of CI",
    ),
    (
        r"\.husky|lefthook\.ya?ml|\.pre-commit-config\.yaml|\.pre-commit-hooks\.yaml",
        "hooks, which git runs",
    ),
    (
        r"\.vscode|\.idea|\.vs|\.fleet|\.zed|\.nvim|\.nvim\.lua|\.nvimrc|\.exrc|\.vimrc"
        r"|\.dir-locals.*\.el|\.editorconfig|\.devcontainer|\.devcontainer\.json|\.envrc"
        r"|\.sublime-.*|.*\.code-workspace|dockerfile.*|containerfile.*|docker-compose.*\.ya?ml"
        r"|compose\.ya?ml|vagrantfile|\.bashrc|\.profile|\.zshrc|\.ssh|\.tandem.*",
        "settings of an editor or a shell",
    ),
    (
        r"agents\.md|claude\.md|gemini\.md|\.cursorrules|\.cursor|\.claude|\.codex|\.aider.*"
        r"|\.windsurfrules|\.mcp\.json|copilot-instructions\.md",
        "orders for agents",
    ),
    (
        r".*\.(?:so|pyd|pyc|pyo|dll|dylib|exe|o|a|class|jar|wasm|whl|zip|tar|gz|xz|bz2|pickle|pkl)",
        "binary by its name",
    ),
)
# A yes of a person to the very text lets these out: tests, and settings that a review would show.
CAN_GRANT = frozenset({"settings of a build or of the tests", "settings of CI"})
_PARTS = tuple((re.compile(pattern), reason) for pattern, reason in _TABLE)
_TEST_FOLDER = re.compile(
    r"tests?|testing|__tests__|specs?|.*_tests?|.*testcases?|fixtures|testdata"
)
_TEST_FILE = re.compile(
    r"test_.*|.*_test\.\w+|tests?\.\w+|.*[._-](?:test|spec)\.\w+|.*_spec\.\w+|.*tests?\.(?:java|cs|kt)"
)
# What judges a Python patch: a module of this name would be imported in its place.
_JUDGES = frozenset({"pytest", "_pytest", "pluggy", "coverage", "iniconfig", "py", "nose", "xdist"})
_ALLOWED_CONTROLS = "\t\n\r\f"
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Refusal:
    """Why a patch may not leave the sandbox. `path` is "" where it is the patch as a whole.

    `can_grant`: a person may let it out all the same.
    """

    path: str
    reason: str
    can_grant: bool = False

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}" if self.path else self.reason


@dataclass(frozen=True)
class Flag:
    """Something in an added line that does not look like what it is. `line` is from 1."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{shown(self.path)}:{self.line}: {self.what}"


def refusals(
    patch: Patch,
    old: Mapping[str, str],
    judges: Collection[str] = (),
    tests_judge: bool = True,
    granted: Collection[str] = (),
) -> list[Refusal]:
    """Why a patch against these old texts is refused; none if it may leave.

    `judges` are the paths of the tests that judge it, and of what they read, which no name tells.
    With `tests_judge` every file that looks like a test's is refused too. `granted` are the paths
    that a person said yes to.
    """
    changed = [path for path, new in patch.files.items() if old.get(path) != new]
    found = [one for path in changed for one in _reasons(path, old)]
    for path in changed:
        if path in judges or (tests_judge and is_test(path)):
            why = "a test may not be changed by the fix that it judges"
            found.append(Refusal(path, why, can_grant=True))
        found += [
            Refusal(path, reason) for reason in _text_reasons(patch.files[path], old.get(path))
        ]
    found = [one for one in found if not (one.can_grant and one.path in granted)]
    if not changed:
        found.append(Refusal("", "nothing is changed"))
    if len(changed) > MAX_FILES:
        found.append(Refusal("", f"more than {MAX_FILES} files"))
    elif not found and len(patch.diff(old).encode("utf-8", "replace")) > MAX_BYTES:
        found.append(Refusal("", f"more than {MAX_BYTES:,} bytes"))
    return found


def flags(patch: Patch, old: Mapping[str, str]) -> list[Flag]:
    """Characters in added lines that hide or turn around what is read, and mixed alphabets."""
    found = []
    for path, new in sorted(patch.files.items()):
        known = set(lines(old.get(path, "")))
        for number, line in enumerate(lines(new or ""), 1):
            if line not in known and not line.isascii():
                found += [Flag(path, number, what) for what in _odd(line)]
    return found


def shown(text: str) -> str:
    """A diff, or anything of a repository's, fit for a terminal: what it would obey or not show is
    spelled out, as \\u202e."""
    return visible("".join(c if _is_plain(c) else _spelled(c) for c in text))


def stays_inside(path: str) -> bool:
    """Whether a path is a plain one within the repository, and not in git's own folder."""
    try:
        return all(_plain(name) != ".git" for name in beneath.parts(path))
    except ValueError:
        return False


def is_test(path: str) -> bool:
    """Whether a path looks like a test's or like something that tests read."""
    *folders, name = path.lower().split("/")
    return bool(_TEST_FILE.fullmatch(name)) or any(map(_TEST_FOLDER.fullmatch, folders))


def _reasons(path: str, old: Mapping[str, str]) -> list[Refusal]:
    try:
        names = beneath.parts(path)
    except ValueError:
        return [Refusal(path, "it leads out of the repository")]
    if (
        any(not c.isprintable() or c in '\\"' for c in path)
        or len(path.encode("utf-8", "replace")) > 1_000
    ):
        return [Refusal(path, "its name has characters that names should not have")]
    plain = [_plain(name) for name in names]
    by_name = [
        Refusal(path, f"{reason} may not be changed", reason in CAN_GRANT)
        for pattern, reason in _PARTS
        if any(pattern.fullmatch(name) for name in plain)
    ]
    found: list[str] = []
    if any(secrets.is_secret_name(name) for name in plain):
        found.append("a file for secrets may not be changed")
    if path not in old:
        folded = {_plain(known): known for known in old}
        if alias := folded.get(_plain(path)):
            found.append(f"its name differs from {shown(alias)} only in how it is written")
        if any(_plain(known).startswith(f"{_plain(path)}/") for known in old):
            found.append("a folder has this name")
        if any("/".join(names[:n]) in old for n in range(1, len(names))):
            found.append("a file is where its folder would be")
        found += _shadows(plain)
    return [*by_name, *(Refusal(path, reason) for reason in found)]


def _shadows(plain: list[str]) -> list[str]:
    """A new module that would be imported in place of the standard library's or of the tests'."""
    inner = plain[1:] if plain[0] in ("src", "lib") and len(plain) > 1 else plain
    stem = inner[0].split(".")[0]
    is_module = len(inner) > 1 or inner[0].endswith(".py")
    if is_module and (stem in _JUDGES or stem in sys.stdlib_module_names):
        if len(inner) > 1 and inner[-1] != "__init__.py":
            return []
        return [f"it would be imported in place of {stem}"]
    return []


def _plain(name: str) -> str:
    """A name as the most forgiving file system takes it: case, width and what cannot be seen."""
    visible_only = "".join(c for c in name if not _is_hidden(c))
    folded = unicodedata.normalize("NFKC", visible_only).casefold()
    folded = "/".join(part.split(":")[0].rstrip(". ") or part for part in folded.split("/"))
    return ".git" if folded == "git~1" else folded


def _text_reasons(new: str | None, old: str | None) -> list[str]:
    if new is None:
        return []
    found = []
    known = set(old or "")
    controls = {c for c in new if unicodedata.category(c) == "Cc"} - set(_ALLOWED_CONTROLS) - known
    if controls:
        found.append(f"it has the control character {_spelled(min(controls))}")
    try:
        size = len(new.encode())
    except UnicodeEncodeError:
        return [*found, "it is not UTF-8"]
    if old is None and size > MAX_BYTES:
        found.append(f"more than {MAX_BYTES:,} bytes")
    before = set(lines(old or ""))
    if any(len(line) > MAX_LINE and line not in before for line in lines(new)):
        found.append(f"a line has more than {MAX_LINE:,} characters")
    return found


def _odd(line: str) -> list[str]:
    found = []
    for character in sorted(set(line)):
        if character.isascii():
            continue
        if character in _DIRECTION:
            found.append(f"{_spelled(character)} turns text around")
        elif _is_hidden(character):
            found.append(f"{_spelled(character)} cannot be seen")
    for word in sorted(set(re.findall(r"\w+", line))):
        if _alphabets(word) & {"LATIN"} and _alphabets(word) & {"CYRILLIC", "GREEK"}:
            found.append(f"{word!r} mixes alphabets")
    return found


def _alphabets(word: str) -> set[str]:
    return {unicodedata.name(c, "?").split(" ")[0] for c in word if c.isalpha()}


def _is_hidden(character: str) -> bool:
    """Takes no room, or room that looks like a space but is none."""
    code = ord(character)
    if unicodedata.category(character) == "Cf":
        return True
    wide = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF  # variation selectors
    return (
        wide
        or code in (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, 0x2800)
        or (0x2028 <= code <= 0x2029)
    )


def _is_plain(character: str) -> bool:
    return character.isascii() or (character.isprintable() and not _is_hidden(character))


def _spelled(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
