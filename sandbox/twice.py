"""What a patch adds that a person should look at twice: code that reaches beyond its own data.

These are pointers for whoever reads the diff, and no wall: bad code can be written without any of
them. What keeps bad code in is the sandbox before the yes, and the person who reads after it.
"""

import re
from collections.abc import Iterator, Mapping

from sandbox import allowed
from sandbox.allowed import Flag
from sandbox.patch import Patch, lines

FAR = 160  # columns; code beyond them is easily out of sight
_GAP = re.compile(r"\S[ \t]{40,}\S")

_SIGNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "starts a program",
        re.compile(
            r"\bos\.(?:system|popen|exec[lv]p?e?|spawn\w+|fork|posix_spawn)\b|\bsubprocess\b|\bpty\.spawn"
            r"|\bchild_process\b|\bexecSync\b|\bspawn\s*\(|\bRuntime\.getRuntime|\bProcessBuilder\b"
            r"|\bos/exec\b|\bexec\.Command\b|\bstd::process\b|\bCommand::new\b|\bshell_exec\b"
            r"|\bcreate_subprocess_(?:exec|shell)\b"
        ),
    ),
    (
        "reaches the network",
        re.compile(
            r"\b(?:socket|urllib|urlopen|httplib|http\.client|requests|httpx|aiohttp|ftplib|smtplib"
            r"|telnetlib|paramiko|XMLHttpRequest|net/http|reqwest|websockets?)\b|\bfetch\s*\("
            r"|\b(?:https?|ftp|wss?)://"
        ),
    ),
    (
        "runs text as code",
        re.compile(
            r"(?<![.\w])(?:eval|exec|compile|__import__)\s*\(|\bimportlib\.import_module\b"
            r"|\bnew Function\b|\bgetattr\s*\(\s*__builtins__|\b__builtins__\b|\bglobals\s*\(\)"
            r"|\bctypes\b|\bmarshal\.loads\b|\bpickle\.loads?\b|\byaml\.(?:unsafe_)?load\s*\("
        ),
    ),
    (
        "decodes what cannot be read",
        re.compile(
            r"\b(?:b(?:16|32|64|85)|a85|url_?safe_b64)decode\b|\bunhexlify\b|\bfromhex\b|\batob\s*\("
            r"|rot_?13|\bzlib\.decompress\b|(?:\\x[0-9a-fA-F]{2}){6}|[A-Za-z0-9+/]{120}"
        ),
    ),
    (
        "reads the environment or a home folder",
        re.compile(
            r"\bos\.environ\b|\bgetenv\b|\bprocess\.env\b|\bexpanduser\b|\bPath\.home\b|\bos\.Getenv\b"
            r"|\benv::var\b|~/\.|/etc/passwd|/etc/shadow|\.ssh\b|/proc/self"
        ),
    ),
    (
        "switches a check off",
        re.compile(
            r"\bverify\s*=\s*False\b|\bCERT_NONE\b|_create_unverified_context|\bcheck_hostname\s*=\s*False"
            r"|\bshell\s*=\s*True\b|\bInsecureSkipVerify\b|rejectUnauthorized\s*:\s*false"
            r"|\bchmod\b.*0?o?777|\bdebug\s*=\s*True\b|\bpytest\b|PYTEST_CURRENT_TEST|sys\.modules"
            r"|\bsettrace\b|\batexit\b|\b__del__\b"
        ),
    ),
)


def flags(files: Mapping[str, str | None], old: Mapping[str, str]) -> list[Flag]:
    """All of a patch, by file and line; also what hides or turns around what is read (`allowed`).
    `files` has new texts by path, `old` those before."""
    found = {*allowed.flags(Patch(files), old), *_looks(files, old)}
    return sorted(found, key=lambda one: (one.path, one.line, one.what))


def _looks(files: Mapping[str, str | None], old: Mapping[str, str]) -> Iterator[Flag]:
    for path, new in sorted(files.items()):
        known = set(lines(old.get(path, "")))
        for number, line in enumerate(lines(new or ""), 1):
            if line in known:
                continue
            for what, sign in _SIGNS:
                if sign.search(line):
                    yield Flag(path, number, what)
            if _GAP.search(line) or len(line.rstrip("\n")) > FAR:
                yield Flag(path, number, "goes on far to the right")
