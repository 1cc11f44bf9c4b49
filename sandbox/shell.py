"""A command line taken apart into the simple commands that it would run, as far as that is told.

It is read to decide whom to ask, and not to keep anything in: whatever runs does so in the sandbox,
without a network. So a line that cannot be read for sure is said to be one; nothing is guessed.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

DEEPEST = 4  # commands within commands
_SEPARATORS = frozenset(";&|()\n")
_KEYWORDS = frozenset({"then", "do", "else", "if", "elif", "while", "until", "!", "{", "}"})
_ENDS = frozenset({"fi", "done", "esac", "}"})
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "fish"})
# Programs that run what follows them, and their options that take a value.
_WRAPPERS = {
    "env": "uCS",
    "nohup": "",
    "nice": "n",
    "ionice": "cn",
    "time": "fo",
    "timeout": "ks",
    "stdbuf": "ioe",
    "setsid": "",
    "exec": "a",
    "command": "",
    "builtin": "",
    "xargs": "IdEnPLsa",
    "busybox": "",
    "unbuffer": "",
    "watch": "n",
    "strace": "eo",
}
# Package managers that run what stands behind `run` or `exec`.
_RUNNERS = frozenset(
    {"uv", "poetry", "pdm", "pipenv", "hatch", "rye", "npm", "pnpm", "yarn", "bundle"}
)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=.*", re.DOTALL)
_REDIRECTION = re.compile(r"[<>]+[|&]?")
# What the shell makes of it cannot be told from the text.
_WITHIN = re.compile(r"`|\$\(|[<>]\(|\$\{|<<")
_PLAIN_NAME = re.compile(r"[\w./+\-]+|\[\[?|:")


@dataclass
class Simple:
    """One program with its arguments, and the files that its output is sent to."""

    words: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    assigned: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The program without its folder and version: `python3.11` is python."""
        name = PurePosixPath(self.words[0]).name.lower() if self.words else ""
        return re.sub(r"(?<=[a-z])[\d.]+$", "", name.removesuffix(".exe"))


@dataclass
class Line:
    """All that a line runs; `unclear` says what of it cannot be read."""

    commands: list[Simple] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)


def read(line: str | Sequence[str]) -> Line:
    """Of a shell's line, or of a program with its arguments."""
    found = Line()
    if isinstance(line, str):
        _shell(line, found, 0)
    else:
        _program(Simple(list(line)), found, 0)
    return found


def _shell(line: str, found: Line, depth: int) -> None:
    if _WITHIN.search(line):
        found.unclear.append("it runs a command within a command, or has text of its own")
    if depth > DEEPEST:
        found.unclear.append("it runs commands within commands")
        return
    try:
        # A backslash at a line's end joins two lines.
        lexer = shlex.shlex(line.replace("\\\n", ""), posix=True, punctuation_chars="();<>|&\n")
        lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
        tokens = list(lexer)
    except ValueError:
        found.unclear.append("its quotes do not close")
        return
    now, target = Simple(), False
    for token in tokens:
        if _REDIRECTION.fullmatch(token):
            target = ">" in token
            if now.words and now.words[-1].isdigit():  # as in 2>
                now.words.pop()
        elif set(token) <= _SEPARATORS | set("<>"):
            _program(now, found, depth)
            now, target = Simple(), ">" in token
        elif target:
            now.written.append(token)
            target = False
        else:
            now.words.append(token)
    _program(now, found, depth)


def _program(one: Simple, found: Line, depth: int) -> None:
    """Add a command, or what it runs in turn."""
    words = one.words
    while words and (words[0] in _KEYWORDS or _ASSIGNMENT.fullmatch(words[0])):
        if "=" in words[0]:
            one.assigned.append(words[0])
        words = words[1:]
    if words and words[0] in ("for", "case", "select"):
        words = []  # only words follow; what is done with them stands behind `do`
    one.words = [] if words and words[0] in _ENDS else words
    if not one.words:
        if one.written or one.assigned:
            found.commands.append(one)
        return
    if not _PLAIN_NAME.fullmatch(one.words[0]):
        found.unclear.append(f"what {one.words[0]!r} runs cannot be told")
    found.commands.append(one)
    if depth > DEEPEST:
        found.unclear.append("it runs commands within commands")
    elif one.name in _SHELLS:
        _given_to_shell(one, found, depth)
    elif one.name == "eval":
        _shell(" ".join(one.words[1:]), found, depth + 1)
    elif one.name in _WRAPPERS:
        _program(Simple(_behind(one.words[1:], _WRAPPERS[one.name], one.name)), found, depth + 1)
    elif one.name in _RUNNERS and one.words[1:2] in (["run"], ["exec"]):
        _program(Simple(_behind(one.words[2:], "", "")), found, depth + 1)
    elif one.name == "find":
        for at, word in enumerate(one.words):
            if word in ("-exec", "-execdir", "-ok", "-okdir"):
                _program(Simple(one.words[at + 1 :]), found, depth + 1)


def _given_to_shell(one: Simple, found: Line, depth: int) -> None:
    for at, word in enumerate(one.words[1:], 1):
        if re.fullmatch(r"-[a-z]*c[a-z]*", word):
            _shell(" ".join(one.words[at + 1 : at + 2]), found, depth + 1)
            return
    if not any(not word.startswith("-") for word in one.words[1:]):
        found.unclear.append("a shell reads what to do from elsewhere")


def _behind(words: list[str], valued: str, name: str) -> list[str]:
    """What a wrapper runs: the words behind its options, and behind timeout's time."""
    at = 0
    while at < len(words) and (words[at].startswith("-") or _ASSIGNMENT.fullmatch(words[at])):
        option = words[at]
        at += 1 + (len(option) == 2 and option[1] in valued)
    return words[at + (name == "timeout") :]
