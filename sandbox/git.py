"""Git over a repository that may be hostile: only commands that run nothing of it.

A repository's own configuration can name programs: hooks, file-system monitors, filters, external
diffs, pagers, transports. All are off here. Filters cannot be turned off as a whole, so nothing
that would run one (`add`, `checkout`, `status`, `diff`, `stash`) is allowed: files are read and
written by us, and git only lists, hashes and stores.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tandem.errors import TandemError, UsageError

_PLUMBING = frozenset(
    {
        *("cat-file", "fast-import", "for-each-ref", "ls-files", "ls-tree", "rev-parse"),
    }
)
_CONFIG = (
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    f"core.attributesFile={os.devnull}",
    "core.pager=cat",
    "core.editor=false",
    "core.askPass=false",
    "core.sshCommand=false",
    "core.gitProxy=",
    "core.alternateRefsCommand=false",
    "core.quotePath=false",
    "core.untrackedCache=false",
    "core.splitIndex=false",
    "core.preloadIndex=false",
    "core.symlinks=true",
    "credential.helper=",
    "diff.external=false",
    "gc.auto=0",
    "gpg.program=false",
    "commit.gpgSign=false",
    "maintenance.auto=false",
    "protocol.allow=never",
)
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",  # a partial clone may name any program as its transport
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
# The user's own settings stay: which files they ignore everywhere, which owners they trust.
_KEPT = ("HOME", "XDG_CONFIG_HOME", "PATH", "GIT_CONFIG_GLOBAL", "TMPDIR")
_FRESH = """[core]
	repositoryformatversion = 0
	filemode = true
	bare = false
	logAllRefUpdates = false
	autocrlf = false
[gc]
	auto = 0
"""
_AS_THEY_STAND = "* -text !eol !filter !ident !working-tree-encoding\n"
_US = ("Tandem", "tandem@localhost", "1700000000 +0000")


def is_here() -> bool:
    """Whether there is a git program."""
    return shutil.which("git") is not None


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What git may see of ours: no address of an agent, no other repository's folder."""
    known = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**known, **_ENVIRONMENT, **(extra or {})}


def run(
    folder: Path, *arguments: str, given: bytes = b"", extra: Mapping[str, str] | None = None
) -> bytes:
    """What a plumbing command prints in a repository's folder.

    `given` is its input, `extra` goes into its environment. Raises UsageError if git does not
    trust the folder, and TandemError if it cannot read it.
    """
    assert arguments[0] in _PLUMBING, f"git {arguments[0]} may run what a repository names"
    settings = [word for one in _CONFIG for word in ("-c", one)]
    # A folder that is none is not to be taken for part of the repository above it, nor may a
    # repository name another folder as its work tree.
    place = {"GIT_CEILING_DIRECTORIES": str(folder.parent), "GIT_WORK_TREE": str(folder)}
    done = subprocess.run(
        ["git", "--no-pager", "--no-replace-objects", *settings, *arguments],
        cwd=folder,
        env=environment({**place, **(extra or {})}),
        input=given,
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:
        return done.stdout
    told = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if any("dubious ownership" in line for line in told):
        raise UsageError(
            f"git does not trust {folder}: another user owns it.",
            f"If you do, run: git config --global --add safe.directory {folder}",
        )
    why = next((line for line in told if "fatal" in line), told[0] if told else "no reason given")
    raise TandemError(f"git cannot read {folder}: {why}", "Try: git fsck")


def commit_of(folder: Path, name: str = "HEAD") -> str:
    """The full hash of the commit that a name stands for; "" if there is none."""
    if name.startswith("-"):
        raise UsageError(f"{name} is no commit.", "Name one by its hash, a branch or a tag.")
    try:
        found = run(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except UsageError:
        raise
    except TandemError:
        return ""
    return found.decode().strip()


def belongs(folder: Path) -> bool:
    """Whether a folder is a repository of its own: a `.git` folder, or a file that names one.

    Raises UsageError if that file names a folder which does not know this one. A linked work tree
    is named back, and a submodule's is inside its own repository; anything else may be an attempt
    to have another repository of the user's read.
    """
    mark = folder / ".git"
    if mark.is_symlink():
        raise UsageError(f"{mark} is a link.", "Name the repository that it leads to.")
    if not mark.is_file():
        return mark.is_dir()
    named = mark.read_text("utf-8", errors="surrogateescape").strip()
    place = Path(os.path.normpath(folder / named.removeprefix("gitdir:").strip())).resolve()
    back = place / "gitdir"
    if back.is_file():
        known = place / back.read_text("utf-8", errors="surrogateescape").strip()
        if known.resolve() == mark.resolve():
            return True
    if any(place.is_relative_to(above / ".git" / "modules") for above in mark.resolve().parents):
        return True
    raise UsageError(
        f"{mark} names {place}, which does not name it back.",
        "If the work tree was moved, run in the main one: git worktree repair PATH",
    )


def signature() -> dict[str, str]:
    """Who made a commit of ours, and when: always the same, so that its hash tells nothing."""
    name, address, when = _US
    return {
        f"GIT_{role}_{field}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in (("NAME", name), ("EMAIL", address), ("DATE", when))
    }


def fresh(folder: Path) -> str:
    """Make a folder of ours a repository of one commit that holds all of its files; its hash.

    No refs, no reflog, no hooks, no remotes: HEAD is that commit. Files are stored as they stand,
    whatever the attributes among them ask for.
    """
    clean = {"GIT_CONFIG_GLOBAL": os.devnull, **signature(), "GIT_DIR": str(folder / ".git")}
    # What a crash leaves of a copy is thrown away: nothing waits for the disk.
    quick = ("core.fsync=none", "core.looseCompression=0", "pack.threads=1")
    settings = [word for one in (*_CONFIG, *quick) for word in ("-c", one)]

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "--no-pager", *settings, *arguments],
            cwd=folder,
            env=environment(clean),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            told = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise TandemError(f"git cannot store the private copy: {told[0] if told else ''}")
        return done.stdout.decode().strip()

    git("init", "--quiet", "--template=")
    (folder / ".git/config").write_text(_FRESH)
    (folder / ".git/info").mkdir(exist_ok=True)
    (folder / ".git/info/attributes").write_text(_AS_THEY_STAND)
    git("add", "--all", "--force", ".")
    commit = git("commit-tree", "-m", "The state that a fix starts from.", git("write-tree"))
    (folder / ".git/HEAD").write_text(f"{commit}\n")
    git("repack", "-a", "-d", "-q")
    return commit
