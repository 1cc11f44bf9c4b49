"""Rules over the commands that an agent wants to run.

Every command runs in the sandbox, which has no network, no host files and no way out; that holds
whatever a line says. These rules are the second wall: what looks as if it wanted out is not even
tried without a person's yes, and the person reads why.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePath, PurePosixPath

from sandbox import shell
from sandbox.allowed import shown
from sandbox.ruling import Ruling
from sandbox.shell import Simple
from tandem import secrets
from tandem.sections import AgentConfig

REPOSITORY = "/work/repo"
LONGEST = 10_000  # characters; nobody reads a longer one


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NETWORK = _words(
    "curl wget aria2c http https xh nc ncat netcat socat telnet ftp sftp scp ssh rsync mosh dig "
    "nslookup host whois ping traceroute tracepath nmap openssl lynx w3m links mail sendmail "
    "aws gcloud gsutil az kubectl helm terraform heroku vercel netlify ngrok rclone"
)
_OUTWARD = _words(
    "docker podman nerdctl crictl sudo su doas pkexec nsenter unshare chroot mount umount "
    "systemctl service crontab at batch shutdown reboot insmod modprobe gh glab hub"
)
_INSTALLERS = _words(
    "pip pipx uv poetry pdm pipenv hatch rye conda mamba micromamba easy_install npm pnpm yarn "
    "bun npx bunx corepack gem bundle composer apt apt-get aptitude dpkg yum dnf apk pacman "
    "brew snap flatpak nix nix-env pre-commit"
)
# What of these asks for nothing new: the first word behind the program.
_HARMLESS = _words(
    "list show freeze check test t run-script exec run tree why outdated ls view info"
)
_ALWAYS_FETCH = frozenset({"npx", "bunx", "pipx"})
_FETCHES = {"cargo": {"add", "install", "update", "fetch"}, "go": {"get", "install", "mod"}}
_GIT_FETCHES = frozenset({"clone", "fetch", "pull", "ls-remote", "submodule", "lfs"})
_GIT_SENDS = frozenset({"push", "send-email", "send-pack", "request-pull", "daemon", "svn"})
_SENDS = {
    "twine": {"upload"},
    "npm": {"publish"},
    "pnpm": {"publish"},
    "yarn": {"publish"},
    "cargo": {"publish"},
    "poetry": {"publish"},
    "uv": {"publish"},
    "flit": {"publish"},
    "gem": {"push"},
}
_WRITERS = _words(
    "cp mv rm rmdir ln tee install dd touch mkdir truncate shred chmod chown unlink mktemp "
    "mkfifo mknod unzip tar patch"
)
_TELLS = frozenset({"env", "set", "export", "declare"})
_OF_TELLING = frozenset({"-0", "--null", "-p", "-x", "-px"})
_INLINE = frozenset({"python", "node", "perl", "ruby", "php", "deno", "bun", "lua", "pypy"})
_ADDRESS = re.compile(r"(?i)\b(?!file:)[a-z][a-z0-9+.\-]{1,20}://|/dev/(?:tcp|udp)/")
_CALLS_OUT = re.compile(
    r"\b(?:socket|urllib|urlopen|http\.client|httplib|requests|httpx|aiohttp|ftplib|smtplib|"
    r"telnetlib|paramiko|xmlrpc|websockets?|fetch\s*\(|XMLHttpRequest|Net::|IO::Socket|LWP|"
    r"fsockopen|http\.server)\b"
)
_OPEN_PLACES = (REPOSITORY, "/tmp", "/dev/shm")  # noqa: S108 - the container's own
_OPEN_FILES = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty", "-"})
_PRIVATE = re.compile(
    r"(?:^|/)(?:\.ssh|\.aws|\.gnupg|\.kube|\.docker|\.config/gcloud)(?:/|$)"
    r"|/proc/(?:self|thread-self|\d+)/(?:environ|mem|fd|root|cwd|maps)|/etc/(?:shadow|sudoers)"
    r"|/run/secrets|/var/run/docker\.sock"
)


def ruling(line: str | Sequence[str], config: AgentConfig) -> Ruling:
    """Of a shell's line, or of a program with its arguments."""
    text = line if isinstance(line, str) else shlex.join(line)
    if shown(text) != text:
        return Ruling.of((), ["the command has characters that a person would not see"])
    if len(text) > LONGEST:
        return Ruling.of((), [f"the command has more than {LONGEST:,} characters"])
    found = shell.read(line)
    if not found.commands:
        return Ruling.of([*found.unclear, "there is no command in it"], ())
    free = [shlex.split(one) for one in config.commands]
    barred = [shlex.split(one) for one in config.refused]
    asks, refusals = list(found.unclear), list[str]()
    is_free = not found.unclear
    for one in found.commands:
        if _begins(one, barred):
            refusals.append(f"your settings refuse {shlex.join(one.words)!r}")
        refusals += _refused(one)
        if one.assigned or one.written or not _begins(one, free):
            is_free = False
            asks += _asked(one)
    return Ruling.of(asks, refusals, is_free)


def _begins(one: Simple, known: Sequence[Sequence[str]]) -> bool:
    words = one.words
    named = [one.name, *words[1:]]
    return bool(words) and any(k and list(k) in (words[: len(k)], named[: len(k)]) for k in known)


def _refused(one: Simple) -> Iterator[str]:
    name, rest = one.name, one.words[1:]
    verbs = {word for word in rest if not word.startswith("-")}
    if name in _OUTWARD:
        yield f"{name} is for what is outside of the sandbox"
    if (name == "git" and _git_verb(rest) in _GIT_SENDS) or verbs & _SENDS.get(name, set()):
        yield f"{shlex.join(one.words[:3])!r} sends something away"
    if name == "python" and (module := _module(rest)) in _SENDS and verbs & _SENDS[module]:
        yield f"{module} sends something away"
    for word in [*rest, *one.written]:
        path = word.split("=", 1)[-1].lstrip("@<")
        if _PRIVATE.search(path) or secrets.is_secret_file(PurePath(path)):
            yield f"{path!r} is where secrets are"
    for path in _writes(one):
        if _is_outside(path):
            yield f"it would write to {path!r}, outside of the repository"


def _asked(one: Simple) -> Iterator[str]:
    name, rest = one.name, one.words[1:]
    verb = next((word for word in rest if not word.startswith("-")), "")
    if name in _NETWORK or (name == "git" and _git_verb(rest) in _GIT_FETCHES):
        yield f"{name} wants the network, which the sandbox does not have"
    installer = _module(rest) if name == "python" else name
    if installer in _INSTALLERS and (verb not in _HARMLESS or name in {"python", *_ALWAYS_FETCH}):
        yield f"{installer} may change dependencies, or wants the network"
    if verb in _FETCHES.get(name, ()):
        yield f"{name} {verb} may change dependencies, or wants the network"
    texts = [*one.assigned, *one.words, *one.written]
    if any(_ADDRESS.search(text) for text in texts):
        yield "it names an address, and the sandbox has no network"
    elif name in _INLINE and any(_CALLS_OUT.search(text) for text in rest):
        yield f"what {name} is given wants the network, which the sandbox does not have"
    if name == "printenv" or (name in _TELLS and all(word in _OF_TELLING for word in rest)):
        yield f"{name} tells the environment"
    if any("$" in path or "*" in path for path in _writes(one)):
        yield "where it writes to cannot be told"


def _git_verb(rest: Sequence[str]) -> str:
    """git's command, behind options of which some take a value."""
    at = 0
    while at < len(rest) and rest[at].startswith("-"):
        at += 2 if rest[at] in ("-C", "-c", "--git-dir", "--work-tree", "--namespace") else 1
    return rest[at] if at < len(rest) else ""


def _module(rest: Sequence[str]) -> str:
    """The module that Python is to run, "" for none."""
    for at, word in enumerate(rest):
        if match := re.fullmatch(r"-[a-zA-Z]*m(.*)", word):
            return match[1] or "".join(rest[at + 1 : at + 2])
        if not word.startswith("-"):
            return ""
    return ""


def _writes(one: Simple) -> Iterator[str]:
    """The paths that a command would write to, as its words name them."""
    yield from one.written
    in_place = one.name in ("sed", "perl") and any(w.startswith(("-i", "-pi")) for w in one.words)
    if one.name in _WRITERS or in_place:
        for word in one.words[1:]:
            if not word.startswith("-"):
                yield word.removeprefix("of=").removeprefix("if=")
    for word in one.words[1:]:
        if word.startswith(("--output=", "--out=", "--prefix=", "--target=", "--directory=")):
            yield word.split("=", 1)[1]


def _is_outside(path: str) -> bool:
    if path in _OPEN_FILES or path.isdigit():
        return False
    if path.startswith("~"):
        return True
    names: list[str] = []
    for name in PurePosixPath(REPOSITORY, path).parts:
        if name != "..":
            names.append(name)
        elif len(names) > 1:
            names.pop()
    real = str(PurePosixPath(*names))
    return not any(real == place or real.startswith(f"{place}/") for place in _OPEN_PLACES)
